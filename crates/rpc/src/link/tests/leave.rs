//! A router that leaves: nothing new is asked of it, everything that it was asked is answered, and it may stay after all.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use starling_im::Stores;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::authentication::{Authentication, Mechanism, Reply, Step};
use starling_ports::ids::Handled;
use starling_ports::ingress::{Handling, Ingress};
use starling_ports::roster::{Edit, Roster, Rosters, Written};
use starling_ports::sessions::Standing;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::refusals::Counted;
use super::setup::{Core, Manager, PATIENCE, Wire, message, presence, request};
use crate::link::limits::{CALLS, LEAVE_WITHIN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_leaves_is_asked_nothing_new_and_nothing_is_sent_again() {
    let core = Core::new();
    let (first, _stop) = core.router("router-1", None).await;
    let (second, _stop) = core.router("router-2", None).await;
    let manager = Manager::new("manager-1", &[first, second], None);
    manager.linked(2).await;
    let (bob, leaving) = (core.account("bob").await, core.routers.nth(0));
    let desk = manager.uplinks.bind(&bob, Some("desk"), Default::default()).await.unwrap();
    manager.uplinks.submit(&desk, vec![presence(1)]).await.unwrap();
    for number in 2..=100 {
        let batch = vec![message(number, &bob, "to myself")];
        let submitted = manager.uplinks.submit(&desk, batch);
        let done = match number {
            30 => tokio::join!(submitted, leaving.leave()).0,
            60 => {
                leaving.stay();
                manager.linked(2).await;
                submitted.await
            }
            _ => submitted.await,
        };
        assert_eq!(done.unwrap().handling, Handling::Done(Handled(number)));
        if (31..60).contains(&number) {
            assert_eq!((manager.uplinks.count(), leaving.count()), (1, 0), "at {number}");
        }
    }
    assert_eq!(manager.uplinks.resent(), 0, "every call was answered by whom it was made to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_has_begun_at_a_router_that_leaves_ends_there() {
    let core = Core::new();
    let (first, stop) = core.router("router-1", None).await;
    let manager = Manager::new("manager-1", &[first], None);
    manager.linked(1).await;
    core.account("bob").await;
    let step = |message: &str| Step {
        exchange: 5,
        mechanism: Mechanism::ScramSha256,
        domain: starling_jid::BareJid::new("localhost").unwrap(),
        peer: "192.0.2.1".parse().unwrap(),
        plus_offered: false,
        channel_binding: None,
        message: Some(message.as_bytes().to_vec()),
    };
    let challenge = manager.uplinks.step(step("n,,n=bob,r=abcdefgh")).await;
    assert!(matches!(challenge, Reply::Challenge(_)), "{challenge:?}");
    let leaving = core.routers.nth(0);
    let left = core.tasks.spawn(async move { leaving.leave().await });
    while manager.uplinks.count() > 0 {
        tokio::task::yield_now().await;
    }
    let answer = manager.uplinks.step(step("c=biws,r=abcdefgh,p=d3Jvbmc=")).await;
    let is_answered = matches!(answer, Reply::Failure(why) if why != starling_ports::authentication::SaslFailure::TemporaryAuthFailure);
    assert!(is_answered, "the router that keeps the state of it has said what it thinks: {answer:?}");
    timeout(PATIENCE, left).await.expect("then all have gone").unwrap();
    stop.cancel();
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waited).await.expect("it comes in time");
}

/// Else each rollout would be taken for a network that breaks.
#[tokio::test]
async fn a_link_that_is_left_is_not_lost() {
    let (counted, core) = (Counted::new(), Core::new());
    let lost = || counted.value("starling_link_lost_total").unwrap();
    let (leaves, stop_one) = core.router("router-1", None).await;
    let (stops, stop_two) = core.router("router-2", None).await;
    let (stays, _stop) = core.router("router-3", None).await;
    let wire = Wire::to(stays, &core.tasks).await;
    let [gone, left] =
        ["manager-1", "manager-2"].map(|name| Manager::new(name, &[leaves, stops, wire.address], None));
    gone.linked(3).await;
    left.linked(3).await;

    core.routers.nth(0).leave().await;
    stop_one.cancel();
    stop_two.cancel(); // without a word before
    until(|| left.uplinks.count() == 1 && gone.uplinks.count() == 1).await;
    gone.stop.cancel();
    gone.tasks.close();
    timeout(PATIENCE, gone.tasks.wait()).await.unwrap();
    until(|| (0..3).map(|router| core.routers.nth(router).count()).sum::<usize>() == 1).await;
    assert_eq!(lost(), 0);

    wire.cut();
    until(|| lost() == 2).await; // at both ends
}

/// A store that answers no question about a roster, and counts them.
struct Silent {
    rosters: Arc<dyn Rosters>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Rosters for Silent {
    async fn get(&self, _: &BareJid) -> Result<Arc<Roster>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        pending().await
    }
    async fn write(&self, owner: &BareJid, version: u64, edits: Vec<Edit>) -> Result<Written> {
        self.rosters.write(owner, version, edits).await
    }
}

/// Routers that answer none either, and how many they hold.
fn silent() -> (Core, Arc<AtomicUsize>) {
    let held = Arc::new(AtomicUsize::new(0));
    let core = Core::of_stores(|stores| {
        let silent = Silent { rosters: stores.rosters, asked: held.clone() };
        Stores { rosters: Arc::new(silent), ..stores }
    });
    (core, held)
}

#[tokio::test]
async fn what_a_router_that_leaves_does_not_answer_in_time_is_asked_elsewhere() {
    let (core, held) = silent();
    let other = core.with_another_memory();
    let (first, _stop) = core.router("router-1", None).await;
    let (second, _stop) = other.router("router-2", None).await;
    let manager = Manager::new("manager-1", &[first, second], None);
    manager.linked(2).await;
    let mut asked = JoinSet::new();
    for number in 0..8 {
        let (account, uplinks) = (core.account(&format!("user{number}")).await, manager.uplinks.clone());
        asked.spawn(async move {
            let session = uplinks.bind(&account, Some("desk"), Default::default()).await.unwrap();
            let roster = request(1, "get", "<query xmlns='jabber:iq:roster'/>".to_owned());
            uplinks.submit(&session, vec![roster]).await.unwrap().handling
        });
    }
    while asked.len() != held.load(Ordering::Relaxed) {
        while let Some(done) = asked.try_join_next() {
            assert_eq!(done.unwrap(), Handling::Done(Handled(1)), "by the router that can");
        }
        yield_now().await;
    }
    assert!(!asked.is_empty(), "some have asked the router that cannot");
    let leaving = core.routers.nth(0);
    let left = core.tasks.spawn(async move { leaving.leave().await });
    while manager.uplinks.count() > 1 {
        yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(LEAVE_WITHIN).await;
    tokio::time::resume();
    let answered =
        timeout(PATIENCE / 2, asked.join_all()).await.expect("not as late as if they waited for it");
    assert!(answered.iter().all(|handling| *handling == Handling::Done(Handled(1))), "{answered:?}");
    timeout(PATIENCE, left).await.expect("it has given up as well").unwrap();
}

#[tokio::test]
async fn a_router_that_stops_ends_a_link_that_has_more_calls_than_it_takes() {
    let (core, held) = silent();
    let (first, stop) = core.router("router-1", None).await;
    let manager = Manager::new("manager-1", &[first], None);
    manager.linked(1).await;
    let account = core.account("alice").await;
    let session = manager.uplinks.bind(&account, Some("desk"), Default::default()).await.unwrap();
    let mut asked = JoinSet::new();
    for number in 1..=CALLS as u64 + 1 {
        let (uplinks, session) = (manager.uplinks.clone(), session.clone());
        asked.spawn(async move {
            let roster = request(number, "get", "<query xmlns='jabber:iq:roster'/>".to_owned());
            uplinks.submit(&session, vec![roster]).await
        });
    }
    while held.load(Ordering::Relaxed) < CALLS {
        yield_now().await;
    }
    stop.cancel();
    let gone = async {
        while manager.uplinks.count() > 0 {
            yield_now().await;
        }
    };
    timeout(PATIENCE / 2, gone).await.expect("whoever waits for an answer asks elsewhere");
}

/// All wait for a store, thousands of them: their sessions are not lost for that.
#[tokio::test]
async fn a_renewal_does_not_wait_behind_what_waits_for_a_store() {
    let (core, held) = silent();
    let (first, _stop) = core.router("router-1", None).await;
    let manager = Manager::new("manager-1", &[first], None);
    manager.linked(1).await;
    let account = core.account("alice").await;
    let session = manager.uplinks.bind(&account, Some("desk"), Default::default()).await.unwrap();
    let mut asked = JoinSet::new();
    for number in 1..=CALLS as u64 + 100 {
        let (uplinks, session) = (manager.uplinks.clone(), session.clone());
        asked.spawn(async move {
            let roster = request(number, "get", "<query xmlns='jabber:iq:roster'/>".to_owned());
            uplinks.submit(&session, vec![roster]).await
        });
    }
    until(|| held.load(Ordering::Relaxed) >= CALLS).await;
    manager.inbox.hold(&session);
    let sessions = manager.inbox.held.lock().clone();
    let renewed = timeout(Duration::from_secs(10), manager.uplinks.renew(Default::default(), sessions));
    let renewed = renewed.await.expect("a router has always time for it").unwrap();
    assert_eq!(renewed.iter().map(|one| one.standing).collect::<Vec<_>>(), [Standing::Held]);
}
