//! What holds for the whole store: the suites of the ports, and what only a store on disk can do.

mod archive;
mod attempts;
mod disk;
mod expiry;
mod format;
mod journal;
mod removal;
mod sessions;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use starling_jid::BareJid;
use starling_ports::clock::Clock;
use starling_ports::ids::{NodeId, Timestamp};
use starling_ports::suite;

use crate::{Config, OpenError, Store};

fn config(dir: &Path) -> Config {
    Config { data_dir: dir.to_owned(), ..Config::default() }
}

/// Stands still, early in 1970: the suites number their rows from 1, and none of them has expired.
struct Early;

impl Clock for Early {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
}

/// Goes when it is told to.
struct Hands(AtomicU64);

impl Hands {
    fn turn(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

fn open_with(config: &Config) -> Result<Arc<Store>, OpenError> {
    Store::open(config, Arc::new(Early), NodeId::default())
}

fn try_open(dir: &Path) -> Result<Arc<Store>, OpenError> {
    open_with(&config(dir))
}

fn open(dir: &Path) -> Arc<Store> {
    try_open(dir).unwrap()
}

/// As it is found after a kill; the journal without the zeros that it has ahead.
fn killed(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy(&from.join("store"), &to.path().join("store"));
    to
}

/// A file; of a journal, what is written in it.
fn read(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).unwrap();
    let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
    let length = if is_journal { crate::journal::end(&file).unwrap() } else { u64::MAX };
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).unwrap();
    bytes
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &to);
            continue;
        }
        std::fs::write(to, read(&path)).unwrap();
    }
}

fn bob() -> BareJid {
    BareJid::new("bob@example.org").unwrap()
}

/// Runs suites on one store.
macro_rules! suite {
    ($($name:ident: $($port:ident)::+ ( $($store:ident),* );)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let store = open(dir.path());
                suite::$($port)::+::$name($(&*{ let $store = store.clone(); $store }),*).await;
            }
        )*
    };
}

suite! {
    a_row_comes_back_as_it_was: archive(store);
    putting_twice_keeps_one: archive(store);
    pages_from_both_ends_miss_none: archive(store);
    a_full_last_page_is_complete: archive(store);
    bounds_exclude_their_ids_and_hold_together: archive(store);
    filters_pass_over_other_rows: archive(store);
    owners_do_not_mix: archive(store);
    last_is_the_highest_of_both_tables: archive(store);
    deleting_takes_what_is_named: archive(store);
    a_name_is_given_once: accounts(store);
    keys_and_suspension_change_apart: accounts(store);
    keys_may_be_missing: accounts(store);
    a_removed_account_is_gone: accounts(store);
    names_are_listed_in_order: accounts(store);
    nobody_has_an_empty_roster: roster(store);
    contacts_come_back_in_order: roster(store);
    an_old_version_changes_nothing: roster(store);
    a_removal_is_remembered: roster(store);
    removals_are_bounded: roster(store);
    the_newest_list_is_there: blocklist(store);
    preferences_come_back: preferences(store);
    documents_do_not_mix: documents(store);
    the_last_activity_is_there_soon: last_activity(store);
    the_last_word_of_each_node_is_listed: nodes(store);
    the_position_is_there_soon: position(store);
    attempts_are_counted_wherever_they_come: attempts(store, store);
    a_success_forgives_the_account: attempts(store);
    attempts_under_way_count: attempts(store);
    a_stale_view_commits_nothing: sessions(store, store);
    a_view_from_memory_is_checked: sessions(store, store);
    a_commit_carries_what_is_handled: sessions(store, store);
    a_message_goes_its_way: sessions(store, store);
    a_renewal_tells_who_is_behind: sessions(store, store);
    a_renewal_repeats_acknowledgements: sessions(store, store);
    a_retry_is_answered: sessions(store, store);
    a_reader_stores_what_is_committed: sessions(store, store);
    what_others_owe_refuses_nobody: sessions(store, store);
    offline_messages_wait_for_an_acknowledgement: sessions(store, store);
    a_session_is_resumed: sessions(store, store);
    an_ended_session_leaves_its_h: sessions(store);
    sessions_are_counted: sessions(store, store);
    who_holds_a_message_is_known: sessions(store, store);
    a_forgotten_session_is_registered_again: sessions(store, store);
    an_ended_session_is_not_registered_again: sessions(store);
    what_a_node_knows_to_be_done_waits_no_more: sessions(store, store);
    all_sessions_of_an_account_end: sessions(store);
}

#[tokio::test]
async fn a_waiting_session_expires() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    suite::sessions::a_waiting_session_expires(&*store, Early.now()).await;
}

#[tokio::test]
async fn farewells() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    suite::sessions::a_farewell_is_owed_until_it_is_settled(&*store, &*store, Early.now()).await;
    suite::sessions::who_leaves_and_stays_owes_it_too(&*store, Early.now()).await;
    suite::sessions::who_replaces_one_that_waits_owes_what_it_owed(&*store).await;
}
