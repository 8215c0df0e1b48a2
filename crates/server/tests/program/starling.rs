//! Starts the binary, as a command or as a server, with nothing of the tester's environment that could matter.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use starling_testkit::{Server, ServerOptions, Tree};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::timeout;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_starling");
/// Generous, because the machine is shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Ports of the system's choice: a test must not meet the default ones in use.
pub(crate) const PORTS: &[(&str, &str)] = &[
    ("STARLING_LISTEN_C2S", "['127.0.0.1:0']"),
    ("STARLING_LISTEN_DIRECT_TLS", "['127.0.0.1:0']"),
    ("STARLING_LISTEN_HTTP", "['127.0.0.1:0']"),
    ("STARLING_LISTEN_HTTPS", "['127.0.0.1:0']"),
    ("STARLING_ADMIN_LISTEN", "127.0.0.1:0"),
];

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
    #[track_caller]
    pub(crate) fn succeeded(self) -> Outcome {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

fn command(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STARLING_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
}

/// Runs a command to its end, in `directory`.
pub(crate) fn starling_in(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let output = command(directory, arguments, variables).output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command to its end, where its working directory does not matter.
pub(crate) fn starling(arguments: &[&str]) -> Outcome {
    starling_in(&std::env::temp_dir(), arguments, &[])
}

/// Asks a running server, as JSON.
pub(crate) fn ctl(server: &Server, arguments: &[&str]) -> Value {
    let data_dir = server.data_dir().to_str().unwrap();
    starling(&[&["ctl", "--json", "--data-dir", data_dir], arguments].concat()).succeeded().json()
}

/// A server with the configuration of the stories, and `more`.
pub(crate) async fn server(more: &str) -> Server {
    let options = ServerOptions { config: more.to_owned(), data_dir: None };
    Server::start(Path::new(PROGRAM), &options).await.unwrap()
}

/// The same in a directory that outlives it.
pub(crate) async fn server_in(data_dir: &Path, more: &str) -> Server {
    let options = ServerOptions { config: more.to_owned(), data_dir: Some(data_dir.to_owned()) };
    Server::start(Path::new(PROGRAM), &options).await.unwrap()
}

/// `starling run` as somebody starts it by hand, without a file.
#[derive(Debug)]
pub(crate) struct ByHand {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) log: PathBuf,
}

impl ByHand {
    /// In `directory`, on ports of the system's choice.
    pub(crate) fn start(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> ByHand {
        let log = directory.join("by-hand.log");
        let mut command = command(directory, &[&["run"], arguments].concat(), &[PORTS, variables].concat());
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        ByHand { child, lines, log }
    }

    /// The same, but its log goes to a pipe that nobody reads until `read` is asked to.
    pub(crate) fn start_unread(
        directory: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> (ByHand, ChildStderr) {
        let mut command = command(directory, &[&["run"], arguments].concat(), &[PORTS, variables].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let unread = child.stderr.take().unwrap();
        (ByHand { child, lines, log: PathBuf::new() }, unread)
    }

    /// The next line of its standard output that begins with `start`, without that.
    pub(crate) async fn line(&mut self, start: &str) -> String {
        let next = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some(rest) = line.trim_start().strip_prefix(start) {
                    return rest.trim().to_owned();
                }
            }
            panic!("no line begins with {start:?}; the log: {}", std::fs::read_to_string(&self.log).unwrap())
        };
        timeout(PATIENCE, next).await.unwrap()
    }

    /// The address of a line about ports.
    pub(crate) async fn address(&mut self, kind: &str) -> SocketAddr {
        self.line(kind).await.split(',').next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, name: Signal) {
        signal(self.child.id().unwrap(), name);
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Looks again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let look = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, look).await.is_ok(), "{what}: not within {PATIENCE:?}");
}

/// Whether the features of a stream offer in-band registration.
pub(crate) fn offers_registration(features: &Tree) -> bool {
    features.children.iter().any(|feature| feature.name == "register")
}
