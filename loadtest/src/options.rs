//! The command line.

use crate::compare::Compare;
use crate::model::Model;
use crate::report::Report;
use crate::run::Run;
use crate::table::Table;
use crate::work::Serve;
use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Load on XMPP servers: what a login, a message, a presence and an idle connection cost them, and whether all arrives.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Plays a scenario against any XMPP server.
    Run(Box<Run>),
    /// Plays shares of runs for the controller that `run --workers` is.
    Worker(Serve),
    /// Makes one HTML page, with plots, of results.
    Report(Report),
    /// Says what changed between results beyond the noise.
    Compare(Compare),
    /// Says which machines millions of users need, by measured figures.
    Model(Model),
    /// Prints results of several servers as one table.
    Table(Table),
    /// Scenarios against a server that it starts and stops: the table of docs/benchmarks.md.
    Bench(Bench),
    /// Chats on a cluster of two connection managers and two session routers that it starts and stops, on stores that run:
    /// CPU per message of each process.
    BenchCluster(BenchCluster),
    /// Idle clients on a cluster of six connection managers and a session router that it starts and stops, on stores that run:
    /// memory of each part.
    BenchHold(BenchHold),
    /// Chats on a cluster with one, two and four connection managers under callgrind, that it starts and stops, on stores that
    /// run: instructions per message.
    BenchManagers(BenchManagers),
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

/// What a cluster is made of that a benchmark starts and stops.
#[derive(Debug, Clone, Args)]
pub(crate) struct MadeOf {
    /// The server's program.
    #[arg(long)]
    pub(crate) server: PathBuf,
    /// The file that names the stores to routers, as `scripts/cluster.sh stores` prints it.
    #[arg(long)]
    pub(crate) stores: PathBuf,
}

/// The options of `bench-cluster`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchCluster {
    #[command(flatten)]
    pub(crate) made_of: MadeOf,
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

/// The options of `bench-hold`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchHold {
    #[command(flatten)]
    pub(crate) made_of: MadeOf,
    /// Processes of the stores, which are shown beside: `redis=PID`.
    #[arg(long, value_delimiter = ',', value_parser = named)]
    pub(crate) beside: Vec<(String, u32)>,
    /// How many managers hold them.
    #[arg(long, default_value_t = 6)]
    pub(crate) managers: usize,
    /// How many accounts; they are made first.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) accounts: usize,
    /// Clients of each account.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) per_account: u16,
    /// Processes of the generator.
    #[arg(long, default_value_t = 6)]
    pub(crate) workers: usize,
    /// How many log in at the same time, of all processes together; at least one of each.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) concurrency: u16,
    /// How long all are held.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// How long the logins may take.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(crate) minutes: u64,
    /// The page whose table is written anew.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

/// The options of `bench-managers`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchManagers {
    #[command(flatten)]
    pub(crate) made_of: MadeOf,
    /// How many managers; each is compared with the first.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    pub(crate) managers: Vec<usize>,
    /// How often each is run; the table has the median and the extremes.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// How long each chat lasts, and each idle time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Messages a second of the clients of one manager, where they come one at a time; in bursts it is four times as many.
    #[arg(long, default_value_t = 16)]
    pub(crate) rate: usize,
    /// Pairs for each manager. What each writes should be a multiple of 64 messages, as a client without XEP-0198 is asked then.
    #[arg(long, default_value_t = 5)]
    pub(crate) pairs: usize,
    /// When it is given up.
    #[arg(long, default_value_t = 60)]
    pub(crate) minutes: u64,
    /// Where callgrind's files are left, for callgrind_annotate.
    #[arg(long, default_value = "target/bench-managers")]
    pub(crate) output: PathBuf,
    /// The page whose table is written anew.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

/// `NAME=PID`
pub(crate) fn named(text: &str) -> Result<(String, u32)> {
    let (name, pid) = text.split_once('=').context("NAME=PID")?;
    Ok((name.to_owned(), pid.parse()?))
}
