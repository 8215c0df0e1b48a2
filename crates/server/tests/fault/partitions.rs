//! Packets that are lost between nodes which live, while messages flow, all of them or some: nobody is told.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use starling_testkit::{Cut, Island, Part, Proxy, Redis, cql_server, free_port, wrapped};

use crate::kit::{Kit, binary, rounds};

/// Longer than a link may be silent (10 s), and than a session's lease (15 s).
const LONG: Duration = Duration::from_secs(20);
const CUTS: [Cut; 3] = [Cut::Both, Cut::In, Cut::Out];
/// How many of a hundred packets are lost in each direction, in turn.
const LOST: [u8; 3] = [5, 15, 30];

/// The cables to the first router: one from each connection manager, one to Redis. Cassandra is heard of by its address on loopback, so
/// it is on every loopback.
const MANAGERS: [u8; 2] = [0, 1];
const REDIS: u8 = 2;

/// The first session router has a network of its own; all others share the one of the test.
struct Site {
    island: Island,
    redis: (Redis, Proxy),
    cql: Proxy,
    /// Where the other router listens.
    other: u16,
    directory: tempfile::TempDir,
}

impl Site {
    /// `None`, and says so, where this test may make no network.
    async fn make() -> Option<Site> {
        if !Island::is_possible() {
            println!("SKIPPED: network namespaces want root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let island = Island::make(3).unwrap();
        let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
        let to_redis = Proxy::start_at(island.outside(REDIS), redis.address()).unwrap();
        let cql = Proxy::start_on(island.listen().unwrap(), cql_server().parse().unwrap()).unwrap();
        for (name, role) in [("manager", "connection-manager"), ("router", "session-router")] {
            certificate(directory.path(), name, role);
        }
        Some(Site { island, redis: (redis, to_redis), cql, other: free_port().unwrap(), directory })
    }

    /// What a part is told beside its file; between networks it speaks TLS.
    fn program(&self, part: Part) -> PathBuf {
        let path = |file: String| self.directory.path().join(file).display().to_string();
        let tls = |name: &str| {
            vec![
                ("STARLING_CLUSTER_PLAINTEXT", "false".to_owned()),
                ("STARLING_CLUSTER_CERTIFICATE", path(format!("{name}.crt"))),
                ("STARLING_CLUSTER_KEY", path(format!("{name}.key"))),
                ("STARLING_CLUSTER_AUTHORITY", path("authority.crt".to_owned())),
            ]
        };
        let (name, environment, namespace) = match part {
            Part::Manager(place) => {
                let first = self.island.inside(MANAGERS.get(place).copied().unwrap());
                let routers = format!("[\"{first}:5290\", \"127.0.0.1:{}\"]", self.other);
                let own = vec![("STARLING_CLUSTER_ROUTERS", routers)];
                (format!("manager-{place}"), [tls("manager"), own].concat(), None)
            }
            Part::Router(0) => {
                let own = vec![
                    ("STARLING_CLUSTER_LISTEN", "0.0.0.0:5290".to_owned()),
                    ("STARLING_REDIS_URL", format!("redis://{}/0", self.redis.1.address())),
                    ("STARLING_SCYLLA_NODES", format!("[\"{}\"]", self.cql.address())),
                ];
                ("router-0".to_owned(), [tls("router"), own].concat(), Some(self.island.name()))
            }
            Part::Router(place) => {
                let own = vec![("STARLING_CLUSTER_LISTEN", format!("127.0.0.1:{}", self.other))];
                (format!("router-{place}"), [tls("router"), own].concat(), None)
            }
        };
        wrapped(&binary(), self.directory.path(), &name, &environment, namespace).unwrap()
    }

    /// Whether the first router can be reached over that cable.
    fn is_whole(&self, cable: u8) -> bool {
        let router = SocketAddr::from((self.island.inside(cable), 5290));
        TcpStream::connect_timeout(&router, Duration::from_secs(2)).is_ok()
    }

    async fn load(&self) -> Kit {
        let redis = format!("url = \"redis://{}/0\"", self.redis.0.address());
        let kit = Kit::start_each(redis, |part| self.program(part)).await;
        kit.accept("at the beginning").await;
        kit
    }
}

fn certificate(directory: &Path, name: &str, role: &str) {
    let mut command = Command::new(binary());
    let made = command.args(["certificate", name, "--roles", role, "--directory"]).arg(directory).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Cuts a cable for so long, in each way in turn.
async fn cut(site: &Site, kit: &Kit, cable: u8, rounds: usize) {
    for cut in CUTS.into_iter().cycle().take(rounds) {
        kit.moments.next().await;
        site.island.cut(cable, cut).unwrap();
        assert!(!site.is_whole(cable), "{cut:?}: something comes through");
        let long = tokio::time::sleep(LONG);
        kit.accept(&format!("with a cable cut: {cut:?}")).await;
        long.await;
        kit.accept("when it has been for long").await;
        site.island.mend(cable, cut).unwrap();
        assert!(site.is_whole(cable), "{cut:?}: mended");
        kit.accept("when it is whole again").await;
    }
}

async fn end(kit: Kit) {
    println!("{} messages were refused with `wait`", kit.notes.open().refusals());
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

/// It goes on by the other one: what the first had not answered is sent there, and done once (session-log rules 2, 3 and 7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_is_cut_off_from_one_router_goes_on_by_the_other() {
    let Some(site) = Site::make().await else { return };
    let kit = site.load().await;
    cut(&site, &kit, MANAGERS[0], rounds(3)).await;
    end(kit).await;
}

/// What it had committed is found when it is whole again; the other router works with the same accounts meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_cut_off_from_redis_is_not_noticed() {
    let Some(site) = Site::make().await else { return };
    let kit = site.load().await;
    cut(&site, &kit, REDIS, rounds(3)).await;
    end(kit).await;
}

/// TCP sends them again, later and later: its links are slow, or closed and made anew. What it has done is not done again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_loses_packets_is_not_noticed() {
    let Some(site) = Site::make().await else { return };
    let kit = site.load().await;
    for percent in LOST.into_iter().cycle().take(rounds(3)) {
        kit.moments.next().await;
        site.island.lose(percent).unwrap();
        let long = tokio::time::sleep(LONG);
        kit.accept(&format!("with {percent} of 100 packets lost")).await;
        long.await;
        kit.accept("when it has been so for long").await;
        site.island.lose_none().unwrap();
        kit.flow_of_all("when all of them arrive again").await;
    }
    end(kit).await;
}
