//! What lies in the tables and was never written by the store: it is reported, never served.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};

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
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::server::{fresh, plain, store_of};

#[track_caller]
fn is_corrupt<T: Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
}

/// Fields of one line of the log.
#[derive(Debug, Clone, Default)]
struct Line(HashMap<&'static str, String>);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// What the log has at `error`.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<Line>>>);

/// Of the whole process: a line that was first reached without anybody who listens may be silent for good. Tests that reach one begin here.
static ERRORS: LazyLock<Errors> = LazyLock::new(|| {
    let errors = Errors::default();
    tracing::subscriber::set_global_default(errors.clone()).unwrap();
    errors
});

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// As the runbook says: a row is found by what the log says of it, which names nobody.
#[tokio::test]
async fn the_log_says_where_a_row_is_and_not_whose() {
    LazyLock::force(&ERRORS);
    let config = fresh().await;
    let store = store_of(&config).await;
    let session = plain(&config.nodes[0]).await;
    let (owner, keyspace) = (fresh_user(), &config.keyspace);
    let place = async |table: &str, key: &str| {
        let lines = ERRORS.0.lock().unwrap().clone();
        assert!(lines.iter().flat_map(|line| line.0.values()).all(|value| !value.contains(owner.as_str())));
        // Another test has its own rows in tables of these names.
        let mut owners = Vec::new();
        for line in lines.iter().filter(|line| line.0["table"] == table) {
            let token = &line.0["token"];
            let cql = format!("SELECT owner FROM {keyspace}.{table} WHERE token({key}) = {token}");
            let found = session.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
            owners.extend(found.rows::<(String,)>().unwrap().map(|row| row.unwrap().0));
        }
        assert!(!owners.is_empty() && owners.iter().all(|found| found == owner.as_str()), "{owners:?}");
    };

    let cql = format!("INSERT INTO {keyspace}.preferences (owner, otherwise) VALUES ('{owner}', 9)");
    session.query_unpaged(cql, ()).await.unwrap();
    is_corrupt(PreferenceStore::get(&*store, &owner).await);
    place("preferences", "owner").await;

    Archive::put(&*store, Table::Archive, &owner, vec![row(1, "bad")]).await.unwrap();
    let id: String = row(1, "").id.to_string();
    let set = format!(
        "UPDATE {keyspace}.archive SET at = -1 WHERE owner = '{owner}' AND bucket = 0 AND who = '' AND id = 0x{id}"
    );
    session.query_unpaged(set, ()).await.unwrap();
    is_corrupt(store.page(Table::Archive, &owner, &Query::default(), 10).await);
    place("archive", "owner, bucket").await;
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_never_served() {
    LazyLock::force(&ERRORS);
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
