//! A router that leaves: nothing new is asked of it, everything that it was asked is answered, and it may stay after all.

use starling_ports::authentication::{Authentication, Mechanism, Reply, Step};
use starling_ports::ingress::{Handling, Ingress};
use tokio::time::timeout;

use super::setup::{Core, Manager, PATIENCE, message, presence};
use starling_ports::ids::Handled;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_leaves_is_asked_nothing_new_and_nothing_is_sent_again() {
    let core = Core::new();
    let (first, _stop) = core.router("router-1", None).await;
    let (second, _stop) = core.router("router-2", None).await;
    let manager = Manager::new("manager-1", &[first, second], None);
    manager.linked(2).await;
    let (bob, leaving) = (core.account("bob").await, core.routers.nth(0));
    let desk = manager.uplinks.bind(&bob, Some("desk"), Default::default()).await.unwrap();
    manager.uplinks.submit(&desk, vec![presence(1)]).await.unwrap();
    for number in 2..=100 {
        let batch = vec![message(number, &bob, "to myself")];
        let submitted = manager.uplinks.submit(&desk, batch);
        let done = match number {
            30 => tokio::join!(submitted, leaving.leave()).0,
            60 => {
                leaving.stay();
                manager.linked(2).await;
                submitted.await
            }
            _ => submitted.await,
        };
        assert_eq!(done.unwrap().handling, Handling::Done(Handled(number)));
        if (31..60).contains(&number) {
            assert_eq!((manager.uplinks.count(), leaving.count()), (1, 0), "at {number}");
        }
    }
    assert_eq!(manager.uplinks.resent(), 0, "every call was answered by whom it was made to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_has_begun_at_a_router_that_leaves_ends_there() {
    let core = Core::new();
    let (first, stop) = core.router("router-1", None).await;
    let manager = Manager::new("manager-1", &[first], None);
    manager.linked(1).await;
    core.account("bob").await;
    let step = |message: &str| Step {
        exchange: 5,
        mechanism: Mechanism::ScramSha256,
        domain: starling_jid::BareJid::new("localhost").unwrap(),
        peer: "192.0.2.1".parse().unwrap(),
        plus_offered: false,
        channel_binding: None,
        message: Some(message.as_bytes().to_vec()),
    };
    let challenge = manager.uplinks.step(step("n,,n=bob,r=abcdefgh")).await;
    assert!(matches!(challenge, Reply::Challenge(_)), "{challenge:?}");
    let leaving = core.routers.nth(0);
    let left = core.tasks.spawn(async move { leaving.leave().await });
    while manager.uplinks.count() > 0 {
        tokio::task::yield_now().await;
    }
    let answer = manager.uplinks.step(step("c=biws,r=abcdefgh,p=d3Jvbmc=")).await;
    let is_answered = matches!(answer, Reply::Failure(why) if why != starling_ports::authentication::SaslFailure::TemporaryAuthFailure);
    assert!(is_answered, "the router that keeps the state of it has said what it thinks: {answer:?}");
    timeout(PATIENCE, left).await.expect("then all have gone").unwrap();
    stop.cancel();
}
