//! A session router's end: connection managers are let in, their calls answered, deliveries sent down.

mod downlinks;
mod login;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;

use starling_ports::authentication::Authentication;
use starling_ports::ids::NodeId;
use starling_ports::ingress::Ingress;
use starling_ports::nodes::Nodes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Status};
use tracing::{debug, info, warn};

pub use self::downlinks::Downlinks;
use self::login::LoginService;
use self::service::LinkService;
use super::limits::{CONNECTION_WINDOW, KEEPALIVE, MESSAGE_BYTES, STREAM_WINDOW};
use crate::calls::metrics::Calls;
use crate::io::{Caller, Io};
use crate::metrics::{Refused, refused};
use crate::pb::link_server::LinkServer;
use crate::pb::login_server::LoginServer;
use crate::pb::peers_server::PeersServer;
use crate::peers::Peers;
use crate::peers::serve::PeersService;
use crate::{Error, Identity, Role};

/// Connections whose handshake is over and that wait to be served.
const ACCEPTED: usize = 64;

/// What a session router serves, and to whom.
pub struct Setup {
    /// This router.
    pub node: NodeId,
    /// Who decides about stanzas.
    pub ingress: Arc<dyn Ingress>,
    /// Who verifies logins.
    pub authentication: Arc<dyn Authentication>,
    /// Where managers leave word of themselves.
    pub nodes: Arc<dyn Nodes>,
    /// All processes, for who is asked of them here.
    pub peers: Arc<Peers>,
    /// Where deliveries go.
    pub downlinks: Arc<Downlinks>,
    /// More stream features after login, as canonical XML.
    pub features: String,
    /// Who this node is; `None` speaks without TLS.
    pub identity: Option<Arc<Identity>>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where tasks live.
    pub tasks: TaskTracker,
    /// Ends all links: what is under way is answered, then the managers go to other routers.
    pub stop: CancellationToken,
}

/// Listens; the address that it got is the answer.
pub async fn start(setup: Setup) -> Result<SocketAddr, Error> {
    let wrong = |source| Error::Listen { address: setup.listen, source };
    let listener = TcpListener::bind(setup.listen).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    let Setup {
        node, ingress, authentication, nodes, peers, downlinks, features, identity, tasks, stop, ..
    } = setup;
    let (mut leaving, calls) = (downlinks.leaving(), Calls::answered());
    let link = LinkService {
        node,
        ingress: ingress.clone(),
        nodes,
        downlinks,
        features,
        calls: calls.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<LinkServer<LinkService>>().await;
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(health_service)
        .add_service(LinkServer::new(link).max_decoding_message_size(MESSAGE_BYTES))
        .add_service(PeersServer::new(PeersService { peers, tasks: tasks.clone(), stop: stop.clone() }))
        .add_service(LoginServer::new(LoginService::new(ingress, authentication, calls)));
    let (accepted, incoming) = mpsc::channel(ACCEPTED);
    tasks.spawn(accept(listener, identity, accepted, tasks.clone(), stop.clone()));
    tasks.spawn(async move {
        let served = server
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
                while let Some(Ok(())) = stop.run_until_cancelled(leaving.changed()).await {
                    let is_leaving = *leaving.borrow_and_update();
                    match is_leaving {
                        true => health.set_not_serving::<LinkServer<LinkService>>().await,
                        false => health.set_serving::<LinkServer<LinkService>>().await,
                    }
                }
                stop.cancelled().await;
                health.set_not_serving::<LinkServer<LinkService>>().await;
            })
            .await;
        if let Err(error) = served {
            warn!(%error, "the listener for connection managers has ended");
        }
    });
    info!(%address, "waiting for connection managers");
    Ok(address)
}

async fn accept(
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    accepted: mpsc::Sender<std::io::Result<Io>>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let taken = tokio::select! {
            () = stop.cancelled() => return,
            taken = listener.accept() => taken,
        };
        let Ok((tcp, peer)) = taken else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await; // out of descriptors: it passes
            continue;
        };
        let (identity, accepted) = (identity.clone(), accepted.clone());
        tasks.spawn(async move {
            match Io::accept(tcp, identity.as_deref()).await {
                Ok(io) => drop(accepted.send(Ok(io)).await),
                Err(error) => {
                    refused(Refused::Handshake);
                    debug!(%error, %peer, "a handshake between nodes failed");
                }
            }
        });
    }
}

/// Only a connection manager may ask anything.
pub(crate) fn authorise<T>(request: &Request<T>) -> Result<(), Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Local) => Ok(()),
        Some(Caller::Known(roles)) if roles.contains(&Role::ConnectionManager) => Ok(()),
        Some(Caller::Known(_)) => {
            refused(Refused::Role);
            Err(Status::permission_denied("the certificate does not name the role of a connection manager"))
        }
        Some(Caller::Nobody) | None => {
            refused(Refused::Nobody);
            Err(Status::unauthenticated("no certificate"))
        }
    }
}
