//! Where clients come in: sockets are bound, connections accepted, and stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use starling_jid::BareJid;
use starling_ports::authentication::Authentication;
use starling_ports::ingress::Ingress;
use starling_ports::trace::Tracer;
use starling_stream::{Security, Settings};
use starling_xml::{Framing, Limits};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::arrival::Arrival;
use crate::config::Config;
use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::http::Page;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::room::{AtDoor, Room};
use crate::scratch::Pool;
use crate::shared::Shared;
use crate::sock_diag;
use crate::tls::Tls;
use crate::transport::{Transport, bosh};

/// Connections that the system completes before they are accepted.
const BACKLOG: i32 = 1024;
/// How long no connection is accepted when the system has no file descriptor left.
const REST: Duration = Duration::from_millis(100);

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// TCP with STARTTLS.
    C2s,
    /// TCP with TLS from the first byte.
    DirectTls,
    /// TCP on loopback where login without TLS is allowed.
    Plain,
    /// HTTP: WebSocket, BOSH.
    Http,
    /// The same over TLS.
    Https,
    /// HTTP on loopback where login without TLS is allowed.
    PlainHttp,
}

impl Kind {
    /// Its key in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::C2s => "c2s",
            Self::DirectTls => "direct-tls",
            Self::Plain => "plain",
            Self::Http => "http",
            Self::Https => "https",
            Self::PlainHttp => "plain-http",
        }
    }
}

/// What listeners need.
pub struct Setup {
    /// The configuration; checked before.
    pub config: Config,
    /// Where deliveries come in.
    pub hub: Arc<Hub>,
    /// Who decides about stanzas.
    pub ingress: Arc<dyn Ingress>,
    /// Who verifies logins.
    pub authentication: Arc<dyn Authentication>,
    /// The domains that are served.
    pub domains: Vec<BareJid>,
    /// More stream features after login, as canonical XML (XEP-0115).
    pub features: String,
    /// Certificates.
    pub tls: Arc<Tls>,
    /// The chat page, where it is to be served.
    pub page: Option<Page>,
    /// Where the traces of followed stanzas begin.
    pub tracer: Tracer,
    /// Where every connection's task lives.
    pub tasks: TaskTracker,
    /// Stops accepting, and ends all connections.
    pub stop: CancellationToken,
}

impl Setup {
    /// What all clients have in common, who come in by that many listeners.
    pub(crate) fn shared(&self, descriptors: Descriptors, listeners: usize) -> Shared {
        let limits = self.config.limits.clone();
        Shared {
            hub: self.hub.clone(),
            ingress: self.ingress.clone(),
            authentication: self.authentication.clone(),
            tls: self.tls.clone(),
            pool: Arc::new(Pool::default()),
            admission: Arc::default(),
            strangers: Arc::default(),
            room: Room::new(descriptors, limits.unauthenticated, listeners),
            bosh: Arc::new(bosh::Sessions::new(self.tasks.clone(), self.stop.clone())),
            metrics: Metrics::new(),
            tracer: self.tracer.clone(),
            stop: self.stop.clone(),
            limits,
        }
    }
}

/// Listeners at work.
pub struct Listeners {
    addresses: Vec<(Kind, SocketAddr)>,
    doors: watch::Sender<bool>,
    present: Arc<RwLock<Arc<Present>>>,
}

/// What new connections are given; replaced as a whole by a reload.
pub(crate) struct Present {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Config,
    pub(crate) domains: Vec<BareJid>,
    pub(crate) features: String,
    pub(crate) page: Option<Page>,
    settings: Mutex<Vec<(Transport, Arc<Settings>)>>,
}

impl Present {
    pub(crate) fn new(
        shared: Shared,
        config: Config,
        domains: Vec<BareJid>,
        features: String,
        page: Option<Page>,
    ) -> Present {
        Present { shared: Arc::new(shared), config, domains, features, page, settings: Mutex::default() }
    }

    /// What a stream is told: one copy for all that are told the same.
    pub(crate) fn settings(&self, security: Security, transport: Transport) -> Arc<Settings> {
        let mut made = self.settings.lock();
        let known = made.iter().find(|(on, one)| *on == transport && one.security == security);
        if let Some((_, known)) = known {
            return known.clone();
        }
        let settings = Arc::new(self.make_settings(security, transport));
        made.push((transport, settings.clone()));
        settings
    }

    fn make_settings(&self, security: Security, transport: Transport) -> Settings {
        let limits = &self.config.limits;
        Settings {
            domains: self.domains.clone(),
            mechanisms: self.config.listen.offered(),
            registration: self.shared.ingress.offers_registration(),
            features: self.features.clone(),
            before_login: Arc::new(Limits { bytes: most(limits.login_bytes), ..Limits::BEFORE_LOGIN }),
            after_login: Arc::new(Limits {
                bytes: most(limits.stanza_bytes),
                depth: most(limits.depth),
                ..Limits::AFTER_LOGIN
            }),
            login_within: limits.login_within,
            stanza_within: limits.stanza_within,
            ping_within: limits.ping_within,
            random,
            sm: transport != Transport::Bosh,
            security,
            framing: match transport {
                Transport::Tcp => Framing::Stream,
                Transport::WebSocket | Transport::Bosh => Framing::Element,
            },
        }
    }
}

impl Listeners {
    /// Binds all sockets, then accepts. If one cannot be bound, none is.
    pub fn start(setup: Setup) -> Result<Listeners, Error> {
        let listen = &setup.config.listen;
        let wanted = [
            (Kind::C2s, &listen.c2s),
            (Kind::DirectTls, &listen.direct_tls),
            (Kind::Plain, &listen.plain),
            (Kind::Http, &listen.http),
            (Kind::Https, &listen.https),
            (Kind::PlainHttp, &listen.plain_http),
        ];
        let mut sockets = Vec::new();
        for (kind, addresses) in wanted {
            for address in addresses {
                let bound = bind(*address).and_then(|socket| Ok((socket.local_addr()?, socket)));
                let (local, socket) = bound.map_err(|source| Error::Listen { address: *address, source })?;
                sockets.push((kind, local, socket));
            }
        }
        let descriptors = Descriptors::raise();
        descriptors.log();
        Metrics::room(descriptors.clients());
        if let Some((_, address, _)) = sockets.first() {
            sock_diag::warn_if_silent(*address);
        }
        let shared = setup.shared(descriptors, sockets.len());
        let Setup { config, domains, features, page, tasks, stop, .. } = setup;
        let addresses: Vec<(Kind, SocketAddr)> = sockets.iter().map(|(kind, at, _)| (*kind, *at)).collect();
        let present = Present::new(shared, bound(config, &addresses), domains, features, page);
        let present = Arc::new(RwLock::new(Arc::new(present)));
        let (doors, _) = watch::channel(true);
        for (kind, local, socket) in sockets {
            info!(address = %local, kind = kind.as_str(), "listening");
            let door = Door { kind, at: local, open: doors.subscribe() };
            tasks.spawn(accept(door, socket, present.clone(), tasks.clone(), stop.clone()));
        }
        Ok(Listeners { addresses, doors, present })
    }

    /// Where each listener listens; tells the port where the system chose it.
    pub fn addresses(&self) -> &[(Kind, SocketAddr)] {
        &self.addresses
    }

    /// Whether clients may come in. Those that are here stay.
    pub fn open(&self, open: bool) {
        self.doors.send_replace(open);
    }

    /// Whether somebody is here who has not signed in, and may be about to.
    pub fn has_strangers(&self) -> bool {
        !self.present.read().shared.strangers.is_empty()
    }

    /// Other limits and domains, for connections from now on. Addresses and certificates are not changed by it.
    pub fn reload(&self, config: Config, domains: Vec<BareJid>, features: String) {
        let mut present = self.present.write();
        let limits = config.limits.clone();
        let room = present.shared.room.with_strangers(limits.unauthenticated);
        let shared = Shared { limits, room, ..(*present.shared).clone() };
        let page = present.page;
        let config = bound(config, &self.addresses);
        *present = Arc::new(Present::new(shared, config, domains, features, page));
    }
}

/// The configuration with the ports that the system has chosen, for those who are told where to go.
fn bound(mut config: Config, addresses: &[(Kind, SocketAddr)]) -> Config {
    let https = addresses.iter().filter(|(kind, _)| *kind == Kind::Https);
    config.listen.https = https.map(|(_, at)| *at).collect();
    config
}

/// One way in, and whether clients may come in by it now.
struct Door {
    kind: Kind,
    at: SocketAddr,
    open: watch::Receiver<bool>,
}

/// Accepts until the stop, while the door is open. A system without free descriptors is waited for, not given up.
async fn accept(
    mut door: Door,
    socket: TcpListener,
    present: Arc<RwLock<Arc<Present>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let (mut socket, kind) = (Some(socket), door.kind);
    let mut refused = false;
    Metrics::begin(kind);
    loop {
        if !*door.open.borrow_and_update() {
            socket = None; // who comes now is refused by the system, and goes elsewhere
            tokio::select! {
                () = stop.cancelled() => return,
                changed = door.open.changed() => if changed.is_err() { return },
            }
            continue;
        }
        let Some(listening) = &socket else {
            socket = Box::pin(bind_again(&door, &stop)).await;
            if socket.is_none() {
                return;
            }
            continue;
        };
        let room = present.read().shared.room.clone();
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            changed = door.open.changed() => if changed.is_err() { return } else { continue },
            accepted = accept_one(listening, &room) => accepted,
        };
        let (tcp, peer, at_door) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return,
            Err(error) => {
                if !std::mem::replace(&mut refused, true) {
                    warn!(%error, kind = kind.as_str(), "cannot accept clients");
                }
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        refused = false;
        let now = present.read().clone();
        if let Err(error) = tune(&tcp) {
            debug!(%error, "a client was gone before it was accepted");
            continue;
        }
        Metrics::accepts(kind).increment(1);
        let peer = peer.ip().to_canonical();
        let arrival = Arrival { present: now, kind, tcp, peer, stop: stop.clone() };
        tasks.spawn(arrival.admit(at_door));
    }
}

/// The next client, when there is room at the door; `None` if the door is shut for good.
async fn accept_one(
    listening: &TcpListener,
    room: &Room,
) -> std::io::Result<Option<(TcpStream, SocketAddr, AtDoor)>> {
    let Some(at_door) = room.open_door().await else { return Ok(None) };
    listening.accept().await.map(|(tcp, peer)| Some((tcp, peer, at_door)))
}

/// Listens again where it did before; `None` at the stop.
async fn bind_again(door: &Door, stop: &CancellationToken) -> Option<TcpListener> {
    while !stop.is_cancelled() {
        match bind(door.at) {
            Ok(socket) => return Some(socket),
            Err(error) => warn!(%error, address = %door.at, "cannot listen again yet"),
        }
        stop.run_until_cancelled(tokio::time::sleep(REST)).await;
    }
    None
}

/// Small writes go out at once, and a peer that vanished while all was quiet is found out by the system.
fn tune(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(300))
        .with_interval(Duration::from_secs(30))
        .with_retries(3);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// `[::]` takes IPv4 clients too, where the system has IPv6 at all.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            debug!(%error, "no IPv6 here");
            return bind(SocketAddr::from(([0, 0, 0, 0], address.port())));
        }
        made => made?,
    };
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Zero in the configuration is no limit.
fn most(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

/// 128 unguessable bits.
#[expect(clippy::expect_used, reason = "a system without random numbers cannot serve anybody")]
pub(crate) fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system's random numbers");
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
