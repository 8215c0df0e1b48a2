//! What the processes say of themselves that share this store: its own, and managers linked to it. Only in memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use starling_ports::Result;
use starling_ports::nodes::{LISTED_FOR, NodeReport, Nodes};

use crate::store::Store;

/// The last word of each, by name.
pub(crate) type Board = Mutex<BTreeMap<String, (NodeReport, Instant)>>;

#[async_trait]
impl Nodes for Store {
    async fn report(&self, report: NodeReport) -> Result<()> {
        let mut board = self.nodes.lock();
        board.retain(|_, (_, at)| at.elapsed() < LISTED_FOR);
        board.insert(report.name.clone(), (report, Instant::now()));
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<(NodeReport, Duration)>> {
        let board = self.nodes.lock();
        let listed = board.values().map(|(report, at)| (report.clone(), at.elapsed()));
        Ok(listed.filter(|(_, ago)| *ago < LISTED_FOR).collect())
    }
}
