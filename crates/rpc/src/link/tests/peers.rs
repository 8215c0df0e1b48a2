//! Questions to all processes: from any of them, done once, and whoever does not answer is named.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::codegen::tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use super::refusals::{MANAGER, ROUTER};
use super::setup::{Authority, Core, Manager, PATIENCE};
use crate::link::client::dial::connect;
use crate::pb;
use crate::pb::peers_client::PeersClient;
use crate::peers::{Heard, Peers, Respondent};

/// Says who it is, and how often it was asked.
struct Named(&'static str, AtomicUsize);

#[async_trait]
impl Respondent for Named {
    async fn respond(&self, command: &str, request: &[u8]) -> Bytes {
        let times = 1 + self.1.fetch_add(1, Ordering::Relaxed);
        let request = String::from_utf8_lossy(request);
        Bytes::from(format!("{} {command} {request} {times}", self.0))
    }
}

/// Never says anything.
struct Mute;

#[async_trait]
impl Respondent for Mute {
    async fn respond(&self, _: &str, _: &[u8]) -> Bytes {
        std::future::pending().await
    }
}

fn named(peers: &Arc<Peers>, name: &'static str) -> Arc<dyn Respondent> {
    let respondent: Arc<dyn Respondent> = Arc::new(Named(name, AtomicUsize::new(0)));
    peers.answered_by(Arc::downgrade(&respondent));
    respondent
}

fn said(heard: &Heard) -> Vec<String> {
    heard.replies.iter().map(|reply| String::from_utf8(reply.answer.to_vec()).unwrap()).collect()
}

fn absent(heard: &Heard) -> Vec<&str> {
    heard.absent.iter().map(|one| one.name.as_str()).collect()
}

/// Asks until that is so: connections come in their own time.
async fn until(peers: &Arc<Peers>, is_so: impl Fn(&Heard) -> bool) -> Heard {
    let begun = std::time::Instant::now();
    loop {
        let heard = peers.ask("look", Bytes::new()).await;
        if is_so(&heard) {
            return heard;
        }
        assert!(begun.elapsed() < PATIENCE, "{heard:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two routers and two managers.
struct Four {
    core: Core,
    at: Vec<SocketAddr>,
    stops: Vec<CancellationToken>,
    managers: Vec<Manager>,
    answering: Vec<Arc<dyn Respondent>>,
}

const ALL: [&str; 4] = ["m0", "m1", "r0", "r1"];

impl Four {
    async fn start() -> Four {
        let (core, mut at, mut stops) = (Core::new(), Vec::new(), Vec::new());
        for name in ["r0", "r1"] {
            let (address, stop) = core.router(name, None).await;
            at.push(address);
            stops.push(stop);
        }
        let managers: Vec<_> = ["m0", "m1"].map(|name| Manager::new(name, &at, None)).into();
        let mut answering = Vec::new();
        for (manager, name) in managers.iter().zip(["m0", "m1"]) {
            answering.push(named(&manager.peers, name));
        }
        for (place, name) in ["r0", "r1"].into_iter().enumerate() {
            answering.push(named(&core.peers.lock()[place].clone(), name));
        }
        let four = Four { core, at, stops, managers, answering };
        for place in 0..2 {
            until(&four.router(place), |heard| heard.replies.len() == 4).await;
        }
        four
    }

    fn router(&self, place: usize) -> Arc<Peers> {
        self.core.peers.lock()[place].clone()
    }
}

#[tokio::test]
async fn a_question_reaches_every_process_once_from_any_of_them() {
    let four = Four::start().await;
    assert_eq!((four.at.len(), four.answering.len()), (2, 4));
    let asked =
        [four.managers[0].peers.clone(), four.managers[1].peers.clone(), four.router(0), four.router(1)];
    let times = |heard: &Heard| -> Vec<usize> {
        said(heard).iter().map(|said| said.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    };
    for peers in asked {
        let before = times(&peers.ask("find", Bytes::from_static(b"it")).await);
        let heard = peers.ask("find", Bytes::from_static(b"it")).await;
        let names: Vec<_> = heard.replies.iter().map(|reply| reply.name.as_str()).collect();
        assert_eq!((&names[..], absent(&heard)), (&ALL[..], Vec::new()), "{heard:?}");
        assert!(
            said(&heard).iter().zip(ALL).all(|(said, name)| said.starts_with(&format!("{name} find it ")))
        );
        let more: Vec<_> = before.iter().map(|times| times + 1).collect();
        assert_eq!(times(&heard), more, "each was asked once, by whatever ways");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_named() {
    let four = Four::start().await;
    four.stops[1].cancel();
    let peers = &four.managers[0].peers;
    let heard = until(peers, |heard| heard.replies.len() == 3).await;
    assert_eq!(absent(&heard), ["r1"], "{heard:?}");
    let heard = until(&four.router(0), |heard| heard.replies.len() == 3).await;
    assert_eq!(absent(&heard), ["r1"], "a manager has said so: {heard:?}");

    let mute: Arc<dyn Respondent> = Arc::new(Mute);
    let third = Manager::new("m2", &four.at[..1], None);
    third.peers.answered_by(Arc::downgrade(&mute));
    let heard = until(peers, |heard| absent(heard) == ["m2", "r1"]).await;
    assert_eq!(heard.replies.len(), 3, "{heard:?}");
    assert!(heard.absent[0].why.contains("within 3 s"), "{heard:?}");
}

#[tokio::test]
async fn a_router_that_has_sent_its_managers_away_answers() {
    let four = Four::start().await;
    four.core.routers.nth(0).leave().await;
    assert_eq!(four.managers[0].uplinks.count(), 1);
    for peers in [four.router(0), four.router(1), four.managers[1].peers.clone()] {
        let heard = peers.ask("find", Bytes::new()).await;
        assert_eq!((heard.replies.len(), absent(&heard)), (4, Vec::new()), "{heard:?}");
    }
}

/// As an older router is, which does not know the service.
#[tokio::test]
async fn a_router_that_knows_no_questions_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (core, stop) = (Core::new(), CancellationToken::new());
    let (_, health) = tonic_health::server::health_reporter();
    let served = Server::builder().add_service(health);
    let served =
        served.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
    core.tasks.spawn(async move { served.await.unwrap() });
    let (knows, _stop) = core.router("r0", None).await;
    let manager = Manager::new("m0", &[at, knows], None);
    let _answering = [named(&manager.peers, "m0"), named(&core.peers.lock()[0].clone(), "r0")];
    let heard = until(&manager.peers, |heard| heard.replies.len() == 2).await;
    assert_eq!(absent(&heard), [at.to_string()], "{heard:?}");
    stop.cancel();
}

#[tokio::test]
async fn only_a_connection_manager_may_ask() {
    let (core, ours) = (Core::new(), Authority::new());
    let (router, _stop) = core.router("r0", ours.identity(ROUTER, &ours)).await;
    let _answering = named(&core.peers.lock()[0].clone(), "r0");
    let question = || pb::Question { id: Some(pb::Id { high: 1, low: 2 }), ..pb::Question::default() };
    let allowed = connect(router, ours.identity(MANAGER, &ours)).await.unwrap();
    let replies = PeersClient::new(allowed).ask(question()).await.unwrap().into_inner();
    assert_eq!(replies.replies.len(), 1);
    let refused = connect(router, ours.identity(ROUTER, &ours)).await.unwrap();
    let refused = PeersClient::new(refused).ask(question()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
