//! A master, a replica, and three Sentinels that put the one in the place of the other.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::Redis;
use crate::cluster::free_port;

/// By which name the Sentinels know the master.
const NAME: &str = "starling";

/// All of them.
#[derive(Debug)]
pub struct Sentinels {
    /// The two that hold data; at first the first is master.
    pub data: [Redis; 2],
    ports: Vec<u16>,
    _sentinels: Vec<Child>,
}

impl Sentinels {
    /// Starts them and waits until every Sentinel knows the others and the replica.
    pub async fn start(directory: &Path) -> Result<Sentinels> {
        let replicas = ["--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0"].map(str::to_owned);
        let master = Redis::start_with(&directory.join("one"), free_port()?, &replicas).await?;
        let port = master.address().port().to_string();
        let replica = Redis::start_with(&directory.join("two"), free_port()?, &replicas).await?;
        replica.cli(&["REPLICAOF", "127.0.0.1", &port]).await?;
        replica.cli_until(&["INFO", "replication"], |said| said.contains("master_link_status:up")).await?;
        let (mut sentinels, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let own = free_port()?;
            sentinels.push(sentinel(directory, own, &port)?);
            ports.push(own);
        }
        let all = Sentinels { data: [master, replica], ports, _sentinels: sentinels };
        for own in &all.ports {
            all.knows(*own, |said| said.contains("slaves=1,sentinels=3")).await?;
        }
        Ok(all)
    }

    async fn knows(&self, sentinel: u16, what: impl Fn(&str) -> bool) -> Result<()> {
        for _ in 0..1200 {
            let mut ask = Command::new("redis-cli");
            ask.args(["-p", &sentinel.to_string(), "INFO", "sentinel"]).stdin(Stdio::null());
            let said = ask.output().await.context("redis-cli")?;
            if what(&String::from_utf8_lossy(&said.stdout)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("Sentinel {sentinel} does not see what is there")
    }

    /// Where the Sentinels are; `starling` is their name for the master.
    pub fn addresses(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// For `[redis]` of a configuration.
    pub fn config(&self) -> String {
        let all: Vec<String> = self.addresses().iter().map(|address| format!("\"{address}\"")).collect();
        format!("sentinels = [{}]\nsentinel-master = \"{NAME}\"\n", all.join(", "))
    }

    /// Waits until the one at that place is master, and every Sentinel says so.
    pub async fn promoted(&self, place: usize) -> Result<()> {
        let data = self.data.get(place).context("there are two")?;
        data.cli_until(&["ROLE"], |role| role.starts_with("master")).await?;
        let address = format!("address={}", data.address());
        for own in &self.ports {
            self.knows(*own, |said| said.contains(&address)).await?;
        }
        Ok(())
    }

    /// Waits until the one at that place follows the other.
    pub async fn follows(&self, place: usize) -> Result<()> {
        let data = self.data.get(place).context("there are two")?;
        let is_there = |said: &str| said.contains("role:slave") && said.contains("master_link_status:up");
        data.cli_until(&["INFO", "replication"], is_there).await.map(drop)
    }
}

/// It writes its file itself.
fn sentinel(directory: &Path, own: u16, master: &str) -> Result<Child> {
    let directory = directory.join(format!("sentinel-{own}"));
    std::fs::create_dir_all(&directory)?;
    let file = directory.join("sentinel.conf");
    let settings = format!(
        "port {own}\nbind 127.0.0.1\ndir {}\nlogfile sentinel.log\nsentinel monitor {NAME} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {NAME} 2000\nsentinel failover-timeout {NAME} 10000\n",
        directory.display()
    );
    std::fs::write(&file, settings)?;
    Command::new("redis-server")
        .arg(&file)
        .arg("--sentinel")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting a Sentinel, which is redis-server")
}
