//! A client from the moment it is accepted: it finds a place or is told that there is none, and is served by what its
//! listener is for.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use starling_stream::Security;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::conn::{self, Start};
use crate::http;
use crate::listeners::{Kind, Present};
use crate::metrics::Metrics;
use crate::proxy;
use crate::room::{AtDoor, Place};
use crate::socket::Socket;
use crate::transport::Transport;

/// How long a client that is one too many may take to hear so.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// A connection that was accepted.
pub(crate) struct Arrival {
    pub(crate) present: Arc<Present>,
    pub(crate) kind: Kind,
    pub(crate) tcp: TcpStream,
    /// Who connected; once a trusted proxy was heard, for whom it did.
    pub(crate) peer: IpAddr,
    pub(crate) stop: CancellationToken,
}

/// One that has found a place, or is good for a refusal only.
pub(crate) struct Admitted {
    pub(crate) arrival: Arrival,
    pub(crate) place: Place,
}

impl Arrival {
    /// Serves a client that finds a place, and tells one that finds none. In a box, for what a future hands to another has
    /// room in both as long as they live.
    pub(crate) fn admit(self, at_door: AtDoor) -> impl Future<Output = ()> {
        let counted = Counted::new(self.kind);
        let admitted = match self.present.shared.room.try_admit(at_door) {
            Ok(place) => Ok(Box::new(Admitted { arrival: self, place })),
            Err(at_door) => Err(Box::new((self, at_door))),
        };
        async move {
            let _counted = counted;
            match admitted {
                Ok(admitted) => admitted.serve().await,
                Err(late) => Box::pin(admit_late(late)).await,
            }
        }
    }
}

async fn admit_late(late: Box<(Arrival, AtDoor)>) {
    let (arrival, at_door) = *late;
    let place = arrival.present.shared.room.admit(at_door).await;
    let is_refused = place.is_refused();
    let serving = Box::new(Admitted { arrival, place }).serve();
    if is_refused {
        let _ = timeout(REFUSED_WITHIN, serving).await;
    } else {
        serving.await;
    }
}

impl Admitted {
    /// Serves a connection by what its listener is for, and by what a trusted proxy says before anything else.
    async fn serve(mut self: Box<Self>) {
        let arrival = &mut self.arrival;
        let security = match arrival.hear_proxy().await {
            Ok(said) => arrival.security(said),
            Err(error) => return debug!(%error, peer = %arrival.peer, "a proxy was not understood"),
        };
        match security {
            Some(security) => {
                if let Some(start) = self.start(security) {
                    conn::serve(start).await;
                }
            }
            // In a box: it is bigger than the future of an idle TCP client, which would have to make room for it.
            None => Box::pin(http::serve(self)).await,
        }
    }

    #[expect(clippy::boxed_local, reason = "the box is given back here, not at the end of the connection")]
    fn start(self: Box<Self>, security: Security) -> Option<Box<Start>> {
        let Admitted { arrival: Arrival { present, kind, tcp, peer, stop }, place } = *self;
        let (shared, settings) = (present.shared.clone(), present.settings(security, Transport::Tcp));
        let mut socket = Socket::new(tcp);
        if kind == Kind::DirectTls
            && let Err(error) = socket.start_tls(&shared.tls.direct)
        {
            debug!(%error, "no TLS for a client");
            return None;
        }
        Some(Box::new(Start { shared, socket, peer, place, settings, stop }))
    }
}

impl Arrival {
    /// What a trusted proxy says of its client: whether TLS ended there.
    async fn hear_proxy(&mut self) -> io::Result<Option<bool>> {
        let proxies = &self.present.config.listen.trusted_proxies;
        if !proxies.iter().any(|network| network.contains(self.peer)) {
            return Ok(None);
        }
        let said = Box::pin(proxy::take(&mut self.tcp)).await?;
        let said = said.and_then(|said| Some((said.client?, said.is_tls)));
        Ok(said.map(|(client, is_tls)| {
            self.peer = client;
            is_tls
        }))
    }

    /// How a stream is secured; `None` where there is HTTP first.
    fn security(&mut self, proxied: Option<bool>) -> Option<Security> {
        Some(match (self.kind, proxied) {
            (Kind::DirectTls, _) => Security::Direct,
            (Kind::C2s | Kind::Plain, Some(true)) => Security::Proxied,
            (Kind::C2s, _) | (Kind::Plain, Some(_)) => Security::StartTls,
            (Kind::Plain, None) => Security::Plain,
            (Kind::PlainHttp, Some(_)) => {
                self.kind = Kind::Http; // who comes from afar is not on loopback, whatever the listener is bound to
                return None;
            }
            (Kind::Http | Kind::Https | Kind::PlainHttp, _) => return None,
        })
    }
}

/// Counts a connection while it lives. Not a future around another: that would take its room twice.
struct Counted(Kind);

impl Counted {
    fn new(kind: Kind) -> Counted {
        Metrics::connections(kind).increment(1.0);
        Counted(kind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        Metrics::connections(self.0).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, F>(_: impl FnOnce(Arrival, A) -> F) -> usize {
        size_of::<F>()
    }

    /// The future of a connection is most of what an idle one takes; with what the runtime adds it is to fit in 1 KiB, which the
    /// allocator has a size for.
    #[test]
    fn a_connection_fits_in_its_size() {
        let size = size_of_future(Arrival::admit);
        assert!(size <= 912, "{size} bytes");
    }
}
