//! The session routers that live, and which of them an account's sessions use.

use std::sync::Arc;

use starling_jid::BareJid;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Unanswered;
use super::lane::Lane;
use crate::link::limits::ROUTER_WITHIN;

/// All lanes that are open now.
#[derive(Debug)]
pub(super) struct Routers {
    open: watch::Sender<Arc<[Arc<Lane>]>>,
}

impl Routers {
    pub(super) fn new() -> Routers {
        Routers { open: watch::Sender::new(Arc::new([])) }
    }

    pub(super) fn all(&self) -> Arc<[Arc<Lane>]> {
        self.open.borrow().clone()
    }

    /// One more. One that goes to the same router gives way, and is the answer.
    pub(super) fn add(&self, lane: &Arc<Lane>) -> Option<Arc<Lane>> {
        let mut former = None;
        self.open.send_modify(|open| {
            former = open.iter().find(|one| one.router.name == lane.router.name).cloned();
            let others = open.iter().filter(|one| one.router.name != lane.router.name);
            *open = others.chain([lane]).cloned().collect();
        });
        former
    }

    /// One less.
    pub(super) fn remove(&self, lane: &Arc<Lane>) {
        self.open.send_modify(|open| {
            *open = open.iter().filter(|one| !Arc::ptr_eq(one, lane)).cloned().collect();
        });
    }

    /// The router of this account: the same for all connection managers while the same routers live, so that its caches serve;
    /// of a router that goes only its own accounts move (rendezvous hashing).
    pub(super) fn of(&self, account: &BareJid) -> Option<Arc<Lane>> {
        choose(&self.open.borrow(), account)
    }

    /// The same, and waits for one if there is none.
    pub(super) async fn wait_for(&self, account: &BareJid) -> Result<Arc<Lane>, Unanswered> {
        if let Some(lane) = self.of(account) {
            return Ok(lane);
        }
        let mut changes = self.open.subscribe();
        let until = Instant::now() + ROUTER_WITHIN;
        let found = timeout_at(until, changes.wait_for(|open| !open.is_empty())).await;
        // Of those that were there then: one that has gone since loses the call, which is made again.
        let open = found.map_err(|_| Unanswered::Nobody(ROUTER_WITHIN))?;
        open.ok().and_then(|open| choose(&open, account)).ok_or(Unanswered::Lost)
    }
}

fn choose(open: &[Arc<Lane>], account: &BareJid) -> Option<Arc<Lane>> {
    open.iter().max_by_key(|lane| score(lane.router.name, account)).cloned()
}

fn score(router: u64, account: &BareJid) -> u64 {
    xxh3_64_with_seed(account.as_str().as_bytes(), router)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use starling_ports::ids::NodeId;
    use tokio_util::sync::CancellationToken;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::link::frames::queue;

    /// Whoever waits for a router gets one, though it goes at once: the call is made again then.
    #[tokio::test]
    async fn a_router_that_comes_and_goes_is_found() {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let router = NodeId { name: 1, incarnation: 1 };
        let lane = Arc::new(Lane::new(router, channel, queue().0, CancellationToken::new()));
        let (routers, is_over) = (Routers::new(), AtomicBool::new(false));
        let account = BareJid::new("alice@example.org").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    routers.add(&lane);
                    routers.remove(&lane);
                }
            });
            let waited = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let found = (0..20_000).map(|_| runtime.block_on(routers.wait_for(&account)).map(drop));
                let found = found.collect::<Result<Vec<()>, _>>();
                is_over.store(true, Ordering::Relaxed);
                found
            });
            assert_eq!(waited.join().unwrap().map(|found| found.len()), Ok(20_000));
        });
    }

    #[test]
    fn only_the_accounts_of_a_lost_router_move() {
        let choose = |routers: &[u64], account: &BareJid| {
            *routers.iter().max_by_key(|router| score(**router, account)).unwrap()
        };
        let mut moved = 0;
        for number in 0..300 {
            let account = BareJid::new(&format!("user{number}@example.org")).unwrap();
            let (before, after) = (choose(&[1, 2, 3], &account), choose(&[1, 2], &account));
            assert!(before == 3 || before == after, "{account}");
            moved += usize::from(before == 3);
        }
        assert!((60..140).contains(&moved), "{moved} of 300 were at one of three");
    }
}
