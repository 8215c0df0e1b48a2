//! The control socket: one JSON request a line, one JSON answer. Mode 0600: who may open it may do everything.

mod message;

use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use starling_connection_manager::Hub;
use starling_im::Pipeline;
use starling_jid::{BareJid, FullJid};
use starling_ports::authentication::{Authentication, Mechanism, Reply, Step};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::assemble::{Addresses, Routing};
use crate::drain::Drain;
use crate::nodes::{self, Own};
use crate::reload::Reload;
use crate::trace;

/// A request is one line of at most this many bytes.
const MAX_REQUEST: u64 = 64 * 1024;
/// How many may ask at once: each takes one of the descriptors that clients do not get. Others wait.
const AT_ONCE: usize = 16;
/// How long a request may take to come, and its answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is accepted when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);
/// How many accounts or sessions one answer lists at most, and how many unless it is said.
const MAX_LIST: usize = 10_000;
const USUAL_LIST: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    Status,
    UserAdd { jid: String, password: String },
    UserPasswd { jid: String, password: String },
    UserSuspend { jid: String, suspended: bool },
    UserRemove { jid: String },
    UserList { after: Option<String>, limit: Option<usize> },
    SessionList { jid: Option<String>, limit: Option<usize> },
    SessionKick { jid: String },
    Message { jid: String, id: String },
    NodeList,
    ConfigReload,
    DrainStart { now: bool },
    DrainStatus,
    DrainAbort,
    StoreBackup { to: PathBuf },
    TraceStatus,
    TraceChange(trace::Change),
}

/// What an administrator may do with a running server.
pub(crate) struct Control {
    /// `None` in a mere connection manager, which knows no account.
    pub(crate) routing: Option<Routing>,
    /// The sockets of this process, if it has any.
    pub(crate) hub: Option<Arc<Hub>>,
    pub(crate) own: Arc<Own>,
    pub(crate) addresses: Addresses,
    pub(crate) reload: Reload,
    pub(crate) drain: Arc<Drain>,
    pub(crate) since: Instant,
}

impl Control {
    fn routing(&self) -> Result<&Routing> {
        self.routing.as_ref().context("this process is a mere connection manager: ask a session router")
    }

    pub(crate) fn pipeline(&self) -> Result<&Pipeline> {
        Ok(&self.routing()?.pipeline)
    }

    /// Makes an account; `false` if somebody has it.
    pub(crate) async fn create_account(&self, jid: &BareJid, password: &str) -> Result<bool> {
        self.pipeline()?.context().create_account(jid, password).await.map_err(Into::into)
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
        let places = Arc::new(Semaphore::new(AT_ONCE));
        tasks.spawn(async move {
            while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &places)).await {
                let Ok((stream, place)) = accepted else {
                    tokio::time::sleep(REST).await;
                    continue;
                };
                let (control, stop) = (self.clone(), stop.clone());
                connections.spawn(async move {
                    if let Some(Err(error)) = stop.run_until_cancelled(control.serve(stream)).await {
                        warn!(error = format!("{error:#}"), "control connection ended");
                    }
                    drop(place);
                });
            }
        });
        Ok(())
    }

    async fn serve(&self, stream: UnixStream) -> Result<()> {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        let mut request = BufReader::new(read.take(MAX_REQUEST));
        timeout(PATIENCE, request.read_line(&mut line)).await.context("no request came")??;
        if line.is_empty() {
            return Ok(()); // somebody looked whether this server is there
        }
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                self.answer(request).await.unwrap_or_else(|error| json!({"error": format!("{error:#}")}))
            }
            Err(error) => json!({"error": format!("not a request: {error}")}),
        };
        let answer = format!("{answer}\n");
        timeout(PATIENCE, write.write_all(answer.as_bytes())).await.context("an answer was not read")??;
        Ok(())
    }

    async fn answer(&self, request: Request) -> Result<Value> {
        match request {
            Request::Status => self.status().await,
            Request::UserAdd { jid, password } => {
                let jid = account(&jid)?;
                if !self.pipeline()?.context().domains.serves(jid.domain()) {
                    bail!("{} is not served here: it is not among the `domains`", jid.domain());
                }
                if !self.create_account(&jid, &password).await? {
                    bail!("{jid} exists already");
                }
                info!(event = "account_created", "account made by an administrator");
                Ok(json!({"created": jid.as_str()}))
            }
            Request::UserPasswd { jid, password } => {
                let jid = account(&jid)?;
                found(self.pipeline()?.context().set_password(&jid, &password, None).await?, &jid)?;
                Ok(json!({"changed": jid.as_str()}))
            }
            Request::UserSuspend { jid, suspended } => {
                let jid = account(&jid)?;
                found(self.pipeline()?.context().set_suspended(&jid, suspended).await?, &jid)?;
                Ok(json!({"suspended": suspended, "jid": jid.as_str()}))
            }
            Request::UserRemove { jid } => {
                let jid = account(&jid)?;
                found(self.pipeline()?.context().remove_account(&jid).await?, &jid)?;
                Ok(json!({"removed": jid.as_str()}))
            }
            Request::UserList { after, limit } => self.accounts(after.as_deref(), limit).await,
            Request::SessionList { jid, limit } => self.sessions(jid.as_deref(), limit).await,
            Request::SessionKick { jid } => {
                let ended = match FullJid::new(&jid) {
                    Ok(full) => self.pipeline()?.context().kick(&full.bare(), Some(full.resource())).await?,
                    Err(_) => self.pipeline()?.context().kick(&account(&jid)?, None).await?,
                };
                anyhow::ensure!(ended > 0, "{jid} has no session");
                Ok(json!({"ended": ended}))
            }
            Request::Message { jid, id } => self.message(&account(&jid)?, &id).await,
            Request::NodeList => nodes::list(&self.own, &*self.routing()?.nodes).await,
            Request::ConfigReload => {
                self.reload.reload().map(|restart| json!({"reloaded": true, "restart": restart}))
            }
            Request::DrainStart { now } => {
                self.drain.start()?;
                if now {
                    self.drain.hurry();
                }
                Ok(self.drain.status())
            }
            Request::DrainStatus => Ok(self.drain.status()),
            Request::DrainAbort => {
                anyhow::ensure!(self.drain.abort(), "nothing drains here");
                Ok(self.drain.status())
            }
            Request::TraceStatus => Ok(trace::status(&self.reload.tracer)),
            Request::TraceChange(change) => {
                let tracer = &self.reload.tracer;
                let why =
                    "there is no receiver of spans: name one as otlp.endpoint, and start this process again";
                anyhow::ensure!(tracer.has_receiver(), why);
                trace::change(tracer, &change)
            }
            Request::StoreBackup { to } => {
                let store = self.routing()?.embedded.clone();
                let store = store.context("only an embedded store is backed up so")?;
                let written = to.clone();
                tokio::task::spawn_blocking(move || store.backup(&written)).await??;
                Ok(json!({"backup": to}))
            }
        }
    }

    async fn status(&self) -> Result<Value> {
        let sessions = match &self.routing {
            Some(routing) => {
                let counted = routing.pipeline.context().count_sessions().await?;
                Some(counted.attached + counted.waiting)
            }
            None => None,
        };
        Ok(json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime-seconds": self.since.elapsed().as_secs(),
            "sessions": sessions,
            "addresses": self.addresses.to_json(),
        }))
    }

    /// A page of names; `more` says that `after` the last one there are others.
    async fn accounts(&self, after: Option<&str>, limit: Option<usize>) -> Result<Value> {
        let after = after.map(account).transpose()?;
        let limit = limit.unwrap_or(USUAL_LIST).min(MAX_LIST);
        let mut accounts = self.pipeline()?.context().list_accounts(after.as_ref(), limit + 1).await?;
        let more = accounts.len() > limit;
        accounts.truncate(limit);
        Ok(json!({"accounts": accounts.iter().map(BareJid::as_str).collect::<Vec<_>>(), "more": more}))
    }

    /// The first sessions; `more` says that there are others.
    async fn sessions(&self, of: Option<&str>, limit: Option<usize>) -> Result<Value> {
        let of = of.map(account).transpose()?;
        let limit = limit.unwrap_or(USUAL_LIST).min(MAX_LIST);
        let mut sessions = self.pipeline()?.context().list_sessions(of.as_ref(), limit + 1).await?;
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let names = nodes::names(&*self.routing()?.nodes).await?;
        let shown = sessions.iter().map(|session| {
            json!({
                "jid": session.jid.as_str(),
                "node": names.of(session.node),
                "attached": session.attached,
                "priority": session.priority,
                "unacknowledged": session.unacknowledged,
                "since": session.since.to_xep_0082(),
            })
        });
        Ok(json!({"sessions": shown.collect::<Vec<_>>(), "more": more}))
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

fn account(text: &str) -> Result<BareJid> {
    let jid = BareJid::new(text).with_context(|| format!("{text:?} is not a bare JID"))?;
    if jid.is_domain() { bail!("{text:?} names a domain, not an account: name@domain") } else { Ok(jid) }
}

fn found(found: bool, jid: &BareJid) -> Result<()> {
    if found { Ok(()) } else { bail!("there is no account {jid}") }
}
