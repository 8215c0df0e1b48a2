//! How long a lane waits for a store that takes nothing (rule 25).

use starling_ports::archive::Direction;
use starling_ports::clock::SystemClock;
use starling_ports::delivery::{Command, DeliverError, Target};
use starling_ports::ids::{Epoch, NodeId, SessionId};
use starling_ports::sessions::Keep;
use starling_store_embedded::{Config, Store};
use tokio::time::Instant;

use super::*;

/// There is no node: nobody is signed in.
struct Nobody;

impl Delivery for Nobody {
    fn deliver(&self, _: NodeId, _: Vec<Target>) -> Result<(), DeliverError> {
        Err(DeliverError::Gone)
    }
    fn command(&self, _: NodeId, _: SessionId, _: Epoch, _: Command) -> Result<(), DeliverError> {
        Err(DeliverError::Gone)
    }
}

fn bob() -> BareJid {
    BareJid::new("bob@a.example").unwrap()
}

/// A router on a store that still knows Bob, but takes nothing any more.
async fn router_on_a_closed_store(dir: &std::path::Path) -> Router {
    let config = Config { data_dir: dir.to_owned(), ..Config::default() };
    let store = Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap();
    Sessions::view(&*store, &bob()).await.unwrap();
    store.close();
    Router::new(store.clone(), store, Arc::new(Nobody), Arc::new(SystemClock), Tracer::default())
}

fn kept() -> Plan {
    let keep = Keep {
        with: BareJid::new("alice@a.example").unwrap(),
        direction: Direction::Received,
        resource: None,
        deliverable: true,
        copied: true,
        table: Table::Archive,
        only_if_nobody: false,
    };
    Plan { keep: Some(keep), ..Plan::default() }
}

async fn send(router: &Router) -> Result<Vec<Routed>> {
    let bytes = "<message from='alice@a.example/x' type='chat'><body>hello</body>";
    let item = Item::bytes(Wire::from_bytes(bytes.as_bytes().into()).unwrap());
    router.route(&bob(), &[item], &|_, _| kept()).await
}

#[tokio::test(start_paused = true)]
async fn rule_25_a_lane_waits_for_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let router = router_on_a_closed_store(dir.path()).await;
    let begun = Instant::now();
    let sent = send(&router).await;
    assert!(matches!(sent, Err(StoreError::Unavailable { .. })), "{sent:?}");
    let waited = begun.elapsed();
    assert!((STORE_WITHIN..STORE_WITHIN + STORE_AGAIN * 2).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_not_held_up_by_a_store_that_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let router = router_on_a_closed_store(dir.path()).await;
    let begun = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        router.hurry();
    };
    let (sent, ()) = tokio::join!(send(&router), stop);
    assert!(matches!(sent, Err(StoreError::Unavailable { .. })), "{sent:?}");
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}
