//! The removal of an account: what is left, what comes late, and what the next one of that name finds.

use scylla::client::session::Session;
use starling_jid::{BareJid, Jid};
use starling_ports::accounts::{Accounts, Created};
use starling_ports::archive::{Archive, Query, Table};
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::documents::{Document, Documents};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::last_activity::{LastActivities, LastActivity};
use starling_ports::position::{Position, Positions};
use starling_ports::preferences::{PreferenceStore, Preferences};
use starling_ports::roster::{Contact, Edit, Rosters, Subscription, Written};
use starling_ports::suite::accounts::credentials;
use starling_ports::suite::{fresh_user, row};
use starling_store_scylla::{Config, Store};

use crate::server::{fresh, plain, store_of};

fn contact(name: &str) -> Contact {
    Contact {
        jid: BareJid::new(&format!("{name}@example.org")).unwrap(),
        name: None,
        groups: Vec::new(),
        state: Subscription::default(),
        version: 0,
        request: None,
        listed: true,
    }
}

/// Something in every table.
async fn live(store: &Store, owner: &BareJid) {
    assert_eq!(store.create(owner, credentials(1), Timestamp(5)).await.unwrap(), Created::Yes);
    for table in [Table::Archive, Table::Spool] {
        Archive::put(store, table, owner, (1..=30).map(|number| row(number, "hello")).collect())
            .await
            .unwrap();
    }
    let edits = ["carol", "dave", "erin"].map(|name| Edit::Put(contact(name))).to_vec();
    Rosters::write(store, owner, Rosters::get(store, owner).await.unwrap().version, edits).await.unwrap();
    let low = Some(ArchiveId { number: 5, random: 5 });
    store.save(owner, Position { low, acknowledged: Vec::new() }).await.unwrap();
    let items = vec![Jid::new("mallory@example.org").unwrap()];
    BlockLists::put(store, owner, BlockList { items }).await.unwrap();
    PreferenceStore::put(store, owner, Preferences::default()).await.unwrap();
    Documents::put(store, owner, &Document::Vcard, "<v/>".into()).await.unwrap();
    Documents::put(store, owner, &Document::Private("a".into(), "b".into()), "<b/>".into()).await.unwrap();
    LastActivities::put(store, owner, LastActivity { at: Timestamp(5), status: None }).await.unwrap();
}

/// How many rows each table has for `owner`, found by reading the whole table: `(table, rows)`, tables without any left out.
async fn rows_left(session: &Session, config: &Config, owner: &BareJid) -> Vec<(String, usize)> {
    let tables =
        format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{}'", config.keyspace);
    let tables = session.query_unpaged(tables, ()).await.unwrap().into_rows_result().unwrap();
    let mut left = Vec::new();
    let mut names: Vec<String> = tables.rows::<(String,)>().unwrap().map(|row| row.unwrap().0).collect();
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    for table in names {
        let column = match table.as_str() {
            "accounts" | "account_names" | "schema_versions" => "name",
            _ => "owner",
        };
        let cql = format!("SELECT {column} FROM {}.{table}", config.keyspace);
        let rows = session.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
        let count =
            rows.rows::<(String,)>().unwrap().filter(|row| row.as_ref().unwrap().0 == owner.as_str()).count();
        if count > 0 {
            left.push((table, count));
        }
    }
    left
}

fn names(left: &[(String, usize)]) -> Vec<(&str, usize)> {
    left.iter().map(|(table, count)| (table.as_str(), *count)).collect()
}

#[tokio::test]
async fn only_marks_of_a_removed_account_are_left() {
    let config = Config { bucket: std::time::Duration::from_micros(10), ..fresh().await };
    let store = store_of(&config).await;
    let session = plain(&config.nodes[0]).await;
    let (owner, other) = (fresh_user(), fresh_user());
    live(&store, &owner).await;
    live(&store, &other).await;
    let before = rows_left(&session, &config, &owner).await;
    let filled = [
        ("account_names", 1),
        ("accounts", 1),
        ("archive", 60),
        ("archive_buckets", 8),
        ("block_lists", 1),
        ("documents", 2),
        ("last_activities", 1),
        ("positions", 1),
        ("preferences", 1),
        ("rosters", 4),
        ("spool", 30),
    ];
    assert_eq!(names(&before), filled, "every table has something of it");

    assert!(store.remove(&owner).await.unwrap());
    // The name with the time of its removal, up to which id was erased, and the roster's version.
    let marks = [("accounts", 1), ("archive_buckets", 1), ("rosters", 1)];
    assert_eq!(names(&rows_left(&session, &config, &owner).await), marks);
    assert_eq!(names(&rows_left(&session, &config, &other).await), filled, "nobody else lost anything");
    assert!(!store.remove(&owner).await.unwrap());

    // What was on its way when the account went: its ids are below those erased.
    for table in [Table::Archive, Table::Spool] {
        Archive::put(&*store, table, &owner, (1..=30).map(|number| row(number, "late")).collect())
            .await
            .unwrap();
        let page = store.page(table, &owner, &Query::default(), 10).await.unwrap();
        assert_eq!((page.rows, page.complete), (Vec::new(), true));
    }
    assert_eq!(names(&rows_left(&session, &config, &owner).await), marks);
    // A write to the roster that was decided on its first version comes too late as well.
    let written = Rosters::write(&*store, &owner, 0, vec![Edit::Put(contact("late"))]).await.unwrap();
    assert!(matches!(written, Written::Stale(roster) if roster.contacts.is_empty()));
    assert!(store.list(None, 100).await.unwrap().iter().all(|name| *name != owner));
}

#[tokio::test]
async fn the_next_account_of_that_name_begins_empty_and_keeps_what_it_gets() {
    let config = fresh().await;
    let store = store_of(&config).await;
    let another = Store::connect(&config).await.unwrap(); // a second router, which has named the partition before
    let owner = fresh_user();
    live(&store, &owner).await;
    let now = SystemClock.now().0;
    Archive::put(&*another, Table::Archive, &owner, vec![row(now, "of the first")]).await.unwrap();
    assert!(store.remove(&owner).await.unwrap());
    let erased = store.last(&owner).await.unwrap().unwrap();
    assert!(erased.number > now, "ids go on above those erased");
    for (table, number) in [(Table::Archive, now + 1), (Table::Spool, erased.number)] {
        Archive::put(&*another, table, &owner, vec![row(number, "late, the first of its partition")])
            .await
            .unwrap();
        let page = store.page(table, &owner, &Query::default(), 10).await.unwrap();
        assert_eq!(page.rows, []);
    }

    assert_eq!(store.create(&owner, credentials(7), Timestamp(9)).await.unwrap(), Created::Yes);
    let account = Accounts::get(&*store, &owner).await.unwrap().unwrap();
    assert_eq!((account.credentials, account.created, account.suspended), (credentials(7), 9, false));
    assert_eq!(Documents::get(&*store, &owner, &Document::Vcard).await.unwrap(), None);
    assert_eq!(Documents::size(&*store, &owner).await.unwrap(), 0);
    assert_eq!(PreferenceStore::get(&*store, &owner).await.unwrap(), None);
    assert_eq!(Positions::get(&*store, &owner).await.unwrap(), Position::default());
    assert_eq!(BlockLists::get(&*store, &owner).await.unwrap(), BlockList::default());
    assert_eq!(LastActivities::get(&*store, &owner).await.unwrap(), None);

    let rows = vec![row(erased.number + 1, "of the second"), row(erased.number + 2, "and more")];
    Archive::put(&*another, Table::Archive, &owner, rows.clone()).await.unwrap();
    let page = store.page(Table::Archive, &owner, &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows, rows, "though the other router did not name their partition again");
    assert_eq!(store.last(&owner).await.unwrap(), Some(rows[1].id));
    Documents::put(&*store, &owner, &Document::Vcard, "<new/>".into()).await.unwrap();
    assert_eq!(Documents::get(&*store, &owner, &Document::Vcard).await.unwrap(), Some("<new/>".into()));
    let roster = Rosters::get(&*store, &owner).await.unwrap();
    assert!(roster.contacts.is_empty() && roster.version > 1 && roster.since == roster.version);
    live_again(&store, &owner, roster.version).await;
    assert!(store.list(None, 100).await.unwrap().contains(&owner));
}

async fn live_again(store: &Store, owner: &BareJid, version: u64) {
    let written = Rosters::write(store, owner, version, vec![Edit::Put(contact("carol"))]).await.unwrap();
    let Written::Done(roster) = written else { panic!("it was stale") };
    assert_eq!(roster.contacts.len(), 1);
}

/// One that was broken off is finished by whoever meets it.
#[tokio::test]
async fn a_removal_that_was_broken_off_goes_on() {
    let config = fresh().await;
    let store = store_of(&config).await;
    let session = plain(&config.nodes[0]).await;
    for finish_by_creating in [false, true] {
        let owner = fresh_user();
        live(&store, &owner).await;
        let at = SystemClock.now().0;
        let cql = format!(
            "UPDATE {}.accounts SET state = 2, removed_at = {at}, removed_id = {at} WHERE name = '{owner}' IF state = 1",
            config.keyspace
        );
        session.query_unpaged(cql, ()).await.unwrap();
        assert_eq!(Accounts::get(&*store, &owner).await.unwrap(), None, "nobody signs in meanwhile");
        if finish_by_creating {
            assert_eq!(store.create(&owner, credentials(2), Timestamp(9)).await.unwrap(), Created::Yes);
        } else {
            assert!(store.remove(&owner).await.unwrap());
            assert_eq!(Accounts::get(&*store, &owner).await.unwrap(), None);
        }
        let page = store.page(Table::Archive, &owner, &Query::default(), 10).await.unwrap();
        assert!(page.rows.is_empty());
        assert!(Rosters::get(&*store, &owner).await.unwrap().contacts.is_empty());
    }
}

/// Several remove it, one makes it anew as soon as it can: whoever removes late takes nothing from the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removals_at_the_same_time_leave_the_next_account_alone() {
    let config = fresh().await;
    let store = store_of(&config).await;
    let mut stayed = 0;
    for _ in 0..30 {
        let owner = fresh_user();
        live(&store, &owner).await;
        let mut removing = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (store, owner) = (store.clone(), owner.clone());
            removing.spawn(async move { store.remove(&owner).await.unwrap() });
        }
        while store.create(&owner, credentials(9), Timestamp(9)).await.unwrap() == Created::Exists {
            tokio::task::yield_now().await;
        }
        let version = Rosters::get(&*store, &owner).await.unwrap().version;
        let written =
            Rosters::write(&*store, &owner, version, vec![Edit::Put(contact("carol"))]).await.unwrap();
        Documents::put(&*store, &owner, &Document::Vcard, "<new/>".into()).await.unwrap();
        removing.join_all().await;
        // One that began later has removed the new one too: that round says nothing.
        if matches!(written, Written::Done(_)) && Accounts::get(&*store, &owner).await.unwrap().is_some() {
            let roster = Rosters::get(&*store, &owner).await.unwrap();
            let document = Documents::get(&*store, &owner, &Document::Vcard).await.unwrap();
            assert_eq!((roster.contacts.len(), document), (1, Some("<new/>".into())));
            assert!(store.list(None, 100).await.unwrap().contains(&owner));
            stayed += 1;
        }
        if stayed == 3 {
            return;
        }
    }
    panic!("the new account never stayed");
}

/// Two routers, one name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_makes_the_account() {
    let config = fresh().await;
    let store = store_of(&config).await;
    for round in 0..3 {
        let owner = fresh_user();
        let mut attempts = tokio::task::JoinSet::new();
        for seed in 0..8 {
            let (store, owner) = (store.clone(), owner.clone());
            attempts.spawn(async move {
                (seed, store.create(&owner, credentials(seed), Timestamp(1)).await.unwrap())
            });
        }
        let outcomes = attempts.join_all().await;
        let made: Vec<u8> =
            outcomes.iter().filter(|(_, made)| *made == Created::Yes).map(|(seed, _)| *seed).collect();
        assert_eq!(made.len(), 1, "{round}: {outcomes:?}");
        let account = Accounts::get(&*store, &owner).await.unwrap().unwrap();
        assert_eq!(account.credentials, credentials(made[0]));
    }
}

/// Each of the writers decides again until it is done: no change is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rosters_that_many_write_to_lose_no_change() {
    let config = fresh().await;
    let store = store_of(&config).await;
    let owner = fresh_user();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (store, owner) = (store.clone(), owner.clone());
        writers.spawn(async move {
            for number in 0..5 {
                let edit = Edit::Put(contact(&format!("contact{writer}-{number}")));
                let mut version = Rosters::get(&*store, &owner).await.unwrap().version;
                while let Written::Stale(roster) =
                    Rosters::write(&*store, &owner, version, vec![edit.clone()]).await.unwrap()
                {
                    version = roster.version;
                }
            }
        });
    }
    writers.join_all().await;
    let roster = Rosters::get(&*store, &owner).await.unwrap();
    assert_eq!((roster.contacts.len(), roster.version), (20, 20));
}
