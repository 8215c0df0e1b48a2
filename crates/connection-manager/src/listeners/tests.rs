//! Clients that go in the middle of something, at listeners over a pipeline and a store.

mod acks;

use std::future::pending;

use async_trait::async_trait;
use starling_im::{Around, Domains, Pipeline, Stores};
use starling_ports::Result;
use starling_ports::authentication::{Reply, Step};
use starling_ports::clock::SystemClock;
use starling_ports::ids::NodeId;
use starling_ports::roster::{Edit, Roster, Rosters, Written};
use starling_session_router::Login;
use starling_store_embedded::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::config::{ListenConfig, TlsConfig};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                      to='localhost' version='1.0'>";

/// Notes which exchanges have begun and were broken off.
struct Noting {
    login: Arc<Login>,
    begun: Mutex<Vec<u128>>,
    aborted: Mutex<Vec<u128>>,
}

#[async_trait]
impl Authentication for Noting {
    async fn step(&self, step: Step) -> Reply {
        self.begun.lock().push(step.exchange);
        self.login.step(step).await
    }
    fn abort(&self, exchange: u128) {
        self.aborted.lock().push(exchange);
        self.login.abort(exchange);
    }
}

/// A store that answers no question about a roster.
struct Silent(Arc<dyn Rosters>);

#[async_trait]
impl Rosters for Silent {
    async fn get(&self, _: &BareJid) -> Result<Arc<Roster>> {
        pending().await
    }
    async fn write(&self, owner: &BareJid, version: u64, edits: Vec<Edit>) -> Result<Written> {
        self.0.write(owner, version, edits).await
    }
}

struct World {
    listeners: Listeners,
    store: Arc<Store>,
    authentication: Arc<Noting>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl World {
    /// With the account `alice@localhost`, whose password is `secret`.
    async fn new() -> World {
        World::of(|rosters| Arc::new(Silent(rosters)), |pipeline| pipeline).await
    }

    /// The same with what is made of its rosters and of its pipeline.
    async fn of(
        rosters: impl FnOnce(Arc<dyn Rosters>) -> Arc<dyn Rosters>,
        ingress: impl FnOnce(Arc<Pipeline>) -> Arc<dyn Ingress>,
    ) -> World {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("store");
        let config = starling_store_embedded::Config { data_dir, sync: false, ..Default::default() };
        let hub = Arc::new(Hub::new(NodeId::default()));
        let store = Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let login = Arc::new(Login::new(store.clone(), store.clone(), [7; 32], tasks.clone()));
        let domains = vec![BareJid::new("localhost").unwrap()];
        let stores = Stores { rosters: rosters(store.clone()), ..Stores::of(&store) };
        let around = Around {
            delivery: hub.clone(),
            login: login.clone(),
            clock: Arc::new(SystemClock),
            tracer: Tracer::default(),
        };
        let config = starling_im::Config::default();
        let pipeline =
            Pipeline::new(config, Domains::new(domains.clone()), stores, around, &TaskTracker::new());
        let alice = BareJid::new("alice@localhost").unwrap();
        pipeline.context().create_account(&alice, "secret").await.unwrap();
        let authentication = Arc::new(Noting { login, begun: Mutex::default(), aborted: Mutex::default() });
        let local = || vec!["127.0.0.1:0".parse().unwrap()];
        let listen = ListenConfig {
            c2s: Vec::new(),
            direct_tls: Vec::new(),
            http: Vec::new(),
            https: Vec::new(),
            plain: local(),
            plain_http: local(),
            ..ListenConfig::default()
        };
        let listeners = Listeners::start(Setup {
            config: Config { listen, ..Config::default() },
            hub,
            ingress: ingress(pipeline),
            authentication: authentication.clone(),
            tls: Arc::new(Tls::open(&TlsConfig::default(), &domains, directory.path()).unwrap()),
            domains,
            features: String::new(),
            page: None,
            tracer: Tracer::default(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        World { listeners: listeners.unwrap(), store, authentication, tasks, stop, _directory: directory }
    }

    async fn connect(&self, kind: Kind) -> TcpStream {
        let (_, at) = self.listeners.addresses().iter().find(|(one, _)| *one == kind).unwrap();
        TcpStream::connect(at).await.unwrap()
    }

    /// One request of BOSH, and what it is answered.
    async fn ask(&self, body: &str) -> String {
        let mut socket = self.connect(Kind::PlainHttp).await;
        let length = body.len();
        let head = "POST /bosh HTTP/1.1\r\nHost: localhost\r\nConnection: close";
        let request = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Says this, and hears until that is said.
async fn says(socket: &mut TcpStream, text: &str, until: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(until) {
        assert_ne!(socket.read_buf(&mut heard).await.unwrap(), 0, "{}", String::from_utf8_lossy(&heard));
    }
}

#[tokio::test]
async fn a_login_whose_connection_is_lost_is_broken_off() {
    let world = World::new().await;
    let mut socket = world.connect(Kind::Plain).await;
    says(&mut socket, HEADER, "</stream:features>").await;
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1hbGljZSxyPWFiYw==</auth>";
    says(&mut socket, auth, "</challenge>").await; // `n,,n=alice,r=abc`
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap(); // it is reset, not closed
    drop(socket);
    let begun = world.authentication.begun.lock().clone();
    assert_eq!(begun.len(), 1);
    let aborted = async {
        while *world.authentication.aborted.lock() != begun {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, aborted).await.expect("or it is kept for ever");
}

#[tokio::test]
async fn a_bosh_session_that_is_over_is_not_found_while_a_store_keeps_it_waiting() {
    let world = World::new().await;
    let body = |rid: u64, more: &str, payload: &str| {
        let names = "xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'";
        format!("<body {names} rid='{rid}' {more}>{payload}</body>")
    };
    let begun = world.ask(&body(7, "to='localhost' ver='1.6' xmpp:version='1.0'", "")).await;
    let (_, sid) = begun.split_once("sid='").unwrap();
    let sid = format!("sid='{}'", sid.split_once('\'').unwrap().0);
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>";
    assert!(world.ask(&body(8, &sid, auth)).await.contains("<success"));
    world.ask(&body(9, &format!("{sid} to='localhost' xmpp:restart='true'"), "")).await;
    let request = |id: &str, payload: &str| {
        let kind = if id == "bind" { "set" } else { "get" };
        format!("<iq xmlns='jabber:client' type='{kind}' id='{id}'>{payload}</iq>")
    };
    let bind = request("bind", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>");
    assert!(world.ask(&body(10, &sid, &bind)).await.contains("<jid>"));
    let roster = body(11, &sid, &request("roster", "<query xmlns='jabber:iq:roster'/>"));
    let outside = body(1000, &sid, "");
    let waits = world.ask(&roster);
    let ends = async {
        tokio::time::sleep(Duration::from_millis(200)).await; // the roster is asked for by then
        world.ask(&outside).await
    };
    let (_, ended) = tokio::join!(waits, ends);
    assert!(ended.contains("item-not-found"), "{ended}");
    let next = timeout(PATIENCE / 4, world.ask(&body(12, &sid, ""))).await.expect("nobody waits for it");
    assert!(next.contains("item-not-found"), "{next}");
}

#[tokio::test]
async fn a_stop_waits_for_no_body_of_a_request() {
    let world = World::new().await;
    let mut socket = world.connect(Kind::PlainHttp).await;
    let head =
        "POST /bosh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    says(&mut socket, head, "100 Continue").await; // the body is waited for
    world.stop.cancel();
    world.tasks.close();
    timeout(PATIENCE / 4, world.tasks.wait())
        .await
        .expect("or the process is stopped before it has saved all");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}
