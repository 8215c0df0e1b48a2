//! When a run begins and ends, for all its parts: after so many seconds, or so many operations.

use crate::callgrind;
use crate::process::{self, One, Reading, Servers};
use crate::work::{self, Remote};
use anyhow::{Context as _, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep_until};

/// Shared by the parts of a run.
pub(crate) struct Clock {
    gate: Barrier,
    length: Duration,
    left: AtomicU64,
    servers: Servers,
    /// The controller of several processes, if this is one of them.
    remote: Option<Remote>,
    began: OnceLock<Instant>,
    before: OnceLock<Costs>,
    after: Mutex<Option<Costs>>,
}

/// What was spent until some moment: by each process of the server, and by this one.
#[derive(Debug, Clone)]
pub(crate) struct Costs {
    pub(crate) at: Instant,
    pub(crate) server: Reading,
    pub(crate) each: Vec<One>,
    /// What is beside the server, by name.
    pub(crate) beside: Vec<(String, One)>,
    pub(crate) own: Duration,
    /// Instructions of each process that is counted.
    pub(crate) instructions: Vec<u64>,
}

impl Costs {
    /// Reads them now.
    async fn read(servers: &Servers) -> Result<Self> {
        let (server, each) = servers.read().await?;
        let own = process::cpu(std::process::id())?;
        let beside = servers.beside()?;
        let instructions = callgrind::read(&servers.counters).await?;
        Ok(Self { at: Instant::now(), server, each, beside, own, instructions })
    }
}

impl Clock {
    /// For `parts` parts, which measure for `length` or until `operations` are done.
    pub(crate) fn new(
        parts: usize,
        length: Duration,
        operations: u64,
        servers: Servers,
        remote: Option<Remote>,
    ) -> Self {
        Self {
            gate: Barrier::new(parts.max(1)),
            length,
            left: AtomicU64::new(operations),
            servers,
            remote,
            began: OnceLock::new(),
            before: OnceLock::new(),
            after: Mutex::new(None),
        }
    }

    /// Waits until every part is ready; then the run begins. The moment, and when it ends.
    pub(crate) async fn begin(&self) -> Result<(Instant, Instant)> {
        if self.gate.wait().await.is_leader() {
            if let Some(remote) = &self.remote {
                remote.reach(work::READY).await?;
            }
            let costs = Costs::read(&self.servers).await?;
            let _ = self.began.set(costs.at); // only the leader sets it, once
            let _ = self.before.set(costs);
        }
        self.gate.wait().await;
        let began = self.began.get().copied().context("nobody began the run")?;
        Ok((began, began + self.length))
    }

    /// When it began, if it has.
    pub(crate) fn began(&self) -> Option<Instant> {
        self.began.get().copied()
    }

    /// Whether there is still something to do.
    pub(crate) fn goes_on(&self) -> bool {
        let is_in_time = self.began.get().is_none_or(|began| Instant::now() < *began + self.length);
        is_in_time && self.left.load(Ordering::Relaxed) > 0
    }

    /// Takes up to `count` operations from what the run may do.
    pub(crate) fn take(&self, count: u64) -> u64 {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(count)));
        taken.unwrap_or(0).min(count)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        if let Some(began) = self.began.get() {
            sleep_until(*began + self.length).await;
        }
    }

    /// A part has measured everything: costs that come later are not counted, unless another part still measures.
    pub(crate) async fn end(&self) -> Result<()> {
        let costs = Costs::read(&self.servers).await?;
        *self.after.lock().unwrap_or_else(PoisonError::into_inner) = Some(costs);
        match &self.remote {
            Some(remote) => remote.tell(work::MEASURED).await,
            None => Ok(()),
        }
    }

    /// The costs at the beginning and at the end.
    pub(crate) async fn costs(&self) -> Result<(Costs, Costs)> {
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let after = match after {
            Some(after) => after,
            None => Costs::read(&self.servers).await?,
        };
        Ok((self.before.get().cloned().context("the run has not begun")?, after))
    }

    /// The costs now, for loads that measure phases of their own.
    pub(crate) async fn costs_now(&self) -> Result<Costs> {
        Costs::read(&self.servers).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_by_time_and_by_count() {
        let clock = Clock::new(1, Duration::from_secs(5), 10, Servers::default(), None);
        let (began, stop) = clock.begin().await.unwrap();
        assert_eq!(stop - began, Duration::from_secs(5));
        assert_eq!((clock.take(7), clock.goes_on(), clock.take(7), clock.goes_on()), (7, true, 3, false));
        assert_eq!(clock.take(1), 0);

        let clock = Clock::new(1, Duration::from_secs(5), 10, Servers::default(), None);
        clock.begin().await.unwrap();
        clock.ended().await;
        assert!(!clock.goes_on());
    }
}
