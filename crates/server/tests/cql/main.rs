//! The program with a real CQL server: `scripts/lib/cassandra.sh start`, or STARLING_TEST_CQL=host:port.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use starling_testkit::{Redis, cql_server, http};
use tokio::time::Instant;

fn starling(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.args(arguments).args(["--config", "starling.toml"]).current_dir(directory);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STARLING_")) {
        command.env_remove(name);
    }
    command
}

fn migrate(directory: &Path, more: &[(&str, &str)]) -> Output {
    starling(directory, &["store", "migrate"]).envs(more.iter().copied()).output().unwrap()
}

#[test]
fn tables_are_made_once_and_follow_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let keyspace = format!("test_{}_program", std::process::id());
    let text = format!(
        "[scylla]\nnodes = ['{}']\nkeyspace = '{keyspace}'\nrequest-timeout = '20s'\narchive-kept = '90d'\n",
        cql_server()
    );
    std::fs::write(directory.path().join("starling.toml"), text).unwrap();
    let said = |more: &[(&str, &str)]| {
        let done = migrate(directory.path(), more);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let first = said(&[]);
    assert!(first.starts_with(&format!("keyspace {keyspace} on ")), "{first}");
    assert!(first.trim().ends_with(": made at version 2"), "{first}");
    assert!(said(&[]).trim().ends_with(": is at version 2 already"));
    let longer = said(&[("STARLING_SCYLLA_ARCHIVE_KEPT", "365d")]);
    assert!(longer.contains("archive: new rows are kept 31536000 s, before 7776000 s"), "{longer}");
}

/// A session router on this Redis and a keyspace of the test's own; `more` is said of the process as a whole.
fn configure(directory: &Path, redis: &Redis, test: &str, more: &str) {
    let text = format!(
        "mode = 'cluster'\n{more}redis.url = 'redis://{}/0'\n\
         [cluster]\nroles = ['session-router']\nplaintext = true\nlisten = '127.0.0.1:0'\nsecret = 'secret'\n\
         [scylla]\nnodes = ['{}']\nkeyspace = 'test_{}_{test}'\nrequest-timeout = '20s'\n",
        redis.address(),
        cql_server(),
        std::process::id()
    );
    std::fs::write(directory.join("starling.toml"), text).unwrap();
}

#[tokio::test]
async fn a_router_that_starts_before_redis_serves_when_redis_is_there() {
    const ADMIN: &str = "127.53.90.3:5281";
    let directory = tempfile::tempdir().unwrap();
    let mut redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    redis.kill().await.unwrap();
    configure(directory.path(), &redis, "waiting", &format!("admin.listen = '{ADMIN}'\n"));
    assert!(migrate(directory.path(), &[]).status.success());
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let router = starling(directory.path(), &["run"]);
    let mut router = tokio::process::Command::from(router)
        .stderr(log)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for said in ["Redis is not reached", "ok"] {
        let begun = Instant::now();
        while !http(ADMIN.parse().unwrap(), "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .is_ok_and(|answer| answer.ends_with(&format!("\r\n\r\n{said}\n")))
        {
            let log = directory.path().join("log");
            assert!(router.try_wait().unwrap().is_none(), "{}", std::fs::read_to_string(log).unwrap());
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{said}: {}",
                std::fs::read_to_string(log).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if said != "ok" {
            redis.start_again().await.unwrap();
        }
    }
}

/// From another server into the CQL store, and from there into an embedded one: what that exports is the same.
#[tokio::test]
async fn what_a_cluster_exports_is_what_was_imported() {
    let directory = tempfile::tempdir().unwrap();
    let single = directory.path().join("single");
    std::fs::create_dir(&single).unwrap();
    std::fs::write(single.join("starling.toml"), "").unwrap();
    let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    configure(directory.path(), &redis, "export", "");
    assert!(migrate(directory.path(), &[]).status.success());
    let said = |at: &Path, arguments: &[&str]| {
        let done = starling(at, arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?} {done:?}");
        let said = String::from_utf8(done.stdout).unwrap();
        said.lines().next().unwrap().split_once(": ").unwrap().1.to_owned()
    };
    let prosody = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/exports/prosody");
    let imported = said(directory.path(), &["import", prosody]);
    let [all, again] = ["all.xml", "again.xml"].map(|name| directory.path().join(name));
    assert_eq!(said(directory.path(), &["export", all.to_str().unwrap()]), imported);
    assert_eq!(said(&single, &["import", all.to_str().unwrap()]), imported);
    assert_eq!(said(&single, &["export", again.to_str().unwrap()]), imported);
    assert!(std::fs::read(all).unwrap() == std::fs::read(again).unwrap(), "they differ");
}
