//! A master of a Redis Cluster that is lost, and that nobody replaces: its accounts wait, all others go on.

use std::sync::Arc;
use std::time::Duration;

use starling_jid::BareJid;
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::sessions::{Bound, Detach, Sessions as _, Standing};
use starling_ports::suite::fresh_user;
use starling_ports::suite::sessions::renewal_of;
use starling_store_redis::{Config, Sessions, holds_anything};
use starling_testkit::RedisCluster;

use crate::talk::{NODE, deliver, message, resumable, soon};
use crate::world::{Routers, patient};

/// Enough that some of each master have their deadlines at each master.
const ACCOUNTS: usize = 40;

struct Site {
    cluster: RedisCluster,
    routers: Routers,
    _directory: tempfile::TempDir,
}

/// A session, and the place of the master that has its account.
struct Placed {
    account: BareJid,
    desk: Bound,
    master: usize,
}

impl Site {
    async fn start() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let cluster = RedisCluster::start_without_replicas(directory.path()).await.unwrap();
        Site { cluster, routers: Routers::new(), _directory: directory }
    }

    fn config(&self) -> Config {
        let nodes: Vec<String> = self.cluster.nodes.iter().map(|node| node.address().to_string()).collect();
        Config {
            url: format!("redis://{}/0", nodes[0]),
            cluster_nodes: nodes[1..].to_vec(),
            accept_no_replicas: true,
            lease: Duration::from_secs(3),
            call_timeout: Duration::from_secs(5),
            ..patient()
        }
    }

    async fn router(&self) -> Arc<Sessions> {
        self.routers.router_with(self.config()).await
    }

    /// Waits until the first master says that, or does not.
    async fn says_of_slots(&self, what: &str, says: bool) {
        let info = async || self.cluster.nodes[0].cli(&["CLUSTER", "INFO"]).await.unwrap();
        soon(what, async || info().await.contains(what) == says).await;
    }

    async fn records(&self, master: usize) -> usize {
        let all = self.cluster.nodes[master].cli(&["--scan", "--pattern", "s:{*"]).await.unwrap();
        all.lines().filter(|line| !line.is_empty()).count()
    }

    /// Sessions of as many accounts, by which of them has come where.
    async fn people(&self, router: &Sessions) -> Vec<Placed> {
        let mut people = Vec::new();
        let mut records = [0; 3];
        for _ in 0..ACCOUNTS {
            let account = fresh_user();
            let desk = resumable(router, &account, "desk").await;
            let mut master = None;
            for (place, known) in records.iter_mut().enumerate() {
                let now = self.records(place).await;
                if now > *known {
                    (*known, master) = (now, Some(place));
                }
            }
            people.push(Placed { account, desk, master: master.unwrap() });
        }
        people
    }
}

/// What each hears of its session.
async fn renew(router: &Sessions, people: &[Placed]) -> Vec<Standing> {
    let said = people.iter().map(|placed| renewal_of(&placed.account, placed.desk.id)).collect();
    router.renew(NODE, said).await.unwrap().into_iter().map(|renewed| renewed.standing).collect()
}

/// Whoever's master is lost hears so, and everybody else how it stands.
async fn only_theirs_are_away(router: &Sessions, people: &[Placed], dead: usize) {
    for (standing, placed) in renew(router, people).await.into_iter().zip(people) {
        let is_there = matches!(standing, Standing::Held | Standing::Behind);
        let expected = if placed.master == dead { standing == Standing::Away } else { is_there };
        assert!(expected, "{standing:?} of an account of master {}, without {dead}", placed.master);
    }
}

/// Wherever the indexes are that name them.
async fn others_go_on(site: &Site, routers: &[Arc<Sessions>], people: &[Placed], dead: usize, number: u64) {
    for router in routers {
        only_theirs_are_away(router, people, dead).await;
    }
    for (at, placed) in people.iter().enumerate().filter(|(_, placed)| placed.master != dead) {
        let planned = message(at as u128 + 1, number, &[placed.desk.id]);
        deliver(&*routers[at % 2], &site.routers.store, &placed.account, planned).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_other_masters_go_on_without_one() {
    let mut site = Site::start().await;
    let routers = [site.router().await, site.router().await];
    let people = site.people(&routers[0]).await;
    for dead in 0..3 {
        let theirs = people.iter().filter(|placed| placed.master == dead).count();
        assert!(theirs > 0 && theirs < ACCOUNTS, "{theirs} of {ACCOUNTS} are at master {dead}");
    }
    assert!(renew(&routers[0], &people).await.iter().all(|standing| *standing == Standing::Held));

    let dead = 1;
    site.cluster.nodes[dead].kill().await.unwrap();
    others_go_on(&site, &routers, &people, dead, 1).await;
    site.says_of_slots("cluster_slots_fail:0", false).await;
    others_go_on(&site, &routers, &people, dead, 2).await;
    // Some of these deadlines cannot be said now.
    let others = || people.iter().filter(|placed| placed.master != dead);
    for (at, placed) in others().enumerate() {
        let (router, desk) = (&routers[at % 2], &placed.desk);
        router.detach(&placed.account, desk.id, desk.epoch, Detach::Lost).await.unwrap();
    }

    site.cluster.nodes[dead].start_again().await.unwrap();
    site.says_of_slots("cluster_slots_fail:0", true).await;
    soon("nobody is away any more", async || !renew(&routers[0], &people).await.contains(&Standing::Away))
        .await;
    let later = SystemClock.now().after(Duration::from_secs(600));
    let ended = tokio::sync::Mutex::new(Vec::new());
    soon("all that wait are found and end", async || {
        let found = routers[0].expire(later, 1000).await.unwrap();
        ended.lock().await.extend(found.ended.into_iter().map(|ended| ended.id));
        let ended = ended.lock().await;
        others().all(|placed| ended.contains(&placed.desk.id))
    })
    .await;
}

/// Whichever of its masters has the only key: only who asks all of them knows that nothing would be overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_found_on_whichever_master_it_is() {
    let site = Site::start().await;
    let holds = async || holds_anything(site.config(), Arc::new(SystemClock)).await.unwrap();
    for node in &site.cluster.nodes {
        assert!(!holds().await);
        let mut name = 0;
        while node.cli(&["SET", &format!("key-{name}"), "1"]).await.unwrap() != "OK" {
            name += 1; // MOVED: another one has that slot
        }
        assert!(holds().await, "it is at {}", node.address());
        assert_eq!(node.cli(&["DEL", &format!("key-{name}")]).await.unwrap(), "1");
    }
}
