//! Load on XMPP servers: what a login, a message, a presence and an idle connection cost them.
#![forbid(unsafe_code)]

mod bench;
mod chat;
mod client;
mod offline;
mod options;
mod presence;
mod process;
mod relay;
mod scan;
mod scram;
mod sessions;
mod stats;

use anyhow::Result;
use clap::Parser as _;
use options::{Load, Options};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "starling-loadtest: {error:#}"); // nowhere else to say it
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Arc::new(Options::parse());
    options.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (json, words) = runtime.block_on(async {
        match &options.load {
            Load::Register { count } => sessions::register(options.clone(), *count).await,
            Load::Idle { connections, seconds } => {
                sessions::idle(options.clone(), *connections, *seconds).await
            }
            Load::Login { count } => sessions::login(options.clone(), *count).await,
            Load::Chat(chat) => chat::run(options.clone(), chat.clone()).await,
            Load::Presence { contacts, rounds } => presence::run(options.clone(), *contacts, *rounds).await,
            Load::Offline { pairs, messages } => offline::run(options.clone(), *pairs, *messages).await,
            Load::Bench(settings) => bench::run(options.clone(), settings.clone()).await,
            Load::BenchCluster(settings) => bench::cluster::run(options.clone(), settings.clone()).await,
            Load::Relay => relay::serve().await,
        }
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{json}")?;
    writeln!(out, "{words}")?;
    Ok(())
}
