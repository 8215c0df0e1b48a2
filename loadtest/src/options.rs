//! The command line.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Load on an XMPP server on this machine, and what it costs the server. Prints one JSON line and one to read.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Options {
    /// The server's address: loopback only.
    #[arg(long, default_value = "127.0.0.1", global = true)]
    pub(crate) host: IpAddr,
    /// Its port for clients.
    #[arg(long, default_value_t = 5222, global = true)]
    pub(crate) port: u16,
    /// Ports of further nodes of the same service: accounts take them in turn.
    #[arg(long, value_delimiter = ',', global = true)]
    pub(crate) more_ports: Vec<u16>,
    /// The domain of the accounts.
    #[arg(long, default_value = "localhost", global = true)]
    pub(crate) domain: String,
    /// Accounts are named by this and a number: load0, load1, ….
    #[arg(long, default_value = "load", global = true)]
    pub(crate) accounts: String,
    /// How many accounts there are; more connections than that share them.
    #[arg(long, default_value_t = 1000, global = true)]
    pub(crate) account_count: usize,
    /// The password of all accounts.
    #[arg(long, default_value = "loadtest", global = true)]
    pub(crate) password: String,
    /// Processes of the server, whose CPU time and memory are read before and after.
    #[arg(long, value_delimiter = ',', global = true)]
    pub(crate) server_pid: Vec<u32>,
    /// Start TLS.
    #[arg(long, global = true)]
    pub(crate) tls: bool,
    /// How to log in.
    #[arg(long, value_enum, default_value = "plain", global = true)]
    pub(crate) mechanism: Mechanism,
    /// How many connections are set up at the same time.
    #[arg(long, default_value_t = 16, global = true)]
    pub(crate) concurrency: usize,
    #[command(subcommand)]
    pub(crate) load: Load,
}

/// How clients log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// SCRAM-SHA-1 (RFC 5802).
    #[value(name = "scram-sha-1")]
    ScramSha1,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Load {
    /// Make the accounts by in-band registration (XEP-0077); those that exist stay.
    Register {
        #[arg(long)]
        count: usize,
    },
    /// Log in and stay silent: bytes per connection, CPU at rest.
    Idle {
        #[arg(long)]
        connections: usize,
        /// How long to watch them.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Log in and leave, over and over: CPU per login.
    Login {
        #[arg(long)]
        count: usize,
    },
    /// Pairs of accounts, one writes to the other: CPU per message, latency, losses.
    Chat(Chat),
    /// One account's presence to its contacts: CPU per presence delivered.
    Presence {
        #[arg(long)]
        contacts: usize,
        /// How many times the presence changes.
        #[arg(long, default_value_t = 50)]
        rounds: u64,
    },
    /// Messages to accounts that are not there, and their collection: CPU per message.
    Offline {
        #[arg(long)]
        pairs: usize,
        /// How many messages wait for each.
        #[arg(long, default_value_t = 100)]
        messages: u64,
    },
    /// All of the above against a server that it starts and stops: the table of docs/benchmarks.md.
    Bench(Bench),
    /// Chats on a cluster of two connection managers and two session routers that it starts and stops, on stores that run:
    /// CPU per message of each process.
    BenchCluster(BenchCluster),
    /// The bare relay that `bench` compares with.
    #[command(hide = true)]
    Relay,
}

/// The options of `bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Bench {
    /// The server's program.
    #[arg(long)]
    pub(crate) server: PathBuf,
    /// Only scenarios whose name contains one of these; `--list` names them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Name the scenarios and end.
    #[arg(long)]
    pub(crate) list: bool,
    /// How often each is run; the table has the median and the extremes.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// How long a chat lasts.
    #[arg(long, default_value_t = 4)]
    pub(crate) seconds: u64,
    /// How many idle connections.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// How many users chat.
    #[arg(long, default_value_t = 1000)]
    pub(crate) users: usize,
    /// The page whose table is written anew.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

/// The options of `bench-cluster`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchCluster {
    /// The server's program.
    #[arg(long)]
    pub(crate) server: PathBuf,
    /// The file that names the stores to routers, as `scripts/cluster.sh stores` prints it.
    #[arg(long)]
    pub(crate) stores: PathBuf,
    /// Processes of the stores, whose CPU time is shown beside: `redis=PID`.
    #[arg(long, value_delimiter = ',', value_parser = named)]
    pub(crate) beside: Vec<(String, u32)>,
    /// How often each is run; the table has the median and the extremes.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// How long a chat lasts.
    #[arg(long, default_value_t = 4)]
    pub(crate) seconds: u64,
    /// How many users chat.
    #[arg(long, default_value_t = 200)]
    pub(crate) users: usize,
    /// The page whose table is written anew.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

/// `NAME=PID`
fn named(text: &str) -> Result<(String, u32)> {
    let (name, pid) = text.split_once('=').context("NAME=PID")?;
    Ok((name.to_owned(), pid.parse()?))
}

/// The options of `chat`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Chat {
    #[arg(long, default_value_t = 10)]
    pub(crate) pairs: usize,
    /// Messages of one pair on their way at once.
    #[arg(long, default_value_t = 16)]
    pub(crate) in_flight: usize,
    /// The body's length.
    #[arg(long, default_value_t = 64)]
    pub(crate) bytes: usize,
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// With XEP-0198: an `<r/>` after each write, and acks counted.
    #[arg(long)]
    pub(crate) sm: bool,
}

impl Options {
    /// Where to connect; anything but loopback is refused.
    pub(crate) fn target(&self) -> Result<SocketAddr> {
        ensure!(self.host.is_loopback(), "{} is not a loopback address: load goes nowhere else", self.host);
        Ok(SocketAddr::new(self.host, self.port))
    }

    /// The same for the client of account `index`: clients take the ports in turn.
    pub(crate) fn of_client(&self, index: usize) -> Self {
        let ports: Vec<u16> = [self.port].into_iter().chain(self.more_ports.iter().copied()).collect();
        Self { port: ports.get(index % ports.len()).copied().unwrap_or(self.port), ..self.clone() }
    }

    /// The name of account `index`.
    pub(crate) fn user(&self, index: usize) -> String {
        format!("{}{}", self.accounts, index % self.account_count.max(1))
    }

    /// Refuses what cannot end or cannot be opened.
    pub(crate) fn check(&self) -> Result<()> {
        self.target()?;
        let (connections, seconds) = match &self.load {
            Load::Register { .. } | Load::Login { .. } => (self.concurrency, 0),
            Load::Idle { connections, seconds } => (*connections, *seconds),
            Load::Chat(chat) => (chat.pairs * 2, chat.seconds),
            Load::Presence { contacts, .. } => (contacts + 1, 0),
            Load::Offline { pairs, .. } => (pairs * 2, 0),
            Load::Bench(bench) => (bench.connections.max(bench.users), bench.seconds),
            Load::BenchCluster(bench) => (bench.users, bench.seconds),
            Load::Relay => (0, 0),
        };
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        ensure!(
            connections as u64 + 50 <= limit,
            "{connections} connections, but only {limit} file descriptors"
        );
        ensure!(seconds <= 600, "at most 600 seconds");
        ensure!((1..=512).contains(&self.concurrency), "concurrency is 1 to 512");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_a_target() {
        let options = |host: &str| Options::parse_from(["x", "--host", host, "login", "--count", "1"]);
        assert!(options("127.0.0.1").check().is_ok());
        assert!(options("::1").check().is_ok());
        assert!(options("192.0.2.1").check().is_err());
        assert!(options("10.0.0.1").check().is_err());
    }
}
