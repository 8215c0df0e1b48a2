//! Routers, managers and the network between them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use starling_dns::Resolver;
use starling_im::{Around, Domains, Pipeline, Stores};
use starling_jid::{BareJid, Jid};
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::delivery::{Command, DeliverError, Delivery, Holder, Target};
use starling_ports::ids::{Epoch, LogNumber, NodeId, SessionId};
use starling_ports::ingress::{SessionRef, Submitted};
use starling_ports::nodes::NodeReport;
use starling_ports::sessions::{Renewal, Sessions};
use starling_ports::trace::Tracer;
use starling_session_router::Login;
use starling_stanza::{Carried, Draft, Kind};
use starling_store_embedded::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::client::{self, Uplinks};
use crate::link::server::{self, Downlinks};
use crate::peers::Peers;
use crate::{Config, Identity, Role, node_id};

/// How long anything may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What decides, and the routers that it stands behind.
pub(super) struct Core {
    pub(super) store: Arc<Store>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) login: Arc<Login>,
    pub(super) routers: Arc<Routers>,
    /// Of the routers, in the order of their start.
    pub(super) peers: Mutex<Vec<Arc<Peers>>>,
    pub(super) tasks: TaskTracker,
    _directory: tempfile::TempDir,
}

/// The links of several routers over one core: as if the store were shared.
#[derive(Default)]
pub(super) struct Routers(Mutex<Vec<Arc<Downlinks>>>);

impl Delivery for Routers {
    fn deliver(&self, node: NodeId, targets: Vec<Target>) -> Result<(), DeliverError> {
        let all = self.0.lock().clone();
        let delivered = all.iter().map(|links| links.deliver(node, targets.clone()));
        delivered.fold(Err(DeliverError::Gone), Result::or)
    }
    fn command(
        &self,
        node: NodeId,
        session: SessionId,
        epoch: Epoch,
        command: Command,
    ) -> Result<(), DeliverError> {
        let all = self.0.lock().clone();
        let told = all.iter().map(|links| links.command(node, session, epoch, command.clone()));
        told.fold(Err(DeliverError::Gone), Result::or)
    }
}

impl Core {
    pub(super) fn new() -> Core {
        Core::of_stores(|stores| stores)
    }

    /// Whose pipeline works on what is made of the stores.
    pub(super) fn of_stores(made: impl Fn(Stores) -> Stores) -> Core {
        Core::of_stores_at(Arc::new(SystemClock), made)
    }

    /// The same, by another clock.
    pub(super) fn of_stores_at(clock: Arc<dyn Clock>, made: impl Fn(Stores) -> Stores) -> Core {
        let directory = tempfile::tempdir().unwrap();
        let config = starling_store_embedded::Config {
            data_dir: directory.path().join("store"),
            sync: false,
            ..Default::default()
        };
        let store = Store::open(&config, clock.clone(), NodeId::default()).unwrap();
        let (routers, tasks) = (Arc::new(Routers::default()), TaskTracker::new());
        let login = Arc::new(Login::new(store.clone(), store.clone(), [7; 32], tasks.clone()));
        let stores = made(Stores::of(&store));
        Core::on(store, stores, login, (routers, clock), tasks, directory)
    }

    /// The same stores, where what a router remembers by itself is not known.
    pub(super) fn with_another_memory(&self) -> Core {
        let (store, login, routers) = (self.store.clone(), self.login.clone(), self.routers.clone());
        let stores = Stores::of(&store);
        let around = (routers, Arc::new(SystemClock) as _);
        Core::on(store, stores, login, around, self.tasks.clone(), tempfile::tempdir().unwrap())
    }

    fn on(
        store: Arc<Store>,
        stores: Stores,
        login: Arc<Login>,
        (routers, clock): (Arc<Routers>, Arc<dyn Clock>),
        tasks: TaskTracker,
        directory: tempfile::TempDir,
    ) -> Core {
        let domains = Domains::new(vec![BareJid::new("localhost").unwrap()]);
        let pipeline = Pipeline::new(
            starling_im::Config::default(),
            domains,
            stores,
            Around { delivery: routers.clone(), login: login.clone(), clock, tracer: Tracer::default() },
            &tasks,
        );
        Core { store, pipeline, login, routers, peers: Mutex::default(), tasks, _directory: directory }
    }

    pub(super) async fn account(&self, name: &str) -> BareJid {
        let account = BareJid::new(&format!("{name}@localhost")).unwrap();
        self.pipeline.context().create_account(&account, "secret").await.unwrap();
        account
    }

    /// Whom an account blocks from now on.
    pub(super) async fn block(&self, account: &BareJid, items: &[Jid]) {
        let list = BlockList { items: items.to_vec() };
        BlockLists::put(&*self.store, account, list).await.unwrap();
        Sessions::refresh(&*self.store, account).await.unwrap();
    }

    /// A router on a port of its own; the token stops it.
    pub(super) async fn router(
        &self,
        name: &str,
        identity: Option<Arc<Identity>>,
    ) -> (SocketAddr, CancellationToken) {
        self.router_at("127.0.0.1:0".parse().unwrap(), name, identity).await
    }

    /// The same at an address of its own.
    pub(super) async fn router_at(
        &self,
        listen: SocketAddr,
        name: &str,
        identity: Option<Arc<Identity>>,
    ) -> (SocketAddr, CancellationToken) {
        let (downlinks, stop) = (Downlinks::new(None), CancellationToken::new());
        self.routers.0.lock().push(downlinks.clone());
        let peers = Peers::new(node_id(name, 1), name);
        self.peers.lock().push(peers.clone());
        let address = server::start(server::Setup {
            node: node_id(name, 1),
            ingress: self.pipeline.clone(),
            authentication: self.login.clone(),
            nodes: self.store.clone(),
            peers,
            downlinks,
            features: "<c xmlns='urn:x'/>".to_owned(),
            identity,
            listen,
            tasks: self.tasks.clone(),
            stop: stop.clone(),
        });
        (address.await.unwrap(), stop)
    }
}

impl Routers {
    /// The links of the router that was started so manieth.
    pub(super) fn nth(&self, place: usize) -> Arc<Downlinks> {
        self.0.lock()[place].clone()
    }
}

/// A node that holds sessions without sockets, and remembers what came for them.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) held: Mutex<Vec<Renewal>>,
    pub(super) pushed: Mutex<Vec<Target>>,
    pub(super) commands: Mutex<HashMap<SessionId, Vec<Command>>>,
    pub(super) changed: watch::Sender<()>,
}

impl Delivery for Inbox {
    fn deliver(&self, _: NodeId, targets: Vec<Target>) -> Result<(), DeliverError> {
        self.pushed.lock().extend(targets);
        self.changed.send_replace(());
        Ok(())
    }
    fn command(&self, _: NodeId, session: SessionId, _: Epoch, command: Command) -> Result<(), DeliverError> {
        self.commands.lock().entry(session).or_default().push(command);
        self.changed.send_replace(());
        Ok(())
    }
}

impl Holder for Inbox {
    fn holdings(&self) -> Vec<Renewal> {
        self.held.lock().clone()
    }
}

impl Inbox {
    pub(super) fn hold(&self, session: &SessionRef) {
        let held = Renewal {
            account: session.jid.bare(),
            session: session.id,
            epoch: session.epoch,
            last: LogNumber(0),
            acknowledged: LogNumber(0),
            life: None,
        };
        self.held.lock().push(held);
    }

    /// Waits until it is so.
    pub(super) async fn until(&self, mut is_so: impl FnMut(&Inbox) -> bool) {
        let mut changes = self.changed.subscribe();
        let waited = async {
            while !is_so(self) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.expect("it comes in time");
    }
}

/// A connection manager that dials these routers.
pub(super) struct Manager {
    pub(super) uplinks: Arc<Uplinks>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) peers: Arc<Peers>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Manager {
    pub(super) fn new(name: &str, routers: &[SocketAddr], identity: Option<Arc<Identity>>) -> Manager {
        let routers = routers.iter().map(SocketAddr::to_string).collect();
        Manager::by_names(name, routers, Resolver::system(), identity)
    }

    /// One that looks the names of its routers up.
    pub(super) fn by_names(
        name: &str,
        routers: Vec<String>,
        resolver: Resolver,
        identity: Option<Arc<Identity>>,
    ) -> Manager {
        let (inbox, tasks, stop) = (Arc::new(Inbox::default()), TaskTracker::new(), CancellationToken::new());
        let report =
            NodeReport { name: name.to_owned(), version: "1.2.3".to_owned(), ..NodeReport::default() };
        let peers = Peers::new(node_id(name, 1), name);
        let setup = client::Setup {
            node: node_id(name, 1),
            routers,
            resolver,
            identity,
            holder: inbox.clone(),
            report: Arc::new(move || report.clone()),
            peers: peers.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        Manager { uplinks: Uplinks::start(setup, None), inbox, peers, tasks, stop }
    }

    pub(super) async fn linked(&self, routers: usize) {
        let links = async {
            while self.uplinks.count() < routers {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, links).await.expect("the links come in time");
    }
}

/// A network that can be cut, and that can swallow what goes down.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    cut: Mutex<CancellationToken>,
    is_deaf: watch::Sender<bool>,
}

impl Wire {
    /// In front of a router.
    pub(super) async fn to(router: SocketAddr, tasks: &TaskTracker) -> Arc<Wire> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire {
            address,
            cut: Mutex::new(CancellationToken::new()),
            is_deaf: watch::Sender::new(false),
        });
        let (kept, all) = (wire.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (cut, is_deaf) = (kept.cut.lock().clone(), kept.is_deaf.subscribe());
                all.spawn(cut.run_until_cancelled_owned(carry(near, router, is_deaf)));
            }
        });
        wire
    }

    /// What goes down is swallowed from now on: calls are done, and nobody hears of it.
    pub(super) fn deafen(&self) {
        self.is_deaf.send_replace(true);
    }

    /// All connections end at once; new ones are good.
    pub(super) fn cut(&self) {
        let cut = std::mem::take(&mut *self.cut.lock());
        self.is_deaf.send_replace(false);
        cut.cancel();
    }
}

async fn carry(near: TcpStream, router: SocketAddr, is_deaf: watch::Receiver<bool>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(far) = TcpStream::connect(router).await else { return };
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let up = async { tokio::io::copy(&mut near_in, &mut far_out).await };
    let down = async {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = far_in.read(&mut bytes).await {
            if !*is_deaf.borrow() && near_out.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = up => {}
        () = down => {}
    }
}

/// A chat message as a client would send it.
pub(super) fn message(number: u64, to: &BareJid, body: &str) -> Submitted {
    let children = Bytes::from(format!("<body>{body}</body>"));
    draft(number, Kind::Message, "chat", Some(to.as_str()), &children)
}

/// Available presence.
pub(super) fn presence(number: u64) -> Submitted {
    draft(number, Kind::Presence, "", None, &Bytes::new())
}

/// A subscription stanza (RFC 6121 §3).
pub(super) fn subscription(number: u64, to: &BareJid, type_name: &str) -> Submitted {
    draft(number, Kind::Presence, type_name, Some(to.as_str()), &Bytes::new())
}

/// A request to the own account.
pub(super) fn request(number: u64, type_name: &str, payload: String) -> Submitted {
    draft(number, Kind::Iq, type_name, None, &Bytes::from(payload))
}

/// A stanza as a client would send it.
pub(super) fn draft(
    number: u64,
    kind: Kind,
    type_name: &str,
    to: Option<&str>,
    children: &Bytes,
) -> Submitted {
    let id = (kind == Kind::Iq).then_some("one");
    let carried = Carried { kind, type_name, id, lang: None, to, from: None, refusal: None, children };
    Submitted { number, draft: Draft::of_carried(carried).unwrap(), trace: None }
}

/// An authority, and certificates of it in a directory.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Writes the files of a node with these roles; what `believes` has signed is believed.
    pub(super) fn write(&self, directory: &Path, roles: &[Role], believes: &Authority) -> Config {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = |role: &Role| SanType::URI(role.uri().try_into().unwrap());
        params.subject_alt_names = roles.iter().map(uri).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate_file, key_file) = (directory.join("node.crt"), directory.join("node.key"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::write(&certificate_file, certificate.pem()).unwrap();
        std::fs::write(directory.join("ca.crt"), &believes.pem).unwrap();
        Config {
            certificate: certificate_file,
            key: key_file,
            authority: directory.join("ca.crt"),
            ..Config::default()
        }
    }

    /// The identity of a node with these roles.
    pub(super) fn identity(&self, roles: &[Role], believes: &Authority) -> Option<Arc<Identity>> {
        let directory = tempfile::tempdir().unwrap();
        let config = self.write(directory.path(), roles, believes);
        // The directory goes; the files are not looked at again unless they change, and then the former ones hold.
        Identity::open(&config).unwrap()
    }
}
