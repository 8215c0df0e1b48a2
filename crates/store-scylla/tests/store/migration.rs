//! Making the tables: twice, at the same time, by another version.

use std::time::Duration;

use starling_ports::archive::{Archive, Query, Table};
use starling_ports::suite::{fresh_user, row};
use starling_store_scylla::{Config, ConnectError, Migrated, Store, VERSION, migrate};

use crate::server::{fresh, plain};

async fn refusal(config: &Config) -> ConnectError {
    match Store::connect(config).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_store_without_tables_is_not_opened() {
    let config = fresh().await;
    let refused = refusal(&config).await;
    assert!(matches!(refused, ConnectError::Missing { .. }), "{refused}");
    assert!(refused.to_string().contains("`starling store migrate`"), "{refused}");
}

#[tokio::test]
async fn migrating_twice_and_at_the_same_time_does_it_once() {
    let config = fresh().await;
    let (one, two, three) = tokio::join!(migrate(&config), migrate(&config), migrate(&config));
    for done in [one, two, three] {
        assert_eq!(done.unwrap().to, VERSION);
    }
    let again = migrate(&config).await.unwrap();
    assert_eq!((again.from, again.to, again.changed), (Some(VERSION), VERSION, Vec::new()));
    let store = Store::connect(&config).await.unwrap();
    let owner = fresh_user();
    store.put(Table::Archive, &owner, vec![row(1, "hello")]).await.unwrap();
    migrate(&config).await.unwrap();
    let page = store.page(Table::Archive, &owner, &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows.len(), 1, "nothing was made anew");
}

#[tokio::test]
async fn tables_of_another_version_are_used_only_if_they_can_be() {
    let config = fresh().await;
    migrate(&config).await.unwrap();
    let session = plain(&config.nodes[0]).await;
    let set = async |version: i32, oldest: i32| {
        let row = format!(
            "INSERT INTO {}.schema_versions (name, version, oldest, bucket_micros) VALUES ('starling', {version}, {oldest}, 1000)",
            config.keyspace
        );
        session.query_unpaged(row, ()).await.unwrap();
    };
    // The next version, which only adds: a program of this one goes on, and does not undo it.
    set(VERSION + 1, VERSION).await;
    Store::connect(&config).await.unwrap();
    assert_eq!(migrate(&config).await.unwrap().to, VERSION + 1);
    set(VERSION + 2, VERSION + 1).await;
    for refused in [refusal(&config).await, migrate(&config).await.unwrap_err()] {
        assert!(matches!(refused, ConnectError::Newer { found, .. } if found == VERSION + 2), "{refused}");
        assert!(refused.to_string().contains("install a newer one"), "{refused}");
    }
    session.query_unpaged(format!("TRUNCATE {}.schema_versions", config.keyspace), ()).await.unwrap();
    set(VERSION - 1, 0).await;
    let refused = refusal(&config).await;
    assert!(matches!(refused, ConnectError::Older { .. }), "{refused}");
    assert!(refused.to_string().contains("run `starling store migrate`"), "{refused}");
}

#[tokio::test]
async fn how_long_rows_are_kept_follows_the_configuration() {
    let day = Duration::from_secs(24 * 3600);
    let config = Config { archive_kept: day * 90, spool_kept: day * 30, ..fresh().await };
    migrate(&config).await.unwrap();
    let session = plain(&config.nodes[0]).await;
    let kept = async |table: &str| -> (i32, String) {
        let cql = format!(
            "SELECT default_time_to_live, compaction FROM system_schema.tables WHERE keyspace_name = '{}' AND table_name = '{table}'",
            config.keyspace
        );
        let rows = session.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
        let (seconds, compaction) =
            rows.single_row::<(i32, std::collections::BTreeMap<String, String>)>().unwrap();
        (seconds / (24 * 3600), compaction["compaction_window_size"].clone())
    };
    assert_eq!(kept("archive").await, (90, "3".to_owned()));
    assert_eq!(kept("spool").await, (30, "1".to_owned()));
    let longer = Config { archive_kept: day * 365, ..config.clone() };
    let Migrated { changed, .. } = migrate(&longer).await.unwrap();
    assert_eq!(changed.len(), 2, "the archive, and what leads to it: {changed:?}");
    assert_eq!(kept("archive").await, (365, "13".to_owned()));
    assert_eq!(kept("spool").await, (30, "1".to_owned()));
    assert!(migrate(&longer).await.unwrap().changed.is_empty());
}

/// How much one partition covers is chosen once: another value in a later process would not find what is there.
#[tokio::test]
async fn the_partitions_stay_as_they_were_made() {
    let config = Config { bucket: Duration::from_micros(10), ..fresh().await };
    migrate(&config).await.unwrap();
    let owner = fresh_user();
    let rows: Vec<_> = (1..=25).map(|number| row(number, "hello")).collect();
    Store::connect(&config).await.unwrap().put(Table::Archive, &owner, rows.clone()).await.unwrap();
    let other = Config { bucket: Duration::from_secs(1), ..config };
    migrate(&other).await.unwrap();
    let store = Store::connect(&other).await.unwrap();
    assert_eq!(store.page(Table::Archive, &owner, &Query::default(), 100).await.unwrap().rows, rows);
    assert_eq!(store.get(Table::Archive, &owner, rows[20].id).await.unwrap().as_ref(), rows.get(20));
}
