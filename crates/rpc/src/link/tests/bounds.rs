//! A node that takes nothing costs a router no more than its window, and finds out what it missed.

use std::sync::Arc;

use bytes::Bytes;
use starling_ports::delivery::{Command, DeliverError, Delivery, Outgoing, Target};
use starling_ports::ids::{Epoch, LogNumber, SessionId};
use starling_stanza::Wire;

use super::setup::{Core, Inbox, Manager, Wire as Network};
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
