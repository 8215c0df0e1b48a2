//! The streams down to connection managers: a router's `Delivery`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, RwLock};
use starling_ports::delivery::{Command, DeliverError, Delivery, Target};
use starling_ports::ids::{Epoch, NodeId, SessionId};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

use crate::convert;
use crate::link::frames::{Batches, NotTaken, Queue, queue};
use crate::link::limits::{BATCH_FRAMES, CALLS, FINISH_WITHIN, LEAVE_WITHIN, RENEWALS};
use crate::metrics::Metrics;
use crate::pb::{self, down::Body};

/// Former nodes that are remembered, so that no former life of theirs comes back.
const REMEMBERED: usize = 4096;
/// Sessions of one link that are told to pull when there is room again; others find out by their renewal.
const MISSED: usize = 16 * 1024;

/// All connection managers that have a link to this router, and this process's own sockets if it has any.
pub struct Downlinks {
    own: Option<(NodeId, Arc<dyn Delivery>)>,
    nodes: RwLock<HashMap<u64, Known>>,
    leaving: watch::Sender<bool>,
    /// How many there are.
    open: watch::Sender<usize>,
    metrics: Metrics,
}

/// The last life of a node that was heard of.
struct Known {
    node: NodeId,
    link: Option<Arc<Downlink>>,
}

/// One link.
pub(super) struct Downlink {
    pub(super) node: NodeId,
    pub(super) queue: Queue<pb::Down>,
    /// As many as calls may be under way.
    pub(super) calls: Arc<Semaphore>,
    /// Nothing more is read from it.
    pub(super) over: CancellationToken,
    /// The same life of its node has another link.
    is_replaced: AtomicBool,
    missed: Mutex<Missed>,
    end: Mutex<Option<oneshot::Sender<Status>>>,
}

/// Sessions whose pushes found no room.
#[derive(Default)]
struct Missed {
    sessions: HashMap<SessionId, Epoch>,
    /// Of the stream that has told all of them, and waits: what made the queue full may have gone out before they were noted.
    waker: Option<Waker>,
}

impl Downlinks {
    /// `own` is this process's node and its hub, where it is a connection manager too.
    pub fn new(own: Option<(NodeId, Arc<dyn Delivery>)>) -> Arc<Downlinks> {
        let (leaving, open) = (watch::Sender::new(false), watch::Sender::new(0));
        Arc::new(Downlinks { own, nodes: RwLock::default(), leaving, open, metrics: Metrics::new() })
    }

    /// How many connection managers have a link now.
    pub fn count(&self) -> usize {
        *self.open.borrow()
    }

    /// Tells all connection managers to go to other routers; none is let in until `stay`. Returns when all have gone, which each
    /// does when everything is answered that it has asked, or when they have had their time.
    pub async fn leave(&self) {
        self.leaving.send_replace(true);
        let links: Vec<_> = self.nodes.read().values().filter_map(|known| known.link.clone()).collect();
        links.iter().for_each(|link| link.tell_to_leave());
        let mut open = self.open.subscribe();
        if timeout(LEAVE_WITHIN, open.wait_for(|open| *open == 0)).await.is_err() {
            tracing::debug!(links = self.count(), "connection managers have not gone");
        }
    }

    /// They may come again.
    pub fn stay(&self) {
        self.leaving.send_replace(false);
    }

    /// Whether nobody is let in.
    pub(super) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// The link of `node` from now on. Its former one has finished first, or has had its time: no two handle one lane at once
    /// (session-log rule 2). `None` if a later life of the node was here.
    pub(super) async fn open(&self, node: NodeId) -> Option<(Arc<Downlink>, Downwards)> {
        let former = {
            let nodes = self.nodes.read();
            let known = nodes.get(&node.name);
            if known.is_some_and(|known| known.node.incarnation > node.incarnation) {
                return None;
            }
            known.and_then(|known| known.link.clone())
        };
        if let Some(former) = former {
            former.give_way_to(node);
            former.finished().await;
        }
        let (queue, batches) = queue();
        let (end, ended) = oneshot::channel();
        let link = Arc::new(Downlink {
            node,
            queue,
            calls: Arc::new(Semaphore::new(CALLS + RENEWALS)),
            over: CancellationToken::new(),
            is_replaced: AtomicBool::new(false),
            missed: Mutex::default(),
            end: Mutex::new(Some(end)),
        });
        self.insert(&link)?;
        self.metrics.links.increment(1.0);
        self.open.send_modify(|open| *open += 1);
        let downwards =
            Downwards { batches, ended, link: link.clone(), metrics: self.metrics.clone(), is_over: false };
        Some((link, downwards))
    }

    fn insert(&self, link: &Arc<Downlink>) -> Option<()> {
        let mut nodes = self.nodes.write();
        if nodes.len() >= REMEMBERED {
            nodes.retain(|_, known| known.link.is_some());
        }
        match nodes.get(&link.node.name) {
            Some(known) if known.node.incarnation > link.node.incarnation => return None,
            Some(Known { link: Some(former), .. }) => former.give_way_to(link.node),
            _ => {}
        }
        nodes.insert(link.node.name, Known { node: link.node, link: Some(link.clone()) });
        Some(())
    }

    /// The link is gone; a newer one stays. If its node has not `left` and none of the two wanted it to end, it is lost.
    pub(super) fn close(&self, link: &Arc<Downlink>, left: bool) {
        self.metrics.links.decrement(1.0);
        self.open.send_modify(|open| *open = open.saturating_sub(1));
        let is_lost = !left && !link.is_replaced.load(Ordering::Relaxed) && !*self.leaving.borrow();
        self.metrics.lost.increment(is_lost.into());
        let mut nodes = self.nodes.write();
        if let Some(known) = nodes.get_mut(&link.node.name)
            && known.link.as_ref().is_some_and(|present| Arc::ptr_eq(present, link))
        {
            known.link = None;
        }
    }

    fn find(&self, node: NodeId) -> Result<Arc<Downlink>, DeliverError> {
        let nodes = self.nodes.read();
        let known = nodes.get(&node.name).filter(|known| known.node == node);
        known.and_then(|known| known.link.clone()).ok_or_else(|| {
            self.metrics.gone.increment(1);
            DeliverError::Gone
        })
    }

    fn refusal(&self, why: NotTaken) -> DeliverError {
        match why {
            NotTaken::Closed => {
                self.metrics.gone.increment(1);
                DeliverError::Gone
            }
            NotTaken::Full | NotTaken::TooBig => {
                self.metrics.full.increment(1);
                DeliverError::Full
            }
        }
    }
}

impl Delivery for Downlinks {
    fn deliver(&self, node: NodeId, targets: Vec<Target>) -> Result<(), DeliverError> {
        if let Some((own, hub)) = &self.own
            && *own == node
        {
            return hub.deliver(node, targets);
        }
        let link = self.find(node)?;
        let reached: Vec<_> = targets.iter().map(|target| (target.session, target.epoch)).collect();
        let mut refused = Ok(());
        for delivery in convert::deliveries(targets) {
            if let Err(why) = link.queue.try_send(pb::Down { body: Some(Body::Delivery(delivery)) }) {
                refused = Err(self.refusal(why));
            }
        }
        if refused == Err(DeliverError::Full) {
            link.miss(&reached);
        }
        refused
    }

    fn command(
        &self,
        node: NodeId,
        session: SessionId,
        epoch: Epoch,
        command: Command,
    ) -> Result<(), DeliverError> {
        if let Some((own, hub)) = &self.own
            && *own == node
        {
            return hub.command(node, session, epoch, command);
        }
        let body = Body::Command(convert::command(session, epoch, &command));
        self.find(node)?.queue.try_send(pb::Down { body: Some(body) }).map_err(|why| self.refusal(why))
    }
}

impl Downlink {
    /// Nothing more is read from it, for `node` has another.
    fn give_way_to(&self, node: NodeId) {
        if self.node == node {
            self.is_replaced.store(true, Ordering::Relaxed);
        }
        self.over.cancel();
    }

    /// A manager that hears nothing of it notices when the link ends.
    pub(super) fn tell_to_leave(&self) {
        let _ = self.queue.try_send(pb::Down { body: Some(Body::Leave(pb::Empty {})) });
    }

    fn miss(&self, sessions: &[(SessionId, Epoch)]) {
        let waker = {
            let mut missed = self.missed.lock();
            let room = MISSED.saturating_sub(missed.sessions.len());
            missed.sessions.extend(sessions.iter().copied().take(room));
            missed.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Commands to pull for sessions whose pushes found no room; without any, `cx` is woken by the next.
    fn take_missed(&self, cx: &Context<'_>) -> Vec<pb::Down> {
        let mut missed = self.missed.lock();
        let some: Vec<_> =
            missed.sessions.iter().take(BATCH_FRAMES).map(|(session, epoch)| (*session, *epoch)).collect();
        for (session, _) in &some {
            missed.sessions.remove(session);
        }
        missed.waker = some.is_empty().then(|| cx.waker().clone());
        let frame = |(session, epoch)| pb::Down {
            body: Some(Body::Command(convert::command(session, epoch, &Command::Pull))),
        };
        some.into_iter().map(frame).collect()
    }

    /// No call is under way any more, or it has had its time.
    pub(super) async fn finished(&self) {
        let all = self.calls.acquire_many(u32::try_from(CALLS + RENEWALS).unwrap_or(u32::MAX));
        if timeout(FINISH_WITHIN, all).await.is_err() {
            tracing::debug!("calls of a link that has ended are still under way");
        }
    }

    /// Ends the stream when what waits has gone out.
    pub(super) fn end(&self, status: Status) {
        if let Some(end) = self.end.lock().take() {
            let _ = end.send(status);
        }
    }
}

/// What goes down one link.
pub(crate) struct Downwards {
    batches: Batches<pb::Down>,
    ended: oneshot::Receiver<Status>,
    link: Arc<Downlink>,
    metrics: Metrics,
    is_over: bool,
}

impl Stream for Downwards {
    type Item = Result<pb::Downward, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some(frames)) = self.batches.poll_batch(cx) {
            self.metrics.batch.record(frames.len() as f64);
            return Poll::Ready(Some(Ok(pb::Downward { frames })));
        }
        let frames = self.link.take_missed(cx);
        if !frames.is_empty() {
            return Poll::Ready(Some(Ok(pb::Downward { frames })));
        }
        match Pin::new(&mut self.ended).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(status) => {
                self.is_over = true;
                Poll::Ready(status.ok().map(Err))
            }
        }
    }
}

impl Drop for Downwards {
    fn drop(&mut self) {
        self.link.over.cancel(); // the connection is gone
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    /// The queue has gone out before it is noted that a push found it full: nothing else would wake the stream.
    #[tokio::test(start_paused = true)]
    async fn what_was_missed_is_told_though_nothing_follows() {
        let links = Downlinks::new(None);
        let (link, mut downwards) = links.open(NodeId { name: 1, incarnation: 1 }).await.unwrap();
        let mut told = JoinSet::new();
        told.spawn(async move { poll_fn(|cx| Pin::new(&mut downwards).poll_next(cx)).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        link.miss(&[(SessionId(7), Epoch(2))]);
        let told = timeout(Duration::from_secs(1), told.join_next()).await.expect("it is told at once");
        let frames = told.unwrap().unwrap().unwrap().unwrap().frames;
        let Some(Body::Command(command)) = frames[0].body.clone() else { panic!("{frames:?}") };
        let command = convert::of_command(command).unwrap();
        assert_eq!((frames.len(), command), (1, (SessionId(7), Epoch(2), Command::Pull)));
    }
}
