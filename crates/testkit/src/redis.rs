//! A Redis of a test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::cluster::free_port;
use crate::process::signal;

/// A running server, on loopback, with its append-only file in a directory that outlives it.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    directory: PathBuf,
    port: u16,
    more: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Redis {
    /// Starts Debian's `redis-server` and waits until it answers.
    pub async fn start(directory: &Path, port: u16) -> Result<Redis> {
        Redis::start_with(directory, port, &[]).await
    }

    /// The same on a port that is free.
    pub async fn start_somewhere(directory: &Path) -> Result<Redis> {
        let mut started = Redis::start(directory, free_port()?).await;
        for _ in 0..10 {
            if started.is_ok() {
                break; // otherwise somebody else took the port
            }
            started = Redis::start(directory, free_port()?).await;
        }
        started
    }

    /// The same with more arguments, each time that it starts.
    pub async fn start_with(directory: &Path, port: u16, more: &[String]) -> Result<Redis> {
        Redis::start_as(directory, port, more, &[]).await
    }

    /// The same on a port that is free and with an environment, each time that it starts.
    pub async fn start_in(directory: &Path, environment: &[(&'static str, String)]) -> Result<Redis> {
        Redis::start_as(directory, free_port()?, &[], environment).await
    }

    async fn start_as(
        directory: &Path,
        port: u16,
        more: &[String],
        environment: &[(&'static str, String)],
    ) -> Result<Redis> {
        std::fs::create_dir_all(directory)?;
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
            .arg(directory)
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
            .args(["--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", "redis.log"])
            .args(more)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting redis-server, of Debian's package of that name")?;
        let (more, environment) = (more.to_vec(), environment.to_vec());
        let mut redis = Redis { child, directory: directory.to_owned(), port, more, environment };
        for _ in 0..600 {
            if let Some(status) = redis.child.try_wait()? {
                bail!("redis-server ended with {status}");
            }
            if redis.answers().await {
                return Ok(redis);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("redis-server does not answer")
    }

    async fn answers(&self) -> bool {
        let is_guarded = self.told("--requirepass").is_some() || self.told("--tls-port").is_some();
        let answer = if is_guarded { self.cli(&["PING"]).await } else { self.ask("PING").await };
        answer.is_ok_and(|answer| answer.trim_start_matches('+').starts_with("PONG"))
    }

    /// What it was started with behind that word.
    fn told(&self, option: &str) -> Option<&str> {
        let at = self.more.iter().position(|word| word == option)?;
        self.more.get(at + 1).map(String::as_str)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// One command without arguments that have spaces, and the first line of its answer.
    pub async fn ask(&self, command: &str) -> Result<String> {
        let mut socket = TcpStream::connect(self.address()).await?;
        socket.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = vec![0; 4096];
        let length = socket.read(&mut answer).await?;
        answer.truncate(length);
        Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
    }

    /// One command, and its whole answer as `redis-cli` prints it where nobody looks.
    pub async fn cli(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        if let Some(password) = self.told("--requirepass") {
            command.env("REDISCLI_AUTH", password);
        }
        if self.told("--tls-port").is_some() {
            command.arg("--tls");
            for (ours, its) in [
                ("--cacert", "--tls-ca-cert-file"),
                ("--cert", "--tls-cert-file"),
                ("--key", "--tls-key-file"),
            ] {
                command.args([ours, self.told(its).unwrap_or_default()]);
            }
        }
        let said = command.args(arguments).stdin(Stdio::null()).output().await;
        let said = said.context("redis-cli, of Debian's package redis-tools")?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// The same, until it answers what `is_it` takes.
    pub(crate) async fn cli_until(&self, arguments: &[&str], is_it: impl Fn(&str) -> bool) -> Result<String> {
        let mut said = String::new();
        for _ in 0..1200 {
            said = self.cli(arguments).await?;
            if is_it(&said) {
                return Ok(said);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("redis at {}: {arguments:?}: {said}", self.port)
    }

    /// Whether others read from it, not it from others. One that is dead is no master.
    pub async fn is_master(&self) -> bool {
        self.cli(&["ROLE"]).await.is_ok_and(|role| role.starts_with("master"))
    }

    /// SIGSTOP: its connections stay, and nothing is answered.
    pub fn pause(&self) -> Result<()> {
        signal(self.pid(), Signal::STOP)
    }

    /// SIGCONT.
    pub fn go_on(&self) -> Result<()> {
        signal(self.pid(), Signal::CONT)
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("kill")
    }

    /// What it would read if it were started again now: for a start that goes back to it.
    pub fn copy(&self, to: &Path) -> Result<()> {
        copy_all(&self.directory, to)
    }

    /// The same port again, with what a copy holds, or with nothing.
    pub async fn start_from(&mut self, copy: Option<&Path>) -> Result<()> {
        std::fs::remove_dir_all(&self.directory)?;
        if let Some(copy) = copy {
            copy_all(copy, &self.directory)?;
        }
        self.start_again().await
    }

    /// The same directory and port again.
    pub async fn start_again(&mut self) -> Result<()> {
        *self = Redis::start_as(&self.directory, self.port, &self.more, &self.environment).await?;
        Ok(())
    }
}

pub(crate) fn copy_all(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() {
            copy_all(&entry, &to)?;
        } else {
            std::fs::copy(&entry, &to)?;
        }
    }
    Ok(())
}
