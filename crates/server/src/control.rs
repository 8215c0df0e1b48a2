//! The control socket: one JSON request a line, one JSON answer. Mode 0600: who may open it may do everything.

mod cluster;
mod commands;
mod counts;
mod drains;
mod follow;
mod listed;
mod message;
mod sessions;
mod summed;

use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use starling_admin::{Caller, Doors, Refused, Request};
use starling_connection_manager::Hub;
use starling_im::Pipeline;
use starling_jid::BareJid;
use starling_ports::authentication::{Authentication, Mechanism, Reply, Step};
use starling_rpc::peers::Peers;
use starling_telemetry::Metrics;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::assemble::{Addresses, Routing};
use crate::drain::Drain;
use crate::metrics::Gauges;
use crate::nodes::{Listed, Listing, Names, Own};
use crate::reload::Reload;

/// A request is one line of at most this many bytes.
const MAX_REQUEST: u64 = 64 * 1024;
/// How many may ask at once: each takes one of the descriptors that clients do not get. Others wait.
const AT_ONCE: usize = 16;
/// How long a request may take to come, and its answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is accepted when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);
/// What an administrator may do with a running server.
pub(crate) struct Control {
    /// `None` in a mere connection manager, which knows no account.
    pub(crate) routing: Option<Routing>,
    /// What that has heard of other processes.
    pub(crate) listing: Option<Listing>,
    /// All processes.
    pub(crate) peers: Arc<Peers>,
    /// The sockets of this process, if it has any.
    pub(crate) hub: Option<Arc<Hub>>,
    pub(crate) own: Arc<Own>,
    pub(crate) addresses: Addresses,
    pub(crate) reload: Reload,
    pub(crate) drain: Arc<Drain>,
    pub(crate) since: Instant,
    pub(crate) metrics: Metrics,
    pub(crate) gauges: Arc<Gauges>,
}

impl Control {
    fn routing(&self) -> Result<&Routing, Refused> {
        let why = "this process is a mere connection manager: ask a session router";
        self.routing.as_ref().ok_or_else(|| Refused::Conflict(why.to_owned()))
    }

    /// What nodes are called.
    async fn names(&self) -> Names {
        let listed = match &self.listing {
            Some(listing) => listing.read(self.own.report()).await.0,
            None => Listed::new(),
        };
        Names::new(self.peers.known(), &listed)
    }

    pub(crate) fn pipeline(&self) -> Result<&Pipeline, Refused> {
        Ok(&self.routing()?.pipeline)
    }

    /// Makes an account; `false` if somebody has it.
    pub(crate) async fn create_account(&self, jid: &BareJid, password: &str) -> Result<bool, Refused> {
        self.pipeline()?.context().create_account(jid, password).await.map_err(commands::of_account)
    }

    /// Whether it is the password of that account.
    pub(crate) async fn accepts(&self, jid: &BareJid, password: &str) -> bool {
        let (Ok(domain), Ok(routing)) = (BareJid::new(jid.domain()), self.routing()) else { return false };
        let step = Step {
            exchange: 0, // PLAIN is one step, nothing is kept of it
            mechanism: Mechanism::Plain,
            domain,
            peer: Ipv4Addr::LOCALHOST.into(),
            plus_offered: false,
            channel_binding: None,
            message: Some(format!("\0{}\0{password}", jid.local().unwrap_or_default()).into_bytes()),
        };
        matches!(routing.login.step(step).await, Reply::Success { .. })
    }

    /// Answers on the socket until `stop`.
    pub(crate) fn listen(
        self: Arc<Self>,
        path: &Path,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<()> {
        let listener = bind(path)?;
        let connections = tasks.clone();
        let doors = Doors::new(self.clone(), tasks.clone());
        let places = Arc::new(Semaphore::new(AT_ONCE));
        tasks.spawn(async move {
            while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &places)).await {
                let Ok((stream, place)) = accepted else {
                    tokio::time::sleep(REST).await;
                    continue;
                };
                let (control, doors, stop) = (self.clone(), doors.clone(), stop.clone());
                connections.spawn(async move {
                    if let Some(Err(error)) = stop.run_until_cancelled(control.serve(stream, &doors)).await {
                        warn!(error = format!("{error:#}"), "control connection ended");
                    }
                    drop(place);
                });
            }
        });
        Ok(())
    }

    async fn serve(&self, stream: UnixStream, doors: &Doors) -> Result<()> {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        let mut request = BufReader::new(read.take(MAX_REQUEST));
        timeout(PATIENCE, request.read_line(&mut line)).await.context("no request came")??;
        if line.is_empty() {
            return Ok(()); // somebody looked whether this server is there
        }
        let answer =
            self.answer(&line, doors).await.unwrap_or_else(|refused| json!({"error": refused.to_string()}));
        let answer = format!("{answer}\n");
        timeout(PATIENCE, write.write_all(answer.as_bytes())).await.context("an answer was not read")??;
        Ok(())
    }

    /// What the other doors have too, and what is for the server's own user alone.
    async fn answer(&self, line: &str, doors: &Doors) -> Result<Value, Refused> {
        let wrong = |error: serde_json::Error| Refused::Invalid(format!("not a request: {error}"));
        let mut fields: Map<String, Value> = serde_json::from_str(line).map_err(wrong)?;
        let name = match fields.remove("op") {
            Some(Value::String(name)) => name,
            _ => return Err(Refused::Invalid("not a request: it has no `op`".to_owned())),
        };
        fields.retain(|_, value| !value.is_null());
        if name == "store-backup" {
            let to = fields.get("to").and_then(Value::as_str).unwrap_or_default();
            return self.backup(PathBuf::from(to)).await;
        }
        doors.answer(&Caller::local(), Request::parse(&name, Value::Object(fields))?).await
    }

    /// It writes where it is told to, so whoever is not of this machine may not ask.
    async fn backup(&self, to: PathBuf) -> Result<Value, Refused> {
        let why = || Refused::Conflict("only an embedded store is backed up so".to_owned());
        let store = self.routing()?.embedded.clone().ok_or_else(why)?;
        let written = to.clone();
        let done = tokio::task::spawn_blocking(move || store.backup(&written)).await;
        match done.map_err(anyhow::Error::from).and_then(|done| Ok(done?)) {
            Ok(_) => Ok(json!({"backup": to})),
            Err(error) => Err(Refused::Failed(format!("{error:#}"))),
        }
    }
}

/// The next one, when there is a place for it.
async fn accept(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Bound in a directory that nobody else may enter, then moved: at no moment may others open it.
fn bind(path: &Path) -> Result<UnixListener> {
    let wrong = || format!("making the control socket {}", path.display());
    let private = path.with_extension("new");
    if private.exists() {
        std::fs::remove_dir_all(&private).with_context(wrong)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(&private).with_context(wrong)?;
    let inner = private.join("s");
    let listener = UnixListener::bind(&inner).with_context(wrong)?;
    std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o600)).with_context(wrong)?;
    // The lock on the store says that no other server uses this directory: what lies there is a leftover.
    std::fs::rename(&inner, path).with_context(wrong)?;
    std::fs::remove_dir(&private).with_context(wrong)?;
    Ok(listener)
}
