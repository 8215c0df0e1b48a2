//! One link as calls see it: each waits for its own answer; when the link is lost, all know at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use starling_ports::delivery::Delivery;
use starling_ports::ids::NodeId;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::debug;

use super::Unanswered;
use crate::convert::{self, Reply};
use crate::link::frames::{NotTaken, Queue};
use crate::link::limits::CALLS;
use crate::pb::{self, answer, down, up};

/// A link to one router.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) router: NodeId,
    /// For the calls that come before a session.
    pub(super) channel: Channel,
    queue: Queue<pb::Up>,
    waiting: Mutex<Option<Waiting>>,
    /// For all calls but renewals, which must not wait for others.
    turns: Semaphore,
    /// A call has its answer, or is given up.
    answered: Notify,
    /// The router has said that it leaves.
    pub(super) leaving: CancellationToken,
    /// It is to end, or has ended.
    pub(super) over: CancellationToken,
}

type Waiting = HashMap<u64, oneshot::Sender<answer::Body>>;

impl Lane {
    pub(super) fn new(
        router: NodeId,
        channel: Channel,
        queue: Queue<pb::Up>,
        over: CancellationToken,
    ) -> Lane {
        let (waiting, answered) = (Mutex::new(Some(HashMap::new())), Notify::new());
        let (turns, leaving) = (Semaphore::new(CALLS), CancellationToken::new());
        Lane { router, channel, queue, waiting, turns, answered, leaving, over }
    }

    /// Waits until no call waits for its answer.
    pub(super) async fn idle(&self) {
        loop {
            let answered = self.answered.notified();
            if self.waiting.lock().as_ref().is_none_or(HashMap::is_empty) {
                return;
            }
            answered.await;
        }
    }

    /// Sends a call, waiting for room, and waits for its answer.
    pub(super) async fn call(
        &self,
        call: u64,
        body: up::Body,
        within: Duration,
    ) -> Result<Reply, Unanswered> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().as_mut().ok_or(Unanswered::Lost)?.insert(call, sender);
        let _entry = Entry { lane: self, call };
        let answered = async {
            let _turn = match &body {
                up::Body::Renew(_) => None,
                _ => Some(self.turns.acquire().await.map_err(|_| Unanswered::Lost)?),
            };
            self.queue.send(pb::Up { call, body: Some(body) }).await.map_err(|why| match why {
                NotTaken::Closed | NotTaken::Full => Unanswered::Lost,
                NotTaken::TooBig => Unanswered::TooBig,
            })?;
            receiver.await.map_err(|_| Unanswered::Lost)
        };
        let body = timeout(within, answered).await.map_err(|_| Unanswered::Late(within))??;
        Ok(Reply::read(body)?)
    }

    /// It is over: whoever waits for an answer asks elsewhere.
    pub(super) fn end(&self) {
        self.over.cancel();
        self.turns.close();
        *self.waiting.lock() = None;
    }

    /// Reads answers, deliveries and commands until the link is over.
    pub(super) async fn read(
        &self,
        mut downwards: Streaming<pb::Downward>,
        own: NodeId,
        delivery: &dyn Delivery,
    ) {
        let ended = loop {
            let message = tokio::select! {
                () = self.over.cancelled() => break Status::ok("given up here"),
                message = downwards.message() => message,
            };
            match message {
                Ok(Some(pb::Downward { frames })) => {
                    frames
                        .into_iter()
                        .filter_map(|frame| frame.body)
                        .for_each(|body| self.take(body, own, delivery));
                }
                Ok(None) => break Status::ok("the router has ended it"),
                Err(status) => break status,
            }
        };
        debug!(router = self.router.name, status = %ended, "a link has ended");
    }

    pub(super) fn take(&self, body: down::Body, own: NodeId, delivery: &dyn Delivery) {
        match body {
            down::Body::Answer(pb::Answer { call, body }) => {
                let waiting = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&call));
                if let (Some(waiting), Some(body)) = (waiting, body) {
                    let _ = waiting.send(body); // whoever asked may have gone
                }
            }
            down::Body::Delivery(pushed) => match convert::of_delivery(pushed) {
                // A push is a hint: what a session does not take it finds in its log.
                Ok(targets) => drop(delivery.deliver(own, targets)),
                Err(error) => debug!(%error, "a delivery cannot be read"),
            },
            down::Body::Command(command) => match convert::of_command(command) {
                Ok((session, epoch, command)) => drop(delivery.command(own, session, epoch, command)),
                Err(error) => debug!(%error, "a command cannot be read"),
            },
            down::Body::Leave(_) => self.leaving.cancel(),
            down::Body::Welcome(_) => debug!("a router welcomes twice"),
        }
    }
}

/// A call that waits; given up when its caller goes.
struct Entry<'a> {
    lane: &'a Lane,
    call: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.lane.waiting.lock().as_mut() {
            waiting.remove(&self.call);
        }
        self.lane.answered.notify_waiters();
    }
}

/// Two handles of one link.
pub(super) fn is_same(one: &Arc<Lane>, other: &Arc<Lane>) -> bool {
    Arc::ptr_eq(one, other)
}
