//! The rules of the session log, what holds each of them, and the table of the documentation that says so.

use std::fmt::Write as _;

use crate::{Broken, CUTS, Invariant, Theme};

/// A rule.
#[derive(Debug)]
pub struct Rule {
    pub number: u8,
    /// In short.
    pub says: &'static str,
    /// Tests of the program, or of its parts, that fail without it. One that ends with `_` stands for all that begin so.
    pub tests: &'static [&'static str],
    /// Why there is no cut, or no test.
    pub note: &'static str,
}

impl Rule {
    /// Parts of it that the model can do without.
    pub fn cuts(&self) -> impl Iterator<Item = &'static Broken> {
        let number = self.number;
        CUTS.iter().filter(move |broken| broken.rule == number)
    }
}

const fn rule(number: u8, says: &'static str, tests: &'static [&'static str], note: &'static str) -> Rule {
    Rule { number, says, tests, note }
}

/// All of them, in order.
pub const RULES: [Rule; 26] = [
    rule(
        1,
        "one commit at a time a lane and account; an unknown outcome is repeated before anything later",
        &[
            "a_full_disk_is_told_to_senders_and_nothing_acked_is_lost",
            "rounds_of_kill_nine_lose_double_and_reorder_nothing",
        ],
        "",
    ),
    rule(
        2,
        "a lane moves only when nothing is unanswered, or its link is closed for good",
        &["a_lost_link_loses_doubles_and_reorders_nothing", "a_killed_session_router_is_not_noticed"],
        "",
    ),
    rule(3, "a retry is answered, not done again", &["rule_3_", "what_is_sent_again_is_done_once"], ""),
    rule(
        4,
        "also after a lost session: by origin-id and content; the last `h` is told",
        &[
            "rule_4_",
            "a_retry_after_a_restart_",
            "an_ended_session_leaves_its_h",
            "what_was_under_way_counts_in_the_last_h",
        ],
        "",
    ),
    rule(
        5,
        "every entry passes the log, and gets its number when it is handed out",
        &[
            "rule_5_",
            "pulling_twice_gives_the_same_entries",
            "what_went_before_stream_management_",
            "a_gap_is_pulled",
            "what_a_pull_brings_behind_a_gap_is_not_taken",
        ],
        "",
    ),
    rule(
        6,
        "`h` covers only what is stored, and is saved before it is told",
        &["rule_6_", "no_ack_comes_while_the_commit_is_held_back"],
        "",
    ),
    rule(7, "a lost link or push is made good by pulling", &["a_renewal_tells_who_is_behind"], ""),
    rule(
        8,
        "after Redis came back older or empty, accounts are verified before they are used",
        &["a_redis_that_comes_back_older_is_a_pause", "a_redis_that_is_killed_and_started_again_"],
        "",
    ),
    rule(
        9,
        "a missing record means unknown; a manager registers what it holds",
        &[
            "a_redis_that_comes_back_empty_is_a_pause",
            "a_forgotten_session_is_registered_again",
            "an_ended_session_is_not_registered_again",
            "what_a_node_knows_to_be_done_waits_no_more",
            "sockets_that_are_lost_when_redis_is_back_are_resumed",
        ],
        "",
    ),
    rule(
        10,
        "no key of a log has a TTL; Redis is refused where it may forget",
        &["a_redis_that_would_lose_sessions_is_refused"],
        "settings of Redis: not in the model",
    ),
    rule(
        11,
        "an outage extends deadlines, and sweepers watch a whole lease first",
        &[
            "a_saved_session_waits_as_long_as_it_still_could",
            "who_does_not_come_back_after_a_stop_is_announced_once",
        ],
        "",
    ),
    rule(
        12,
        "what is read or pulled is stored first; a reader reads no further than it was told",
        &["rule_12_", "a_reader_that_pages_while_others_write_misses_none"],
        "",
    ),
    rule(
        13,
        "refused before the commit or not at all; owed rows have an owner",
        &["rule_13_", "what_one_router_has_refused_no_other_delivers"],
        "",
    ),
    rule(
        14,
        "timestamps of CQL come from the slot",
        &[
            "a_row_written_again_after_its_deletion_stays_deleted",
            "a_row_deleted_before_it_is_written_never_appears",
            "what_a_router_with_a_wrong_clock_wrote_gives_way_to_what_comes_later",
        ],
        "",
    ),
    rule(
        15,
        "no row for what a session took and nobody promised to keep",
        &["rule_15_", "an_acknowledged_row_of_the_spool_is_deleted"],
        "costs, no interleaving: not in the model",
    ),
    rule(
        16,
        "the first device's ack ends *pending*, and only that",
        &["rule_16_", "offline_messages_come_late_and_once_", "kill_nine_between_send_and_the_devices_ack_"],
        "",
    ),
    rule(
        17,
        "backlog before live, one device starves no other",
        &[
            "rule_17_",
            "what_waits_behind_a_backlog_does_not_stop_it",
            "a_device_that_comes_late_gets_everything_that_waits",
        ],
        "",
    ),
    rule(
        18,
        "an ended session leaves its rest to the account",
        &[
            "rule_18_",
            "a_device_that_logs_in_does_not_get_what_another_is_reading",
            "who_signs_out_is_seen_to_leave",
        ],
        "",
    ),
    rule(
        19,
        "without XEP-0198 a ping's answer acknowledges",
        &["rule_19_", "a_message_is_not_gone_until_acknowledged"],
        "to the model an ack is an ack",
    ),
    rule(
        20,
        "a full log stops, bounds and coalesces",
        &["rule_20_", "a_stalled_session_takes_bounded_memory"],
        "what is never stored is not in the model",
    ),
    rule(21, "a former owner has no effect", &["rule_21_", "a_push_for_another_claim_has_no_effect"], ""),
    rule(
        22,
        "presence carries a version, and the roster is read behind it",
        &["who_comes_meanwhile_sees_the_latest"],
        "in the program without a version: whoever shows what it has read looks again behind its commit (`im::effect::seen`)",
    ),
    rule(
        23,
        "a changed block list makes everybody decide again",
        &["rule_23_"],
        "for the model a view is a view, see 24",
    ),
    rule(24, "only what decides makes a view stale, and a stale view decides nothing", &["rule_24_"], ""),
    rule(
        25,
        "a store that does not answer is waited for, 60 s",
        &["rule_25_", "a_stop_is_not_held_up_"],
        "errors of Redis are retries under rule 1",
    ),
    rule(
        26,
        "slow is not dead",
        &["a_stalled_session_takes_bounded_memory", "a_vanished_client_is_noticed_and_its_session_waits"],
        "the kernel's, not the protocol's",
    ),
];

/// Where the table begins in the page, and where it ends.
const MARKS: [&str; 2] = ["<!-- made by `make docs` -->\n", "<!-- end -->\n"];

/// The rules, the invariants and the worlds, as the documentation shows them.
pub fn tables() -> String {
    let mut text = String::from(
        "\n| rule | what it says, in short | in the model, without it | tests |\n|---|---|---|---|\n",
    );
    for rule in &RULES {
        let cuts = rule.cuts().map(|broken| format!("{}: *{}*", broken.what, broken.breaks.name()));
        let cuts = cuts.collect::<Vec<_>>().join("; ");
        let tests =
            rule.tests.iter().map(|test| format!("`{test}{}`", if test.ends_with('_') { "…" } else { "" }));
        let mut tests = tests.collect::<Vec<_>>();
        tests.extend((!rule.note.is_empty()).then(|| rule.note.to_owned()));
        let _ = writeln!(text, "| {} | {} | {cuts} | {} |", rule.number, rule.says, tests.join(", "));
    }
    text += "\n| invariant | what it means |\n|---|---|\n";
    for invariant in Invariant::ALL {
        let _ = writeln!(text, "| *{}* | {} |", invariant.name(), invariant.meaning());
    }
    text += "\n| world | what is explored in it |\n|---|---|\n";
    for theme in Theme::ALL {
        let _ = writeln!(text, "| {theme:?} | {} |", theme.about());
    }
    text + "\n"
}

/// `page` with the tables as they are now. `None`: it has no place for them.
pub fn with_tables(page: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}{}{end}{after}", tables()))
}
