//! One link from its first message to its last: calls are read in order, handled at once, answered as they are done.

use std::sync::Arc;

use starling_ports::ids::NodeId;
use starling_ports::ingress::Ingress;
use starling_ports::nodes::Nodes;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{debug, info};

use super::authorise;
use super::downlinks::{Downlink, Downlinks, Downwards};
use crate::VERSION;
use crate::calls::metrics::Calls;
use crate::calls::{self, Method};
use crate::convert::{self, Call, Reply};
use crate::link::limits::{HELLO_WITHIN, MOST_FRAMES, MOST_RENEWALS};
use crate::metrics::{Refused, refused};
use crate::pb::{self, answer, down, link_server::Link, up};

#[derive(Clone)]
pub(super) struct LinkService {
    pub(super) node: NodeId,
    pub(super) ingress: Arc<dyn Ingress>,
    pub(super) nodes: Arc<dyn Nodes>,
    pub(super) downlinks: Arc<Downlinks>,
    pub(super) features: String,
    pub(super) calls: Calls,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl LinkService {
    fn welcome(&self) -> pb::Down {
        pb::Down {
            body: Some(down::Body::Welcome(pb::Welcome {
                node: Some(convert::node(self.node)),
                version: VERSION,
                features: self.features.clone(),
                registration: self.ingress.offers_registration(),
            })),
        }
    }
}

#[tonic::async_trait]
impl Link for LinkService {
    type OpenStream = Downwards;

    async fn open(&self, request: Request<Streaming<pb::Upward>>) -> Result<Response<Downwards>, Status> {
        authorise(&request)?;
        let mut upwards = request.into_inner();
        let first = timeout(HELLO_WITHIN, upwards.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello"))?.inspect_err(count)?;
        let node = read_hello(first)?;
        let leaving = self.downlinks.leaving();
        if *leaving.borrow() {
            return Err(Status::unavailable("this router leaves"));
        }
        let Some((link, downwards)) = self.downlinks.open(node).await else {
            refused(Refused::Node);
            return Err(Status::failed_precondition("a later life of this node has been here"));
        };
        if link.queue.try_send(self.welcome()).is_err() {
            return Err(Status::internal("no room for the first message"));
        }
        if *leaving.borrow() {
            link.tell_to_leave(); // it came while all were told
        }
        info!(node = node.name, incarnation = node.incarnation, "a connection manager has a link");
        let service = self.clone();
        self.tasks.spawn(async move {
            let status = service.read(&link, upwards).await;
            if service.stop.is_cancelled() {
                link.tell_to_leave(); // or the manager would take it for lost
            }
            debug!(node = link.node.name, %status, "a link has ended");
            let left = status.code() == Code::Ok || service.stop.is_cancelled();
            service.downlinks.close(&link, left);
            link.finished().await;
            link.end(status);
        });
        Ok(Response::new(downwards))
    }
}

fn read_hello(first: Option<pb::Upward>) -> Result<NodeId, Status> {
    let mut frames = first.unwrap_or_default().frames;
    let (Some(pb::Up { body: Some(up::Body::Hello(hello)), .. }), true) = (frames.pop(), frames.is_empty())
    else {
        refused(Refused::Malformed);
        return Err(Status::invalid_argument("the first message is a hello alone"));
    };
    if hello.version != VERSION {
        refused(Refused::Version);
        return Err(Status::failed_precondition(format!(
            "version {} is not spoken here, but {VERSION}",
            hello.version
        )));
    }
    convert::of_node(hello.node).map_err(|why| {
        refused(Refused::Node);
        Status::invalid_argument(why.to_string())
    })
}

impl LinkService {
    /// Reads until the link is over; the status tells the other end why.
    async fn read(&self, link: &Arc<Downlink>, mut upwards: Streaming<pb::Upward>) -> Status {
        loop {
            let message = tokio::select! {
                () = self.stop.cancelled() => return Status::unavailable("this router stops"),
                () = link.over.cancelled() => return Status::aborted("the node has another link"),
                message = upwards.message() => message,
            };
            let frames = match message {
                Ok(Some(pb::Upward { frames })) => frames,
                Ok(None) => return Status::ok("both ends are done"),
                Err(status) => {
                    count(&status);
                    return status;
                }
            };
            if frames.len() > MOST_FRAMES || frames.iter().any(is_oversize) {
                refused(Refused::Oversize);
                return Status::out_of_range("more than is taken at once");
            }
            for frame in frames {
                // Without a permit nothing more is read: the manager's queue fills, and its callers wait.
                let permit = tokio::select! {
                    biased; // behind the end nothing more is begun: it is sent again elsewhere
                    () = self.stop.cancelled() => return Status::unavailable("this router stops"),
                    () = link.over.cancelled() => return Status::aborted("the node has another link"),
                    permit = link.calls.clone().acquire_owned() => permit,
                };
                let Ok(permit) = permit else { return Status::unavailable("this link is over") };
                let (service, link) = (self.clone(), link.clone());
                // In a box: the runtime moves a future about when it is born and when it is done, and this one is big.
                self.tasks.spawn(Box::pin(async move {
                    service.answer(&link, frame).await;
                    drop(permit);
                }));
            }
        }
    }

    async fn answer(&self, link: &Downlink, pb::Up { call, mut body }: pb::Up) {
        if let Some(up::Body::Renew(renew)) = &mut body
            && let Some(said) = renew.report.take()
        {
            let (nodes, report) = (self.nodes.clone(), convert::of_report(said, link.node));
            // Beside the renewal, which must not wait for it.
            self.tasks.spawn(async move {
                if let Err(error) = nodes.report(report).await {
                    debug!(%error, "what a manager says of itself is not noted");
                }
            });
        }
        let (begun, method) = (Instant::now(), body.as_ref().map_or(Method::Hello, Method::of));
        let read = body.ok_or(convert::Malformed("call")).and_then(Call::read);
        let (body, status) = match read {
            Ok(call) => match call.run(&*self.ingress, link.node).await.write() {
                failure @ answer::Body::Failure(_) => (failure, calls::Status::Failed),
                answered => (answered, calls::Status::Ok),
            },
            Err(why) => {
                refused(Refused::Malformed);
                (Reply::malformed(why).write(), calls::Status::Malformed)
            }
        };
        self.calls.took(method, status, begun.elapsed());
        let answer = pb::Answer { call, body: Some(body) };
        let _ = link.queue.send(pb::Down { body: Some(down::Body::Answer(answer)) }).await;
    }
}

fn is_oversize(frame: &pb::Up) -> bool {
    matches!(&frame.body, Some(up::Body::Renew(renew)) if renew.sessions.len() > MOST_RENEWALS)
}

/// What tonic refused for us.
fn count(status: &Status) {
    match status.code() {
        Code::OutOfRange => refused(Refused::Oversize),
        Code::Internal => refused(Refused::Malformed), // protobuf that cannot be read
        _ => {}
    }
}
