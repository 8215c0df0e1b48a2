//! `starling config check` of a session router: Redis is asked for what a start would refuse (session-log rule 10).

use std::path::Path;
use std::process::{Command, Output};

use starling_testkit::Redis;

use crate::kit::binary;

fn config_check(directory: &Path, redis: &str) -> Output {
    let secret = directory.join("secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    let cluster =
        "roles = [\"session-router\"]\nstores = \"shared\"\nplaintext = true\nlisten = \"127.0.0.1:5290\"";
    let file = directory.join("starling.toml");
    let text = format!(
        "mode = \"cluster\"\n[cluster]\n{cluster}\nsecret = \"{}\"\n[redis]\nurl = \"redis://{redis}/0\"\n",
        secret.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STARLING_")) {
        command.env_remove(name); // what is said to tests is not said to it
    }
    command.args(["config", "check", "--config"]).arg(file).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_check_says_what_redis_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    let address = redis.address().to_string();
    assert!(config_check(directory.path(), &address).status.success());
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    let refused = config_check(directory.path(), &address);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains(&address) && said.contains("maxmemory-policy noeviction"), "{said}");
    drop(redis);
    let away = config_check(directory.path(), &address);
    let said = String::from_utf8_lossy(&away.stderr);
    assert!(away.status.success() && said.contains("not looked at"), "{said}");
}
