//! A connection manager's end: `Ingress` and `Authentication` at whichever session routers live.

pub(crate) mod dial;
mod ingress;
mod lane;
mod leases;
mod login;
mod renew;
mod routers;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use starling_dns::Resolver;
use starling_ports::StoreError;
use starling_ports::delivery::Holder;
use starling_ports::ids::NodeId;
use starling_ports::ingress::Ingress;
use starling_ports::nodes::NodeReport;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::lane::Lane;
use self::routers::Routers;
use crate::Identity;
use crate::calls::Status;
use crate::calls::metrics::Calls;
use crate::convert;
use crate::metrics::Metrics;
use crate::pb;
use crate::peers::Peers;

/// What a connection manager needs to reach session routers.
pub struct Setup {
    /// This node.
    pub node: NodeId,
    /// Where routers are, as `host:port`.
    pub routers: Vec<String>,
    /// What looks their names up.
    pub resolver: Resolver,
    /// Who this node is; `None` speaks without TLS.
    pub identity: Option<Arc<Identity>>,
    /// Whose sockets they are: pushes and commands go there.
    pub holder: Arc<dyn Holder>,
    /// What this node says of itself, all but its links.
    pub report: Arc<dyn Fn() -> NodeReport + Send + Sync>,
    /// All processes, which the same routers ask and are asked.
    pub peers: Arc<Peers>,
    /// Where tasks live.
    pub tasks: TaskTracker,
    /// Ends all links.
    pub stop: CancellationToken,
}

/// What routers say of themselves: the same at all of them, but while they are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// More stream features after login, as canonical XML.
    pub features: String,
    /// Whether in-band registration is offered.
    pub registration: bool,
}

/// Links to all session routers.
pub struct Uplinks {
    node: NodeId,
    routers: Routers,
    identity: Option<Arc<Identity>>,
    holder: Arc<dyn Holder>,
    report: Arc<dyn Fn() -> NodeReport + Send + Sync>,
    peers: Arc<Peers>,
    announced: watch::Sender<Option<Announced>>,
    /// Where the keys of a SASL exchange are kept that has begun.
    exchanges: Mutex<HashMap<u128, Arc<Lane>>>,
    /// A link was lost: what it would have pushed must be found in the logs.
    lost: Arc<Notify>,
    next_call: AtomicU64,
    resent: AtomicU64,
    metrics: Metrics,
    calls: Calls,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Uplinks {
    /// Begins to dial. Where `local` is given, this process is a router too: it decides by itself, and has links only to be
    /// reached by the others.
    pub fn start(setup: Setup, local: Option<Arc<dyn Ingress>>) -> Arc<Uplinks> {
        let Setup { node, routers: names, resolver, identity, holder, report, peers, tasks, stop } = setup;
        let uplinks = Arc::new(Uplinks {
            node,
            routers: Routers::new(),
            identity,
            holder,
            report,
            peers,
            announced: watch::Sender::new(None),
            exchanges: Mutex::default(),
            lost: Arc::default(),
            next_call: AtomicU64::new(1),
            resent: AtomicU64::new(0),
            metrics: Metrics::new(),
            calls: Calls::made(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        tasks.spawn(dial::discover(uplinks.clone(), resolver, names));
        tasks.spawn(renew::run(uplinks.clone(), local));
        uplinks
    }

    /// What the router said that was reached last; waits for the first one.
    pub fn announced(&self) -> watch::Receiver<Option<Announced>> {
        self.announced.subscribe()
    }

    /// The router that was reached last said so.
    fn announce(&self, announced: Announced) {
        self.announced.send_if_modified(|present| {
            let is_news = present.as_ref() != Some(&announced);
            *present = Some(announced);
            is_news
        });
    }

    /// How many routers have a link now.
    pub fn count(&self) -> usize {
        self.routers.all().len()
    }

    /// How many calls were sent again because their link was lost.
    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }

    fn call_id(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }
}

/// Why a call got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The link was lost: whether it was done is not known.
    #[error("the link was lost")]
    Lost,
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// There is no router, and there was none for a while.
    #[error("no session router for {0:?}")]
    Nobody(Duration),
    /// More than a link carries.
    #[error("too big for the link")]
    TooBig,
    /// The answer is none.
    #[error("the answer cannot be read")]
    Malformed,
}

impl Unanswered {
    fn status(self) -> Status {
        match self {
            Self::Late(_) => Status::Late,
            Self::Nobody(_) => Status::Nobody,
            Self::Lost | Self::TooBig => Status::Refused,
            Self::Malformed => Status::Malformed,
        }
    }
}

impl From<Unanswered> for StoreError {
    fn from(why: Unanswered) -> StoreError {
        StoreError::Unavailable { store: "session router", source: why.into() }
    }
}

impl From<convert::Malformed> for Unanswered {
    fn from(_: convert::Malformed) -> Unanswered {
        Unanswered::Malformed
    }
}

/// Whether a link would carry the body.
fn is_small(body: &pb::up::Body) -> bool {
    match body {
        pb::up::Body::Submit(submit) => submit.encoded_len() < super::limits::FRAME_BYTES / 2,
        _ => true,
    }
}
