//! A node that takes nothing costs a router no more than its window, and finds out what it missed.

use std::sync::Arc;

use bytes::Bytes;
use starling_ports::delivery::{Command, DeliverError, Delivery, Outgoing, Target};
use starling_ports::ids::{Epoch, Handled, Life, LogNumber, SessionId};
use starling_ports::ingress::Ingress;
use starling_ports::position::Position;
use starling_ports::sessions::{Portrait, Registered, Registration, SmBase};
use starling_stanza::Wire;

use super::setup::{Core, Inbox, Manager, Wire as Network};
use crate::link::limits::FRAME_BYTES;
use crate::node_id;

fn target(number: u64) -> Target {
    let bytes = format!("<message from='a@b'><body>{}</body>", "x".repeat(64 * 1024));
    let wire = Wire::from_bytes(bytes.into()).unwrap();
    let outgoing = Outgoing {
        number: LogNumber(number),
        wire,
        more: Bytes::new(),
        address: false,
        late: false,
        id: None,
        trace: None,
    };
    Target { session: SessionId(u128::from(number)), epoch: Epoch(1), outgoing }
}

#[tokio::test]
async fn what_finds_no_room_is_pulled_later() {
    let core = Core::new();
    let (router, _stop) = core.router("router-1", None).await;
    let manager = Manager::new("manager-1", &[router], None);
    manager.linked(1).await;
    let node = node_id("manager-1", 1);
    // Nothing else runs on this thread meanwhile: the queue fills.
    let mut missed = Vec::new();
    for number in 1..1000 {
        match core.routers.deliver(node, vec![target(number)]) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, DeliverError::Full);
                missed.push(SessionId(u128::from(number)));
            }
        }
    }
    assert!(missed.len() > 500, "{} of 64 KiB each found room", 1000 - missed.len());
    let has_all = |inbox: &Inbox| {
        let commands = inbox.commands.lock();
        missed.iter().all(|session| commands.get(session).is_some_and(|told| told.contains(&Command::Pull)))
    };
    manager.inbox.until(has_all).await;
    assert_eq!(manager.inbox.pushed.lock().len() + missed.len(), 999);
}

#[tokio::test]
async fn a_node_that_came_back_has_one_link() {
    let core = Core::new();
    let network = Network::to(core.router("router-1", None).await.0, &core.tasks).await;
    let manager = Manager::new("manager-1", &[network.address], None);
    for _ in 0..5 {
        manager.linked(1).await;
        network.cut();
        let gone = async {
            while manager.uplinks.count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::setup::PATIENCE, gone).await.expect("the loss is noticed");
    }
    manager.linked(1).await;
    let node = node_id("manager-1", 1);
    core.routers.deliver(node, vec![target(1)]).unwrap();
    manager.inbox.until(|inbox: &Inbox| inbox.pushed.lock().len() == 1).await;
    drop(Arc::clone(&manager.uplinks));
}

/// Rule 9: a session that no link can carry is over; it was tried again every second, and its client heard nothing more.
#[tokio::test]
async fn a_registration_that_is_too_big_ends_the_session() {
    let core = Core::new();
    let alice = core.account("alice").await;
    let (router, _stop) = core.router("router-1", None).await;
    let manager = Manager::new("manager-1", &[router], None);
    manager.linked(1).await;
    let entries: Vec<Outgoing> = (1..=FRAME_BYTES as u64 / (64 * 1024)).map(|n| target(n).outgoing).collect();
    let said = Registration {
        session: SessionId(7),
        jid: alice.with_resource("desk").unwrap(),
        node: node_id("manager-1", 1),
        epoch: Epoch(1),
        life: Life(9),
        token: 1,
        portrait: Portrait::default(),
        resume: None,
        base: SmBase::default(),
        handled: Handled(0),
        acknowledged: LogNumber(0),
        entries,
        done: Position::default(),
    };
    let few = Registration { entries: said.entries[..9].to_vec(), ..said.clone() };
    assert_eq!(manager.uplinks.register_again(said).await.unwrap(), Registered::Over);
    let registered = manager.uplinks.register_again(few).await.unwrap();
    assert!(matches!(registered, Registered::Again { .. }), "{registered:?}");
}
