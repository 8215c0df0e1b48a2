//! The server of a benchmark: started on a directory of its own, on loopback, and stopped.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// The configuration of all scenarios: the limits that protect a server are off, whatever is promised stays on.
pub(crate) const CONFIG: &str = include_str!("../../server.toml");

/// What it logs, in its directory.
pub(crate) const LOG: &str = "bench.log";

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    addresses: Value,
}

impl Server {
    /// Starts it in `directory`, with or without archives, and waits until it listens.
    pub(crate) async fn start(program: &Path, directory: &Path, archive: bool) -> Result<Self> {
        Self::start_as(program, directory, &format!("{CONFIG}[im]\narchive = {archive}\n")).await
    }

    /// Starts it with a configuration.
    pub(crate) async fn start_as(program: &Path, directory: &Path, configuration: &str) -> Result<Self> {
        Self::launch(Command::new(program), directory, configuration).await
    }

    /// Starts it by a command that lacks only its arguments.
    pub(crate) async fn launch(mut command: Command, directory: &Path, configuration: &str) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let config = directory.join("bench.toml");
        std::fs::write(&config, configuration)?;
        let log = std::fs::File::options().create(true).append(true).open(directory.join(LOG))?;
        let child = command
            .arg("run")
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let mut server = Self { child, addresses: Value::Null };
        server.wait(&directory.join("control.sock"), &directory.join(LOG)).await?;
        Ok(server)
    }

    async fn wait(&mut self, socket: &Path, log: &Path) -> Result<()> {
        for _ in 0..2400 {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}: {}", std::fs::read_to_string(log).unwrap_or_default());
            }
            if let Ok(status) = status(socket).await
                && let Some(addresses) = status.get("addresses")
            {
                self.addresses = addresses.clone();
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the server did not get ready within two minutes")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port that takes clients without TLS, or with STARTTLS.
    pub(crate) fn port(&self, tls: bool) -> Result<u16> {
        let address = self.address(if tls { "c2s" } else { "plain" })?;
        Ok(address.parse::<std::net::SocketAddr>()?.port())
    }

    /// Where its first listener of that kind is.
    pub(crate) fn address(&self, kind: &str) -> Result<&str> {
        self.addresses.pointer(&format!("/{kind}/0")).and_then(Value::as_str).context("no such listener")
    }

    /// SIGTERM, and waits until it is gone.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("no process")?, rustix::process::Signal::TERM)?;
        for _ in 0..1200 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the server did not stop within 60 s")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // ended already, if all went well
        let _ = self.child.wait();
    }
}

async fn status(socket: &Path) -> Result<Value> {
    let (read, mut write) = UnixStream::connect(socket).await?.into_split();
    write.write_all(b"{\"op\":\"status\"}\n").await?;
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
