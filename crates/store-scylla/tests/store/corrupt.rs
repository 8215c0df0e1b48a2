//! What lies in the tables and was never written by the store: it is reported, never served.

use starling_ports::StoreError;
use starling_ports::accounts::Accounts;
use starling_ports::archive::{Archive, Query, Table};
use starling_ports::blocklist::BlockLists;
use starling_ports::documents::{Document, Documents};
use starling_ports::ids::Timestamp;
use starling_ports::last_activity::LastActivities;
use starling_ports::position::Positions;
use starling_ports::preferences::PreferenceStore;
use starling_ports::roster::Rosters;
use starling_ports::suite::accounts::credentials;
use starling_ports::suite::{fresh_user, row};

use crate::server::{fresh, plain, store_of};

#[track_caller]
fn is_corrupt<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_never_served() {
    let config = fresh().await;
    let store = store_of(&config).await;
    let session = plain(&config.nodes[0]).await;
    let owner = fresh_user();
    let put = async |table: &str, column: &str, value: &str| {
        let keyspace = &config.keyspace;
        let cql = format!("INSERT INTO {keyspace}.{table} (owner, {column}) VALUES ('{owner}', {value})");
        session.query_unpaged(cql, ()).await.unwrap();
    };

    for (column, value) in
        [("with_jid", "'a b@c'"), ("wire", "0x00"), ("at", "-1"), ("flags", "null"), ("origin", "0x01")]
    {
        let owner = fresh_user();
        Archive::put(&*store, Table::Archive, &owner, vec![row(1, "good"), row(2, "bad")]).await.unwrap();
        let id: String = row(2, "").id.to_string();
        let keyspace = &config.keyspace;
        let set = format!(
            "UPDATE {keyspace}.archive SET {column} = {value} WHERE owner = '{owner}' AND bucket = 0 AND who = '' AND id = 0x{id}"
        );
        session.query_unpaged(set, ()).await.unwrap();
        is_corrupt(store.page(Table::Archive, &owner, &Query::default(), 10).await);
        is_corrupt(Archive::get(&*store, Table::Archive, &owner, row(2, "").id).await);
        assert!(
            Archive::get(&*store, Table::Archive, &owner, row(1, "").id).await.unwrap().is_some(),
            "{column}"
        );
    }

    put("positions", "low", "0x0102").await;
    is_corrupt(Positions::get(&*store, &owner).await);
    put("block_lists", "items", "['a b@c']").await;
    is_corrupt(BlockLists::get(&*store, &owner).await);
    put("preferences", "otherwise", "9").await;
    is_corrupt(PreferenceStore::get(&*store, &owner).await);
    put("last_activities", "at", "-5").await;
    is_corrupt(LastActivities::get(&*store, &owner).await);
    put("documents", "kind, namespace, name", "0, '', ''").await;
    is_corrupt(Documents::get(&*store, &owner, &Document::Vcard).await);
    is_corrupt(store.size(&owner).await);
    put("rosters", "contact, version, flags", "'a b@c', 1, 0").await;
    is_corrupt(Rosters::get(&*store, &owner).await);

    store.create(&owner, credentials(1), Timestamp(1)).await.unwrap();
    let broken = format!(
        "UPDATE {}.accounts SET sha256_stored = null WHERE name = '{owner}' IF state = 1",
        config.keyspace
    );
    session.query_unpaged(broken, ()).await.unwrap();
    is_corrupt(Accounts::get(&*store, &owner).await);
}
