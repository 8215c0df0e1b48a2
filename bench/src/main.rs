//! Counts the instructions of the hot path under callgrind, and says when a path costs more than is written down.
#![forbid(unsafe_code)]

mod client;
mod compare;
mod count;
mod guard;
mod home;
mod path;

use std::io::Write;
use std::path::{Path as File, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use starling_telemetry::Format;

use crate::path::Path;

/// As the program has it: what is counted is what runs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What seems too much is counted again: on a busy machine the writer of the store may write more often, never less.
const TRIES: usize = 3;

#[derive(Parser)]
#[command(name = "starling-bench", about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Counts paths, and compares them with what is written down
    Guard {
        /// What each may cost
        #[arg(long, default_value = "bench/instructions.toml")]
        file: PathBuf,
        /// These paths only
        #[arg(long, value_delimiter = ',')]
        only: Vec<Path>,
        /// Where callgrind's files are left, for callgrind_annotate
        #[arg(long, default_value = "target/guard")]
        output: PathBuf,
        /// Counts so many times, and prints how far the counts are apart
        #[arg(long, default_value_t = 1)]
        runs: usize,
    },
    /// Counts paths in this program and in one of the feature `silent`: what logs cost that nobody keeps
    Tracing {
        /// The program that was built with it
        silent: PathBuf,
        /// These paths only
        #[arg(long, value_delimiter = ',')]
        only: Vec<Path>,
        /// Where callgrind's files are left, for callgrind_annotate
        #[arg(long, default_value = "target/bench-tracing")]
        output: PathBuf,
        /// Counts so many times, of which the least counts
        #[arg(long, default_value_t = 2)]
        runs: usize,
        /// The page whose table is written anew
        #[arg(long)]
        write: Option<PathBuf>,
    },
    /// Goes one path so many times; what callgrind runs
    Play {
        /// Which
        path: Path,
        /// How often
        times: usize,
        /// Keeps a log at this level, as the program does
        #[arg(long)]
        log: Option<String>,
    },
}

fn main() -> Result<ExitCode> {
    let good = match Arguments::parse().command {
        Command::Play { path, times, log } => {
            let log = log.map(|level| starling_telemetry::Config { level, format: Format::Json });
            let _log = log.map(|config| starling_telemetry::init(&config)).transpose()?;
            let _metrics = starling_telemetry::install()?; // counting is a part of what is done
            path::play(path, times)?;
            true
        }
        Command::Guard { file, only, output, runs } => guard(&file, &only, &output, runs)?,
        Command::Tracing { silent, only, output, runs, write } => {
            compare::tracing(&silent, &paths(&only), &output, runs, write.as_deref())?
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn guard(file: &File, only: &[Path], output: &File, runs: usize) -> Result<bool> {
    let allowed = guard::read(file)?;
    let mut failed = 0;
    let (player, paths) = (count::Player::this()?, paths(only));
    for path in &paths {
        let mut counted = vec![count::of_one(&player, *path, output)?];
        while counted.len() < runs || (counted.len() < TRIES && !is_good(&allowed, *path, &counted)) {
            counted.push(count::of_one(&player, *path, output)?);
        }
        let (least, most) = ends(&counted);
        if counted.len() > 1 {
            let apart = guard::percent(most, least);
            say(&format!("{path}: {} runs, {least} to {most}, {apart:.2} % apart", counted.len()))?;
        }
        let verdict = allowed.judge(*path, least);
        failed += usize::from(!verdict.is_good);
        say(&verdict.text)?;
    }
    if failed > 0 {
        say(&guard::advice(file, output))?;
    }
    say(&format!("{} passed, {failed} failed", paths.len() - failed))?;
    Ok(failed == 0)
}

fn paths(only: &[Path]) -> Vec<Path> {
    Path::ALL.into_iter().filter(|path| only.is_empty() || only.contains(path)).collect()
}

fn is_good(allowed: &guard::Allowed, path: Path, counted: &[u64]) -> bool {
    allowed.judge(path, ends(counted).0).is_good
}

fn ends(counted: &[u64]) -> (u64, u64) {
    counted.iter().fold((u64::MAX, 0), |(least, most), &one| (least.min(one), most.max(one)))
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
