//! A cluster whose parts are killed, paused and started again, one at a time.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::keyspace;
use crate::member::Member;
use crate::numbered::Hosts;
use crate::process::Process;
use crate::{Redis, ServerOptions, Usage, cql_server};

/// What names the stores alone, in its directory.
const MIGRATE: &str = "migrate.toml";

/// How it is made.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How many connection managers.
    pub managers: usize,
    /// How many session routers.
    pub routers: usize,
    /// `host:port` of a CQL server, in which the cluster gets a keyspace of its own.
    pub cql: String,
    /// How many of its nodes keep a copy of each row.
    pub replication: u32,
    /// What stands in `[redis]` for one that is there; empty: the cluster has one of its own.
    pub redis: String,
    /// More TOML, for all of them.
    pub config: String,
}

/// Two of each role, so that one can go, on a Redis of its own and the CQL server of the tests.
impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        let (redis, config) = (String::new(), String::new());
        ClusterOptions { managers: 2, routers: 2, cql: cql_server(), replication: 1, redis, config }
    }
}

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The connection manager of that place.
    Manager(usize),
    /// The session router of that place.
    Router(usize),
}

/// Its processes. Each starts again on the ports and in the directory that it had.
#[derive(Debug)]
pub struct Cluster {
    redis: Option<Redis>,
    managers: Vec<Place>,
    routers: Vec<Place>,
    hosts: Hosts,
    /// The CQL server, and what is its own there.
    tables: (String, String),
    directory: tempfile::TempDir,
}

#[derive(Debug)]
struct Place {
    member: Member,
    process: Option<Process>,
}

impl Place {
    async fn of(member: Member) -> Result<Place> {
        let process = Some(member.start().await?);
        Ok(Place { member, process })
    }

    async fn start(&mut self) -> Result<()> {
        self.process = None; // killed, if it still runs
        self.process = Some(self.member.start().await?);
        Ok(())
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("it is not running")
    }
}

impl Cluster {
    /// Starts `binary` in all roles, on a CQL server that is there.
    pub async fn start(binary: &Path, options: &ClusterOptions) -> Result<Cluster> {
        Cluster::start_filled(binary, options, |_| ()).await
    }

    /// The same, where not all are the same program: `binary` makes the tables.
    pub async fn start_each(
        binary: &Path,
        options: &ClusterOptions,
        program: impl Fn(Part) -> PathBuf,
    ) -> Result<Cluster> {
        Cluster::start_as(binary, options, |_| (), program).await
    }

    /// The same; before any process runs `fill` gets the file that names the stores.
    pub async fn start_filled(
        binary: &Path,
        options: &ClusterOptions,
        fill: impl FnOnce(&Path),
    ) -> Result<Cluster> {
        Cluster::start_as(binary, options, fill, |_| binary.to_owned()).await
    }

    async fn start_as(
        binary: &Path,
        options: &ClusterOptions,
        fill: impl FnOnce(&Path),
        program: impl Fn(Part) -> PathBuf,
    ) -> Result<Cluster> {
        let (directory, counts) = (tempfile::tempdir()?, (options.routers, options.managers));
        let root = directory.path();
        let port = free_port()?;
        let (redis, named) = if options.redis.is_empty() {
            let redis = Redis::start(&root.join("redis"), port).await?;
            let named = format!("url = \"redis://{}/0\"", redis.address());
            (Some(redis), named)
        } else {
            (None, options.redis.clone())
        };
        let secret = root.join("secret");
        std::fs::write(&secret, [7; 32])?;
        let keyspace = format!("test_{}_{port}", std::process::id());
        let stores = format!(
            "[redis]\n{named}\n[scylla]\nnodes = [\"{}\"]\nkeyspace = \"{keyspace}\"\nreplication-factor = {}\n\
             request-timeout = \"20s\"\n",
            options.cql, options.replication,
        );
        let config = root.join(MIGRATE);
        std::fs::write(&config, &stores)?;
        migrate(binary, &config)?;
        fill(&config);
        let cql = options.cql.clone();
        let options =
            |name: String| ServerOptions { config: options.config.clone(), data_dir: Some(root.join(name)) };
        let stores = format!("[cluster]\nsecret = \"{}\"\n{stores}", secret.display());
        let mut at: Vec<SocketAddr> = Vec::new();
        while at.len() < counts.0 {
            let free = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            if !at.contains(&free) {
                at.push(free); // nobody listens on the others yet, so they may be found again
            }
        }
        let (mut routers, mut managers) = (Vec::new(), Vec::new());
        for (number, at) in at.iter().enumerate() {
            let options = options(format!("router-{number}"));
            let binary = program(Part::Router(number));
            routers.push(Place::of(Member::router(&binary, number, *at, &stores, options)).await?);
        }
        for number in 0..counts.1 {
            let options = options(format!("manager-{number}"));
            let binary = program(Part::Manager(number));
            managers.push(Place::of(Member::manager(&binary, number, &at, options)).await?);
        }
        let hosts = managers.iter().map(plain).collect::<Result<_>>()?;
        let tables = (cql, keyspace);
        Ok(Cluster { redis, managers, routers, hosts: Hosts::new(hosts), tables, directory })
    }

    /// What holds the sessions, if it is the cluster's own.
    pub fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("ClusterOptions names no other")
    }

    /// Where that is.
    pub fn redis_address(&self) -> SocketAddr {
        self.redis.as_ref().expect("ClusterOptions names no other").address()
    }

    /// Where clients come in.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    fn place(&mut self, part: Part) -> Result<&mut Place> {
        let (places, place) = match part {
            Part::Manager(place) => (&mut self.managers, place),
            Part::Router(place) => (&mut self.routers, place),
        };
        places.get_mut(place).context("there are not so many")
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self, part: Part) -> Result<()> {
        let place = self.place(part)?;
        place.process()?.kill().await?;
        place.process = None;
        Ok(())
    }

    /// Starts it again.
    pub async fn start_again(&mut self, part: Part) -> Result<()> {
        let place = self.place(part)?;
        place.start().await?;
        if let Part::Manager(number) = part {
            let address = plain(place)?;
            self.hosts.moved(number, address);
        }
        Ok(())
    }

    /// Starts it again as another program.
    pub async fn start_another(&mut self, part: Part, binary: &Path) -> Result<()> {
        self.place(part)?.member.becomes(binary);
        self.start_again(part).await
    }

    /// That of the cluster, on the CQL server.
    pub fn keyspace(&self) -> &str {
        &self.tables.1
    }

    /// Makes the tables what another program wants them to be, while all run.
    pub fn migrate(&self, binary: &Path) -> Result<()> {
        migrate(binary, &self.directory.path().join(MIGRATE))
    }

    /// SIGTERM, and waits until it has left by itself.
    pub async fn stop(&mut self, part: Part) -> Result<()> {
        let place = self.place(part)?;
        place.process()?.signal(Signal::TERM)?;
        place.process()?.stopped().await?;
        place.process = None;
        Ok(())
    }

    /// SIGSTOP: it lives, and does nothing.
    pub fn pause(&mut self, part: Part) -> Result<()> {
        self.place(part)?.process()?.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn go_on(&mut self, part: Part) -> Result<()> {
        self.place(part)?.process()?.signal(Signal::CONT)
    }

    /// Where the session routers that run tell their metrics.
    pub fn metrics(&self) -> Vec<SocketAddr> {
        let running = self.routers.iter().filter_map(|place| place.process.as_ref());
        running.filter_map(|process| process.address("admin")).collect()
    }

    /// One request on the control socket of one process.
    pub async fn ask(&self, part: Part, request: Value) -> Result<Value> {
        let member = match part {
            Part::Manager(place) => self.managers.get(place),
            Part::Router(place) => self.routers.get(place),
        };
        let process = member.and_then(|member| member.process.as_ref());
        process.context("it is not running")?.control(request).await
    }

    /// One request on the control socket of the first router that answers.
    pub async fn control(&self, request: Value) -> Result<Value> {
        let mut said = None;
        for process in self.routers.iter().filter_map(|place| place.process.as_ref()) {
            match process.control(request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => said = Some(error),
            }
        }
        Err(said.context("no router runs")?)
    }

    /// What each process that runs has of the system, by its name.
    pub fn usage(&self) -> Result<BTreeMap<String, Usage>> {
        let places = |role, places: &[Place]| -> Result<Vec<_>> {
            let running =
                places.iter().enumerate().filter_map(|(place, it)| Some((place, it.process.as_ref()?)));
            running
                .map(|(place, process)| Ok((format!("{role}-{place}"), Usage::of(process.pid())?)))
                .collect()
        };
        let (managers, routers) = (places("manager", &self.managers)?, places("router", &self.routers)?);
        Ok(managers.into_iter().chain(routers).collect())
    }

    /// Everything that its processes have logged, in the order of their names.
    pub fn log(&self) -> String {
        let places = self.managers.iter().chain(&self.routers);
        places.filter_map(|place| place.process.as_ref()).map(Process::log).collect()
    }
}

impl Drop for Cluster {
    /// Its tables go with it, if their server still answers.
    fn drop(&mut self) {
        self.routers.clear();
        if let Err(error) = keyspace::remove(&self.tables.0, &self.tables.1) {
            println!("keyspace {} stays: {error:#}", self.tables.1);
        }
    }
}

fn plain(place: &Place) -> Result<SocketAddr> {
    let process = place.process.as_ref().context("it is not running")?;
    process.address("plain").context("it has no listener for clients")
}

/// Makes the tables that a file names.
fn migrate(binary: &Path, config: &Path) -> Result<()> {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STARLING_")) {
        command.env_remove(name);
    }
    let done = command.args(["store", "migrate", "--config"]).arg(config).output()?;
    ensure!(done.status.success(), "no tables: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// One that nobody listens on now. Below those that the system gives to clients, so that it stays free while its process is dead.
pub fn free_port() -> Result<u16> {
    for _ in 0..200 {
        let port = 10_000 + random()? % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port was found")
}

fn random() -> Result<u16> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("no random numbers")?;
    Ok(u16::from_le_bytes(bytes))
}
