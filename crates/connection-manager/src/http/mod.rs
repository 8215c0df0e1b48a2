//! One HTTP listener for everything that comes by HTTP: WebSocket, BOSH, host-meta, the chat page.

mod bosh;
mod caller;
mod handshake;
mod host_meta;
mod io;
mod page;
mod route;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::arrival::{Admitted, Arrival};
use crate::conn::{LINGER, LINGER_BYTES};
use crate::listeners::Kind;
use crate::transport::{Transport, websocket};
use caller::Caller;
use io::HttpIo;

pub use page::Page;

/// How long a request may take to say what it wants, and how long a connection stays without one.
const HEADER_WITHIN: Duration = Duration::from_secs(15);
/// What a request's head may have.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// As many lines may it have.
const MAX_HEADERS: usize = 64;

/// A body that is all there.
type Answer = Response<http_body_util::Full<hyper::body::Bytes>>;

/// What a connection turns into after its last answer.
struct Upgrade {
    caller: Caller,
}

/// Serves requests until the connection ends or becomes a WebSocket.
pub(crate) async fn serve(admitted: Box<Admitted>) {
    let shared = admitted.arrival.present.shared.clone();
    // What only HTTP needs is given back before a WebSocket begins.
    if let Some((start, stop)) = Box::pin(requests(admitted)).await {
        websocket::serve(shared, start, stop).await;
    }
}

async fn requests(admitted: Box<Admitted>) -> Option<(websocket::Start, CancellationToken)> {
    let Admitted { arrival: Arrival { present, kind, tcp, peer, stop }, place } = *admitted;
    let tls = (kind == Kind::Https).then_some(&*present.shared.tls.https);
    let io = HttpIo::new(tcp, tls, present.shared.pool.clone())
        .inspect_err(|error| debug!(%error, "no TLS for a client"))
        .ok()?;
    let upgrade = Arc::new(Mutex::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let caller = caller::of(kind, peer, &present.config.listen.trusted_proxies, request.headers());
        Box::pin(route::answer(present.clone(), caller, &place, request, upgrade.clone()))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .max_header_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .max_buf_size(2 * MAX_HEADER_BYTES)
        .serve_connection(io, service);
    let mut stopping = std::pin::pin!(stop.cancelled());
    let mut is_stopping = false;
    let ended = poll_fn(|cx| {
        if !is_stopping && stopping.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    let parts = connection.into_parts();
    let mut io = parts.io;
    let upgrade = upgrade.lock().take();
    match (ended, upgrade) {
        (Ok(()), Some(Upgrade { caller })) => {
            let settings = present.settings(caller.security?, Transport::WebSocket);
            let (socket, exporter, mut read) = io.into_parts();
            let exporter = exporter.filter(|_| caller.has_own_tls());
            read.splice(..0, parts.read_buf);
            let peer = caller.peer;
            Some((websocket::Start { socket, peer, place, settings, exporter, read }, stop.clone()))
        }
        (ended, _) => {
            if let Err(error) = ended {
                debug!(%error, "an HTTP connection ended");
            }
            let _ = timeout(LINGER, io.linger(LINGER_BYTES)).await;
            None
        }
    }
}
