//! What this process says of itself, for whoever asks a session router for all nodes.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_admin::messages::Node;
use starling_ports::clock::Clock;
use starling_ports::ids::NodeId;
use starling_ports::nodes::{NodeReport, Nodes};
use starling_rpc::link::client::Uplinks;
use starling_telemetry::otlp::Resource;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::{Config, Mode};
use crate::drain::Drain;

/// How often: as managers do with their renewals.
const EVERY: Duration = Duration::from_secs(5);
/// Who has said nothing for so long is called silent: a lease.
pub(crate) const SILENT: Duration = Duration::from_secs(15);
/// How long the store may take to tell of the nodes.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// This process.
pub(crate) struct Own {
    said: NodeReport,
    /// What it holds and how far that has gone elsewhere; not there while it begins.
    drain: OnceLock<Arc<Drain>>,
    /// Its links to session routers, if it has any.
    uplinks: OnceLock<Arc<Uplinks>>,
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
        Arc::new(Own { said, drain: OnceLock::new(), uplinks: OnceLock::new() })
    }

    /// From now on it tells what is held.
    pub(crate) fn holds(&self, drain: &Arc<Drain>) {
        let _ = self.drain.set(drain.clone()); // a process has one
    }

    /// From now on it tells how many links it has.
    pub(crate) fn dials(&self, uplinks: &Arc<Uplinks>) {
        let _ = self.uplinks.set(uplinks.clone()); // the same
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
        let sessions = drain.and_then(|drain| drain.sessions()).unwrap_or(0);
        let up = || self.uplinks.get().map_or(0, |uplinks| uplinks.count());
        let links = drain.and_then(|drain| drain.links()).unwrap_or_else(up);
        NodeReport {
            sessions: sessions as u64,
            links: links as u64,
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

/// What a session router has heard of all nodes.
pub(crate) struct Listing {
    nodes: Arc<dyn Nodes>,
    /// As it was read last, and when: where the store does not answer now, it did before.
    last: Mutex<Option<(Listed, Instant)>>,
}

/// Nodes, and how long ago each of them was heard.
pub(crate) type Listed = Vec<(NodeReport, Duration)>;

impl Listing {
    pub(crate) fn new(nodes: Arc<dyn Nodes>) -> Listing {
        Listing { nodes, last: Mutex::default() }
    }

    /// All nodes, with what this process has to say now; and why that is old, if the store does not answer.
    pub(crate) async fn read(&self, own: NodeReport) -> (Listed, Option<String>) {
        let read = timeout(READ_WITHIN, async {
            self.nodes.report(own.clone()).await?;
            self.nodes.nodes().await
        });
        let trouble = match read.await {
            Ok(Ok(listed)) => {
                *self.last.lock() = Some((listed.clone(), Instant::now()));
                return (listed, None);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", READ_WITHIN.as_secs()),
        };
        let last = self.last.lock().clone();
        let (mut listed, read) = last.unwrap_or((Vec::new(), Instant::now()));
        listed.retain(|(node, _)| node.name != own.name);
        listed.iter_mut().for_each(|(_, ago)| *ago += read.elapsed());
        listed.push((own, Duration::ZERO));
        (listed, Some(trouble))
    }
}

/// A node, for people and programs.
pub(crate) fn shown((node, ago): (NodeReport, Duration)) -> Node {
    Node {
        state: state(&node, ago).to_owned(),
        name: node.name,
        roles: node.roles,
        version: node.version,
        sessions: node.sessions,
        links: node.links,
        since: node.since.to_xep_0082(),
        heard_seconds_ago: ago.as_secs(),
    }
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

impl Names {
    /// Of those that are reached, and those that are listed.
    pub(crate) fn new(mut reached: Vec<(NodeId, String)>, listed: &Listed) -> Names {
        reached.extend(listed.iter().map(|(report, _)| (report.node, report.name.clone())));
        Names(reached)
    }
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
