//! Signing in while Redis does nothing: it counts failed logins (RFC 6120 §6.5.11), and nobody guesses uncounted.

use std::time::Duration;

use serde_json::json;
use starling_testkit::{Cluster, ClusterOptions, Connection, Hash, Scram};

use crate::kit::{binary, calm, settles};

/// What an attempt comes to, by the name of the answer and its condition.
async fn attempt(cluster: &Cluster, host: usize, password: &str) -> String {
    let mut connection = Connection::open(cluster.hosts().nth(host)).await.unwrap();
    connection.header("localhost").await.unwrap();
    connection.element("features").await.unwrap();
    let answer = connection.scram(&Scram::new(Hash::Sha256, "alice", password)).await.unwrap();
    let condition = answer.children.first().map_or("", |child| child.name.as_str());
    format!("{} {condition}", answer.name).trim_end().to_owned()
}

/// Right or wrong, the answer is the same, and comes in time: what cannot be counted is not looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nobody_signs_in_and_nobody_guesses() {
    let config = "[redis]\ncall-timeout = \"1s\"\ndeadline = \"2s\"\n".to_owned();
    let options = ClusterOptions { config, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&binary(), &options).await.unwrap();
    let add = json!({"op": "user-add", "jid": "alice@localhost", "password": "secret"});
    cluster.control(add).await.unwrap();
    assert_eq!(attempt(&cluster, 0, "wrong").await, "failure not-authorized");
    assert_eq!(attempt(&cluster, 0, "secret").await, "success");
    let usage = calm(&cluster).await;
    cluster.redis().pause().unwrap();
    for (host, password) in [(0, "wrong"), (1, "secret")] {
        assert_eq!(attempt(&cluster, host, password).await, "failure temporary-auth-failure", "{password}");
    }
    cluster.redis().go_on().unwrap();
    let begun = tokio::time::Instant::now();
    while attempt(&cluster, 1, "secret").await != "success" {
        assert!(begun.elapsed() < Duration::from_secs(60), "signing in goes on with Redis");
    }
    settles(&cluster, &usage).await;
}
