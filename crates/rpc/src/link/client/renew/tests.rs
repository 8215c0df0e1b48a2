//! A router that is slow, or answers some, or nobody: which sessions a manager lets go of. In paused time, without a network.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use starling_dns::Resolver;
use starling_jid::BareJid;
use starling_ports::delivery::{Command, DeliverError, Delivery, Holder, Target};
use starling_ports::ids::{Epoch, Life, LogNumber, NodeId, SessionId};
use starling_ports::nodes::NodeReport;
use starling_ports::sessions::{Renewal, Renewed, Standing};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Endpoint;

use super::{AT_ONCE, Lane, Uplinks};
use crate::convert::{Call, Reply};
use crate::link::client::Setup;
use crate::link::frames::{Batches, queue};
use crate::pb::{self, down, up};
use crate::peers::Peers;

const NODE: NodeId = NodeId { name: 1, incarnation: 1 };
const ROUTER: NodeId = NodeId { name: 2, incarnation: 1 };
const SECOND: Duration = Duration::from_secs(1);

/// Sessions without sockets, and which of them were let go.
struct Held {
    sessions: Vec<Renewal>,
    fenced: Mutex<BTreeSet<SessionId>>,
}

impl Delivery for Held {
    fn deliver(&self, _: NodeId, _: Vec<Target>) -> Result<(), DeliverError> {
        Ok(())
    }
    fn command(&self, _: NodeId, session: SessionId, _: Epoch, command: Command) -> Result<(), DeliverError> {
        if command == Command::Fenced {
            self.fenced.lock().insert(session);
        }
        Ok(())
    }
}

impl Holder for Held {
    fn holdings(&self) -> Vec<Renewal> {
        let fenced = self.fenced.lock();
        self.sessions.iter().filter(|held| !fenced.contains(&held.session)).cloned().collect()
    }
}

/// A manager that holds so many sessions, and a router that answers a renewal after the time that `patience` says, or never.
struct World {
    held: Arc<Held>,
    uplinks: Arc<Uplinks>,
    tasks: TaskTracker,
}

impl World {
    fn new(
        sessions: usize,
        patience: impl Fn(&[Renewal]) -> Option<Duration> + Send + Sync + 'static,
    ) -> World {
        let session = |number: usize| Renewal {
            account: BareJid::new(&format!("user{number}@localhost")).unwrap(),
            session: SessionId(number as u128),
            epoch: Epoch(1),
            last: LogNumber(0),
            acknowledged: LogNumber(0),
            life: None,
        };
        let held =
            Arc::new(Held { sessions: (0..sessions).map(session).collect(), fenced: Mutex::default() });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let setup = Setup {
            node: NODE,
            routers: Vec::new(),
            resolver: Resolver::system(),
            identity: None,
            holder: held.clone(),
            report: Arc::new(NodeReport::default),
            peers: Peers::new(NODE, "manager-1"),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let uplinks = Uplinks::start(setup, None);
        let (queue, batches) = queue();
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let lane = Arc::new(Lane::new(ROUTER, channel, queue, CancellationToken::new()));
        uplinks.routers.add(&lane);
        tasks.spawn(answer(lane, held.clone(), batches, tasks.clone(), patience));
        World { held, uplinks, tasks }
    }

    fn fenced(&self) -> Vec<u128> {
        self.held.fenced.lock().iter().map(|session| session.0).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.uplinks.stop.cancel();
        self.tasks.close();
    }
}

async fn answer(
    lane: Arc<Lane>,
    held: Arc<Held>,
    mut batches: Batches<pb::Up>,
    tasks: TaskTracker,
    patience: impl Fn(&[Renewal]) -> Option<Duration>,
) {
    while let Some(frames) = poll_fn(|cx| batches.poll_batch(cx)).await {
        for pb::Up { call, body } in frames {
            let Some(up::Body::Renew(renew)) = body else { continue };
            let Ok(Call::Renew(sessions)) = Call::read(up::Body::Renew(renew)) else {
                panic!("it can be read")
            };
            let Some(patience) = patience(&sessions) else { continue };
            let (lane, held) = (lane.clone(), held.clone());
            tasks.spawn(async move {
                sleep(patience).await;
                let one = Renewed { standing: Standing::Held, life: Life(1), saved: None };
                let body = Reply::Renewed(Ok(vec![one; sessions.len()])).write();
                let answer = pb::Answer { call, body: Some(body) };
                lane.take(down::Body::Answer(answer), NODE, &*held);
            });
        }
    }
}

fn has(sessions: &[Renewal], number: u128) -> bool {
    sessions.iter().any(|held| held.session.0 == number)
}

#[tokio::test(start_paused = true)]
async fn a_router_that_needs_long_for_each_renewal_keeps_all_its_sessions() {
    let world = World::new(40 * AT_ONCE, |sessions| Some(SECOND / 10 + SECOND * sessions.len() as u32 / 100));
    sleep(300 * SECOND).await;
    assert_eq!(world.fenced().len(), 0, "it answers, if late");
}

/// Nobody was asked behind one that was not answered, in the same order each time.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_never_answered_holds_up_no_other() {
    let world = World::new(20 * AT_ONCE, |sessions| (!has(sessions, 700)).then_some(SECOND / 20));
    sleep(40 * SECOND).await;
    assert_eq!(
        world.fenced().len(),
        0,
        "as long as its router says that it knows the node, nobody takes a session for left"
    );
    sleep(40 * SECOND).await;
    let fenced = world.fenced();
    assert!(
        fenced.contains(&700) && fenced.len() <= AT_ONCE,
        "{} were not renewed for a minute",
        fenced.len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_cut_off_lets_go_of_all_when_its_lease_is_over() {
    let begun = Instant::now();
    let world = World::new(3 * AT_ONCE, move |_| (begun.elapsed() < 22 * SECOND).then_some(SECOND / 100));
    sleep(34 * SECOND).await;
    assert_eq!(world.fenced().len(), 0);
    sleep(7 * SECOND).await; // its last renewal began after 20 s
    assert_eq!(world.fenced().len(), 3 * AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_has_slept_asks_before_it_lets_go() {
    let world = World::new(3 * AT_ONCE, |_| Some(SECOND / 100));
    sleep(7 * SECOND).await;
    tokio::time::advance(60 * SECOND).await;
    sleep(SECOND).await;
    assert_eq!(world.fenced().len(), 0);
}

/// What it would have pushed is found at once, also of those that were just asked for.
#[tokio::test(start_paused = true)]
async fn all_are_asked_for_again_when_a_link_is_lost() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noted, begun) = (asked.clone(), Instant::now());
    let world = World::new(6 * AT_ONCE, move |sessions| {
        noted.lock().extend(sessions.iter().map(|held| (held.session, begun.elapsed())));
        Some(2 * SECOND)
    });
    sleep(6 * SECOND).await; // some are on their way
    let lost = begun.elapsed();
    world.uplinks.lost.notify_one();
    sleep(7 * SECOND / 2).await;
    let again: BTreeSet<SessionId> =
        asked.lock().iter().filter(|(_, at)| *at >= lost).map(|(session, _)| *session).collect();
    assert_eq!(again.len(), 6 * AT_ONCE);
}
