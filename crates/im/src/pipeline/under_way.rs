//! Which sessions have a batch under way: the last `h` of one that is over is told when that is settled (session-log rule 4).

use std::collections::hash_map::Entry;
use std::pin::pin;

use parking_lot::Mutex;
use starling_ports::ids::{BySession, SessionId};
use tokio::sync::Notify;

const SHARDS: usize = 16;

/// Counts by session.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    sessions: [Mutex<BySession<u32>>; SHARDS],
    settled: Notify,
}

/// One batch; it is settled when this is dropped.
pub(super) struct Batch<'a>(&'a UnderWay, SessionId);

impl UnderWay {
    /// A batch of `session` begins.
    pub(super) fn begin(&self, session: SessionId) -> Batch<'_> {
        *self.shard(session).lock().entry(session).or_default() += 1;
        Batch(self, session)
    }

    /// Whether there is any of `session`.
    pub(super) fn has(&self, session: SessionId) -> bool {
        self.shard(session).lock().contains_key(&session)
    }

    /// Until there is none.
    pub(super) async fn settled(&self, session: SessionId) {
        loop {
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable(); // or the last one could end between the look and the wait
            if !self.has(session) {
                return;
            }
            settled.await;
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    fn shard(&self, session: SessionId) -> &Mutex<BySession<u32>> {
        &self.sessions[session.0 as usize % SHARDS]
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let Batch(under_way, session) = self;
        let mut shard = under_way.shard(*session).lock();
        if let Entry::Occupied(mut batches) = shard.entry(*session) {
            *batches.get_mut() -= 1;
            if *batches.get() == 0 {
                batches.remove();
                under_way.settled.notify_waiters();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_batches_of_a_session_are_waited_for() {
        let (under_way, one, other) = (UnderWay::default(), SessionId(1), SessionId(17));
        let (first, second, _elsewhere) =
            (under_way.begin(one), under_way.begin(one), under_way.begin(other));
        let settles = async || timeout(Duration::from_secs(1), under_way.settled(one)).await.is_ok();
        assert!(!settles().await);
        drop(first);
        assert!(under_way.has(one) && !settles().await);
        let (settled, ()) = tokio::join!(settles(), async { drop(second) });
        assert!(settled && !under_way.has(one) && under_way.has(other));
        assert!(settles().await);
    }
}
