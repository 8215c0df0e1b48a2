//! A program of the version before: its rows are read, and it goes on while the tables change under it.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use starling_jid::BareJid;
use starling_ports::archive::{Archive, Born, Query, Row, StanzaKey, Table};
use starling_ports::ids::{Life, SessionId};
use starling_ports::sessions::Role;
use starling_ports::suite::{fresh_user, row};
use starling_store_scylla::{Config, ConnectError, Store, VERSION, migrate};

use crate::server::{fresh, plain};

/// What a program of version 1 has prepared, of the spool.
struct Former {
    session: Session,
    lead: PreparedStatement,
    put: PreparedStatement,
    all: PreparedStatement,
}

type Columns = (Vec<u8>, i64, i8, String, Option<String>, Option<Vec<u8>>, Vec<u8>);

impl Former {
    /// With tables as that version made them.
    async fn start(config: &Config) -> Former {
        let session = plain(&config.nodes[0]).await;
        let recorded = include_str!("version1.cql").replace("KS", &config.keyspace);
        for statement in recorded.lines().filter(|line| !line.starts_with("--")) {
            session.query_unpaged(statement.trim_end_matches(';'), ()).await.unwrap();
        }
        let prepare = async |cql: &str| {
            let cql = cql.replace('@', &format!("{}.", config.keyspace));
            session.prepare(cql).await.unwrap()
        };
        let lead =
            prepare("INSERT INTO @archive_buckets (owner, kind, bucket) VALUES (?, ?, ?) USING TIMESTAMP ?")
                .await;
        let put = prepare(
            "INSERT INTO @spool (owner, bucket, who, id, at, flags, with_jid, resource, origin, size, wire) \
             VALUES (?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
        )
        .await;
        let all = prepare(
            "SELECT id, at, flags, with_jid, resource, origin, wire FROM @spool \
             WHERE owner = ? AND bucket = ? AND who = '' AND id >= ? AND id <= ? ORDER BY who DESC, id ASC LIMIT ?",
        )
        .await;
        Former { session, lead, put, all }
    }

    /// As `row` of the suites is: received, deliverable, copied; in the first partition.
    async fn put(&self, owner: &BareJid, row: &Row) {
        let stamp = row.id.number as i64;
        self.session.execute_unpaged(&self.lead, (owner.as_str(), 1_i8, 0_i64, stamp)).await.unwrap();
        let wire = row.wire.as_bytes().to_vec();
        let values = (
            owner.as_str(),
            0_i64,
            id_bytes(row),
            row.at.0 as i64,
            0b110_i8,
            row.with.as_str(),
            row.resource.as_deref(),
            row.origin.map(u128::to_be_bytes),
            wire.len() as i32,
            wire,
            stamp,
        );
        self.session.execute_unpaged(&self.put, values).await.unwrap();
    }

    /// The bytes of all rows, in the order of their ids.
    async fn all(&self, owner: &BareJid) -> Vec<Vec<u8>> {
        let values = (owner.as_str(), 0_i64, [0_u8; 16], [u8::MAX; 16], 100_i32);
        let found =
            self.session.execute_unpaged(&self.all, values).await.unwrap().into_rows_result().unwrap();
        found.rows::<Columns>().unwrap().map(|row| row.unwrap().6).collect()
    }
}

fn id_bytes(row: &Row) -> [u8; 16] {
    ((u128::from(row.id.number) << 64) | u128::from(row.id.random)).to_be_bytes()
}

fn born(number: u64) -> Born {
    let key = StanzaKey { session: SessionId(77), number, role: Role::Receive, hash: number };
    Born { life: Life(3), key: Some(key) }
}

#[tokio::test]
async fn rows_of_version_1_are_read_and_its_program_goes_on_beside_this_one() {
    let config = fresh().await;
    let former = Former::start(&config).await;
    let owner = fresh_user();
    let mut rows: Vec<Row> = (1..=4).map(|number| row(number, &format!("body {number}"))).collect();
    former.put(&owner, &rows[0]).await;
    let Err(refused) = Store::connect(&config).await else { panic!("it was opened") };
    assert!(matches!(refused, ConnectError::Older { found: 1, .. }), "{refused}");

    let (one, other) = tokio::join!(migrate(&config), migrate(&config));
    for migrated in [one.unwrap(), other.unwrap()] {
        assert_eq!((migrated.to, migrated.changed), (VERSION, Vec::new()));
    }
    assert_eq!(migrate(&config).await.unwrap().from, Some(VERSION));
    let store = Store::connect(&config).await.unwrap();
    former.put(&owner, &rows[1]).await;
    rows[2].born = born(3);
    rows[3].born = born(4);
    store.put(Table::Spool, &owner, rows[2..].to_vec()).await.unwrap();
    // A router of that version stores what one of this version had committed and stored: it takes nothing away.
    former.put(&owner, &rows[3]).await;

    assert_eq!(store.page(Table::Spool, &owner, &Query::default(), 10).await.unwrap().rows, rows);
    assert_eq!(store.get(Table::Spool, &owner, rows[0].id).await.unwrap().as_ref(), rows.first());
    assert_eq!(store.waiting(Table::Spool, &owner, None, 10).await.unwrap().0, 4);
    let wires: Vec<_> = rows.iter().map(|row| row.wire.as_bytes().to_vec()).collect();
    assert_eq!(former.all(&owner).await, wires, "and reads those of this version");
    store.delete(Table::Spool, &owner, &[rows[0].id, rows[2].id]).await.unwrap();
    assert_eq!(former.all(&owner).await, [wires[1].clone(), wires[3].clone()]);
}

/// The step was begun and not ended: one column is there, and nobody has said so.
#[tokio::test]
async fn a_step_that_was_broken_off_is_made_to_its_end() {
    let config = fresh().await;
    let former = Former::start(&config).await;
    let half = format!("ALTER TABLE {}.archive ADD born blob", config.keyspace);
    former.session.query_unpaged(half, ()).await.unwrap();
    let migrated = migrate(&config).await.unwrap();
    assert_eq!((migrated.from, migrated.to), (Some(1), VERSION));
    let store = Store::connect(&config).await.unwrap();
    let (owner, mut whole) = (fresh_user(), row(1, "hello"));
    whole.born = born(1);
    for table in [Table::Archive, Table::Spool] {
        store.put(table, &owner, vec![whole.clone()]).await.unwrap();
        assert_eq!(store.get(table, &owner, whole.id).await.unwrap(), Some(whole.clone()));
    }
}
