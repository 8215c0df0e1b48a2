//! A server's life: start, serve, reload, and a stop in the right order.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::assemble::{self, Node};
use crate::cli::Origin;
use crate::config::Config;
use crate::{announce, quickstart};

/// How long a clean stop may take.
const GRACE: Duration = Duration::from_secs(25);

/// Serves until SIGTERM or SIGINT. What can go elsewhere goes first, at its pace; a second signal hurries it, and one that comes
/// when nothing is left to go ends the process at once.
pub(crate) fn serve(config: Config, origin: Origin) -> Result<ExitCode> {
    let is_quickstart = origin.is_quickstart;
    let log = starling_telemetry::init(&config.log)?;
    let flush = log.flush_at_end();
    let metrics = starling_telemetry::install()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let node = tokio::select! {
            node = assemble::assemble(&config, origin, log.clone(), metrics) => node?,
            _ = terminate.recv() => return Ok(ExitCode::SUCCESS), // it had not begun
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        };
        node.control.clone().listen(&node.data_dir.join("control.sock"), &node.services, node.stop.clone())?;
        node.health.ready();
        info!(addresses = %node.addresses.to_json(), data = %node.data_dir.display(), "serving");
        let accounts = if is_quickstart { Some(quickstart::accounts(&node).await?) } else { None };
        log.flush(); // what is printed now comes behind it
        announce::announce(&node).await?;
        if let Some(accounts) = accounts {
            quickstart::welcome(&node, accounts);
        }
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => match node.control.reload.reload() {
                    Ok(restart) => info!(needs_restart = ?restart, "configuration read again"),
                    Err(error) => warn!(error = format!("{error:#}"), "the configuration cannot be used; the former one holds"),
                },
            }
        }
        let drain = node.control.drain.clone();
        let mut finished = pin!(drain.finish());
        tokio::select! {
            biased; // where nothing goes elsewhere, a second signal is for the stop
            () = &mut finished => {}
            () = again(&mut terminate, &mut interrupt) => {
                info!("a second signal: all that are left go at once");
                drain.hurry();
                tokio::select! {
                    () = finished => {}
                    () = again(&mut terminate, &mut interrupt) => {}
                }
            }
        }
        info!("stopping");
        let stopped = tokio::select! {
            stopped = stop(&node) => stopped,
            () = again(&mut terminate, &mut interrupt) => Stopped::Forced,
        };
        info!(?stopped, "stopped");
        drop(flush);
        if stopped == Stopped::Forced {
            std::process::exit(1); // whoever says it twice does not wait for a disk
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Whoever stops it says so again.
async fn again(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
enum Stopped {
    /// Everything read was stored, every session saved.
    Clean,
    /// The time was over, or a second signal came.
    Forced,
}

/// Stops a node. This function is the order: outermost first, storage last.
async fn stop(node: &Node) -> Stopped {
    let steps = async {
        node.health.not_ready();
        node.clients.cancel(); // nobody else gets in; XEP-0198 streams stay open for resumption, others hear why
        if let Some(routing) = &node.control.routing {
            routing.pipeline.hurry();
        }
        node.tasks.close();
        node.tasks.wait().await; // stanzas already read are delivered or stored
        node.unlink.cancel(); // what other nodes have asked is answered
        node.links.close();
        node.links.wait().await;
        if let Some(routing) = &node.control.routing {
            routing.pipeline.stop();
        }
        node.stop.cancel();
        node.services.close();
        node.services.wait().await;
        match &node.control.routing {
            Some(routing) => routing.sessions.save().await,
            None => Ok(()),
        }
    };
    match timeout(GRACE, steps).await {
        Ok(Ok(())) => {
            if let Some(store) = node.control.routing.as_ref().and_then(|routing| routing.embedded.as_ref()) {
                store.close();
            }
            Stopped::Clean
        }
        Ok(Err(error)) => {
            warn!(%error, "sessions could not be saved");
            Stopped::Forced
        }
        Err(_) => {
            let (tasks, links, services) = (node.tasks.len(), node.links.len(), node.services.len());
            warn!(grace = ?GRACE, tasks, links, services, "grace period is over, stopping now");
            Stopped::Forced
        }
    }
}
