//! Load on XMPP servers: what a login, a message, a presence and an idle connection cost them, and whether all arrives.
#![forbid(unsafe_code)]

mod bench;
mod callgrind;
mod check;
mod client;
mod clock;
mod compare;
mod link;
mod load;
mod mark;
mod model;
mod options;
mod passing;
mod process;
mod recorder;
mod relay;
mod report;
mod results;
mod run;
mod sasl;
mod scan;
mod scenario;
mod scram;
mod sm;
mod stamp;
mod table;
mod target;
mod tls;
mod work;

use anyhow::Result;
use clap::Parser as _;
use options::{Command, Options};
use std::io::Write as _;
use std::process::ExitCode;

/// A scenario that cannot be run as it is written.
const WRONG_SCENARIO: u8 = 2;
/// A threshold does not hold.
const NOT_GOOD: u8 = 99;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "starling-loadtest: {error:#}"); // nowhere else to say it
            let is_scenario = error.downcast_ref::<scenario::Invalid>().is_some();
            if is_scenario { ExitCode::from(WRONG_SCENARIO) } else { ExitCode::FAILURE }
        }
    }
}

fn run() -> Result<ExitCode> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.command {
            Command::Run(command) => {
                let verdict = run::run(&command).await?;
                writeln!(std::io::stdout(), "{}", verdict.words)?;
                return Ok(if verdict.is_good { ExitCode::SUCCESS } else { ExitCode::from(NOT_GOOD) });
            }
            Command::Worker(command) => work::serve(&command).await?,
            Command::Report(report) => report::run(&report)?,
            Command::Table(command) => writeln!(std::io::stdout(), "{}", table::run(&command)?)?,
            Command::Model(command) => write!(std::io::stdout(), "{}", model::run(&command)?)?,
            Command::Compare(command) => {
                let (words, is_worse) = compare::run(&command)?;
                write!(std::io::stdout(), "{words}")?;
                return Ok(if is_worse && command.fail {
                    ExitCode::from(NOT_GOOD)
                } else {
                    ExitCode::SUCCESS
                });
            }
            Command::Bench(bench) => bench::run(&bench).await?,
            Command::BenchCluster(bench) => bench::cluster::run(&bench).await?,
            Command::BenchHold(bench) => bench::hold::run(&bench).await?,
            Command::BenchManagers(bench) => bench::managers::run(&bench).await?,
            Command::Relay => relay::serve().await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
