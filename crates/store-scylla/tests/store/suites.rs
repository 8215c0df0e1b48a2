//! What every implementation of each port must pass.

use starling_ports::suite;

use crate::server::store;

macro_rules! suites {
    ($($port:ident: $($name:ident),+;)+) => {$(
        mod $port {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                suite::$port::$name(&*store().await).await;
            })+
        }
    )+};
}

suites! {
    accounts:
        a_name_is_given_once,
        keys_and_suspension_change_apart,
        keys_may_be_missing,
        a_removed_account_is_gone,
        names_are_listed_in_order;
    archive:
        a_row_comes_back_as_it_was,
        putting_twice_keeps_one,
        pages_from_both_ends_miss_none,
        a_full_last_page_is_complete,
        bounds_exclude_their_ids_and_hold_together,
        filters_pass_over_other_rows,
        owners_do_not_mix,
        last_is_the_highest_of_both_tables,
        deleting_takes_what_is_named;
    blocklist: the_newest_list_is_there;
    documents: documents_do_not_mix;
    last_activity: the_last_activity_is_there_soon;
    position: the_position_is_there_soon;
    preferences: preferences_come_back;
    roster:
        nobody_has_an_empty_roster,
        contacts_come_back_in_order,
        an_old_version_changes_nothing,
        a_removal_is_remembered,
        removals_are_bounded;
}

/// A suite that grows and is not run here would go unnoticed.
#[test]
fn no_test_of_a_suite_is_left_out() {
    let here = include_str!("suites.rs");
    let folder = crate::server::root().join("crates/ports/src/suite");
    for port in [
        "accounts",
        "archive",
        "blocklist",
        "documents",
        "last_activity",
        "position",
        "preferences",
        "roster",
    ] {
        let source = std::fs::read_to_string(folder.join(format!("{port}.rs"))).unwrap();
        for line in
            source.lines().filter(|line| line.contains("(store: &dyn") && line.starts_with("pub async fn"))
        {
            let name = line.trim_start_matches("pub async fn ").split('(').next().unwrap();
            assert!(
                here.contains(&format!("{name},")) || here.contains(&format!("{name};")),
                "{port}: {name}"
            );
        }
    }
}
