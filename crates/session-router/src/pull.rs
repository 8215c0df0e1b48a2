//! The only way entries come out of a log: gaps, nudges, resumption, refill, offline messages.

use starling_ports::Result;
use starling_ports::ids::LogNumber;
use starling_ports::ingress::{PulledBatch, SessionRef};

use crate::{Router, render};

impl Router {
    /// The next entries of the session's log, rendered.
    pub async fn pull(&self, session: &SessionRef, after: LogNumber, limit: usize) -> Result<PulledBatch> {
        let account = session.jid.bare();
        let pulled = self.sessions.pull(&account, session.id, session.epoch, after, limit).await?;
        self.metrics.delivered(true, self.clock().now(), pulled.entries.iter());
        let entries = pulled.entries.iter().map(|entry| render(&account, &session.jid, entry)).collect();
        Ok(PulledBatch { entries, more: pulled.more })
    }
}
