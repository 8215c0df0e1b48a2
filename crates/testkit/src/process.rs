//! One process of the program under test, with a data directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::ServerOptions;

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    data_dir: PathBuf,
    _directory: Option<tempfile::TempDir>,
    addresses: Value,
}

/// Everything on loopback and on ports of the system's choice; one listener allows login without TLS.
const CONFIG: &str = r#"
domains = ["localhost", "other.localhost"]
[listen]
c2s = ["127.0.0.1:0"]
direct-tls = ["127.0.0.1:0"]
plain = ["127.0.0.1:0"]
http = ["127.0.0.1:0"]
https = ["127.0.0.1:0"]
plain-http = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
"#;

impl Process {
    /// Starts `binary run` with these arguments and waits until it can be asked.
    pub(crate) async fn start(binary: &Path, arguments: &[&str], options: &ServerOptions) -> Result<Process> {
        let command = Command::new(binary);
        let process = Process::launch(command, arguments, options).await;
        process.with_context(|| format!("starting {}", binary.display()))
    }

    /// The same for a process that may have so many file descriptors and no more.
    pub(crate) async fn start_limited(
        binary: &Path,
        descriptors: u64,
        options: &ServerOptions,
    ) -> Result<Process> {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\""]).arg(descriptors.to_string()).arg(binary);
        Process::launch(command, &[], options).await
    }

    async fn launch(mut command: Command, arguments: &[&str], options: &ServerOptions) -> Result<Process> {
        let (directory, data_dir) = match &options.data_dir {
            Some(given) => (None, given.clone()),
            None => {
                let made = tempfile::tempdir()?;
                let path = made.path().to_owned();
                (Some(made), path)
            }
        };
        std::fs::create_dir_all(&data_dir)?;
        let config = data_dir.join("starling.toml");
        std::fs::write(&config, merged(CONFIG, &options.config))?;
        let log = std::fs::File::options().create(true).append(true).open(data_dir.join("server.log"))?;
        // What the tests are told by such variables is not meant for the server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STARLING_") {
                command.env_remove(name);
            }
        }
        let child = command
            .arg("run")
            .args(arguments)
            .arg("--data-dir")
            .arg(&data_dir)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut process = Process { child, data_dir, _directory: directory, addresses: Value::Null };
        process.wait_until_ready().await?;
        Ok(process)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}:\n{}", self.log());
            }
            if let Ok(status) = self.control(json!({"op": "status"})).await {
                self.addresses = status.get("addresses").cloned().unwrap_or_default();
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the server did not get ready within 30 s:\n{}", self.log())
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir.join("server.log")).unwrap_or_default()
    }

    /// The first address of a kind of listener: `c2s`, `direct-tls`, `http`, `https`, `plain-http`, `plain`, `admin`, `link`.
    pub(crate) fn address(&self, kind: &str) -> Option<SocketAddr> {
        self.addresses.get(kind)?.get(0)?.as_str()?.parse().ok()
    }

    /// Where it keeps its data.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// One request on the control socket.
    pub(crate) async fn control(&self, request: Value) -> Result<Value> {
        let socket = UnixStream::connect(self.data_dir.join("control.sock")).await?;
        let (read, mut write) = socket.into_split();
        write.write_all(format!("{request}\n").as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(read).read_line(&mut line).await?;
        let answer: Value = serde_json::from_str(&line)?;
        if let Some(error) = answer.get("error") {
            bail!("{error}");
        }
        Ok(answer)
    }

    /// kill -9, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("kill")
    }

    /// Waits until it is gone, however.
    pub(crate) async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        Ok(ended.context("did not stop")??)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self::signal(self.pid(), signal)
    }

    /// Waits until it has stopped by itself, cleanly.
    pub(crate) async fn stopped(&mut self) -> Result<()> {
        let status = self.ended().await?;
        anyhow::ensure!(status.success(), "stopped with {status}:\n{}", self.log());
        Ok(())
    }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("it has ended already")?;
    kill_process(pid, signal).context("kill")
}

/// `more` appended; a table that both have is written once.
pub(crate) fn merged(base: &str, more: &str) -> String {
    let mut text = format!("{}\n", base.trim_end());
    let mut table: Option<String> = None;
    for line in more.lines() {
        if line.trim_start().starts_with('[') {
            table = Some(line.trim().to_owned());
            if !text.contains(line.trim()) {
                text.push_str(line);
                text.push('\n');
            }
            continue;
        }
        match &table {
            None => text = format!("{line}\n{text}"),
            Some(table) => text = text.replacen(table.as_str(), &format!("{table}\n{line}"), 1),
        }
    }
    text
}
