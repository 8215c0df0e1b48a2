//! A master, a replica, and three Sentinels that put the one in the place of the other.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
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
    /// What the Sentinels want to hear; empty: nothing.
    password: String,
    _sentinels: Vec<Child>,
}

impl Sentinels {
    /// Starts them and waits until every Sentinel knows the others and the replica.
    pub async fn start(directory: &Path) -> Result<Sentinels> {
        Sentinels::start_guarded(directory, "", "").await
    }

    /// The same, where those that hold data, and Sentinels, want a password.
    pub async fn start_guarded(directory: &Path, of_data: &str, of_sentinels: &str) -> Result<Sentinels> {
        let mut words = vec!["--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0"];
        if !of_data.is_empty() {
            words.extend(["--requirepass", of_data, "--masterauth", of_data]);
        }
        let replicas: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let master = Redis::start_with(&directory.join("one"), free_port()?, &replicas).await?;
        let port = master.address().port().to_string();
        let replica = Redis::start_with(&directory.join("two"), free_port()?, &replicas).await?;
        replica.cli(&["REPLICAOF", "127.0.0.1", &port]).await?;
        replica.cli_until(&["INFO", "replication"], |said| said.contains("master_link_status:up")).await?;
        let (mut sentinels, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let own = free_port()?;
            sentinels.push(sentinel(directory, own, &port, of_data, of_sentinels)?);
            ports.push(own);
        }
        let password = of_sentinels.to_owned();
        let all = Sentinels { data: [master, replica], ports, password, _sentinels: sentinels };
        for own in &all.ports {
            all.knows(*own, |said| said.contains("slaves=1,sentinels=3")).await?;
        }
        Ok(all)
    }

    async fn knows(&self, sentinel: u16, what: impl Fn(&str) -> bool) -> Result<()> {
        for _ in 0..1200 {
            if what(&self.ask(sentinel, &["INFO", "sentinel"]).await?) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("Sentinel {sentinel} does not see what is there")
    }

    async fn ask(&self, sentinel: u16, arguments: &[&str]) -> Result<String> {
        let mut ask = Command::new("redis-cli");
        if !self.password.is_empty() {
            ask.env("REDISCLI_AUTH", &self.password);
        }
        ask.args(["-p", &sentinel.to_string()]).args(arguments).stdin(Stdio::null());
        let said = ask.output().await.context("redis-cli")?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// From now on Sentinels want to hear that, also of each other, and not what they wanted before.
    pub async fn change_password(&mut self, newer: &str) -> Result<()> {
        let (more, less) = (format!(">{newer}"), format!("<{}", self.password));
        for step in [
            vec!["ACL", "SETUSER", "default", &more],
            vec!["SENTINEL", "CONFIG", "SET", "sentinel-pass", newer],
            vec!["ACL", "SETUSER", "default", &less],
        ] {
            for own in &self.ports {
                let said = self.ask(*own, &step).await?;
                ensure!(said == "OK", "{step:?}: {said}");
            }
        }
        self.password = newer.to_owned();
        Ok(())
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
fn sentinel(directory: &Path, own: u16, master: &str, of_data: &str, password: &str) -> Result<Child> {
    let directory = directory.join(format!("sentinel-{own}"));
    std::fs::create_dir_all(&directory)?;
    let file = directory.join("sentinel.conf");
    let mut settings = format!(
        "port {own}\nbind 127.0.0.1\ndir {}\nlogfile sentinel.log\nsentinel monitor {NAME} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {NAME} 2000\nsentinel failover-timeout {NAME} 10000\n",
        directory.display()
    );
    if !of_data.is_empty() {
        settings.push_str(&format!("sentinel auth-pass {NAME} {of_data}\n"));
    }
    if !password.is_empty() {
        settings.push_str(&format!("requirepass {password}\n"));
    }
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
