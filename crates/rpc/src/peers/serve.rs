//! A session router's end: connection managers ask it, and wait to be asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use starling_ports::ids::NodeId;
use starling_ports::nodes::LISTED_FOR;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::heard::of_peer;
use super::{Absent, Heard, Peers, late};
use crate::VERSION;
use crate::calls::{self, Method};
use crate::convert::Malformed;
use crate::link::limits::HELLO_WITHIN;
use crate::link::server::authorise;
use crate::metrics::{Refused, refused};
use crate::pb::{self, asking, attending};

/// Questions that wait to go down; a manager that reads none does not answer.
const QUESTIONS: usize = 16;
/// Managers that attend at once.
const MOST: usize = 4096;

/// A connection manager that waits to be asked.
pub(super) struct Attendant {
    pub(super) node: NodeId,
    name: String,
    down: mpsc::Sender<Result<pb::Asking, Status>>,
    next_call: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<pb::Replies>>>,
}

impl Left {
    pub(super) fn peer(&self) -> (NodeId, String) {
        (self.node, self.name.clone())
    }
}

impl Attendant {
    pub(super) fn peer(&self) -> (NodeId, String) {
        (self.node, self.name.clone())
    }

    pub(super) async fn ask(&self, question: pb::Question, within: Duration) -> Result<Heard, Absent> {
        let absent = |why: String| Absent { node: Some(self.node), name: self.name.clone(), why };
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(call, sender);
        let _entry = Entry { attendant: self, call };
        let asked = pb::Asked { call, question: Some(question) };
        let sent = self.down.try_send(Ok(pb::Asking { body: Some(asking::Body::Asked(asked)) }));
        let answered = if sent.is_ok() { Some(timeout(within, receiver).await) } else { None };
        match answered {
            None => Err(absent("it takes no questions".to_owned())),
            Some(Err(_)) => Err(absent(late(within))),
            Some(Ok(Err(_))) => Err(absent("its connection was lost".to_owned())),
            Some(Ok(Ok(replies))) => {
                Heard::read(replies).map_err(|why| absent(format!("its answer is {why}")))
            }
        }
    }
}

/// A question that waits for its answer; given up when whoever asks goes.
struct Entry<'a> {
    attendant: &'a Attendant,
    call: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.attendant.waiting.lock().remove(&self.call);
    }
}

/// A connection manager that waited to be asked once.
pub(super) struct Left {
    node: NodeId,
    name: String,
    at: Instant,
}

/// What managers reach.
#[derive(Clone)]
pub(crate) struct PeersService {
    pub(crate) peers: Arc<Peers>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

fn malformed(why: Malformed) -> Status {
    refused(Refused::Malformed);
    Status::invalid_argument(why.to_string())
}

#[tonic::async_trait]
impl pb::peers_server::Peers for PeersService {
    type AttendStream = ReceiverStream<Result<pb::Asking, Status>>;

    async fn ask(&self, request: Request<pb::Question>) -> Result<Response<pb::Replies>, Status> {
        authorise(&request)?;
        let begun = Instant::now();
        let heard = self.peers.take(request.into_inner(), None).await;
        self.peers.answered.took(Method::Ask, calls::Status::Ok, begun.elapsed());
        Ok(Response::new(heard.write()))
    }

    async fn attend(
        &self,
        request: Request<Streaming<pb::Attending>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        authorise(&request)?;
        let mut upwards = request.into_inner();
        let first = timeout(HELLO_WITHIN, upwards.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello"))??;
        let (node, name) = read_hello(first)?;
        if node == self.peers.node {
            return Err(Status::already_exists("it is this very process"));
        }
        let (down, questions) = mpsc::channel(QUESTIONS);
        let welcome = asking::Body::Welcome(self.peers.introduction());
        let _ = down.try_send(Ok(pb::Asking { body: Some(welcome) })); // an empty queue has room
        let attendant =
            Arc::new(Attendant { node, name, down, next_call: AtomicU64::new(1), waiting: Mutex::default() });
        if !self.peers.admit(&attendant) {
            refused(Refused::Node);
            return Err(Status::resource_exhausted("no more may attend"));
        }
        let service = self.clone();
        self.tasks.spawn(async move {
            service.stop.run_until_cancelled(attendant.read(upwards)).await;
            service.peers.dismiss(&attendant);
        });
        Ok(Response::new(ReceiverStream::new(questions)))
    }
}

impl Attendant {
    /// Hears answers until the stream ends; then nobody waits any more.
    async fn read(&self, mut upwards: Streaming<pb::Attending>) {
        while let Ok(Some(pb::Attending { body })) = upwards.message().await {
            if let Some(attending::Body::Told(pb::Told { call, replies })) = body
                && let Some(waiting) = self.waiting.lock().remove(&call)
            {
                let _ = waiting.send(replies.unwrap_or_default()); // whoever asked may have gone
            }
        }
        self.waiting.lock().clear();
    }
}

impl Peers {
    /// In place of an earlier one of its name.
    fn admit(&self, attendant: &Arc<Attendant>) -> bool {
        let mut attending = self.attending.lock();
        let has_room = attending.len() < MOST || attending.contains_key(&attendant.node.name);
        if has_room {
            self.left.lock().remove(&attendant.node.name);
            attending.insert(attendant.node.name, attendant.clone());
        }
        has_room
    }

    fn dismiss(&self, attendant: &Arc<Attendant>) {
        let mut attending = self.attending.lock();
        if attending.get(&attendant.node.name).is_some_and(|present| Arc::ptr_eq(present, attendant)) {
            attending.remove(&attendant.node.name);
            let mut left = self.left.lock();
            left.retain(|_, one| one.at.elapsed() < LISTED_FOR);
            if left.len() < MOST {
                let (node, name) = (attendant.node, attendant.name.clone());
                left.insert(node.name, Left { node, name, at: Instant::now() });
            }
        }
    }

    /// Who was here within as long as nodes are listed, and is not.
    pub(super) fn missed(&self) -> Vec<Absent> {
        let left = self.left.lock();
        let missed = left.values().filter(|one| one.at.elapsed() < LISTED_FOR);
        let absent = |Left { node, name, at }: &Left| {
            let why = format!("its connection ended {} s ago", at.elapsed().as_secs());
            Absent { node: Some(*node), name: name.clone(), why }
        };
        missed.map(absent).collect()
    }
}

fn read_hello(first: Option<pb::Attending>) -> Result<(NodeId, String), Status> {
    let Some(attending::Body::Hello(pb::Introduction { peer, version })) = first.and_then(|first| first.body)
    else {
        return Err(malformed(Malformed("hello")));
    };
    if version != VERSION {
        refused(Refused::Version);
        return Err(Status::failed_precondition(format!(
            "version {version} is not spoken here, but {VERSION}"
        )));
    }
    of_peer(peer).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_is_given_up_leaves_nothing() {
        let (down, _questions) = mpsc::channel(QUESTIONS);
        let attendant = Attendant {
            node: NodeId { name: 1, incarnation: 1 },
            name: "manager-1".to_owned(),
            down,
            next_call: AtomicU64::new(1),
            waiting: Mutex::default(),
        };
        let within = Duration::from_secs(60);
        assert!(timeout(Duration::ZERO, attendant.ask(pb::Question::default(), within)).await.is_err());
        assert!(attendant.waiting.lock().is_empty());
    }
}
