//! Session-log rule 18: a router dies over the end of a session, and whoever believes it to be there hears `unavailable` from another.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::ids::Timestamp;
use starling_ports::ingress::Ingress;
use starling_ports::sessions::Detach;
use starling_stanza::Kind;
use tokio::time::{sleep, timeout};

use super::half_done::{FRIENDS, User, befriend, until, waiting};
use super::setup::{Core, PATIENCE, draft, presence};

/// Ahead of the machine's clock.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().after(Duration::from_secs(self.0.load(Ordering::Relaxed)))
    }
}

/// Alice, her contact Bob, and Carol, to whom she sent her presence.
struct Three {
    alice: User,
    others: [User; 2],
}

impl Three {
    async fn enter(core: &Core, number: usize) -> Three {
        let [mut alice, mut bob, mut carol] = [
            User::enter(core, &format!("alice{number}")).await,
            User::enter(core, &format!("bob{number}")).await,
            User::enter(core, &format!("carol{number}")).await,
        ];
        befriend(core, &mut alice, &mut bob, FRIENDS).await;
        let to = carol.account.clone();
        alice.say(core, |number| draft(number, Kind::Presence, "", Some(to.as_str()), &Bytes::new())).await;
        let _ = (bob.told(core).await, carol.told(core).await);
        Three { alice, others: [bob, carol] }
    }

    /// Until both have heard that she has gone; they hear nothing else.
    async fn see_her_go(&mut self, core: &Core, what: &str) {
        let gone = format!("from='{}/desk' type='unavailable'", self.alice.account);
        for other in &mut self.others {
            let hears = async {
                loop {
                    match other.told(core).await {
                        told if told.is_empty() => sleep(Duration::from_millis(20)).await,
                        told => return told,
                    }
                }
            };
            let told = timeout(PATIENCE, hears).await.unwrap_or_else(|_| panic!("{what}: nothing is told"));
            assert!(told.iter().all(|told| told.contains(&gone)), "{what}: {told:?}");
        }
    }
}

/// What a client does last, of each three: a router dies over it at every step there is, and nobody does it again.
async fn nobody_sees_a_ghost(ends: impl AsyncFn(&Core, &mut Three, usize) -> bool) {
    let clock = Arc::new(Ahead::default());
    let core = Core::of_stores_at(clock.clone(), waiting);
    let mut all = Vec::new();
    for steps in 0.. {
        let mut three = Three::enter(&core, steps).await;
        let is_whole = ends(&core, &mut three, steps).await;
        all.push(three);
        if is_whole {
            break;
        }
    }
    assert!(all.len() > 2, "it can die somewhere");
    clock.0.store(11, Ordering::Relaxed);
    for (steps, three) in all.iter_mut().enumerate() {
        three.see_her_go(&core, &format!("after {steps} steps")).await;
    }
}

#[tokio::test]
async fn who_signs_out_is_seen_to_leave() {
    nobody_sees_a_ghost(async |core, three, steps| {
        let detached = core.pipeline.detach(&three.alice.session, Detach::Closed);
        until(detached, steps).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn who_says_unavailable_and_is_cut_off_is_seen_to_leave() {
    nobody_sees_a_ghost(async |core, three, steps| {
        let says = |number| draft(number, Kind::Presence, "unavailable", None, &Bytes::new());
        let is_whole = until(three.alice.say(core, says), steps).await.is_some();
        core.pipeline.detach(&three.alice.session, Detach::Closed).await.unwrap();
        is_whole
    })
    .await;
}

#[tokio::test]
async fn who_is_shut_out_is_seen_to_leave() {
    nobody_sees_a_ghost(async |core, three, steps| {
        let shut_out = || core.pipeline.context().set_suspended(&three.alice.account, true);
        let is_whole = until(shut_out(), steps).await.is_some();
        assert!(shut_out().await.unwrap(), "whoever gets no answer asks again");
        is_whole
    })
    .await;
}

/// At every step of the goodbye: whoever is there again was not away in the eyes of those who have not heard that she had gone.
#[tokio::test]
async fn who_comes_back_meanwhile_is_not_seen_to_go_behind_that() {
    let core = Core::of_stores(waiting);
    for steps in 0.. {
        let Three { alice, others: [mut bob, _] } = Three::enter(&core, steps).await;
        let mut detached = pin!(core.pipeline.detach(&alice.session, Detach::Closed));
        if until(detached.as_mut(), steps).await.is_some() {
            assert!(steps > 2, "she can come back meanwhile");
            break;
        }
        let mut back = alice.back(&core).await;
        back.say(&core, presence).await;
        detached.await.unwrap();
        let told = bob.told(&core).await;
        let came = told.iter().position(|told| !told.contains("unavailable"));
        let behind = came.and_then(|came| told.get(came + 1..));
        assert!(behind.is_some_and(<[String]>::is_empty), "after {steps} steps: {told:?}");
    }
}
