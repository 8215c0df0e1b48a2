//! Wrong certificates, roles, versions and nodes: refused with a status and a counter, and the others do not notice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use starling_ports::delivery::{Command, DeliverError, Delivery};
use starling_ports::ids::{Epoch, NodeId, SessionId};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::setup::{Authority, Core, Manager, PATIENCE};
use crate::link::client::dial::connect;
use crate::link::limits::{MESSAGE_BYTES, MOST_FRAMES, MOST_RENEWALS};
use crate::pb::link_client::LinkClient;
use crate::pb::{self, up};
use crate::{Identity, Role, VERSION, convert, node_id};

pub(super) const MANAGER: &[Role] = &[Role::ConnectionManager];
pub(super) const ROUTER: &[Role] = &[Role::SessionRouter];

/// What is counted by this thread: a test runs on one.
pub(super) struct Counted {
    handle: PrometheusHandle,
    _guard: metrics::LocalRecorderGuard<'static>,
}

impl Counted {
    pub(super) fn new() -> Counted {
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        Counted { handle: recorder.handle(), _guard: metrics::set_default_local_recorder(recorder) }
    }
    fn of(&self, reason: &str) -> u64 {
        self.value(&format!("starling_link_refused_total{{reason=\"{reason}\"}}")).unwrap_or(0)
    }
    /// Of one series; `None` if it is not there.
    pub(super) fn value(&self, series: &str) -> Option<u64> {
        let (page, wanted) = (self.handle.render(), format!("{series} "));
        let line = page.lines().find_map(|line| line.strip_prefix(&wanted));
        line.map(|count| count.parse().unwrap())
    }
    /// The other end may count a moment later.
    async fn wait_for(&self, reason: &str) {
        let counted = async {
            while self.of(reason) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{reason} is counted"));
    }
}

/// An end of a link that says what a test wants.
pub(super) struct Raw {
    upwards: mpsc::Sender<pb::Upward>,
    downwards: Streaming<pb::Downward>,
}

impl Raw {
    pub(super) async fn open(
        router: SocketAddr,
        identity: Option<Arc<Identity>>,
        first: Vec<up::Body>,
    ) -> Result<Raw, Status> {
        let channel =
            connect(router, identity).await.map_err(|error| Status::unavailable(format!("{error:?}")))?;
        let (upwards, receiver) = mpsc::channel(4);
        upwards.send(batch(first)).await.unwrap();
        let opened = LinkClient::new(channel).open(ReceiverStream::new(receiver)).await?;
        let mut raw = Raw { upwards, downwards: opened.into_inner() };
        raw.next().await?;
        Ok(raw)
    }

    async fn next(&mut self) -> Result<Vec<pb::Down>, Status> {
        let message = tokio::time::timeout(PATIENCE, self.downwards.message()).await.expect("an answer");
        Ok(message?.ok_or_else(|| Status::ok("the end"))?.frames)
    }
}

fn batch(bodies: Vec<up::Body>) -> pb::Upward {
    let frame = |(call, body)| pb::Up { call, body: Some(body) };
    pb::Upward { frames: (1..).zip(bodies).map(frame).collect() }
}

fn hello(node: NodeId, version: u32) -> Vec<up::Body> {
    let node = (node != NodeId::default()).then(|| convert::node(node));
    vec![up::Body::Hello(pb::Hello { node, version, roles: Vec::new() })]
}

pub(super) fn known(incarnation: u64) -> Vec<up::Body> {
    hello(node_id("manager-1", incarnation), VERSION)
}

fn code(opened: Result<Raw, Status>) -> Code {
    opened.err().expect("it is refused").code()
}

/// `increase` sees nothing of the first refusal where its series begins with it.
#[tokio::test]
async fn each_reason_is_there_before_anything_is_refused() {
    let (counted, core) = (Counted::new(), Core::new());
    let (_router, _stop) = core.router("router-1", None).await;
    for reason in ["handshake", "no-certificate", "role", "version", "node", "oversize", "malformed"] {
        let series = format!("starling_link_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(counted.value(&series), Some(0), "{reason}");
    }
}

#[tokio::test]
async fn the_certificate_says_who_may_ask() {
    let (counted, core) = (Counted::new(), Core::new());
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (router, _stop) = core.router("router-1", ours.identity(ROUTER, &ours)).await;

    Raw::open(router, ours.identity(MANAGER, &ours), known(1)).await.unwrap();
    assert_eq!(code(Raw::open(router, ours.identity(ROUTER, &ours), known(1)).await), Code::PermissionDenied);
    assert_eq!(counted.of("role"), 1);
    assert_eq!(code(Raw::open(router, ours.identity(&[], &ours), known(1)).await), Code::PermissionDenied);
    assert_eq!(counted.of("role"), 2);
    Raw::open(router, theirs.identity(MANAGER, &ours), known(1)).await.err().expect("of another authority");
    counted.wait_for("handshake").await;
    Raw::open(router, None, known(1)).await.err().expect("without TLS");

    // The router still serves.
    Raw::open(router, ours.identity(MANAGER, &ours), known(2)).await.unwrap();
}

#[tokio::test]
async fn a_manager_believes_no_false_router() {
    let (counted, core) = (Counted::new(), Core::new());
    let (ours, theirs) = (Authority::new(), Authority::new());
    let manager = || ours.identity(MANAGER, &ours);
    for identity in [ours.identity(MANAGER, &ours), theirs.identity(ROUTER, &ours)] {
        let before = counted.of("handshake");
        let (router, _stop) = core.router("router-1", identity).await;
        Raw::open(router, manager(), known(1)).await.err().expect("it is not believed");
        assert!(counted.of("handshake") > before);
    }
}

#[tokio::test]
async fn a_certificate_is_exchanged_without_dropping_the_link() {
    let (core, ours, next) = (Core::new(), Authority::new(), Authority::new());
    let (router_files, manager_files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let identity = Identity::open(&ours.write(router_files.path(), ROUTER, &ours)).unwrap();
    let (router, _stop) = core.router("router-1", identity).await;
    let identity = Identity::open(&ours.write(manager_files.path(), MANAGER, &ours)).unwrap();
    let mut link = Raw::open(router, identity.clone(), known(1)).await.unwrap();

    next.write(router_files.path(), ROUTER, &next);
    let other = hello(node_id("manager-2", 1), VERSION);
    Raw::open(router, identity.clone(), other.clone()).await.err().expect("not believed any more");
    next.write(manager_files.path(), MANAGER, &next);
    Raw::open(router, identity, other).await.unwrap();
    link.upwards.send(batch(vec![up::Body::Renew(pb::Renew::default())])).await.unwrap();
    assert_eq!(link.next().await.unwrap().len(), 1, "the first link was not touched");
}

#[tokio::test]
async fn versions_and_nodes_that_are_not_known_are_refused() {
    let (counted, core) = (Counted::new(), Core::new());
    let (router, _stop) = core.router("router-1", None).await;
    let open = |first| Raw::open(router, None, first);
    assert_eq!(code(open(hello(node_id("manager-1", 1), VERSION + 1)).await), Code::FailedPrecondition);
    assert_eq!(counted.of("version"), 1);
    assert_eq!(code(open(hello(NodeId::default(), VERSION)).await), Code::InvalidArgument);
    assert_eq!(counted.of("node"), 1);
    let _link = open(known(5)).await.unwrap();
    assert_eq!(code(open(known(4)).await), Code::FailedPrecondition, "a former life");
    assert_eq!(counted.of("node"), 2);
    assert_eq!(code(open(vec![up::Body::Renew(pb::Renew::default())]).await), Code::InvalidArgument);
    assert_eq!(code(open(Vec::new()).await), Code::InvalidArgument);
    assert_eq!(counted.of("malformed"), 2);
}

#[tokio::test]
async fn a_delivery_for_an_unknown_node_or_a_former_life_of_one_finds_nobody() {
    let core = Core::new();
    let (router, _stop) = core.router("router-1", None).await;
    let mut link = Raw::open(router, None, known(5)).await.unwrap();
    let tell = |node| core.routers.command(node, SessionId(1), Epoch(1), Command::Conflict);
    assert_eq!(tell(node_id("manager-9", 5)), Err(DeliverError::Gone));
    assert_eq!(tell(node_id("manager-1", 4)), Err(DeliverError::Gone));
    assert_eq!(tell(node_id("manager-1", 5)), Ok(()));
    assert!(matches!(link.next().await.unwrap()[0].body, Some(pb::down::Body::Command(_))));
}

#[tokio::test]
async fn more_than_is_taken_at_once_ends_the_link() {
    let (counted, core) = (Counted::new(), Core::new());
    let (router, _stop) = core.router("router-1", None).await;
    let many = vec![up::Body::Renew(pb::Renew::default()); MOST_FRAMES + 1];
    let renewals = vec![pb::Renewal::default(); MOST_RENEWALS + 1];
    let big = pb::Draft { content: vec![b'x'; MESSAGE_BYTES].into(), ..pb::Draft::default() };
    for (at, bodies) in [
        many,
        vec![up::Body::Renew(pb::Renew { sessions: renewals, report: None })],
        vec![up::Body::Submit(pb::Submit { session: None, drafts: vec![big], again: false })],
    ]
    .into_iter()
    .enumerate()
    {
        let mut link = Raw::open(router, None, known(1)).await.unwrap();
        link.upwards.send(batch(bodies)).await.unwrap();
        assert_eq!(link.next().await.unwrap_err().code(), Code::OutOfRange);
        assert_eq!(counted.of("oversize"), at as u64 + 1);
    }
}

#[tokio::test]
async fn a_malformed_call_is_answered_and_the_link_goes_on() {
    let (counted, core) = (Counted::new(), Core::new());
    let (router, _stop) = core.router("router-1", None).await;
    let mut link = Raw::open(router, None, known(1)).await.unwrap();
    for _ in 0..2 {
        link.upwards.send(batch(vec![up::Body::Pull(pb::Pull::default())])).await.unwrap();
        let frames = link.next().await.unwrap();
        let Some(pb::down::Body::Answer(answer)) = &frames[0].body else { panic!("{frames:?}") };
        assert!(matches!(answer.body, Some(pb::answer::Body::Failure(_))), "{answer:?}");
    }
    assert_eq!(counted.of("malformed"), 2);
    let manager = Manager::new("manager-2", &[router], None);
    manager.linked(1).await;
}
