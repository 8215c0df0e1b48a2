//! Redis Cluster: keys of one account in one slot, slots that move, masters that die.

use std::sync::Arc;
use std::time::Duration;

use starling_ports::clock::{Clock, SystemClock};
use starling_ports::suite::{fresh_user, sessions as suite};
use starling_store_redis::{Config, ConnectError, RIGHTS, Sessions, check};
use starling_testkit::RedisCluster;

use crate::talk::resumable;
use crate::world::{Routers, patient};
use crate::writers::Writers;

struct Site {
    cluster: RedisCluster,
    routers: Routers,
    directory: tempfile::TempDir,
}

impl Site {
    /// Everybody who connects has the least rights.
    async fn start() -> Site {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("password"), "secret").unwrap();
        let cluster = RedisCluster::start(&directory.path().join("redis")).await.unwrap();
        let site = Site { cluster, routers: Routers::new(), directory };
        for place in 0..site.cluster.nodes.len() {
            site.let_in(place).await;
        }
        site
    }

    async fn let_in(&self, place: usize) {
        let mut user = vec!["ACL", "SETUSER", "starling", "on", ">secret"];
        user.extend(RIGHTS.split(' '));
        assert_eq!(self.cluster.nodes[place].cli(&user).await.unwrap(), "OK");
    }

    fn config(&self) -> Config {
        let nodes: Vec<String> = self.cluster.nodes.iter().map(|node| node.address().to_string()).collect();
        Config {
            url: format!("redis://starling@{}/0", nodes[0]),
            cluster_nodes: nodes[1..].to_vec(),
            password_file: self.directory.path().join("password"),
            call_timeout: Duration::from_secs(2),
            ..patient()
        }
    }

    async fn router(&self) -> Arc<Sessions> {
        self.routers.router_with(self.config()).await
    }

    /// The one that has the only account.
    async fn master(&self) -> usize {
        for master in self.cluster.masters().await.unwrap() {
            if !self.cluster.slots_with_accounts(master).await.unwrap().is_empty() {
                return master;
            }
        }
        panic!("no master has an account");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_and_slots_may_move() {
    let site = Site::start().await;
    let (one, other) = (site.router().await, site.router().await);
    an_account_goes_on_while_its_slot_moves(&site, &[one.clone(), other.clone()]).await;
    site.cluster.nodes[0]
        .cli(&["--cluster", "call", &site.cluster.nodes[0].address().to_string(), "FLUSHALL"])
        .await
        .unwrap();
    let store = &*site.routers.store;
    suite::sessions_are_counted(&*one, &*one).await; // while nothing else is there
    suite::a_stale_view_commits_nothing(&*one, store).await;
    suite::a_message_goes_its_way(&*one, store).await;
    suite::a_renewal_tells_who_is_behind(&*one, store).await;
    suite::a_retry_is_answered(&*one, store).await;
    suite::a_reader_stores_what_is_committed(&*one, store).await;
    suite::offline_messages_wait_for_an_acknowledgement(&*one, store).await;
    suite::a_session_is_resumed(&*one, store).await;
    suite::an_ended_session_leaves_its_h(&*one).await;
    suite::a_forgotten_session_is_registered_again(&*one, store).await;
    suite::an_ended_session_is_not_registered_again(&*one).await;
    suite::all_sessions_of_an_account_end(&*one).await;
    suite::a_view_from_memory_is_checked(&*one, &*other).await;
    suite::a_commit_carries_what_is_handled(&*one, &*other).await;
    suite::a_waiting_session_expires(&*one, SystemClock.now()).await;
    suite::a_farewell_is_owed_until_it_is_settled(&*one, &*other, SystemClock.now()).await;
    a_master_that_waits_for_no_replica_is_refused(&site).await;
}

/// Rule 25: ASK, TRYAGAIN and MOVED are tried again.
async fn an_account_goes_on_while_its_slot_moves(site: &Site, routers: &[Arc<Sessions>]) {
    let account = fresh_user();
    let desk = resumable(&*routers[0], &account, "desk").await;
    let writers = Writers::begin(routers, &site.routers.store, &account, &desk);
    for _ in 0..3 {
        writers.more(30).await;
        let from = site.master().await;
        let slot = *site.cluster.slots_with_accounts(from).await.unwrap().first().unwrap();
        let to = site.cluster.masters().await.unwrap().into_iter().find(|to| *to != from).unwrap();
        site.cluster.move_slot(slot, from, to, Duration::from_millis(300)).await.unwrap();
        assert_eq!(site.master().await, to);
    }
    writers.more(30).await;
    writers.end(&*routers[0], &site.routers.store, &account, &desk).await;
}

/// Rule 10.
async fn a_master_that_waits_for_no_replica_is_refused(site: &Site) {
    check(&site.config()).await.unwrap();
    let master = site.cluster.masters().await.unwrap()[2];
    let node = &site.cluster.nodes[master];
    node.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await.unwrap();
    let refused = check(&site.config()).await.unwrap_err();
    let ConnectError::Unsafe { at, setting, accept, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!((at.as_str(), *setting), (&*node.address().to_string(), "min-replicas-to-write 1"));
    assert_eq!(*accept, "accept-no-replicas");
    check(&Config { accept_no_replicas: true, ..site.config() }).await.unwrap();
}

/// Architecture §6: a replica that lags takes over. What was answered is in the archive and comes to the session, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_replica_in_its_masters_place_loses_and_doubles_nothing() {
    let mut site = Site::start().await;
    let routers = [site.router().await, site.router().await];
    let account = fresh_user();
    let desk = resumable(&*routers[0], &account, "desk").await;
    let writers = Writers::begin(&routers, &site.routers.store, &account, &desk);
    writers.more(30).await;
    let master = site.master().await;
    let replica = site.cluster.leave_behind(master).await.unwrap();
    writers.more(30).await;
    site.cluster.nodes[master].kill().await.unwrap();
    site.cluster.promoted(replica).await.unwrap();
    site.cluster.nodes[master].start_again().await.unwrap();
    site.let_in(master).await;
    writers.more(30).await; // not before the new master has a replica of its own
    writers.end(&*routers[0], &site.routers.store, &account, &desk).await;
}
