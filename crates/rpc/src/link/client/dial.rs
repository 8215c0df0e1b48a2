//! Finds session routers by their names, and keeps a link to each of their addresses.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use starling_dns::Resolver;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::codegen::http::Uri;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::lane::Lane;
use super::{Announced, Uplinks};
use crate::convert::{self, Malformed};
use crate::io::{CONNECT_WITHIN, Io};
use crate::link::frames::{Batches, queue};
use crate::link::limits::{
    CONNECTION_WINDOW, GOODBYE_WITHIN, HELLO_WITHIN, KEEPALIVE, LEAVE_WITHIN, MESSAGE_BYTES, STREAM_WINDOW,
};
use crate::metrics::{Metrics, Refused, refused};
use crate::pb::link_client::LinkClient;
use crate::pb::{self, down, up};
use crate::peers;
use crate::{Identity, Role, VERSION};

/// How often names are looked up. No answer is kept between, so this is also how late a new router is found, however long its name's
/// records may be kept.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// Between two attempts at one address: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("{}", .0.message())]
    Status(#[from] Status),
    #[error("no welcome")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("it speaks version {0}, here it is {VERSION}")]
    Version(u32),
    #[error("it is this very process")]
    Own,
}

/// The addresses that the names have now.
type Wanted = Arc<Mutex<HashSet<SocketAddr>>>;

/// Looks the names up, again and again; each address gets a task of its own.
pub(super) async fn discover(uplinks: Arc<Uplinks>, resolver: Resolver, names: Vec<String>) {
    let (wanted, mut dialled) = (Wanted::default(), HashSet::new());
    let mut unfound = HashSet::new();
    let mut clock = tokio::time::interval(RESOLVE_EVERY);
    while uplinks.stop.run_until_cancelled(clock.tick()).await.is_some() {
        let (found, is_complete) = resolve(&resolver, &names, &mut unfound).await;
        {
            let mut wanted = wanted.lock();
            if is_complete {
                wanted.clear(); // a name that cannot be looked up takes nothing away
            }
            wanted.extend(&found);
        }
        dialled.retain(|(_, gone): &(SocketAddr, CancellationToken)| !gone.is_cancelled());
        for address in found {
            if dialled.iter().all(|(known, _)| *known != address) {
                let gone = CancellationToken::new();
                uplinks.tasks.spawn(keep(uplinks.clone(), address, wanted.clone(), gone.clone()));
                let (peers, identity) = (uplinks.peers.clone(), uplinks.identity.clone());
                let asked = peers::dial::keep(peers, address, identity, uplinks.tasks.clone());
                uplinks.tasks.spawn(gone.clone().run_until_cancelled_owned(asked));
                dialled.insert((address, gone));
            }
        }
    }
}

/// All addresses, and whether every name was found. One that is not, is told once.
async fn resolve<'a>(
    resolver: &Resolver,
    names: &'a [String],
    unfound: &mut HashSet<&'a str>,
) -> (HashSet<SocketAddr>, bool) {
    let (mut found, mut is_complete) = (HashSet::new(), true);
    for name in names {
        match resolver.sockets(name).await {
            Ok(addresses) => {
                found.extend(addresses);
                unfound.remove(name.as_str());
            }
            Err(error) => {
                is_complete = false;
                if unfound.insert(name) {
                    warn!(%error, name, "the name of a router was not found");
                } else {
                    debug!(%error, name, "the name of a router was not found");
                }
            }
        }
    }
    (found, is_complete)
}

/// Keeps a link to one address, as long as it is one of a router's.
async fn keep(uplinks: Arc<Uplinks>, address: SocketAddr, wanted: Wanted, gone: CancellationToken) {
    let _gone = gone.drop_guard();
    let (stop, mut pause, mut is_told) = (uplinks.stop.clone(), FIRST_PAUSE, false);
    loop {
        match stop.run_until_cancelled(open(&uplinks, address)).await {
            None => return,
            Some(Ok(opened)) => {
                (pause, is_told) = (FIRST_PAUSE, false);
                info!(%address, router = opened.lane.router.name, "linked to a session router");
                let newer = serve(&uplinks, opened, &|| wanted.lock().contains(&address)).await;
                if let Some(newer) = newer {
                    // The same router by another address of its own.
                    let _ = stop.run_until_cancelled(newer.cancelled()).await;
                }
            }
            Some(Err(DialError::Own)) => return stop.cancelled().await,
            Some(Err(error)) => {
                // Said once: a router that is away for long is no news.
                if std::mem::replace(&mut is_told, true) {
                    debug!(%error, %address, "no link to a session router");
                } else {
                    warn!(%error, %address, "no link to a session router");
                }
            }
        }
        if stop.is_cancelled() || !wanted.lock().contains(&address) {
            return;
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(jittered(pause))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A link, and what the router said when it was opened.
struct Opened {
    lane: Arc<Lane>,
    downwards: Streaming<pb::Downward>,
    /// Nothing more goes up.
    done: CancellationToken,
    announced: Announced,
}

/// Serves one link to its end. If another one to the same life of the router took its place: when that one ends. A link is lost that
/// ends while both want it, and its router's address is one still.
async fn serve(
    uplinks: &Arc<Uplinks>,
    opened: Opened,
    is_wanted: &(dyn Fn() -> bool + Sync),
) -> Option<CancellationToken> {
    let Opened { lane, downwards, done, announced } = opened;
    uplinks.metrics.links.increment(1.0);
    if let Some(former) = uplinks.routers.add(&lane) {
        former.over.cancel();
    }
    uplinks.announce(announced); // not before: whoever waits for it finds the router then
    let mut read = pin!(lane.read(downwards, uplinks.node, &*uplinks.holder));
    let is_lost = tokio::select! {
        () = &mut read => !lane.leaving.is_cancelled() && !lane.over.is_cancelled() && is_wanted(),
        () = leave(uplinks, &lane) => {
            debug!(router = lane.router.name, "a session router leaves");
            false
        }
        () = uplinks.stop.cancelled() => {
            done.cancel(); // so that the router knows that nothing has happened to this node
            let _ = timeout(GOODBYE_WITHIN, read).await;
            false
        }
    };
    let newer = uplinks.routers.all().iter().find(|one| one.router == lane.router).cloned();
    uplinks.routers.remove(&lane);
    lane.end();
    uplinks.metrics.links.decrement(1.0);
    uplinks.metrics.lost.increment(is_lost.into());
    uplinks.lost.notify_one();
    newer.filter(|newer| !super::lane::is_same(newer, &lane)).map(|newer| newer.over.clone())
}

/// Returns when the router leaves, and everything is answered that it was asked: nothing new is asked of it meanwhile, so that a
/// lane moves when nothing of it is unanswered (session-log rule 2). What takes too long is asked again elsewhere.
async fn leave(uplinks: &Uplinks, lane: &Arc<Lane>) {
    lane.leaving.cancelled().await;
    uplinks.routers.remove(lane);
    let settled = async {
        lane.idle().await;
        uplinks.exchanged(lane).await;
    };
    let _ = timeout(LEAVE_WITHIN, settled).await;
}

/// Connects, says who it is, and hears who it reached.
async fn open(uplinks: &Uplinks, address: SocketAddr) -> Result<Opened, DialError> {
    let channel = connect(address, uplinks.identity.clone()).await?;
    let (queue, batches) = queue();
    let _ = queue.try_send(hello(uplinks)); // an empty queue has room
    let done = CancellationToken::new();
    let upwards =
        Upwards { batches, done: Box::pin(done.clone().cancelled_owned()), metrics: uplinks.metrics.clone() };
    let mut client = LinkClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES);
    let mut downwards = timeout(HELLO_WITHIN * 2, client.open(upwards)).await??.into_inner();
    let first = timeout(HELLO_WITHIN, downwards.message()).await??;
    let mut frames = first.unwrap_or_default().frames;
    let Some(pb::Down { body: Some(down::Body::Welcome(welcome)) }) = frames.pop() else {
        return Err(Malformed("welcome").into());
    };
    if welcome.version != VERSION {
        refused(Refused::Version);
        return Err(DialError::Version(welcome.version));
    }
    let router = convert::of_node(welcome.node)?;
    if router == uplinks.node {
        return Err(DialError::Own);
    }
    let announced = Announced { features: welcome.features, registration: welcome.registration };
    let lane = Arc::new(Lane::new(router, channel, queue, CancellationToken::new()));
    Ok(Opened { lane, downwards, done, announced })
}

/// The connection that the link and the calls before a session share.
pub(crate) async fn connect(
    address: SocketAddr,
    identity: Option<Arc<Identity>>,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(2 * CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    endpoint.connect_with_connector(Connector { address, identity }).await
}

fn hello(uplinks: &Uplinks) -> pb::Up {
    pb::Up {
        call: 0,
        body: Some(up::Body::Hello(pb::Hello {
            node: Some(convert::node(uplinks.node)),
            version: VERSION,
            roles: vec![Role::ConnectionManager.as_str().to_owned()],
        })),
    }
}

/// Between one and two times as long: managers that lost a router together do not come back together.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    pause + pause * u32::from(byte[0]) / 256
}

/// What goes up one link.
struct Upwards {
    batches: Batches<pb::Up>,
    done: Pin<Box<WaitForCancellationFutureOwned>>,
    metrics: Metrics,
}

impl Stream for Upwards {
    type Item = pb::Upward;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<pb::Upward>> {
        let batch = match self.batches.poll_batch(cx) {
            Poll::Pending => std::task::ready!(self.done.as_mut().poll(cx).map(|()| None)),
            Poll::Ready(batch) => batch,
        };
        Poll::Ready(batch.map(|frames| {
            self.metrics.batch.record(frames.len() as f64);
            pb::Upward { frames }
        }))
    }
}

/// Connects to one address, with the certificate that this node has now.
struct Connector {
    address: SocketAddr,
    identity: Option<Arc<Identity>>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Io>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (address, identity) = (self.address, self.identity.clone());
        Box::pin(async move {
            let connected = Io::connect(address, identity.as_deref()).await;
            connected.map(TokioIo::new).inspect_err(|error| {
                if error.kind() == std::io::ErrorKind::InvalidData {
                    refused(Refused::Handshake); // what rustls says of a certificate that it does not believe
                }
            })
        })
    }
}
