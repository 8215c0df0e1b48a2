//! The listener: one port for REST, gRPC and the console, with bounds on everything that a stranger can send.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;
use tracing::debug;

use crate::config::Config;
use crate::console;
use crate::describe::Described;
use crate::doors::{Doors, Grpc};
use crate::guard::Guard;
use crate::openapi;
use crate::pb::admin_server::AdminServer;
use crate::places::{HEAD_WITHIN, Places, Seat};
use crate::rest::{self, Answer, Rest};

/// How many requests one of them may have under way.
const STREAMS: u32 = 16;
/// How long a body may take.
pub(crate) const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long the head of a request may be.
const LONGEST_HEAD: u32 = 16 * 1024;
/// How long a connection is kept; then it may end what it does.
const KEPT: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(40);
/// How long nothing is accepted when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// Scripts, styles and answers come from here and nowhere else, and no page shows this one in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const SAFE: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// A listener that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// The address that it got.
    pub address: SocketAddr,
}

/// Takes the address of the configuration.
pub async fn bind(config: &Config) -> std::io::Result<Bound> {
    let listener = TcpListener::bind(config.listen).await?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

struct Served {
    guard: Arc<Guard>,
    rest: Rest,
    grpc: AdminServer<Grpc>,
    document: Value,
}

impl Bound {
    /// Answers until `stop`; with TLS, if there is something to speak it with.
    pub fn serve(
        self,
        doors: Doors,
        guard: Arc<Guard>,
        tls: Option<Arc<ServerConfig>>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) {
        let grpc = AdminServer::new(Grpc(doors.clone())).max_decoding_message_size(rest::LONGEST);
        let document = openapi::document();
        let rest = Rest { doors, described: Described::read() };
        let served = Arc::new(Served { guard, rest, grpc, document });
        let until = stop.clone();
        let (connections, places) = (tasks.clone(), Places::new("api"));
        let tls = tls.map(TlsAcceptor::from);
        let accepting = async move {
            loop {
                let Ok((socket, peer)) = self.listener.accept().await else {
                    sleep(REST).await;
                    continue;
                };
                let place = places.take(peer.ip()).await;
                let (served, tls, stop) = (served.clone(), tls.clone(), stop.clone());
                let served = Box::pin(greet(socket, peer, tls, served, place.seat()));
                connections.spawn(async move { stop.run_until_cancelled(place.hold(served)).await });
            }
        };
        tasks.spawn(async move { until.run_until_cancelled(accepting).await });
    }
}

async fn greet(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    served: Arc<Served>,
    seat: Arc<Seat>,
) {
    let Some(tls) = tls else { return connection(socket, peer, served, seat).await };
    match timeout(HEAD_WITHIN, tls.accept(socket)).await {
        Ok(Ok(socket)) => connection(socket, peer, served, seat).await,
        Ok(Err(error)) => debug!(%peer, %error, "no handshake with an administrator"),
        Err(_) => debug!(%peer, "no handshake with an administrator in time"),
    }
}

async fn connection(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    served: Arc<Served>,
    seat: Arc<Seat>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LONGEST_HEAD as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LONGEST_HEAD)
        .keep_alive_interval(HEAD_WITHIN)
        .keep_alive_timeout(HEAD_WITHIN);
    let service = service_fn(move |request| {
        let (served, seat) = (served.clone(), seat.clone());
        async move { Ok::<_, Infallible>(served.answer(request, peer, &seat).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sleep(KEPT) => {
            connection.as_mut().graceful_shutdown();
            timeout(ENDS_WITHIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "an administrator's connection ended");
    }
}

impl Served {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, seat: &Seat) -> Response<Body> {
        seat.asks();
        let is_grpc = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if is_grpc {
            self.by_grpc(request, peer, seat).await
        } else {
            safe(self.by_http(request, peer, seat).await)
        }
    }

    async fn by_grpc(&self, mut request: Request<Incoming>, peer: SocketAddr, seat: &Seat) -> Response<Body> {
        let caller = match self.guard.invites(request.uri(), request.headers(), peer.ip()).await {
            Ok(()) => self.guard.admit(request.headers(), peer.ip()).await,
            Err(refused) => Err(refused),
        };
        match caller {
            Err(refused) => Status::from(refused).into_http(),
            Ok(caller) => {
                let _answering = seat.is_known();
                request.extensions_mut().insert(caller);
                match self.grpc.clone().call(request).await {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                }
            }
        }
    }

    async fn by_http(&self, request: Request<Incoming>, peer: SocketAddr, seat: &Seat) -> Answer {
        if let Err(refused) = self.guard.invites(request.uri(), request.headers(), peer.ip()).await {
            return rest::refusal(&refused);
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/v1/openapi.json") => rest::json_of(http::StatusCode::OK, &self.document),
            (_, path) if path == "/v1" || path.starts_with("/v1/") => {
                match self.guard.admit(request.headers(), peer.ip()).await {
                    Ok(caller) => {
                        let _answering = seat.is_known();
                        self.rest.answer(request, &caller).await
                    }
                    Err(refused) => rest::refusal(&refused),
                }
            }
            (method, path) => console::file(method, path),
        }
    }
}

fn safe(answer: Answer) -> Response<Body> {
    let mut answer = answer.map(|body: Full<Bytes>| Body::new(body));
    for (name, value) in SAFE {
        answer.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    answer
}
