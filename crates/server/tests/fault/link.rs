//! What connection managers and session routers tell each other comes late, or is lost with its connection, while messages flow.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use starling_testkit::numbered::PATIENCE;
use starling_testkit::{Part, Proxy, Redis, free_port, wrapped};

use crate::kit::{Kit, binary, rounds};

/// How late in each direction, in turn: as from far away, and not yet silent for as long as a link may be (10 s).
const LATE: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(50), Duration::from_secs(3)];
/// For how long what routers say is lost, in turn; then the links are closed.
const LOST: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(3)];
/// Longer than a session's lease (15 s).
const LONG: Duration = Duration::from_secs(20);

/// Between all connection managers and each router.
struct Links {
    proxies: [Proxy; 2],
    /// Where the routers listen.
    routers: [u16; 2],
    redis: Redis,
    directory: tempfile::TempDir,
}

impl Links {
    async fn make() -> Links {
        let directory = tempfile::tempdir().unwrap();
        let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
        let one = free_port().unwrap();
        let other = std::iter::repeat_with(|| free_port().unwrap()).find(|port| *port != one).unwrap();
        let routers = [one, other];
        let proxies = routers.map(|port| Proxy::start(SocketAddr::from(([127, 0, 0, 1], port))).unwrap());
        Links { proxies, routers, redis, directory }
    }

    async fn load(&self) -> Kit {
        let program = |part| {
            let (name, own) = match part {
                Part::Manager(place) => {
                    let [one, other] = self.proxies.each_ref().map(Proxy::address);
                    let routers = format!("[\"{one}\", \"{other}\"]");
                    (format!("manager-{place}"), ("STARLING_CLUSTER_ROUTERS", routers))
                }
                Part::Router(place) => {
                    let listen = format!("127.0.0.1:{}", self.routers.get(place).unwrap());
                    (format!("router-{place}"), ("STARLING_CLUSTER_LISTEN", listen))
                }
            };
            wrapped(&binary(), self.directory.path(), &name, &[own], None).unwrap()
        };
        let kit = Kit::start_each(format!("url = \"redis://{}/0\"", self.redis.address()), program).await;
        kit.flow_of_all("at the beginning").await;
        kit
    }
}

async fn end(kit: Kit) {
    println!("{} messages were refused with `wait`", kit.notes.open().refusals());
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

/// Both links, in both directions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_link_is_slow_and_nothing_worse() {
    let links = Links::make().await;
    let kit = links.load().await;
    for late in LATE.into_iter().cycle().take(rounds(3)) {
        kit.moments.next().await;
        links.proxies.iter().for_each(|proxy| proxy.delay(late));
        let before = kit.notes.open().accepted();
        tokio::time::sleep(LONG).await;
        let accepted = kit.notes.open().accepted() - before;
        println!("{accepted} messages were accepted in {LONG:?} with links {late:?} late each way");
        assert!(accepted > 0, "slow is not dead");
        links.proxies.iter().for_each(|proxy| proxy.delay(Duration::ZERO));
        kit.flow_of_all("with links in time again").await;
    }
    end(kit).await;
}

/// One link in turn: what it had handed on and not heard of is asked of the other router, and done once (session-log rules 2 and 3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_routers_say_that_is_lost_is_not_noticed() {
    let links = Links::make().await;
    let kit = links.load().await;
    for (proxy, during) in links.proxies.iter().cycle().zip(LOST.into_iter().cycle()).take(rounds(6)) {
        kit.moments.next().await;
        let begun = Instant::now();
        let mut lost = 0;
        while lost == 0 {
            assert!(begun.elapsed() < PATIENCE, "nothing was said");
            lost = proxy.lose_replies(during).await;
        }
        kit.flow_of_all(&format!("when {lost} bytes were lost in {during:?}")).await;
    }
    end(kit).await;
}
