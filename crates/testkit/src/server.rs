//! The server under test: one process, or several that are one server to their clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use crate::member::Member;
use crate::process::Process;

/// How it is started.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// More TOML, appended to the configuration of the tests.
    pub config: String,
    /// A directory that outlives the process: for tests that start it again.
    pub data_dir: Option<PathBuf>,
}

/// Of which processes a server is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// One, on the embedded store.
    Embedded,
    /// Two connection managers, and a session router on the embedded store; two on the stores that the TOML file
    /// `STARLING_STORES` names, with the secret that they share.
    Cluster,
}

impl Preset {
    /// As `STARLING_PRESET` says; `embedded` if it says nothing.
    pub fn of_environment() -> Result<Preset> {
        match std::env::var("STARLING_PRESET").as_deref() {
            Err(_) | Ok("embedded") => Ok(Preset::Embedded),
            Ok("cluster") => Ok(Preset::Cluster),
            Ok(other) => bail!("STARLING_PRESET: {other:?} is neither `embedded` nor `cluster`"),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where clients come in; the first one speaks for all where a test asks about one.
    first: Process,
    others: Vec<Process>,
    /// Who decides, where it is another process.
    routers: Vec<Process>,
    next: AtomicUsize,
}

impl Server {
    /// Starts `binary` as one process and waits until it listens.
    pub async fn start(binary: &Path, options: &ServerOptions) -> Result<Server> {
        let first = Process::start(binary, &[], options).await?;
        Ok(Server { first, others: Vec::new(), routers: Vec::new(), next: AtomicUsize::new(0) })
    }

    /// The same, with so many file descriptors and no more.
    pub async fn start_limited(binary: &Path, options: &ServerOptions, descriptors: u64) -> Result<Server> {
        let first = Process::start_limited(binary, descriptors, options).await?;
        Ok(Server { first, others: Vec::new(), routers: Vec::new(), next: AtomicUsize::new(0) })
    }

    /// Starts the processes of a preset. Those of a cluster have directories of their own.
    pub async fn start_preset(binary: &Path, options: &ServerOptions, preset: Preset) -> Result<Server> {
        if preset == Preset::Embedded {
            return Server::start(binary, options).await;
        }
        let options = || ServerOptions { config: options.config.clone(), data_dir: None };
        let shared = std::env::var("STARLING_STORES").ok().map(std::fs::read_to_string).transpose()?;
        let stores = shared.as_deref().unwrap_or("[cluster]\nstores = \"embedded\"\n");
        let (mut routers, mut at) = (Vec::new(), Vec::new());
        for number in 1..=if shared.is_some() { 2 } else { 1 } {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let router = Member::router(binary, number, any, stores, options()).start().await?;
            at.extend(router.address("link"));
            routers.push(router);
        }
        let mut managers = Vec::new();
        for number in 1..=2 {
            managers.push(Member::manager(binary, number, &at, options()).start().await?);
        }
        let first = managers.remove(0);
        Ok(Server { first, others: managers, routers, next: AtomicUsize::new(0) })
    }

    fn all(&self) -> impl Iterator<Item = &Process> {
        [&self.first].into_iter().chain(&self.others).chain(&self.routers)
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.all().map(Process::log).collect()
    }

    /// A listener that allows login without TLS: of each process that has one in turn.
    pub fn plain(&self) -> SocketAddr {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % (1 + self.others.len());
        let process = [&self.first].into_iter().chain(&self.others).nth(at).expect("one of them");
        process.address("plain").expect("it listens")
    }

    /// The first address of a kind of listener: `c2s`, `direct-tls`, `plain`, `http`, `https`, `plain-http`, `admin`.
    pub fn address(&self, kind: &str) -> Option<SocketAddr> {
        self.first.address(kind)
    }

    /// Where the process that clients come to keeps its data.
    pub fn data_dir(&self) -> &Path {
        self.first.data_dir()
    }

    /// The id of that process.
    pub fn pid(&self) -> u32 {
        self.first.pid()
    }

    /// One request on the control socket: of whoever decides, but for what concerns all.
    pub async fn control(&self, request: Value) -> Result<Value> {
        if request.get("op").and_then(Value::as_str) == Some("config-reload") {
            for other in self.others.iter().chain(&self.routers) {
                other.control(request.clone()).await?;
            }
            return self.first.control(request).await;
        }
        self.routers.first().unwrap_or(&self.first).control(request).await
    }

    /// The same request on each process's own socket.
    pub async fn control_each(&self, request: Value) -> Result<Vec<Value>> {
        let mut answers = Vec::new();
        for process in self.all() {
            answers.push(process.control(request.clone()).await?);
        }
        Ok(answers)
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.first.kill().await
    }

    /// Waits until it is gone, however.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        self.first.ended().await
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.first.signal(signal)
    }

    /// SIGTERM, and waits until all of it has stopped by itself: who decides last.
    pub async fn stop(&mut self) -> Result<()> {
        for process in [&mut self.first].into_iter().chain(&mut self.others).chain(&mut self.routers) {
            process.signal(Signal::TERM)?;
            process.stopped().await?;
        }
        Ok(())
    }

    /// Waits until it has stopped by itself, cleanly.
    pub async fn stopped(&mut self) -> Result<()> {
        self.first.stopped().await
    }
}
