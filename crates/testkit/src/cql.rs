//! The CQL server that tests share: it takes too long to start for each of them to have its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::process::signal;
use crate::redis::copy_all;

/// `host:port` of the one that STARLING_TEST_CQL names, or that `scripts/lib/cassandra.sh start` has started. Panics without one.
pub fn cql_server() -> String {
    if let Ok(given) = std::env::var("STARLING_TEST_CQL") {
        return given;
    }
    let status = Command::new(script()).arg("status").output().unwrap();
    assert!(
        status.status.success(),
        "no CQL server: start one with `scripts/lib/cassandra.sh start`, or name one by STARLING_TEST_CQL=host:port"
    );
    String::from_utf8(status.stdout).unwrap().trim().to_owned()
}

/// What snapshots are called.
const SNAPSHOT: &str = "backup";

/// A Cassandra of a test's own, which may stop and kill it; one node, or several. Needs `scripts/lib/cassandra.sh`, and a gigabyte for
/// each node.
#[derive(Debug)]
pub struct Cassandra {
    directory: PathBuf,
    _own: Option<tempfile::TempDir>,
    nodes: usize,
    /// It hears `nodetool`.
    has_tool: bool,
    address: String,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/lib/cassandra.sh")
}

impl Cassandra {
    /// Starts one node, and waits until it answers.
    pub async fn start() -> Result<Cassandra> {
        Cassandra::start_nodes(1).await
    }

    /// Starts so many, and waits until all of them answer.
    pub async fn start_nodes(nodes: usize) -> Result<Cassandra> {
        Cassandra::start_own(nodes, false).await
    }

    /// Starts one node that `nodetool` reaches.
    pub async fn start_with_nodetool() -> Result<Cassandra> {
        Cassandra::start_own(1, true).await
    }

    /// Starts one node that keeps everything in a directory which outlives it.
    pub async fn start_in(directory: &Path) -> Result<Cassandra> {
        Cassandra::begin(directory.to_owned(), None, 1, false).await
    }

    async fn start_own(nodes: usize, has_tool: bool) -> Result<Cassandra> {
        let own = tempfile::tempdir()?;
        Cassandra::begin(own.path().to_owned(), Some(own), nodes, has_tool).await
    }

    async fn begin(
        directory: PathBuf,
        own: Option<tempfile::TempDir>,
        nodes: usize,
        has_tool: bool,
    ) -> Result<Cassandra> {
        let mut cassandra = Cassandra { directory, _own: own, nodes, has_tool, address: String::new() };
        cassandra.address = cassandra.run(&["start"]).await?;
        Ok(cassandra)
    }

    /// `host:port` of the first node, for clients; the same in all its lives.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// SIGSTOP: its connections stay, and nothing is answered.
    pub fn pause(&self) -> Result<()> {
        signal(self.pid(1)?, Signal::STOP)
    }

    /// SIGCONT.
    pub fn go_on(&self) -> Result<()> {
        signal(self.pid(1)?, Signal::CONT)
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&self) -> Result<()> {
        self.kill_node(1).await
    }

    /// The same of one of several, counted from 1.
    pub async fn kill_node(&self, node: usize) -> Result<()> {
        signal(self.pid(node)?, Signal::KILL)?;
        let (_, port) = self.address.split_once(':').context("its port")?;
        let address = format!("127.0.0.{node}:{port}");
        // Its threads go one after the other, and the last one takes the sockets with it.
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Whether its first node answers anybody.
    pub async fn is_there(&self) -> bool {
        tokio::net::TcpStream::connect(&self.address).await.is_ok()
    }

    /// SIGTERM, and waits until it is gone. Its data stays.
    pub async fn stop(&self) -> Result<()> {
        self.run(&["stop"]).await.map(drop)
    }

    /// What it has kept: to be asked while it is stopped.
    pub fn copy(&self) -> Result<tempfile::TempDir> {
        let copy = tempfile::tempdir()?;
        copy_all(&self.directory, copy.path())?;
        Ok(copy)
    }

    /// The same port again with what a copy holds, whatever has come since.
    pub async fn start_from(&self, copy: &tempfile::TempDir) -> Result<()> {
        std::fs::remove_dir_all(&self.directory)?;
        copy_all(copy.path(), &self.directory)?;
        self.start_again().await
    }

    /// What `nodetool snapshot` says that a keyspace has at this moment: for each table a directory of that name.
    pub async fn snapshot(&self, keyspace: &str) -> Result<tempfile::TempDir> {
        self.run(&["nodetool", "flush", keyspace]).await?;
        self.run(&["nodetool", "snapshot", "-t", SNAPSHOT, keyspace]).await?;
        let copy = tempfile::tempdir()?;
        for (table, directory) in self.tables(keyspace)? {
            copy_all(&directory.join("snapshots").join(SNAPSHOT), &copy.path().join(table))?;
        }
        Ok(copy)
    }

    /// Puts a snapshot in the place of what the tables of a keyspace have. To be done while it is stopped.
    pub fn put_back(&self, keyspace: &str, copy: &tempfile::TempDir) -> Result<()> {
        for (table, directory) in self.tables(keyspace)? {
            std::fs::remove_dir_all(&directory)?;
            copy_all(&copy.path().join(&table), &directory).with_context(|| format!("no {table} in it"))?;
        }
        Ok(std::fs::remove_dir_all(self.directory.join("n1/commitlog"))?)
    }

    /// Another machine takes its place, which has nothing. To be done while it is stopped.
    pub fn lose_all(&self) -> Result<()> {
        for what in ["data", "commitlog", "hints", "saved_caches"] {
            std::fs::remove_dir_all(self.directory.join("n1").join(what))?;
        }
        Ok(())
    }

    /// Each table of a keyspace and its directory, which is called by it and its id.
    fn tables(&self, keyspace: &str) -> Result<Vec<(String, PathBuf)>> {
        let home = self.directory.join("n1/data").join(keyspace);
        let named = |entry: std::io::Result<std::fs::DirEntry>| {
            let directory = entry?.path();
            let name = directory.file_name().and_then(|name| name.to_str()).context("no name")?;
            let (table, _) = name.rsplit_once('-').context("no id")?;
            Ok((table.to_owned(), directory))
        };
        std::fs::read_dir(home)?.map(named).collect()
    }

    /// The same directory and port again; waits until it answers.
    pub async fn start_again(&self) -> Result<()> {
        let address = self.run(&["start"]).await?;
        ensure!(address == self.address, "it came back at {address}");
        Ok(())
    }

    fn pid(&self, node: usize) -> Result<u32> {
        let pid = std::fs::read_to_string(self.directory.join(format!("n{node}/pid")))?;
        pid.trim().parse().context("its pid")
    }

    fn command(&self, what: &[&str]) -> Command {
        let mut command = Command::new(script());
        command.args(what).env("CASSANDRA_DIR", &self.directory).env_remove("CASSANDRA_YAML");
        command.env("CASSANDRA_JMX", if self.has_tool { "1" } else { "" });
        if what == ["start"] {
            command.arg(self.nodes.to_string());
        }
        command
    }

    async fn run(&self, what: &[&str]) -> Result<String> {
        let mut command = self.command(what);
        let done = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        let _ = self.command(&["clean"]).output();
    }
}
