//! What holds for the whole store.

use std::sync::Arc;

use starling_jid::{BareJid, FullJid};
use starling_ports::archive::{Archive, Direction, Query, Row, Table};
use starling_ports::clock::SystemClock;
use starling_ports::delivery::Copy;
use starling_ports::ids::{ArchiveId, LogNumber, NodeId, Timestamp};
use starling_ports::sessions::{Bind, CommitReply, Keep, Outcome, Planned, Sessions};
use starling_stanza::Wire;

use crate::{Config, Store};

fn open(dir: &std::path::Path) -> Arc<Store> {
    let config = Config { data_dir: dir.to_owned(), ..Config::default() };
    Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap()
}

fn bob() -> BareJid {
    BareJid::new("bob@example.org").unwrap()
}

fn wire(body: &str) -> Wire {
    let xml = format!("<message from='alice@example.org/desk'><body>{body}</body>");
    Wire::from_bytes(xml.into_bytes().into()).unwrap()
}

fn row(number: u64) -> Row {
    Row {
        id: ArchiveId { number, random: 1 },
        at: Timestamp(number),
        with: BareJid::new("alice@example.org").unwrap(),
        direction: Direction::Received,
        resource: None,
        deliverable: true,
        copied: true,
        origin: None,
        wire: wire(&number.to_string()),
    }
}

#[tokio::test]
async fn what_was_put_is_there_after_the_store_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put(Table::Archive, &bob(), vec![row(1), row(2)]).await.unwrap();
    drop(store);

    let store = open(dir.path());
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows, [row(1), row(2)]);
}

#[tokio::test]
async fn a_message_is_numbered_pushed_and_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let jid = FullJid::new("bob@example.org/phone").unwrap();
    let bound = store.bind(Bind { jid, node: NodeId::default() }).await.unwrap();
    let view = store.view(&bob()).await.unwrap();
    let keep = Keep {
        with: BareJid::new("alice@example.org").unwrap(),
        direction: Direction::Received,
        resource: None,
        deliverable: true,
        copied: true,
        table: Table::Archive,
        only_if_nobody: false,
    };
    let planned = Planned {
        key: None,
        hash: 0,
        origin: None,
        wire: wire("hello"),
        keep: Some(keep),
        targets: vec![(bound.id, Copy::Original)],
        urgent: true,
        coalesce: None,
    };
    let reply = store.commit(&bob(), view.version, vec![planned]).await.unwrap();
    let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
    let Some(Outcome::Done { id: Some(id), row: Some((table, row)), handed }) = outcomes.into_iter().next()
    else {
        panic!()
    };
    assert_eq!((handed.len(), handed[0].entry.number), (1, LogNumber(1)));
    store.put(table, &bob(), vec![row]).await.unwrap();
    store.settle(&bob(), &[id], None).await.unwrap();
    let pulled = store.pull(&bob(), bound.id, bound.epoch, LogNumber(0), 10).await.unwrap();
    assert_eq!(pulled.entries.len(), 1);
    assert_eq!(store.view(&bob()).await.unwrap().waiting, 0);
    assert!(!store.acknowledge(&bob(), bound.id, bound.epoch, LogNumber(2)).await.unwrap());
    assert!(store.acknowledge(&bob(), bound.id, bound.epoch, LogNumber(1)).await.unwrap());
}
