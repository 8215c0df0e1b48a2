//! The starling program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod admin;
mod announce;
mod assemble;
mod cli;
mod clock;
mod config;
mod config_doc;
mod config_schema;
mod control;
mod drain;
mod limits;
mod memory;
mod metrics;
mod nodes;
mod page;
mod quickstart;
mod reload;
mod shutdown;
mod trace;

/// Messages are born on one thread and end on another, which glibc's allocator pays dearly for: docs/benchmarks.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // What is written, the libraries' files with it, belongs to its owner alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let arguments = cli::Arguments::parse();
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            tracing::debug!(?error, "ended with an error");
            cli::complain(&format!("starling: {error:#}"));
            let is_config = error.downcast_ref::<config::ConfigError>().is_some();
            ExitCode::from(if is_config { config::EXIT_USAGE } else { 1 })
        }
    }
}
