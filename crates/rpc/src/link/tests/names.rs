//! Routers by their name, as a headless Service has it: several addresses, which come and go.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use starling_dns::{Files, Resolver};
use starling_testkit::NameServer;
use tokio::time::timeout;

use super::setup::{Core, Manager};

const NAME: &str = "router.chat.svc.cluster.local";
const DAY: u32 = 86_400;

/// However long its records may be kept, a router is found within 30 s, and nobody is let go because a name server is silent, or
/// knows the name no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_routers_of_a_name_are_found_and_new_ones_within_half_a_minute() {
    let (server, folder) = (NameServer::start().await, tempfile::tempdir().unwrap());
    let resolv_conf = folder.path().join("resolv.conf");
    let search = "search chat.svc.cluster.local svc.cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n";
    std::fs::write(&resolv_conf, search).unwrap();
    let resolver =
        Resolver::of(Files { resolv_conf, hosts: folder.path().join("hosts"), port: server.port() });

    let core = Core::new();
    let (first, stop) = core.router("router-1", None).await;
    let at = |last| SocketAddr::new(IpAddr::from([127, 0, 0, last]), first.port());
    let (_, _second) = core.router_at(at(2), "router-2", None).await;
    server.set(NAME, DAY, &[at(1).ip(), at(2).ip()]);
    let names = vec![format!("router:{}", first.port())];
    let manager = Manager::by_names("manager-1", names, resolver, None);
    manager.linked(2).await;

    let (_, _third) = core.router_at(at(3), "router-3", None).await;
    server.set(NAME, DAY, &[at(2).ip(), at(3).ip()]);
    timeout(Duration::from_secs(30), manager.linked(3)).await.expect("the third is found in time");
    stop.cancel();
    until_asked_again(&server).await;
    server.remove(NAME);
    until_asked_again(&server).await;
    server.silence(true);
    until_asked_again(&server).await;
    assert_eq!(manager.uplinks.count(), 2, "both that are there have their links");
}

async fn until_asked_again(server: &NameServer) {
    let before = server.asked().len();
    while server.asked().len() <= before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
