//! How long a lane waits for a store that takes nothing (rule 25), and who is refused (rules 13 and 20).

use std::sync::atomic::{AtomicU64, Ordering};

use starling_ports::archive::{Direction, Query};
use starling_ports::clock::SystemClock;
use starling_ports::delivery::{Command, DeliverError, Target};
use starling_ports::ids::{Epoch, NodeId, SessionId, Timestamp};
use starling_ports::sessions::{Bind, Keep, Role};
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

fn message() -> Wire {
    Wire::from_bytes("<message from='alice@a.example/x' type='chat'><body>hello</body>".as_bytes().into())
        .unwrap()
}

async fn send(router: &Router) -> Result<Vec<Routed>> {
    router.route(&bob(), &[Item::bytes(message())], &|_, _| kept()).await
}

/// A clock that goes when it is told to.
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A router where another one has committed a message and died before it was stored, longer ago than a row may be owed.
async fn router_where_another_has_died(dir: &std::path::Path) -> (Router, Arc<Store>) {
    let hands = Arc::new(Hands(AtomicU64::new(1_000_000)));
    let config = Config { data_dir: dir.to_owned(), ..Config::default() };
    let store = Store::open(&config, hands.clone(), NodeId::default()).unwrap();
    let version = Sessions::view(&*store, &bob()).await.unwrap().version;
    let Plan { keep, targets, urgent, coalesce, .. } = kept();
    let planned =
        Planned { key: None, hash: 0, origin: None, wire: message(), keep, targets, urgent, coalesce };
    let CommitReply::Done(_) = store.commit(&bob(), version, vec![planned], None).await.unwrap() else {
        panic!()
    };
    hands.0.fetch_add(60_000_000, Ordering::SeqCst);
    let router = Router::new(store.clone(), store.clone(), Arc::new(Nobody), hands, Tracer::default());
    (router, store)
}

fn busy_then(routed: &[Routed], rest: usize) -> bool {
    let is_done = |routed: &Routed| matches!(routed, Routed::Done { .. });
    matches!(routed, [first, others @ ..] if *first == busy() && others.len() == rest && others.iter().all(is_done))
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

#[tokio::test]
async fn rule_13_what_another_router_owed_is_stored_and_nobody_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (router, store) = router_where_another_has_died(dir.path()).await;
    let sent = send(&router).await.unwrap();
    assert!(matches!(sent[..], [Routed::Done { id: Some(_) }]), "{sent:?}");
    let page = store.page(Table::Archive, &bob(), &Query::default(), 10).await.unwrap();
    assert_eq!(page.rows.len(), 2, "the owed one, too");
}

#[tokio::test]
async fn rule_13_where_what_is_owed_cannot_be_stored_the_sender_is_told_to_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (router, store) = router_where_another_has_died(dir.path()).await;
    store.close();
    assert_eq!(send(&router).await.unwrap(), [busy()]);
}

#[tokio::test]
async fn rule_20_a_full_log_refuses_a_request_and_not_the_messages_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().to_owned(), log_max_stanzas: 4, ..Config::default() };
    let store = Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap();
    let router =
        Router::new(store.clone(), store.clone(), Arc::new(Nobody), Arc::new(SystemClock), Tracer::default());
    let jid = bob().with_resource("phone").unwrap();
    let phone = store.bind(Bind { jid, node: NodeId::default() }).await.unwrap().id;
    let request = |number| {
        let key = SenderKey {
            session: SessionId(7),
            epoch: Epoch(1),
            number,
            role: Role::Receive,
            handled: Handled(0),
        };
        let bytes = "<iq from='alice@a.example/x' type='get' id='i'><ping xmlns='urn:xmpp:ping'/>";
        Item { key: Some(key), ..Item::bytes(Wire::from_bytes(bytes.as_bytes().into()).unwrap()) }
    };
    let decide = |_: &View, item: &Item| match item.key {
        Some(_) => Plan { urgent: true, ..Plan::to([phone]) },
        None => Plan { targets: Plan::to([phone]).targets, ..kept() },
    };
    let mut number = 0;
    loop {
        number += 1;
        assert!(number < 100, "the log is never full");
        if router.route(&bob(), &[request(number)], &decide).await.unwrap() == [busy()] {
            break;
        }
    }
    let batch = [request(number), Item::bytes(message()), Item::bytes(message())];
    let routed = router.route(&bob(), &batch, &decide).await.unwrap();
    assert!(busy_then(&routed, 2), "{routed:?}");
}
