//! The command line.

mod certificate;
mod copy;
mod ctl;
mod doctor;
mod export;
mod import;
mod password;
mod pie;
mod remote;
mod store;
mod token;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use starling_rpc::Role;

use crate::config::{Config, ConfigError};
use crate::{assemble, config_doc, config_schema, limits, quickstart, shutdown};

/// What every command ends with; `tests/program/exit_codes.rs` holds them to it.
const EXIT_CODES: &str = "\
Exit codes:
   0  done, or nothing is wrong
   1  it failed, or the server refused it; doctor, store check: something is wrong; run: the stop was not clean
   2  the command line cannot be understood
  64  the configuration cannot be used";

/// An XMPP server that loses nothing.
#[derive(Debug, Parser)]
#[command(name = "starling", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve. No file is needed.
    Run {
        #[command(flatten)]
        place: Place,
        /// For a first look: makes the accounts alice and bob, allows registration, prints how to send a message.
        #[arg(long)]
        quickstart: bool,
        /// What this process does in a cluster: connection-manager, session-router, or both with a comma between.
        #[arg(long, value_name = "ROLES", value_delimiter = ',')]
        roles: Vec<Role>,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Check this machine: configuration, ports, certificates, DNS, clock, store.
    Doctor {
        #[command(flatten)]
        place: Place,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
        /// Ask this name server instead of the system's.
        #[arg(long, value_name = "ADDRESS:PORT")]
        nameserver: Option<SocketAddr>,
    },
    /// Ask a running server.
    Ctl(ctl::Arguments),
    /// Look after the embedded store.
    Store(store::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Certificate(certificate::Arguments),
    Token(token::Arguments),
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Say whether it can be used; if not: file, line, reason, mend, and exit code 64.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Print what holds: file, environment and defaults together.
    Dump {
        #[command(flatten)]
        place: Place,
    },
    /// Print the page about every key.
    Doc {
        /// Instead, the page about limits: what they are, and how each is switched off.
        #[arg(long)]
        limits: bool,
        /// Instead, the page about administration by gRPC and REST.
        #[arg(long, conflicts_with = "limits")]
        api: bool,
        /// Instead, a JSON Schema of the configuration file.
        #[arg(long, conflicts_with_all = ["limits", "api"])]
        schema: bool,
    },
}

/// Where configuration and data are. They stand behind what a command has of its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The configuration file; without one, defaults and environment hold.
    #[arg(long, value_name = "FILE", global = true, display_order = 101)]
    config: Option<PathBuf>,
    /// The data directory; wins over the file.
    #[arg(long, value_name = "DIR", global = true, display_order = 102)]
    data_dir: Option<PathBuf>,
}

impl Place {
    /// The configuration, checked.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir = data_dir.clone();
        }
        Ok(config)
    }
    /// Where the data is; the configuration is looked at only if it must be.
    fn data_dir(&self) -> Result<PathBuf> {
        match &self.data_dir {
            Some(given) => Ok(given.clone()),
            None => Ok(self.load()?.data_dir),
        }
    }
}

/// Where the configuration of a running server came from: it is read again from there.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    place: Place,
    roles: Vec<Role>,
    pub(crate) is_quickstart: bool,
}

impl Origin {
    /// The configuration, checked.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        let mut config = self.place.load()?.with_roles(&self.roles)?;
        if self.is_quickstart {
            quickstart::prepare(&mut config);
        }
        Ok(config)
    }
}

/// Does what was asked.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Run { place, quickstart, roles } => {
            let origin = Origin { place, roles, is_quickstart: quickstart };
            shutdown::serve(origin.load()?, origin)
        }
        Command::Config { action: ConfigAction::Check { place } } => {
            let config = Config::load_strictly(place.config.as_deref(), std::env::vars())?;
            block_on(look_at_stores(&config))?;
            config.forbidden().iter().for_each(|note| complain(note));
            say("the configuration can be used");
            Ok(ExitCode::SUCCESS)
        }
        Command::Config { action: ConfigAction::Dump { place } } => {
            say(place.load()?.dump()?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Config { action: ConfigAction::Doc { limits, api, schema } } => {
            let page = match (limits, api, schema) {
                (true, _, _) => limits::markdown()?,
                (_, true, _) => starling_admin::markdown(),
                (_, _, true) => config_schema::page()?,
                _ => config_doc::markdown()?,
            };
            say(page.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { place, json, nameserver } => doctor::run(&place, json, nameserver),
        Command::Ctl(arguments) => ctl::run(&arguments),
        Command::Store(arguments) => store::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Certificate(arguments) => certificate::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
    }
}

/// What a start would refuse of a store that this process shares with others. One that is away is no fault of the configuration.
async fn look_at_stores(config: &Config) -> Result<()> {
    match assemble::check_stores(config).await {
        Ok(()) => {}
        Err(assemble::Unfit::Away(why)) => complain(&format!("not looked at: {why}")),
        Err(assemble::Unfit::Unsafe(why)) => {
            return Err(ConfigError { place: "redis".to_owned(), why, mend: None }.into());
        }
    }
    Ok(())
}

/// A line for whoever asked; a closed pipe is nobody's fault.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line about what went wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// There is something, and it is not this user's.
fn denied(path: &Path) -> anyhow::Error {
    anyhow::anyhow!("permission denied at {}: run this as the server's user", path.display())
}

/// A runtime for one question.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(future)
}
