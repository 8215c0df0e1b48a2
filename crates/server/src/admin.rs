//! The admin listener: health for whoever starts and stops the process, metrics for whoever watches it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling_admin::{HEAD_WITHIN, Places, Seat};
use starling_telemetry::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

/// How long a request may be: what is longer gets 431 or 414, and is not kept.
const LONGEST: usize = 16 * 1024;
/// How long one connection is kept, whatever it does.
const KEPT: Duration = Duration::from_secs(30);
/// How long nothing is accepted when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// Health and metrics over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Where `/startupz`, `/livez`, `/readyz` and `/metrics` are served: nothing else is, wherever it is bound.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Config { listen: SocketAddr::from(([127, 0, 0, 1], 5281)) }
    }
}

/// What a health check is told.
#[derive(Debug, Default)]
pub(crate) struct Health {
    started: AtomicBool,
    ready: AtomicBool,
    /// What this process cannot do without and does not have.
    lacks: Mutex<Option<&'static str>>,
}

impl Health {
    /// Clients can come in.
    pub(crate) fn ready(&self) {
        self.started.store(true, Ordering::Release);
        self.ready.store(true, Ordering::Release);
    }
    /// What this process cannot do without and does not have, such as a router or a store; `None`: it has all.
    pub(crate) fn lacks(&self, what: Option<&'static str>) {
        *self.lacks.lock() = what;
    }
    /// Why no client is to come in.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        let lacking = *self.lacks.lock();
        if self.ready.load(Ordering::Acquire) { lacking } else { lacking.or(Some("not yet")) }
    }
    /// Why it does not serve yet.
    fn unstarted(&self) -> Option<&'static str> {
        if self.started.load(Ordering::Acquire) { None } else { self.obstacle() }
    }
    /// No new clients, please.
    pub(crate) fn not_ready(&self) {
        self.ready.store(false, Ordering::Release);
    }
}

/// Serves until `stop`; the address that it got is the answer.
pub(crate) async fn start(
    config: &Config,
    health: Arc<Health>,
    metrics: Metrics,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(config.listen).await?;
    let address = listener.local_addr()?;
    let connections = tasks.clone();
    let places = Places::new("admin");
    tasks.spawn(async move {
        let mut upkeep = tokio::time::interval(Duration::from_secs(5));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                _ = upkeep.tick() => { metrics.upkeep(); continue }
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, peer)) = accepted else {
                tokio::time::sleep(REST).await;
                continue;
            };
            let Some(place) = stop.run_until_cancelled(places.take(peer.ip())).await else { return };
            let (health, metrics, stop) = (health.clone(), metrics.clone(), stop.clone());
            let serving = Box::pin(serve(socket, peer, health, metrics, place.seat()));
            connections.spawn(async move {
                stop.run_until_cancelled(timeout(KEPT, place.hold(serving))).await;
            });
        }
    });
    Ok(address)
}

async fn serve(socket: TcpStream, peer: SocketAddr, health: Arc<Health>, metrics: Metrics, seat: Arc<Seat>) {
    let service = service_fn(move |request| {
        seat.asks();
        answer(request, health.clone(), metrics.clone())
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LONGEST)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = connection.await {
        debug!(%peer, %error, "admin connection ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    health: Arc<Health>,
    metrics: Metrics,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let claim = |obstacle: Option<&'static str>| match obstacle {
        None => (StatusCode::OK, "ok"),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let mut response = Response::new(Full::new(metrics.render().into()));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/plain; version=0.0.4"));
            return Ok(response);
        }
        (&Method::GET, "/livez") => (StatusCode::OK, "ok"),
        (&Method::GET, "/startupz") => claim(health.unstarted()),
        (&Method::GET, "/readyz") => claim(health.obstacle()),
        (&Method::GET, _) => (StatusCode::NOT_FOUND, "not found"),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET"),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    Ok(response)
}
