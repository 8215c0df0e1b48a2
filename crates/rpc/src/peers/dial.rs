//! A connection manager's end: it keeps a connection to each router to ask it, and to be asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use starling_ports::ids::NodeId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tracing::debug;

use super::heard::of_peer;
use super::{Absent, Heard, Peers, late};
use crate::calls::Method;
use crate::calls::metrics::Calls;
use crate::convert::Malformed;
use crate::link::client::dial::{connect, jittered};
use crate::link::limits::HELLO_WITHIN;
use crate::pb::peers_client::PeersClient;
use crate::pb::{self, asking, attending};
use crate::{Identity, VERSION};

/// Between two attempts at one address.
const PAUSE: Duration = Duration::from_secs(1);
/// Answers that wait to go up.
const ANSWERS: usize = 16;

/// A router's address, and who was found there last.
#[derive(Debug, Clone, Default)]
pub(super) struct Dialled {
    channel: Option<Channel>,
    router: Option<(NodeId, String)>,
}

impl Dialled {
    pub(super) fn peer(&self) -> Option<(NodeId, String)> {
        self.router.clone()
    }

    /// Whether another process than that one is there.
    pub(super) fn is_other(&self, than: Option<u64>) -> bool {
        than.is_none_or(|than| self.router.as_ref().is_none_or(|(node, _)| node.name != than))
    }

    pub(super) async fn ask(
        self,
        address: SocketAddr,
        question: pb::Question,
        within: Duration,
        calls: &Calls,
    ) -> Result<Heard, Absent> {
        let (node, name) = self.router.clone().unzip();
        let absent = |why| Absent { node, name: name.unwrap_or_else(|| address.to_string()), why };
        let Some(channel) = self.channel else { return Err(absent("it is not reached".to_owned())) };
        let answered = timeout(within, async { PeersClient::new(channel).ask(question).await });
        match calls.timed(Method::Ask, answered).await {
            Err(_) => Err(absent(late(within))),
            Ok(Err(status)) => Err(absent(status.message().to_owned())),
            Ok(Ok(replies)) => {
                Heard::read(replies.into_inner()).map_err(|why| absent(format!("its answer is {why}")))
            }
        }
    }
}

/// Keeps a connection to one address until it is dropped.
pub(crate) async fn keep(
    peers: Arc<Peers>,
    address: SocketAddr,
    identity: Option<Arc<Identity>>,
    tasks: TaskTracker,
) {
    let known = Known { peers: &peers, address };
    peers.dialled.lock().entry(address).or_default();
    loop {
        let attended = async {
            let channel = connect(address, identity.clone()).await;
            let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
            peers.attend(address, channel, &tasks).await
        };
        let ended = attended.await;
        if ended.as_ref().is_err_and(|status| status.code() == Code::AlreadyExists) {
            return; // it is this very process
        }
        debug!(%address, ?ended, "questions do not reach a session router");
        known.lost();
        tokio::time::sleep(jittered(PAUSE)).await;
    }
}

/// An address that is dialled, until that ends.
struct Known<'a> {
    peers: &'a Peers,
    address: SocketAddr,
}

impl Known<'_> {
    /// Who was there is named to those who miss it.
    fn lost(&self) {
        if let Some(dialled) = self.peers.dialled.lock().get_mut(&self.address) {
            dialled.channel = None;
        }
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.peers.dialled.lock().remove(&self.address);
    }
}

impl Peers {
    /// Waits for questions until the router or the connection ends it.
    async fn attend(
        self: &Arc<Self>,
        address: SocketAddr,
        channel: Channel,
        tasks: &TaskTracker,
    ) -> Result<(), Status> {
        let (up, waiting) = mpsc::channel(ANSWERS);
        let hello = pb::Attending { body: Some(attending::Body::Hello(self.introduction())) };
        let _ = up.try_send(hello); // an empty queue has room
        let mut client = PeersClient::new(channel.clone());
        let late = |_| Status::deadline_exceeded("no welcome");
        let opened = timeout(HELLO_WITHIN, client.attend(ReceiverStream::new(waiting)));
        let mut questions = opened.await.map_err(late)??.into_inner();
        let first = timeout(HELLO_WITHIN, questions.message()).await.map_err(late)??;
        let malformed = |why: Malformed| Status::internal(why.to_string());
        let router = read_welcome(first).map_err(malformed)?;
        *self.dialled.lock().entry(address).or_default() =
            Dialled { channel: Some(channel), router: Some(router.clone()) };
        self.answer(questions, router.0.name, &up, tasks).await
    }

    async fn answer(
        self: &Arc<Self>,
        mut questions: Streaming<pb::Asking>,
        asker: u64,
        up: &mpsc::Sender<pb::Attending>,
        tasks: &TaskTracker,
    ) -> Result<(), Status> {
        while let Some(pb::Asking { body }) = questions.message().await? {
            let Some(asking::Body::Asked(pb::Asked { call, question: Some(question) })) = body else {
                continue;
            };
            let (peers, up) = (self.clone(), up.clone());
            tasks.spawn(async move {
                let replies = Some(peers.take(question, Some(asker)).await.write());
                let told = pb::Attending { body: Some(attending::Body::Told(pb::Told { call, replies })) };
                let _ = up.send_timeout(told, super::WITHIN).await; // whoever asked has given up then
            });
        }
        Ok(())
    }
}

fn read_welcome(first: Option<pb::Asking>) -> Result<(NodeId, String), Malformed> {
    match first.and_then(|first| first.body) {
        Some(asking::Body::Welcome(pb::Introduction { peer, version: VERSION })) => of_peer(peer),
        _ => Err(Malformed("welcome")),
    }
}
