//! TLS, certificates and passwords of a Redis Cluster: each of its nodes is reached with what is new.

use std::fs;
use std::path::Path;

use starling_ports::sessions::Sessions as _;
use starling_ports::suite::fresh_user;
use starling_store_redis::{Config, ConnectError, RIGHTS, check};
use starling_testkit::{Redis, RedisCluster};

use crate::secrets::{Authority, tls, watchful};
use crate::talk::{online, soon};
use crate::world::{Routers, patient};

/// Enough that every master has some.
const ACCOUNTS: usize = 24;

fn config(cluster: &RedisCluster, directory: &Path) -> Config {
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
    watchful(Config {
        url: format!("rediss://starling@{}/0", nodes[0]),
        cluster_nodes: nodes[1..].to_vec(),
        password_file: directory.join("password"),
        tls: tls(&directory.join("ours")),
        accept_no_replicas: true,
        ..patient()
    })
}

/// The one of the router, if there is only one: who asks where slots are is gone at once.
async fn connection(node: &Redis) -> Option<String> {
    let all = node.cli(&["CLIENT", "LIST"]).await.unwrap();
    let mut ours = all.lines().filter(|line| line.contains("user=starling"));
    let only = ours.next().and_then(|line| line.split(' ').next()).map(str::to_owned);
    only.filter(|_| ours.next().is_none())
}

async fn connections(cluster: &RedisCluster) -> Vec<String> {
    let mut all = Vec::new();
    for node in &cluster.nodes {
        soon("the router is there", async || connection(node).await.is_some()).await;
        all.push(connection(node).await.unwrap());
    }
    all
}

/// Another connection has taken the place of each that is known.
async fn changed_over(cluster: &RedisCluster, before: &[String]) {
    for (node, before) in cluster.nodes.iter().zip(before) {
        let is_new = async || connection(node).await.is_some_and(|now| now != *before);
        soon("another connection has taken its place", is_new).await;
    }
}

async fn everywhere(cluster: &RedisCluster, command: &[&str]) {
    for node in &cluster.nodes {
        let said = node.cli(command).await.unwrap();
        assert!(said == "OK" || said.parse::<u32>().is_ok(), "{command:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_secret_is_taken_up_by_all_connections_to_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let authority = Authority::new();
    authority.write(&at("ours"));
    authority.write(&at("theirs"));
    Authority::new().write(&at("strangers"));
    fs::write(at("password"), "secret").unwrap();
    let cluster = RedisCluster::start_tls(&at("redis"), &at("theirs")).await.unwrap();
    let mut user = vec!["ACL", "SETUSER", "starling", "on", ">secret"];
    user.extend(RIGHTS.split(' '));
    everywhere(&cluster, &user).await;
    let config = config(&cluster, directory.path());
    let refused = check(&Config { tls: tls(&at("strangers")), ..config.clone() }).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{refused:?}");

    let world = Routers::new();
    let router = world.router_with(config).await;
    let mut accounts = Vec::new();
    for _ in 0..ACCOUNTS {
        let account = fresh_user();
        online(&*router, &account, "desk").await;
        accounts.push(account);
    }
    let all_are_there = async || {
        for account in &accounts {
            assert_eq!(router.list(Some(account), 10).await.unwrap().len(), 1);
        }
    };
    let (before, continuity) = (connections(&cluster).await, router.continuity());
    authority.write(&at("ours"));
    changed_over(&cluster, &before).await;

    let before = connections(&cluster).await;
    fs::write(at("password"), "a newer secret").unwrap();
    everywhere(&cluster, &["ACL", "SETUSER", "starling", ">a newer secret"]).await;
    changed_over(&cluster, &before).await;
    everywhere(&cluster, &["ACL", "SETUSER", "starling", "<secret"]).await;
    all_are_there().await;
    assert_eq!(router.continuity(), continuity, "nobody decides again because of it");
    everywhere(&cluster, &["CLIENT", "KILL", "USER", "starling"]).await;
    all_are_there().await; // with the newer one
}
