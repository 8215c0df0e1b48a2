//! What the processes of a cluster say of themselves.

use std::time::Duration;

use async_trait::async_trait;

use crate::Result;
use crate::ids::{NodeId, Timestamp};

/// How long a node is listed that says nothing any more.
pub const LISTED_FOR: Duration = Duration::from_secs(3600);

/// One process, as it was when it said so last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeReport {
    /// What it is called; one report a name is kept.
    pub name: String,
    /// As sessions name it.
    pub node: NodeId,
    /// What it does, in words.
    pub roles: String,
    /// Of its program.
    pub version: String,
    /// When it was started, by its own clock.
    pub since: Timestamp,
    /// Sessions that have a socket there.
    pub sessions: u64,
    /// Links to processes of the other role.
    pub links: u64,
    /// How far it is with a drain, in words.
    pub state: String,
}

/// Where processes leave word of themselves.
#[async_trait]
pub trait Nodes: Send + Sync + 'static {
    /// Replaces what the node has said before.
    async fn report(&self, report: NodeReport) -> Result<()>;
    /// All that said something within `LISTED_FOR`, in the order of their names, with how long ago that was.
    async fn nodes(&self) -> Result<Vec<(NodeReport, Duration)>>;
}

impl NodeReport {
    /// One line, as stores keep it. What a later version adds comes behind.
    pub fn to_text(&self) -> String {
        // Names come from configurations: no tab or line of theirs is taken for one of ours.
        let plain = |text: &str| text.replace(|sign: char| sign.is_control(), "?");
        [
            plain(&self.name),
            self.node.name.to_string(),
            self.node.incarnation.to_string(),
            plain(&self.roles),
            plain(&self.version),
            self.since.0.to_string(),
            self.sessions.to_string(),
            self.links.to_string(),
            plain(&self.state),
        ]
        .join("\t")
    }

    /// The other way round. `None` if it is not what `to_text` writes.
    pub fn from_text(text: &str) -> Option<NodeReport> {
        let mut parts = text.split('\t');
        let mut next = || parts.next();
        Some(NodeReport {
            name: next()?.to_owned(),
            node: NodeId { name: next()?.parse().ok()?, incarnation: next()?.parse().ok()? },
            roles: next()?.to_owned(),
            version: next()?.to_owned(),
            since: Timestamp(next()?.parse().ok()?),
            sessions: next()?.parse().ok()?,
            links: next()?.parse().ok()?,
            state: next()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_whatever_its_name() {
        let report = NodeReport {
            name: "a\tb\nc \u{e9}".to_owned(),
            node: NodeId { name: u64::MAX, incarnation: 7 },
            roles: "session-router".to_owned(),
            version: "1.2.3".to_owned(),
            since: Timestamp(9),
            sessions: 3,
            links: 2,
            state: "serving".to_owned(),
        };
        let read = NodeReport::from_text(&report.to_text()).unwrap();
        assert_eq!(read, NodeReport { name: "a?b?c \u{e9}".to_owned(), ..report.clone() });
        assert_eq!(NodeReport::from_text(&format!("{}\tmore", report.to_text())).unwrap(), read);
        assert_eq!(NodeReport::from_text("a\tb"), None);
    }
}
