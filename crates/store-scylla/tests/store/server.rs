//! The server that the tests run on, and a keyspace of their own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use starling_store_scylla::{Config, Store, migrate};
use tokio::sync::OnceCell;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `scripts/lib/cassandra.sh ARGUMENTS`, for the servers in `directory`.
fn cassandra(directory: Option<&Path>, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(root().join("scripts/lib/cassandra.sh"));
    command.args(arguments);
    if let Some(directory) = directory {
        command.env("CASSANDRA_DIR", directory).env("CASSANDRA_YAML", directory.join("more.yaml"));
    }
    let done = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

/// A line that is seen, whether tests pass or not.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Named in the environment, or started by the script.
fn address() -> (String, bool) {
    if let Ok(given) = std::env::var("STARLING_TEST_CQL") {
        return (given, false);
    }
    let Ok(local) = cassandra(None, &["status"]) else {
        panic!(
            "no CQL server for these tests: start one with `scripts/lib/cassandra.sh start`, or name one by STARLING_TEST_CQL=host:port"
        );
    };
    (local, true)
}

/// A client that is not the one under test.
pub(crate) async fn plain(node: &str) -> Session {
    SessionBuilder::new().known_node(node).build().await.unwrap()
}

fn configured(node: &str, keyspace: String) -> Config {
    Config {
        nodes: vec![node.to_owned()],
        keyspace,
        // Making tables takes a busy machine long, and what else it is asked then too.
        request_timeout: Duration::from_secs(20),
        ..Config::default()
    }
}

/// The server's address; what earlier runs have left there is deleted, once.
async fn node() -> &'static str {
    static NODE: OnceCell<String> = OnceCell::const_new();
    NODE.get_or_init(async || {
        let (node, is_ours) = address();
        if is_ours {
            drop_left_over(&plain(&node).await).await;
        }
        node
    })
    .await
}

/// Keyspaces of test processes that are gone.
async fn drop_left_over(session: &Session) {
    let all = session.query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces", ()).await.unwrap();
    let all = all.into_rows_result().unwrap();
    for row in all.rows::<(String,)>().unwrap() {
        let (name,) = row.unwrap();
        let pid = name.strip_prefix("test_").and_then(|rest| rest.split('_').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {name}"), ()).await.unwrap();
        }
    }
}

/// For a keyspace that nobody else has; there is nothing in it, nor is it there yet.
pub(crate) async fn fresh() -> Config {
    let factor = std::env::var("STARLING_TEST_CQL_REPLICATION").map_or(1, |text| text.parse().unwrap());
    Config { replication_factor: factor, ..fresh_at(node().await) }
}

/// The same on a server of the test's own.
pub(crate) fn fresh_at(node: &str) -> Config {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    configured(node, format!("test_{}_{number}", std::process::id()))
}

/// A store in the keyspace of this run.
pub(crate) async fn store() -> Arc<Store> {
    static SHARED: OnceCell<Config> = OnceCell::const_new();
    let config = SHARED
        .get_or_init(async || {
            let config = fresh().await;
            let migrated = migrate(&config).await.unwrap();
            say(&format!("these tests run on {} at {}", migrated.server, config.nodes[0]));
            config
        })
        .await;
    Store::connect(config).await.unwrap()
}

/// A store in a keyspace of its own.
pub(crate) async fn store_of(config: &Config) -> Arc<Store> {
    migrate(config).await.unwrap();
    Store::connect(config).await.unwrap()
}

/// A server of one test's own. Stopped and deleted when it is dropped.
pub(crate) struct OwnServer {
    directory: tempfile::TempDir,
    pub(crate) address: String,
}

impl OwnServer {
    /// With `more` settings, in a directory that may have files for them.
    pub(crate) fn start_in(directory: tempfile::TempDir, more: &str) -> OwnServer {
        std::fs::write(directory.path().join("more.yaml"), more).unwrap();
        let mut server = OwnServer { directory, address: String::new() };
        server.address = cassandra(Some(server.directory.path()), &["start"]).unwrap();
        server
    }
    pub(crate) fn start(more: &str) -> OwnServer {
        OwnServer::start_in(tempfile::tempdir().unwrap(), more)
    }
    pub(crate) fn start_again(&self) {
        assert_eq!(cassandra(Some(self.directory.path()), &["start"]).unwrap(), self.address);
    }
    /// Killed, it is gone when this returns.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.directory.path().join("n1/pid")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
        if signal == "-KILL" {
            let gone = Path::new("/proc").join(pid.trim());
            while gone.join("fd").read_dir().is_ok_and(|mut open| open.next().is_some()) {
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = cassandra(Some(self.directory.path()), &["clean"]);
    }
}
