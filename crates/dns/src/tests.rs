//! Names of a name server of the test's own, and files beside it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use starling_testkit::NameServer;

use super::*;

const LONG: u32 = 86_400;

/// A name server, and what a pod is told of it.
struct World {
    server: NameServer,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(resolv_conf: &str) -> World {
        let world = World { server: NameServer::start().await, folder: tempfile::tempdir().unwrap() };
        world.resolv_conf(resolv_conf);
        world
    }

    fn resolv_conf(&self, text: &str) {
        std::fs::write(self.folder.path().join("resolv.conf"), text).unwrap();
    }

    fn hosts(&self, text: &str) {
        std::fs::write(self.folder.path().join("hosts"), text).unwrap();
    }

    fn resolver(&self) -> Resolver {
        Resolver::of(Files {
            resolv_conf: self.folder.path().join("resolv.conf"),
            hosts: self.folder.path().join("hosts"),
            port: self.server.port(),
        })
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses
}

/// As the kubelet writes it.
const POD: &str =
    "search chat.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n";

#[tokio::test]
async fn a_name_has_all_of_its_addresses() {
    let world = World::new("nameserver 127.0.0.1\n").await;
    let all = ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]);
    world.server.set("routers.example", LONG, &all);
    assert_eq!(sorted(world.resolver().addresses("routers.example").await.unwrap()), all);
    let sockets = world.resolver().sockets("routers.example:5290").await.unwrap();
    assert_eq!(sockets.iter().filter(|socket| socket.port() == 5290).count(), 4);
}

/// Too many for a packet over UDP: the rest comes over TCP.
#[tokio::test]
async fn a_long_answer_is_whole() {
    let world = World::new("nameserver 127.0.0.1\n").await;
    let all: Vec<IpAddr> = (1..=200).map(|last| [10, 0, 0, last].into()).collect();
    world.server.set("routers.example", LONG, &all);
    assert_eq!(sorted(world.resolver().addresses("routers.example").await.unwrap()), all);
}

#[tokio::test]
async fn a_short_name_is_searched_for_as_in_a_pod() {
    let world = World::new(POD).await;
    world.server.set("router.chat.svc.cluster.local", 5, &ips(&["10.0.0.1"]));
    world.server.set("redis.stores.svc.cluster.local", 5, &ips(&["10.0.0.2"]));
    world.server.set("db.example.org", 5, &ips(&["10.0.0.3"]));
    let resolver = world.resolver();
    assert_eq!(resolver.addresses("router").await.unwrap(), ips(&["10.0.0.1"]));
    assert_eq!(resolver.addresses("redis.stores").await.unwrap(), ips(&["10.0.0.2"]));
    assert_eq!(resolver.addresses("db.example.org").await.unwrap(), ips(&["10.0.0.3"]));
    let asked = world.server.asked();
    assert!(
        asked.contains(&"db.example.org.chat.svc.cluster.local".to_owned()),
        "ndots is heeded: {asked:?}"
    );
    let before = asked.len();
    resolver.addresses("router.chat.svc.cluster.local.").await.unwrap();
    let asked = world.server.asked();
    assert!(asked.iter().skip(before).all(|name| name == "router.chat.svc.cluster.local"), "{asked:?}");
}

/// However long its records might be kept.
#[tokio::test]
async fn a_changed_name_is_seen_at_once_and_one_that_goes_away_is_unknown() {
    let world = World::new("nameserver 127.0.0.1\n").await;
    let resolver = world.resolver();
    let unknown = LookupError::Unknown("router.example".to_owned());
    assert_eq!(resolver.addresses("router.example").await, Err(unknown.clone()));
    world.server.set("router.example", LONG, &ips(&["10.0.0.1"]));
    assert_eq!(resolver.addresses("router.example").await.unwrap(), ips(&["10.0.0.1"]));
    world.server.set("router.example", LONG, &ips(&["10.0.0.2"]));
    assert_eq!(resolver.addresses("router.example").await.unwrap(), ips(&["10.0.0.2"]));
    world.server.set("router.example", LONG, &[]);
    assert_eq!(resolver.addresses("router.example").await, Err(unknown.clone()));
    world.server.remove("router.example");
    assert_eq!(resolver.addresses("router.example").await, Err(unknown));
}

#[tokio::test]
async fn a_silent_name_server_is_waited_for_so_long_and_named_as_that() {
    let world = World::new(POD).await;
    world.server.silence(true);
    let begun = Instant::now();
    let error = world.resolver().addresses("router").await.unwrap_err();
    assert_eq!(error.to_string(), "router: no name server has answered within 5s");
    assert!(begun.elapsed() < WITHIN + Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
}

/// 127.0.0.9 has nobody who answers: the other one does, well within the time.
#[tokio::test]
async fn one_silent_name_server_of_two_does_not_matter() {
    let world = World::new("nameserver 127.0.0.9\nnameserver 127.0.0.1\n").await;
    let silent = tokio::net::UdpSocket::bind(("127.0.0.9", world.server.port())).await.unwrap();
    world.server.set("router.example", LONG, &ips(&["10.0.0.1"]));
    assert_eq!(world.resolver().addresses("router.example").await.unwrap(), ips(&["10.0.0.1"]));
    drop(silent);
}

#[tokio::test]
async fn the_hosts_file_is_believed_before_anybody_is_asked() {
    let world = World::new(POD).await;
    world.server.set("router.chat.svc.cluster.local", LONG, &ips(&["10.0.0.1"]));
    world.hosts("127.0.0.1 localhost\n10.0.0.7 Router # an alias of the pod\nfd00::7 router\n");
    assert_eq!(world.resolver().addresses("ROUTER").await.unwrap(), ips(&["10.0.0.7", "fd00::7"]));
    assert_eq!(world.resolver().addresses("localhost").await.unwrap(), ips(&["127.0.0.1"]));
    assert_eq!(world.server.asked(), [""; 0]);
    world.hosts("10.0.0.8 router\n");
    assert_eq!(world.resolver().addresses("router").await.unwrap(), ips(&["10.0.0.8"]), "it is read anew");
}

#[tokio::test]
async fn files_that_are_not_there_mean_the_name_server_of_this_machine() {
    let world = World::new("").await;
    std::fs::remove_file(world.folder.path().join("resolv.conf")).unwrap();
    world.server.set("router.example", LONG, &ips(&["10.0.0.1"]));
    assert_eq!(world.resolver().addresses("router.example").await.unwrap(), ips(&["10.0.0.1"]));
    assert_eq!(world.resolver().addresses("localhost").await.unwrap(), ips(&["127.0.0.1"]));
    world.resolv_conf("search example\n");
    assert_eq!(world.resolver().addresses("router").await.unwrap(), ips(&["10.0.0.1"]));
}

#[tokio::test]
async fn addresses_need_no_name_server_and_nonsense_is_refused() {
    let world = World::new("nameserver 127.0.0.1\n").await;
    let resolver = world.resolver();
    for text in ["10.0.0.1:6379", "[fd00::1]:6379", "[::1]:1"] {
        assert_eq!(resolver.sockets(text).await.unwrap(), [text.parse().unwrap()]);
    }
    let long = format!("{}.example:1", "a".repeat(64));
    for text in ["router", "router:", "router:no", "router:65536", "a..b:1", long.as_str()] {
        assert!(matches!(resolver.sockets(text).await, Err(LookupError::Malformed(_))), "{text}");
    }
    assert_eq!(world.server.asked(), [""; 0]);
}

/// Of two addresses one refuses: the other one is taken.
#[tokio::test]
async fn a_connection_goes_to_an_address_that_takes_it() {
    let world = World::new("nameserver 127.0.0.1\n").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    world.server.set("redis.example", LONG, &ips(&["127.0.0.8", "127.0.0.1"]));
    let socket = world.resolver().connect("redis.example", port).await.unwrap();
    assert_eq!(socket.peer_addr().unwrap(), listener.local_addr().unwrap());
    let error = world.resolver().connect("nobody.example", port).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
