//! Where the implementations plug in: this module alone knows what stands behind each port.

mod api;
#[cfg(feature = "broken")]
mod broken;
mod directory;
mod embedded;
mod manager;
mod patience;
mod router;
mod shared;
mod stores;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;
use starling_connection_manager::{Hub, Kind, Listeners, mend_of_bind};
use starling_im::{Domains, Pipeline};
use starling_jid::BareJid;
use starling_ports::archive::Archive;
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::ids::NodeId;
use starling_ports::nodes::Nodes;
use starling_ports::position::Positions;
use starling_ports::sessions::Sessions;
use starling_ports::trace::Tracer;
use starling_rpc::peers::{Peers, Respondent};
use starling_rpc::{Role, Stores};
use starling_session_router::Login;
use starling_store_embedded::Store;
use starling_telemetry::{LogHandle, Metrics, otlp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Health;
use crate::cli::Origin;
use crate::clock;
use crate::config::{Config, Mode};
use crate::control::Control;
use crate::drain::{Drain, Goes, Sockets};
use crate::memory;
use crate::metrics::Gauges;
use crate::nodes::{self, Listing, Own};
use crate::reload::Reload;

pub(crate) use api::Keeper;

/// A running node, and what its stop needs.
pub(crate) struct Node {
    pub(crate) domains: Vec<BareJid>,
    pub(crate) data_dir: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) control: Arc<Control>,
    pub(crate) health: Arc<Health>,
    /// Ends clients and their listeners.
    pub(crate) clients: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Ends what ties it to other nodes.
    pub(crate) unlink: CancellationToken,
    pub(crate) links: TaskTracker,
    /// Ends everything else.
    pub(crate) stop: CancellationToken,
    pub(crate) services: TaskTracker,
}

/// Why a store that routers share is not to be started on.
pub(crate) enum Unfit {
    /// It does not answer, here and now.
    Away(String),
    /// It would lose what it is told.
    Unsafe(String),
}

/// What a start would say of the stores, where this process is a router that shares them.
pub(crate) async fn check_stores(config: &Config) -> Result<(), Unfit> {
    let is_router = config.mode == Mode::Cluster && config.plays(Role::SessionRouter);
    if is_router && config.cluster.stores == Stores::Shared { shared::check(config).await } else { Ok(()) }
}

/// What a process has that decides about stanzas.
#[derive(Clone)]
pub(crate) struct Routing {
    pub(crate) domains: Domains,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) login: Arc<Login>,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) positions: Arc<dyn Positions>,
    pub(crate) nodes: Arc<dyn Nodes>,
    /// The store of this process, where it has one.
    pub(crate) embedded: Option<Arc<Store>>,
}

/// What all parts of a node are built on.
struct Base {
    node: NodeId,
    /// All processes.
    peers: Arc<Peers>,
    own: Arc<Own>,
    clock: Arc<dyn Clock>,
    tracer: Tracer,
    served: Vec<BareJid>,
    health: Arc<Health>,
    clients: CancellationToken,
    tasks: TaskTracker,
    unlink: CancellationToken,
    links: TaskTracker,
    stop: CancellationToken,
    services: TaskTracker,
}

/// Where it listens; the system chose where the configuration said port 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    pub(crate) c2s: Vec<SocketAddr>,
    pub(crate) direct_tls: Vec<SocketAddr>,
    pub(crate) plain: Vec<SocketAddr>,
    pub(crate) http: Vec<SocketAddr>,
    pub(crate) https: Vec<SocketAddr>,
    pub(crate) plain_http: Vec<SocketAddr>,
    pub(crate) admin: Vec<SocketAddr>,
    pub(crate) link: Vec<SocketAddr>,
    pub(crate) api: Vec<SocketAddr>,
}

impl Addresses {
    fn new(listeners: Option<&Listeners>, admin: SocketAddr) -> Addresses {
        let all = listeners.map_or(&[][..], Listeners::addresses);
        let of = |kind: Kind| all.iter().filter(|(one, _)| *one == kind).map(|(_, at)| *at).collect();
        Addresses {
            c2s: of(Kind::C2s),
            direct_tls: of(Kind::DirectTls),
            plain: of(Kind::Plain),
            http: of(Kind::Http),
            https: of(Kind::Https),
            plain_http: of(Kind::PlainHttp),
            admin: vec![admin],
            ..Addresses::default()
        }
    }
    /// For people and programs.
    pub(crate) fn shown(&self) -> starling_admin::messages::Addresses {
        let shown = |all: &[SocketAddr]| all.iter().map(SocketAddr::to_string).collect();
        starling_admin::messages::Addresses {
            c2s: shown(&self.c2s),
            direct_tls: shown(&self.direct_tls),
            plain: shown(&self.plain),
            http: shown(&self.http),
            https: shown(&self.https),
            plain_http: shown(&self.plain_http),
            admin: shown(&self.admin),
            link: shown(&self.link),
            api: shown(&self.api),
        }
    }
    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(self.shown()).unwrap_or_default()
    }
}

/// Builds the node that the configuration describes: everything in this process, or its part of a cluster. In a cluster it
/// returns when its first session router is there, if it needs one.
pub(crate) async fn assemble(
    config: &Config,
    origin: Origin,
    log: LogHandle,
    metrics: Metrics,
) -> Result<Node> {
    directory::make_private(&config.data_dir)?;
    clock::warn_of(clock::trouble(&config.data_dir, SystemTime::now()));
    let base = Base::new(config)?;
    let services = &base.services;
    otlp::report(&config.otlp, base.own.resource(), metrics.clone(), services, base.stop.clone());
    let (health, stop) = (base.health.clone(), base.stop.clone());
    let admin = crate::admin::start(&config.admin, health, metrics.clone(), services, stop)
        .await
        .map_err(|refused| not_listening(config.admin.listen, "", refused, "in admin.listen"))?;
    let new_hub = if config.mode == Mode::Embedded { Hub::new } else { Hub::keeping };
    let new_hub = || Arc::new(new_hub(base.node).within(memory::share()));
    let hub = config.plays(Role::ConnectionManager).then(new_hub);
    let (mut link, mut downlinks) = (None, None);
    let routing = match (config.mode, &hub) {
        (Mode::Embedded, Some(hub)) => Some(embedded::open(config, &base, hub.clone())?),
        _ => router::start(config, &base, hub.clone()).await?.map(|router| {
            (link, downlinks) = (Some(router.address), Some(router.downlinks));
            router.routing
        }),
    };
    let clients = match (config.mode, &hub) {
        (_, None) => None,
        (Mode::Embedded, Some(hub)) => {
            routing.as_ref().map(|routing| manager::alone(config, &base, hub.clone(), routing)).transpose()?
        }
        (Mode::Cluster, Some(hub)) => {
            Some(manager::linked(config, &base, hub.clone(), routing.as_ref()).await?)
        }
    };
    let clients = clients.map(Arc::new);
    let sockets = hub.clone().zip(clients.clone());
    let sockets =
        sockets.map(|(hub, clients)| Sockets { hub, clients, config: config.connection_manager().drain });
    let goes = Goes { refused: stays(config), sockets, downlinks };
    let drain = Drain::new(base.health.clone(), goes, base.services.clone());
    base.own.holds(&drain);
    let listeners = clients.as_ref().map(|clients| &clients.listeners);
    let api = match &routing {
        Some(_) if config.api.is_served() => Some(api::bind(config, &base, clients.as_deref()).await?),
        _ => None,
    };
    let addresses = Addresses {
        link: link.into_iter().collect(),
        api: api.iter().map(|api| api.bound.address).collect(),
        ..Addresses::new(listeners, admin)
    };
    let domains = routing.as_ref().map(|routing| routing.domains.clone());
    let (tracer, doorkeeper) = (base.tracer.clone(), api.as_ref().map(|api| api.keeper.clone()));
    let reload = Reload { origin, running: config.clone(), log, domains, clients, tracer, api: doorkeeper };
    if let Some(tls) = reload.tls() {
        crate::metrics::certificates(tls);
        base.services.spawn(tls.clone().watch(crate::metrics::certificates, base.stop.clone()));
    }
    let gauges = Gauges::new(routing.as_ref().map(|routing| routing.pipeline.clone()), hub.clone());
    base.services.spawn(gauges.clone().watch(base.stop.clone()));
    base.services.spawn(drain.clone().tell(base.stop.clone()));
    if let Some(routing) = &routing {
        base.services.spawn(stores::watch(routing.clone(), base.health.clone(), base.stop.clone()));
        base.services.spawn(nodes::tell(base.own.clone(), routing.nodes.clone(), base.stop.clone()));
    }
    let (addresses_too, since) = (addresses.clone(), Instant::now());
    let (own, peers) = (base.own.clone(), base.peers.clone());
    let listing = routing.as_ref().map(|routing| Listing::new(routing.nodes.clone()));
    let control = Arc::new(Control {
        routing,
        listing,
        peers,
        hub,
        own,
        addresses: addresses_too,
        reload,
        drain,
        since,
        metrics,
        gauges,
    });
    let respondent: Arc<dyn Respondent> = control.clone();
    base.peers.answered_by(Arc::downgrade(&respondent));
    if let Some(api) = api {
        api.serve(control.clone(), &base)?;
    }
    Ok(base.into_node(config, addresses, control))
}

impl Base {
    fn new(config: &Config) -> Result<Base> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let incarnation = clock.now().0;
        let node = match config.mode {
            Mode::Embedded => NodeId { name: 0, incarnation },
            Mode::Cluster => starling_rpc::node_id(&name(config), incarnation),
        };
        let (stop, services) = (CancellationToken::new(), TaskTracker::new());
        let own = Own::new(config, node, name(config), &*clock);
        let tracer = crate::trace::start(&config.otlp, own.resource(), &services, stop.clone())?;
        Ok(Base {
            node,
            peers: Peers::new(node, own.name()),
            own,
            clock,
            tracer,
            served: domains(config)?,
            health: Arc::default(),
            clients: CancellationToken::new(),
            tasks: TaskTracker::new(),
            unlink: CancellationToken::new(),
            links: TaskTracker::new(),
            stop,
            services,
        })
    }

    fn into_node(self, config: &Config, addresses: Addresses, control: Arc<Control>) -> Node {
        Node {
            domains: self.served,
            data_dir: config.data_dir.clone(),
            addresses,
            control,
            health: self.health,
            clients: self.clients,
            tasks: self.tasks,
            unlink: self.unlink,
            links: self.links,
            stop: self.stop,
            services: self.services,
        }
    }
}

/// What an operator is told who finds that nothing listens there.
fn not_listening(address: SocketAddr, for_whom: &str, refused: std::io::Error, place: &str) -> anyhow::Error {
    let mend = mend_of_bind(address, &refused, place);
    anyhow::Error::new(refused).context(format!("cannot listen on {address}{for_whom}; {mend}"))
}

/// Why nothing of this process can go elsewhere, if that is so.
fn stays(config: &Config) -> Option<&'static str> {
    match (config.mode, config.cluster.stores) {
        (Mode::Embedded, _) => Some(
            "this process is the only one, so its clients have nowhere to go: stop it, and their sessions are saved until it runs again",
        ),
        (Mode::Cluster, Stores::Embedded) if config.plays(Role::SessionRouter) => Some(
            "this is the cluster's only session router (cluster.stores = \"embedded\"), so nobody can take its place: stop it, and \
             everything is saved until it runs again",
        ),
        (Mode::Cluster, _) => None,
    }
}

/// What this process is called among others.
fn name(config: &Config) -> String {
    if config.cluster.name.is_empty() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        config.cluster.name.clone()
    }
}

/// What the pipeline adds to the features of a stream, as canonical XML.
fn features(pipeline: &Pipeline) -> String {
    let mut out = Vec::new();
    for feature in pipeline.features() {
        feature.write(&mut out, starling_xml::ns::CLIENT);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The domains that are served.
pub(crate) fn domains(config: &Config) -> Result<Vec<BareJid>> {
    config
        .domains
        .iter()
        .map(|domain| BareJid::new(domain).with_context(|| format!("domain {domain:?}")))
        .collect()
}
