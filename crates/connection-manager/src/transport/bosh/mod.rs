//! XEP-0124 BOSH, XEP-0206 XMPP over BOSH: a stream in HTTP requests, which a session of its own puts in order.
//!
//! Version 1.11.2 of XEP-0124: partial; one stream in a session (§16), and none to other servers by `route` (§7.1).
//! Version 1.4 of XEP-0206: complete; XEP-0198 is not offered inside.

mod body;
mod keys;
mod session;
mod window;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use starling_stream::{Security, StreamCondition, StreamError};
use starling_xml::Limits;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Transport;
use crate::config::LimitsConfig;
use crate::listeners::{Present, random};
use body::Request;

pub(crate) use body::sid_in;

/// What a `<body/>` may have beside its payloads.
const BODY_EXTRA: usize = 2048;
/// Requests on their way to a session: it takes them at once, so more than this come only from somebody who does not wait.
const MAX_INBOX: usize = 8;

/// What a request is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A `<body/>`.
    Body(Bytes),
    /// An HTTP code: what was before there were terminal conditions (§17.1).
    Code(u16),
}

impl From<Bytes> for Answer {
    fn from(body: Bytes) -> Answer {
        Answer::Body(body)
    }
}

/// A request on its way to its session; an error if it could not be read.
struct Incoming {
    request: Result<Request, StreamError>,
    reply: oneshot::Sender<Answer>,
}

/// The sessions of this node.
#[derive(Debug)]
pub(crate) struct Sessions {
    present: Mutex<HashMap<u128, Entry>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
struct Entry {
    inbox: mpsc::Sender<Incoming>,
    is_authenticated: Arc<AtomicBool>,
}

impl Sessions {
    pub(crate) fn new(tasks: TaskTracker, stop: CancellationToken) -> Sessions {
        Sessions { present: Mutex::default(), tasks, stop }
    }

    /// Whether somebody has signed in there.
    pub(crate) fn is_authenticated(&self, sid: u128) -> bool {
        self.present.lock().get(&sid).is_some_and(|entry| entry.is_authenticated.load(Ordering::Relaxed))
    }

    fn inbox(&self, sid: u128) -> Option<mpsc::Sender<Incoming>> {
        self.present.lock().get(&sid).map(|entry| entry.inbox.clone())
    }
}

/// How long a body may be.
pub(crate) fn max_body(limits: &LimitsConfig, is_authenticated: bool) -> usize {
    let bytes = if is_authenticated { limits.stanza_bytes } else { limits.login_bytes };
    if bytes == 0 { usize::MAX } else { bytes + BODY_EXTRA }
}

/// Answers one request, when its session has something to say or the time to wait is over.
pub(crate) async fn answer(present: &Present, security: Security, peer: IpAddr, body: &[u8]) -> Answer {
    let sessions = &present.shared.bosh;
    let sid = sid_in(body);
    let is_authenticated = sid.is_some_and(|sid| sessions.is_authenticated(sid));
    let base = if is_authenticated { Limits::AFTER_LOGIN } else { Limits::BEFORE_LOGIN };
    let limits = Limits { bytes: max_body(&present.shared.limits, is_authenticated), ..base };
    let request = Request::read(body, limits);
    let inbox = match (&request, sid) {
        // What cannot be read ends the session that it names: only its client knows the name.
        (Err(_), sid) => sid.and_then(|sid| sessions.inbox(sid)).ok_or("bad-request"),
        (Ok(request), _) => match request.sid {
            Some(sid) => sessions.inbox(sid).ok_or("item-not-found"),
            None if request.has_sid => Err("item-not-found"),
            None => Ok(begin(present, security, peer)),
        },
    };
    match inbox {
        Ok(inbox) => hand_on(inbox, request).await,
        Err(condition) => body::terminate(condition).into(),
    }
}

/// Answers a request whose body is too big to be read: the session that it names ends.
pub(crate) async fn refuse(present: &Present, sid: Option<u128>) -> Answer {
    match sid.and_then(|sid| present.shared.bosh.inbox(sid)) {
        Some(inbox) => {
            hand_on(inbox, Err(StreamError::new(StreamCondition::PolicyViolation, "the body is too big")))
                .await
        }
        None => body::terminate("policy-violation").into(),
    }
}

async fn hand_on(inbox: mpsc::Sender<Incoming>, request: Result<Request, StreamError>) -> Answer {
    let (reply, answered) = oneshot::channel();
    if inbox.send(Incoming { request, reply }).await.is_err() {
        return body::terminate("item-not-found").into();
    }
    answered.await.unwrap_or_else(|_| body::terminate("item-not-found").into())
}

/// A new session, which lives until its client ends it or is gone.
fn begin(present: &Present, security: Security, peer: IpAddr) -> mpsc::Sender<Incoming> {
    let shared = present.shared.clone();
    let sessions = shared.bosh.clone();
    // A login over several connections is bound to none of them.
    let security = if security == Security::Direct { Security::Proxied } else { security };
    let settings = present.settings(security, Transport::Bosh);
    let sid = random();
    let (inbox, incoming) = mpsc::channel(MAX_INBOX);
    let is_authenticated = Arc::new(AtomicBool::new(false));
    let entry = Entry { inbox: inbox.clone(), is_authenticated: is_authenticated.clone() };
    sessions.present.lock().insert(sid, entry);
    let stop = sessions.stop.clone();
    sessions.tasks.clone().spawn(async move {
        let start = session::Start { sid, peer, settings, incoming, is_authenticated };
        session::serve(shared, start, stop).await;
        sessions.present.lock().remove(&sid);
    });
    inbox
}
