//! A Redis Cluster of a test's own: three masters, each with a replica or without, on loopback.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xxhash_rust::xxh3::xxh3_128;

use crate::Redis;
use crate::cluster::free_port;

const MASTERS: usize = 3;

/// What every node is started with.
const SETTINGS: &str = "--cluster-enabled yes --cluster-node-timeout 3000 --cluster-replica-validity-factor 0 \
                        --repl-diskless-sync-delay 0";
/// Stands for the node's own port.
const PORT: &str = "PORT";
/// Where each has a replica.
const AWAITS: &str = "--min-replicas-to-write 1 --min-replicas-max-lag 10";
/// Where a master that is lost takes its slots with it, and no others.
const ALONE: &str = "--cluster-require-full-coverage no";

/// Its nodes, dead or alive. Which of them are masters changes with each failover.
#[derive(Debug)]
pub struct RedisCluster {
    /// In the order in which they were started.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each master has a replica that listens.
    pub async fn start(directory: &Path) -> Result<RedisCluster> {
        let cluster = RedisCluster::start_as(directory, 1, AWAITS).await?;
        cluster.settled().await?;
        Ok(cluster)
    }

    /// The same without replicas: who loses a master has lost what was there until it is back, and nothing else.
    pub async fn start_without_replicas(directory: &Path) -> Result<RedisCluster> {
        let cluster = RedisCluster::start_as(directory, 0, ALONE).await?;
        cluster.agree().await?;
        Ok(cluster)
    }

    /// The same, over TLS alone, to whoever has a certificate of the same authority: in `certificates` are `ca.pem`, `certificate.pem`
    /// and `key.pem`.
    pub async fn start_tls(directory: &Path, certificates: &Path) -> Result<RedisCluster> {
        let file = |name: &str| certificates.join(name).display().to_string();
        let settings = format!(
            "{ALONE} --port 0 --tls-port {PORT} --tls-cluster yes --tls-replication yes --tls-ca-cert-file {} \
             --tls-cert-file {} --tls-key-file {}",
            file("ca.pem"),
            file("certificate.pem"),
            file("key.pem")
        );
        let cluster = RedisCluster::start_as(directory, 0, &settings).await?;
        cluster.agree().await?;
        Ok(cluster)
    }

    async fn agree(&self) -> Result<()> {
        for node in &self.nodes {
            node.cli_until(&["CLUSTER", "INFO"], |said| said.contains("cluster_state:ok")).await?;
        }
        Ok(())
    }

    async fn start_as(directory: &Path, replicas: usize, settings: &str) -> Result<RedisCluster> {
        let mut nodes = Vec::new();
        while nodes.len() < MASTERS * (1 + replicas) {
            let port = free_port()?;
            let settings = settings.replace(PORT, &port.to_string());
            let more: Vec<String> =
                [SETTINGS, &settings].iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
            // Somebody else may have taken the port, or the one of the cluster's bus above it.
            if let Ok(node) = Redis::start_with(&directory.join(port.to_string()), port, &more).await {
                nodes.push(node);
            }
        }
        let cluster = RedisCluster { nodes };
        let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address().to_string()).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        let replicas = replicas.to_string();
        create.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
        let said = cluster.node(0)?.cli(&create).await?;
        ensure!(said.contains("All 16384 slots covered"), "no cluster was made: {said}");
        Ok(cluster)
    }

    fn node(&self, place: usize) -> Result<&Redis> {
        self.nodes.get(place).context("there are not so many nodes")
    }

    /// For `[redis]` of a configuration: where it is first asked.
    pub fn config(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        let (first, more) = urls.split_first().map_or(("", &[][..]), |(first, more)| (first, more));
        let more: Vec<String> = more.iter().map(|node| format!("\"{node}\"")).collect();
        format!("url = \"redis://{first}/0\"\ncluster-nodes = [{}]\n", more.join(", "))
    }

    /// Waits until all nodes live, agree, and each master has a replica that listens.
    pub async fn settled(&self) -> Result<()> {
        for node in &self.nodes {
            // One that was left behind may hear its next master.
            node.cli(&["CONFIG", "SET", "masterauth", "", "masteruser", ""]).await?;
            node.cli_until(&["CLUSTER", "INFO"], |said| said.contains("cluster_state:ok")).await?;
            let has_company = |said: &str| {
                said.contains("min_slaves_good_slaves:1") || said.contains("master_link_status:up")
            };
            node.cli_until(&["INFO", "replication"], has_company).await?;
        }
        Ok(())
    }

    /// The places of those that have slots.
    pub async fn masters(&self) -> Result<Vec<usize>> {
        let mut masters = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            if node.is_master().await {
                masters.push(place);
            }
        }
        Ok(masters)
    }

    /// The place of the replica of that master.
    pub async fn replica_of(&self, master: usize) -> Result<usize> {
        let port = self.node(master)?.address().port().to_string();
        for (place, node) in self.nodes.iter().enumerate() {
            let role = node.cli(&["ROLE"]).await?;
            let mut lines = role.lines();
            if lines.next() == Some("slave") && lines.nth(1) == Some(&port) {
                return Ok(place);
            }
        }
        bail!("it has no replica")
    }

    /// The place of the master that has that key.
    pub async fn master_of(&self, key: &str) -> Result<usize> {
        for (place, node) in self.nodes.iter().enumerate() {
            let said = node.cli(&["TYPE", key]).await?;
            if !said.is_empty() && !said.contains("MOVED") && node.is_master().await {
                return Ok(place);
            }
        }
        bail!("nobody has {key}")
    }

    /// Before there is any key: what belongs to that account will lie at another master than this one.
    pub async fn keep_away(&self, account: &str, master: usize) -> Result<()> {
        let key = record_of(account);
        if self.master_of(&key).await? == master {
            let slot = self.node(master)?.cli(&["CLUSTER", "KEYSLOT", &key]).await?.parse()?;
            self.move_slot(slot, master, (master + 1) % MASTERS, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Slots of that master in which accounts lie.
    pub async fn slots_with_accounts(&self, master: usize) -> Result<BTreeSet<u16>> {
        let node = self.node(master)?;
        let mut slots = BTreeSet::new();
        for key in node.cli(&["--scan", "--pattern", "s:{*"]).await?.lines() {
            slots.insert(node.cli(&["CLUSTER", "KEYSLOT", key]).await?.parse()?);
        }
        Ok(slots)
    }

    /// Moves a slot as `redis-cli --cluster reshard` does, and stays in the middle of it for a while.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize, meanwhile: Duration) -> Result<()> {
        let (from, to) = (self.node(from)?, self.node(to)?);
        let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]).await?, to.cli(&["CLUSTER", "MYID"]).await?);
        let (slot, port) = (slot.to_string(), to.address().port().to_string());
        done(&to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await?)?;
        done(&from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await?)?;
        loop {
            let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]).await?;
            if keys.is_empty() {
                break;
            }
            let said = from.cli(&["MIGRATE", "127.0.0.1", &port, &keys, "0", "5000"]).await?;
            ensure!(matches!(said.as_str(), "OK" | "NOKEY"), "{said}");
            tokio::time::sleep(meanwhile).await;
        }
        for node in [to, from] {
            done(&node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await?)?;
        }
        Ok(())
    }

    /// The replica of that master hears nothing more of it, and the master does not wait for it. Returns the replica's place.
    pub async fn leave_behind(&self, master: usize) -> Result<usize> {
        let replica = self.replica_of(master).await?;
        let (to, from) = (self.node(replica)?, self.node(master)?);
        done(&from.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await?)?;
        done(&to.cli(&["CONFIG", "SET", "masterauth", "wrong", "masteruser", "nobody"]).await?)?;
        from.cli(&["CLIENT", "KILL", "TYPE", "REPLICA"]).await?;
        to.cli_until(&["INFO", "replication"], |said| said.contains("master_link_status:down")).await?;
        Ok(replica)
    }

    /// Waits until that node has taken the place of its master.
    pub async fn promoted(&self, place: usize) -> Result<()> {
        let node = self.node(place)?;
        node.cli_until(&["ROLE"], |role| role.starts_with("master")).await?;
        node.cli_until(&["CLUSTER", "INFO"], |said| said.contains("cluster_state:ok")).await.map(drop)
    }
}

/// What the server calls an account's record, as its operators can see.
pub fn record_of(account: &str) -> String {
    format!("s:{{{:032x}}}", xxh3_128(account.as_bytes()))
}

fn done(said: &str) -> Result<()> {
    ensure!(said == "OK", "{said}");
    Ok(())
}
