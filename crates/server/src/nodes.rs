//! What this process says of itself, for whoever asks a session router for all nodes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use starling_admin::messages::Node;
use starling_ports::StoreError;
use starling_ports::clock::Clock;
use starling_ports::ids::NodeId;
use starling_ports::nodes::{NodeReport, Nodes};
use starling_telemetry::otlp::Resource;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::{Config, Mode};
use crate::drain::Drain;

/// How often: as managers do with their renewals.
const EVERY: Duration = Duration::from_secs(5);
/// Who has said nothing for so long is called silent: a lease.
const SILENT: Duration = Duration::from_secs(15);

/// This process.
pub(crate) struct Own {
    said: NodeReport,
    /// What it holds and how far that has gone elsewhere; not there while it begins.
    drain: OnceLock<Arc<Drain>>,
}

impl Own {
    pub(crate) fn new(config: &Config, node: NodeId, name: String, clock: &dyn Clock) -> Arc<Own> {
        let roles = match config.mode {
            Mode::Embedded => "all".to_owned(),
            Mode::Cluster => {
                config.cluster.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
            }
        };
        let (version, since) = (env!("CARGO_PKG_VERSION").to_owned(), clock.now());
        let said = NodeReport { name, node, roles, version, since, ..NodeReport::default() };
        Arc::new(Own { said, drain: OnceLock::new() })
    }

    /// From now on it tells what is held.
    pub(crate) fn holds(&self, drain: &Arc<Drain>) {
        let _ = self.drain.set(drain.clone()); // a process has one
    }

    pub(crate) fn name(&self) -> &str {
        &self.said.name
    }

    /// The same for whoever gets its spans.
    pub(crate) fn resource(&self) -> Resource {
        let NodeReport { name, roles, version, .. } = self.said.clone();
        Resource { instance: name, version, roles }
    }

    pub(crate) fn report(&self) -> NodeReport {
        let drain = self.drain.get();
        let count = |of: fn(&Drain) -> Option<usize>| drain.and_then(|drain| of(drain)).unwrap_or(0) as u64;
        NodeReport {
            sessions: count(Drain::sessions),
            links: count(Drain::links),
            state: drain.map_or("starting", |drain| drain.state()).to_owned(),
            ..self.said.clone()
        }
    }
}

/// Leaves word again and again until `stop`.
pub(crate) async fn tell(own: Arc<Own>, nodes: Arc<dyn Nodes>, stop: CancellationToken) {
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        if let Err(error) = nodes.report(own.report()).await {
            debug!(%error, "what this node says of itself is not noted");
        }
    }
}

/// All nodes, for people and programs.
pub(crate) async fn list(own: &Own, nodes: &dyn Nodes) -> Result<Vec<Node>, StoreError> {
    nodes.report(own.report()).await?;
    let listed = nodes.nodes().await?;
    let shown = listed.into_iter().map(|(node, ago)| Node {
        state: state(&node, ago).to_owned(),
        name: node.name,
        roles: node.roles,
        version: node.version,
        sessions: node.sessions,
        links: node.links,
        since: node.since.to_xep_0082(),
        heard_seconds_ago: ago.as_secs(),
    });
    Ok(shown.collect())
}

fn state(node: &NodeReport, ago: Duration) -> &str {
    if ago > SILENT { "silent" } else { &node.state }
}

/// What nodes are called that are named by sessions.
pub(crate) struct Names(Vec<(NodeId, String)>);

impl Names {
    /// In words where it has left word, in this life or a former one.
    pub(crate) fn of(&self, node: NodeId) -> String {
        let known = self.0.iter().find(|(one, _)| one.name == node.name);
        known.map_or_else(|| format!("{:016x}", node.name), |(_, name)| name.clone())
    }
}

/// Of all that are listed.
pub(crate) async fn names(nodes: &dyn Nodes) -> Result<Names, StoreError> {
    let listed = nodes.nodes().await?;
    Ok(Names(listed.into_iter().map(|(report, _)| (report.node, report.name)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_for_a_lease_is_silent() {
        let node = NodeReport { state: "draining".to_owned(), ..NodeReport::default() };
        assert_eq!(state(&node, Duration::from_secs(14)), "draining");
        assert_eq!(state(&node, Duration::from_secs(16)), "silent");
    }

    #[test]
    fn a_node_that_left_no_word_is_named_by_its_number() {
        let node = |name, incarnation| NodeId { name, incarnation };
        let names = Names(vec![(node(5, 1), "router-1".to_owned())]);
        assert_eq!(names.of(node(5, 2)), "router-1");
        assert_eq!(names.of(node(6, 1)), "0000000000000006");
    }
}
