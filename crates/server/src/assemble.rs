//! Where the implementations plug in: this module alone knows what stands behind each port.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use starling_connection_manager::{Hub, Kind, Listeners, Setup, Tls};
use starling_im::{Domains, Pipeline, Stores};
use starling_jid::BareJid;
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::ids::NodeId;
use starling_session_router::Login;
use starling_store_embedded::Store;
use starling_telemetry::{LogHandle, Metrics};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Health;
use crate::cli::Place;
use crate::config::Config;
use crate::control::Control;
use crate::reload::Reload;

/// A running node, and what its stop needs.
pub(crate) struct Node {
    pub(crate) domains: Vec<BareJid>,
    pub(crate) data_dir: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) control: Arc<Control>,
    pub(crate) health: Arc<Health>,
    /// Ends clients and their listeners.
    pub(crate) clients: CancellationToken,
    pub(crate) store: Arc<Store>,
    pub(crate) tasks: TaskTracker,
    pub(crate) services: TaskTracker,
    /// Ends everything else.
    pub(crate) stop: CancellationToken,
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
}

impl Addresses {
    fn new(listeners: &Listeners, admin: SocketAddr) -> Addresses {
        let of = |kind: Kind| {
            listeners.addresses().iter().filter(|(one, _)| *one == kind).map(|(_, at)| *at).collect()
        };
        Addresses {
            c2s: of(Kind::C2s),
            direct_tls: of(Kind::DirectTls),
            plain: of(Kind::Plain),
            http: of(Kind::Http),
            https: of(Kind::Https),
            plain_http: of(Kind::PlainHttp),
            admin: vec![admin],
        }
    }
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "c2s": self.c2s, "direct-tls": self.direct_tls, "plain": self.plain,
            "http": self.http, "https": self.https,
            "plain-http": self.plain_http, "admin": self.admin,
        })
    }
}

/// Builds a node of the embedded default: everything in this process.
pub(crate) async fn assemble(
    config: &Config,
    place: Place,
    is_quickstart: bool,
    log: LogHandle,
    metrics: Metrics,
) -> Result<Node> {
    make_private(&config.data_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = NodeId { name: 0, incarnation: clock.now().0 };
    let served = domains(config)?;
    let domains = Domains::new(served.clone());
    let (tasks, services) = (TaskTracker::new(), TaskTracker::new());
    let (clients, stop) = (CancellationToken::new(), CancellationToken::new());

    let store = Store::open(&config.store(), clock.clone(), node)?;
    let stores = Stores {
        accounts: store.clone(),
        archive: store.clone(),
        positions: store.clone(),
        rosters: store.clone(),
        blocklists: store.clone(),
        preferences: store.clone(),
        documents: store.clone(),
        last_activities: store.clone(),
        sessions: store.clone(),
    };
    let hub = Arc::new(Hub::new(node));
    let secret = secret(&config.data_dir.join("secret"))?;
    let login = Arc::new(Login::new(store.clone(), clock.clone(), secret, services.clone()));
    let pipeline = Pipeline::new(
        config.im.clone(),
        domains.clone(),
        stores,
        hub.clone(),
        login.clone(),
        clock,
        &services,
    );
    let tls = Arc::new(Tls::open(&config.tls, &served, &config.data_dir).context("certificates")?);

    let health = Arc::new(Health::default());
    let admin = crate::admin::start(&config.admin, health.clone(), metrics, &services, stop.clone())
        .await
        .with_context(|| {
            format!("cannot listen on {}; stop what uses it, or set admin.listen", config.admin.listen)
        })?;
    let listeners = Listeners::start(Setup {
        config: config.connection_manager(),
        hub,
        ingress: pipeline.clone(),
        authentication: login.clone(),
        domains: served.clone(),
        features: features(&pipeline),
        tls: tls.clone(),
        page: config.http.page.then_some(crate::page::PAGE),
        tasks: tasks.clone(),
        stop: clients.clone(),
    })?;
    let addresses = Addresses::new(&listeners, admin);
    let reload = Reload {
        place,
        is_quickstart,
        running: config.clone(),
        log,
        domains,
        tls,
        listeners,
        features: features(&pipeline),
    };
    services.spawn(crate::metrics::watch(pipeline.clone(), stop.clone()));
    crate::metrics::certificates(config);
    let control = Control {
        pipeline,
        authentication: login,
        store: store.clone(),
        addresses: addresses.clone(),
        reload,
        since: Instant::now(),
    };
    let control = Arc::new(control);
    Ok(Node {
        domains: served,
        data_dir: config.data_dir.clone(),
        addresses,
        control,
        health,
        clients,
        store,
        tasks,
        services,
        stop,
    })
}

/// What the pipeline adds to the features of a stream, as canonical XML.
fn features(pipeline: &Pipeline) -> String {
    let mut out = Vec::new();
    for feature in pipeline.features() {
        feature.write(&mut out, starling_xml::ns::CLIENT);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Only its owner reads what is kept; a directory that exists stays as it is.
fn make_private(directory: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("making the data directory {}", directory.display()))
}

/// 256 random bits that stay the same for the life of this data directory.
fn secret(path: &Path) -> Result<[u8; 32]> {
    if let Ok(bytes) = std::fs::read(path)
        && let Ok(secret) = bytes.try_into()
    {
        return Ok(secret);
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    crate::quickstart::write_secret(path, &secret).with_context(|| format!("writing {}", path.display()))?;
    Ok(secret)
}

/// The domains that are served.
pub(crate) fn domains(config: &Config) -> Result<Vec<BareJid>> {
    config
        .domains
        .iter()
        .map(|domain| BareJid::new(domain).with_context(|| format!("domain {domain:?}")))
        .collect()
}
