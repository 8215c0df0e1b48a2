//! What the processes of a cluster say of themselves: one hash, beside everything that the session log knows.

use std::time::Duration;

use async_trait::async_trait;
use starling_ports::Result;
use starling_ports::ids::Timestamp;
use starling_ports::nodes::{LISTED_FOR, NodeReport, Nodes};

use crate::sweep::ours;
use crate::{Sessions, keys};

#[async_trait]
impl Nodes for Sessions {
    async fn report(&self, report: NodeReport) -> Result<()> {
        let (now, _) = self.link.now();
        let mut said = redis::cmd("HSET");
        said.arg(keys::REPORTS).arg(&report.name).arg(format!("{}\t{}", now.0, report.to_text()));
        self.link.command::<()>("report", &said).await.map_err(ours)
    }

    /// Whoever is silent for too long is forgotten by the way.
    async fn nodes(&self) -> Result<Vec<(NodeReport, Duration)>> {
        let mut asked = redis::cmd("HGETALL");
        asked.arg(keys::REPORTS);
        let all: Vec<(String, String)> = self.link.command("report", &asked).await.map_err(ours)?;
        let (now, _) = self.link.now();
        let (mut nodes, mut gone) = (Vec::new(), redis::cmd("HDEL"));
        gone.arg(keys::REPORTS);
        let mut is_any_gone = false;
        for (name, text) in all {
            match read(&text, now).filter(|(_, ago)| *ago < LISTED_FOR) {
                Some(listed) => nodes.push(listed),
                None => {
                    gone.arg(name);
                    is_any_gone = true;
                }
            }
        }
        if is_any_gone {
            self.link.command::<()>("report", &gone).await.map_err(ours)?;
        }
        nodes.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        Ok(nodes)
    }
}

fn read(text: &str, now: Timestamp) -> Option<(NodeReport, Duration)> {
    let (at, report) = text.split_once('\t')?;
    Some((NodeReport::from_text(report)?, now.since(Timestamp(at.parse().ok()?))))
}
