//! Stories: what RFC 6120, RFC 6121 and the XEPs promise, told by clients on real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where it fails"
)]

use std::path::Path;
use std::process::ExitCode;

use starling_testkit::{ServerOptions, run, stories};

mod archive_off;
mod bind;
mod blocking;
mod bosh;
mod caps;
mod carbons;
mod csi;
mod delayed_delivery;
mod disco;
mod domains;
mod form;
mod hostile_xml;
mod http;
mod jid_escaping;
mod large_archive;
mod last_activity;
mod limits;
mod limits_off;
mod mam;
mod message_routing;
mod offline;
mod payloads;
mod ping;
mod presence;
mod private_xml;
mod processing_hints;
mod proxy;
mod quotas;
mod register;
mod roster;
mod rsm;
mod sasl;
mod session;
mod slow_readers;
mod sm;
mod stanza_ids;
mod strangers;
mod stream;
mod subscription;
mod subscription_states;
mod time;
mod vcard;
mod version;
mod websocket;

fn main() -> ExitCode {
    let stories = stories! {
        archive_off :: { where_no_archive_is_kept_none_is_told_of }
        bind :: { the_newer_session_wins_the_resource, the_server_chooses_a_resource, a_resource_must_be_one, a_stream_is_bound_once }
        blocking :: { a_blocked_contact_is_not_heard, nothing_is_sent_to_who_is_blocked, a_blocked_contact_sees_the_user_leave, the_list_is_pushed_to_all_devices, nobody_blocks_their_own_devices, an_item_blocks_what_it_names, bad_lists_are_refused, a_waiting_request_is_not_shown }
        bosh :: { a_chat_goes_both_ways, a_session_says_what_was_agreed, requests_are_answered_in_order, a_repeated_request_gets_the_same_answer_again, outside_the_window_the_session_ends, an_unknown_session_is_not_found, a_client_without_a_version_gets_codes, a_pause_answers_at_once, a_client_that_polls_is_not_held, a_message_is_not_gone_until_its_answer_is_acknowledged, what_is_no_body_ends_the_session, pages_of_other_hosts_may_ask, a_request_with_two_lengths_is_refused, a_body_above_the_limit_is_refused, a_key_proves_who_asks, nobody_signs_in_without_tls, the_last_answer_comes_before_the_end }
        caps :: { the_servers_digest_can_be_looked_up, a_clients_digest_reaches_its_contacts }
        carbons :: { carbons_reach_the_other_device, sent_messages_are_copied, a_private_message_is_not_copied, a_carbon_is_never_forged, wrappers_of_others_are_theirs, the_switch_is_remembered, a_copy_is_not_answered }
        csi :: { an_inactive_client_is_spared, order_holds_when_it_wakes, waking_comes_before_the_next_answer, what_is_urgent_goes_out_at_once, each_device_for_itself, a_resumed_stream_is_active, much_that_waits_goes_out }
        delayed_delivery :: { a_late_message_says_when_it_came, a_forged_delay_is_taken_out, a_repeat_says_when_it_came_first }
        disco :: { the_server_says_what_it_can, an_account_says_what_it_can, a_stranger_learns_nothing }
        domains :: { users_of_two_domains_talk, a_name_is_of_one_domain, each_domain_answers }
        form :: { the_server_says_whom_to_write_to }
        hostile_xml :: { what_xmpp_forbids_ends_the_stream, what_xml_forbids_ends_the_stream, prefixes_are_declared, only_utf_8_is_spoken, everything_has_a_limit, the_largest_stanza_is_taken, an_unknown_payload_passes_unchanged, prefixes_of_the_header_travel_along, namespaces_are_not_amplified, too_big_is_said_before_the_end, others_do_not_notice }
        http :: { host_meta_says_where_to_connect, there_is_nothing_else, a_slow_request_is_not_waited_for }
        jid_escaping :: { an_escaped_name_is_a_name, no_name_ends_with_a_space }
        large_archive :: { a_large_archive_is_read_from_both_ends }
        last_activity :: { a_contact_asks_when_somebody_went, a_stranger_may_not_ask, a_device_answers_for_itself, the_server_says_how_long_it_runs }
        limits :: { who_does_not_sign_in_is_let_go, a_stanza_takes_no_longer_than_allowed, too_fast_is_slowed_and_never_dropped, strangers_of_one_address_are_few, memory_stays_flat_under_hostile_input, idle_connections_hold_no_buffers, who_came_and_went_left_nothing, certificates_are_reloaded_without_a_restart }
        limits_off :: { an_account_has_no_limits, a_log_and_a_page_have_no_limits, a_failed_login_is_not_slowed_down }
        mam :: { both_sides_find_what_was_said, what_is_no_conversation_is_not_archived, pages_go_both_ways, a_page_is_flipped, an_unknown_id_is_not_found, with_filters_by_the_other, filters_hold_together, the_form_is_told_and_held_to, anothers_archive_is_closed, metadata_tells_the_ends, an_account_says_that_it_has_an_archive, preferences_are_kept, preferences_hold_for_both_directions, the_roster_decides_where_the_user_wants_it, paging_misses_none_while_others_write }
        message_routing :: { the_table_holds_row_by_row, order_holds_over_all_kinds, a_request_to_an_account_is_answered, anothers_resource_is_forged_too, an_error_is_never_answered, a_malformed_stanza_is_answered, a_bare_jid_reaches_all_who_are_there, a_full_jid_reaches_one, a_normal_message_to_a_missing_resource_goes_nowhere_else, a_negative_priority_gets_nothing_for_the_account, a_headline_is_not_kept, a_groupchat_message_bounces, nobody_by_that_name_is_an_error, a_request_of_a_stranger_tells_nothing, an_iq_to_a_missing_resource_bounces, from_is_stamped, a_forged_from_ends_the_stream, order_is_kept }
        offline :: { messages_wait_for_a_device, a_message_is_not_gone_until_acknowledged, unacknowledged_comes_again }
        payloads :: { all_copies_are_the_same_bytes, what_clients_say_to_each_other_passes }
        ping :: { the_server_answers, the_account_answers }
        presence :: { a_newcomer_sees_and_is_seen, directed_presence_keeps_its_address, who_goes_is_left_in_peace, presence_is_not_leaked, who_comes_meanwhile_sees_the_latest, a_probe_of_a_device_tells_only_whether_it_is_there, directed_presence_may_be_asked_for_again, presence_to_nobody_is_dropped, directed_presence_to_a_contact_ends_once, contacts_see_one_another_come_and_go, a_lost_socket_is_unavailable, directed_presence_is_withdrawn, a_probe_is_answered_for_contacts_only }
        private_xml :: { what_is_kept_comes_back, nobody_else_reads_it, what_names_nothing_is_refused, there_is_a_limit }
        processing_hints :: { no_store_leaves_no_trace, no_permanent_store_waits_but_is_not_archived, no_copy_is_not_copied, store_keeps_what_would_not_be_kept }
        quotas :: { so_many_messages_wait, a_batch_is_counted_one_by_one, so_many_bytes_wait, an_archive_has_a_size }
        register :: { an_account_is_made_and_signs_in, a_name_is_given_once, one_address_makes_so_many_accounts, who_is_registered_is_told_so, a_password_is_changed, a_password_is_changed_for_oneself_only, an_account_is_erased, contacts_of_an_erased_account_see_it_go_once, an_erased_name_begins_anew }
        proxy :: { tls_at_the_proxy_is_tls, without_tls_at_the_proxy_nobody_signs_in, a_stranger_is_no_proxy }
        roster :: { a_client_sets_names_and_groups_only, a_removal_is_told_by_version, a_push_is_between_server_and_device, a_removed_contact_is_left_both_ways, anothers_roster_is_closed, a_roster_has_an_end, a_contact_is_added_and_pushed, versions_save_the_download, a_removed_contact_is_gone, bad_items_are_refused }
        rsm :: { what_can_be_asked_of_a_set, a_page_has_a_size }
        sasl :: { a_wrong_password_is_refused, an_unknown_user_looks_the_same, a_foreign_authzid_is_refused, strange_messages_get_an_answer, an_exchange_has_an_order, base64_is_strict, the_header_cannot_be_changed_later, channel_binding_is_offered_where_it_works, a_man_in_the_middle_is_noticed, plain_goes_only_under_tls, guessing_is_slowed_and_nobody_locked_out }
        session :: { contacts_see_the_newer_session_only, a_waiting_session_gives_way_silently, nobody_is_left_behind_as_available, who_does_not_come_back_is_gone, an_account_has_so_many_sessions, sessions_that_wait_make_room_for_a_new_one }
        slow_readers :: { a_stalled_reader_loses_nothing_and_costs_nothing, who_answers_no_pings_is_served_on }
        sm :: { everything_handled_is_counted, a_cut_session_resumes_where_it_was, a_resumed_session_was_never_away, another_account_cannot_resume, too_high_an_h_is_refused, a_failed_resumption_leaves_the_stream_usable, what_was_under_way_counts_in_the_last_h, what_goes_to_many_is_stored_at_once, what_was_not_acknowledged_comes_again }
        stanza_ids :: { live_and_archive_agree, offline_and_archive_agree, forged_ids_are_stripped, an_origin_id_passes }
        strangers :: { no_answer_tells_whether_there_is_an_account }
        stream :: { a_stream_says_who_it_is, an_unknown_host_is_refused, an_old_version_is_unsupported, a_header_is_of_the_right_namespaces, domains_do_not_mix, each_domain_shows_its_certificate, direct_tls_speaks_alpn, login_without_tls_is_not_offered_to_the_world, what_was_said_before_tls_is_forgotten, tls_begins_once, a_stanza_before_login_ends_the_stream, a_stream_begins_anew_after_login, a_stanza_before_binding_ends_the_stream, closing_is_answered, white_space_says_nothing, a_second_header_is_answered_at_once }
        subscription :: { a_repeated_request_is_shown_once, a_request_stands_until_it_is_answered, a_repeated_request_reaches_who_has_not_got_it, a_subscription_is_between_accounts, rosters_that_differ_agree_again, a_probe_mends_a_roster, asking_and_approving, refusing, cancelling, unsubscribing, a_request_waits_for_the_next_login, approval_in_advance }
        subscription_states :: { subscribe_in_every_state, unsubscribe_in_every_state, subscribed_in_every_state, unsubscribed_in_every_state }
        time :: { the_server_tells_the_time }
        vcard :: { a_card_is_shown_to_others, none_is_empty, nobodys_card_tells_nothing, anothers_card_is_closed }
        version :: { the_server_names_itself, a_server_may_keep_it_to_itself }
        websocket :: { a_chat_goes_both_ways, a_cut_session_resumes, fragments_are_joined, frames_that_may_not_be_end_the_connection, what_is_no_element_ends_the_stream, a_wrong_opening_ends_the_stream, an_oversized_message_ends_the_stream, a_handshake_that_may_not_be_is_refused, a_login_can_be_bound_to_the_servers_own_tls, what_stands_before_the_end_of_tls_is_read, tls_at_a_proxy_binds_nothing, a_proxy_says_for_whom_it_speaks, pages_that_are_not_listed_are_refused }
    };
    run(
        Path::new(env!("CARGO_BIN_EXE_starling")),
        &ServerOptions { config: OPTIONS.to_owned(), data_dir: None },
        stories,
        if std::env::var_os("STARLING_STORES").is_some() { OF_ONE_ROUTER } else { &[] },
    )
}

/// What cannot be told on stores that routers share, and why.
const OF_ONE_ROUTER: &[(&str, &str)] = &[
    ("sm::what_was_under_way_counts_in_the_last_h", WANTS_DELAY),
    ("sm::what_goes_to_many_is_stored_at_once", WANTS_DELAY),
];
const WANTS_DELAY: &str = "it takes `store.commit-delay`, by which the embedded store holds a write back";

/// Stories register accounts from one address, faster than anybody should; one asks whom to write to;
/// one speaks for others.
const OPTIONS: &str = "[listen]\ntrusted-proxies = [\"127.0.0.9\"]\n\
                       [im.registration]\nenabled = true\nper-address-and-hour = 0\n\
                       [im.contact]\nabuse = [\"mailto:abuse@localhost\", \"xmpp:abuse@localhost\"]\n";
