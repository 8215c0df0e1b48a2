//! `starling store`: check, back up and restore the embedded store; make the tables of the CQL store.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rustix::fs::Access;
use serde_json::{Value, json};
use starling_ports::clock::SystemClock;
use starling_ports::ids::NodeId;
use starling_store_embedded::{OpenError, Store};

use super::{Place, block_on, denied, say};
use crate::config::Config;

/// Look after the stores.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read every row and verify it. The server must be stopped.
    Check {
        #[command(flatten)]
        place: Place,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a copy of the store, of one moment, into an empty directory: by the running server, or by this command if none runs.
    Backup {
        #[command(flatten)]
        place: Place,
        /// Where to.
        to: PathBuf,
    },
    /// Put a copy in the place of a store. The server must be stopped, and the data directory have no store.
    Restore {
        #[command(flatten)]
        place: Place,
        /// Where from.
        from: PathBuf,
    },
    /// Copy an embedded store into the stores of a cluster, and compare both.
    ///
    /// These are `[redis]` and `[scylla]` of the configuration. The server that has the embedded store must be stopped, and no
    /// session router be running on those stores yet. May be done again: goes on where it was broken off.
    Copy {
        #[command(flatten)]
        place: Place,
        /// Where from: the data directory of the single server.
        from: PathBuf,
    },
    /// Make the tables of the CQL store that `[scylla]` names, or bring them to this version. Servers may be running.
    Migrate {
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.action {
        Action::Check { place, json } => check(place, *json),
        Action::Backup { place, to } => backup(place, to),
        Action::Restore { place, from } => {
            let config = place.load()?;
            starling_store_embedded::restore(from, &config.store().data_dir)?;
            say(&format!("restored {} from {}", config.store().data_dir.display(), from.display()));
            Ok(ExitCode::SUCCESS)
        }
        Action::Copy { place, from } => super::copy::run(place, from),
        Action::Migrate { place } => migrate(place),
    }
}

fn migrate(place: &Place) -> Result<ExitCode> {
    let config = place.load()?.scylla;
    let done = block_on(async { Ok(starling_store_scylla::migrate(&config).await?) })?;
    let keyspace = format!("keyspace {} on {}", config.keyspace, done.server);
    match done.from {
        None => say(&format!("{keyspace}: made at version {}", done.to)),
        Some(from) if from == done.to => say(&format!("{keyspace}: is at version {from} already")),
        Some(from) => say(&format!("{keyspace}: brought from version {from} to {}", done.to)),
    }
    for changed in &done.changed {
        say(&format!("  {changed}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(place: &Place, as_json: bool) -> Result<ExitCode> {
    let config = place.load()?;
    let checked = open(&config).and_then(|store| {
        let report = store.check();
        store.close();
        report.context("reading the store")
    });
    let report = match checked {
        Ok(report) => report,
        Err(error) if as_json => {
            say(&unreadable(&error).to_string());
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    if as_json {
        say(&json!({"values": report.values, "damaged": report.damaged, "places": report.places}).to_string());
    } else {
        say(&format!("{} values read, {} cannot be read", report.values, report.damaged));
        for bad in &report.places {
            say(&format!("  {bad}"));
        }
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A store that cannot be opened at all.
fn unreadable(error: &anyhow::Error) -> Value {
    let mut answer = json!({"error": format!("{error:#}")});
    let damage = error.downcast_ref::<OpenError>().filter(|error| error.is_damage());
    if let (Some(damage), Some(object)) = (damage, answer.as_object_mut()) {
        let place = format!("{}: {}", damage.path.display(), damage.reason);
        object.extend([("damaged".to_owned(), json!(1)), ("places".to_owned(), json!([place]))]);
    }
    answer
}

/// The store of a data directory, or of a backup, which must be there: looking makes none.
pub(super) fn open(config: &Config) -> Result<Arc<Store>> {
    let store = config.store();
    if let Err(error) = std::fs::read_dir(&store.data_dir)
        && error.kind() == ErrorKind::PermissionDenied
    {
        return Err(denied(&store.data_dir));
    }
    let places = [&store.data_dir, &config.data_dir];
    let Some(place) = places.into_iter().find(|place| place.join("store/format").is_file()) else {
        bail!("there is no store at {}; name the data directory with --data-dir", store.data_dir.display())
    };
    let engine = place.join("store/db");
    if let Err(error) = rustix::fs::access(&engine, Access::WRITE_OK | Access::EXEC_OK) {
        bail!(
            "the store at {} cannot be written: {error}; the engine opens a store only where it can write its lock and its journal, so \
             copy the directory to a disk that can be written and name the copy with --data-dir",
            place.display()
        );
    }
    let store = starling_store_embedded::Config { data_dir: place.clone(), ..store };
    Ok(Store::open(&store, Arc::new(SystemClock), NodeId::default())?)
}

/// Whether somebody may answer there, but not to this user.
fn is_denied(socket: &std::path::Path) -> bool {
    let asked = std::os::unix::net::UnixStream::connect(socket);
    asked.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Whether somebody answers there.
fn is_running(socket: &std::path::Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

fn backup(place: &Place, to: &std::path::Path) -> Result<ExitCode> {
    let config = place.load()?;
    let absolute = std::path::absolute(to)?;
    let socket = config.data_dir.join("control.sock");
    let request = json!({"op": "store-backup", "to": absolute});
    let asked = block_on(super::ctl::ask(&socket, &request));
    match asked {
        Ok(_) => {}
        Err(error) if is_running(&socket) || is_denied(&socket) => return Err(error),
        Err(_) => {
            let store = open(&config)?;
            let done = store.backup(&absolute);
            store.close();
            done.context("writing the copy")?;
        }
    }
    say(&format!("backed up into {}", absolute.display()));
    Ok(ExitCode::SUCCESS)
}
