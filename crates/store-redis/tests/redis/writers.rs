//! Two routers that write to one account while something happens to Redis: what was answered is there once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use starling_jid::BareJid;
use starling_ports::delivery::Outgoing;
use starling_ports::ids::{ArchiveId, Epoch, Handled, Life, LogNumber};
use starling_ports::position::Position;
use starling_ports::sessions::{Availability, Bound, Portrait, Registered, Registration, Sessions, SmBase};
use starling_ports::suite::wire;
use starling_store_embedded::Store;
use starling_store_redis::Sessions as Redis;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::talk::{NODE, archived, deliver, message, soon};

/// So many each phase of a test lets them write: all phases together stay below what a slot knows at once of what waits (500).
const PHASE: u64 = 100;

/// They write as long as they may.
pub(crate) struct Writers {
    done: Arc<AtomicU64>,
    may: Arc<Semaphore>,
    writing: JoinSet<Vec<ArchiveId>>,
}

impl Writers {
    /// To the session, each as a sender of its own.
    pub(crate) fn begin(
        routers: &[Arc<Redis>],
        store: &Arc<Store>,
        account: &BareJid,
        desk: &Bound,
    ) -> Writers {
        let (done, may) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let mut writing = JoinSet::new();
        for (sender, router) in (1..).zip(routers.iter().cloned()) {
            let (store, account, target) = (store.clone(), account.clone(), desk.id);
            let (done, may) = (done.clone(), may.clone());
            writing.spawn(async move {
                let mut ids = Vec::new();
                for number in 1.. {
                    let Ok(permit) = may.acquire().await else { break };
                    permit.forget();
                    ids.push(deliver(&*router, &store, &account, message(sender, number, &[target])).await);
                    done.fetch_add(1, Ordering::SeqCst);
                }
                ids
            });
        }
        Writers { done, may, writing }
    }

    /// Waits until so many more were answered; more are under way then.
    pub(crate) async fn more(&self, count: u64) {
        let before = self.done.load(Ordering::SeqCst);
        self.may.add_permits(PHASE as usize);
        soon("commits are answered", async || self.done.load(Ordering::SeqCst) >= before + count).await;
    }

    /// They stop. Each message has one row; a session whose node knows nothing of its log gets each once.
    pub(crate) async fn end(self, router: &dyn Sessions, store: &Store, account: &BareJid, desk: &Bound) {
        self.may.close();
        let by_sender = self.writing.join_all().await;
        assert!(by_sender.iter().all(|ids| ids.is_sorted()), "what one sender wrote is in its order");
        let mut all: Vec<_> = by_sender.into_iter().flatten().collect();
        all.sort();
        let rows: Vec<_> = archived(router, store, account).await.into_iter().map(|row| row.id).collect();
        assert_eq!(rows, all, "each has one row");
        let epoch = register(router, account, desk, (0, Vec::new(), Vec::new())).await;
        let (mut came, mut after) = (Vec::new(), LogNumber(0));
        loop {
            let pulled = router.pull(account, desk.id, epoch, after, 1000).await.unwrap();
            for entry in &pulled.entries {
                assert_eq!(entry.number.0, after.0 + 1, "no number is left out");
                after = entry.number;
                came.push(entry.committed.id.unwrap());
            }
            if !pulled.more {
                break;
            }
        }
        came.sort();
        assert_eq!(came, all, "and comes to the session once");
    }
}

/// A node registers a session again (rule 9): how far its client has acknowledged it, what it has beyond that, and what is done.
pub(crate) async fn register(
    router: &dyn Sessions,
    account: &BareJid,
    session: &Bound,
    (acknowledged, entries, done): (u64, Vec<Outgoing>, Vec<ArchiveId>),
) -> Epoch {
    let said = Registration {
        session: session.id,
        jid: account.with_resource("desk").unwrap(),
        node: NODE,
        epoch: session.epoch,
        life: Life::UNKNOWN,
        token: 1,
        portrait: Portrait {
            available: Some(Arc::new(Availability { priority: 0, presence: wire("") })),
            ..Portrait::default()
        },
        resume: Some(std::time::Duration::from_secs(300)),
        base: SmBase::default(),
        handled: Handled(0),
        acknowledged: LogNumber(acknowledged),
        entries,
        done: Position { low: None, acknowledged: done },
    };
    let registered = router.register(said).await.unwrap();
    let Registered::Again { epoch } = registered else { panic!("{registered:?}") };
    epoch
}
