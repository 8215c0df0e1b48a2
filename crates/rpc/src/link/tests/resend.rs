//! Session-log rules 2 and 7: links are lost in the middle of everything, and nothing is lost, doubled or out of order.

use std::collections::HashMap;
use std::time::Duration;

use starling_ports::StoreError;
use starling_ports::delivery::Command;
use starling_ports::ids::{Handled, LogNumber};
use starling_ports::ingress::{Handling, Ingress, SessionRef};
use starling_ports::sessions::{SmBase, Standing};
use tokio::task::JoinSet;

use super::setup::{Core, Manager, PATIENCE, Wire, message, presence};

const SENDERS: u64 = 8;
const MESSAGES: u64 = 120;

/// Everything in the session's log, acknowledged as it comes: the bodies by sender.
async fn read_all(ingress: &dyn Ingress, session: &SessionRef, count: usize) -> HashMap<String, Vec<String>> {
    let (mut found, mut after, mut read): (HashMap<_, Vec<_>>, _, _) = (HashMap::new(), LogNumber(0), 0);
    let reading = async {
        while read < count {
            let batch = ingress.pull(session, after, 100).await.unwrap();
            for entry in batch.entries {
                assert_eq!(entry.number.0, after.0 + 1, "no number is left out");
                after = entry.number;
                let text = String::from_utf8(entry.wire.as_bytes().to_vec()).unwrap();
                let part = |start: &str, end: &str| {
                    text.split_once(start).and_then(|(_, rest)| Some(rest.split_once(end)?.0.to_owned()))
                };
                if let Some(body) = part("<body>", "</body>") {
                    found.entry(part(" from='", "'").unwrap()).or_default().push(body);
                    read += 1;
                }
            }
            assert!(ingress.acknowledge(session, after).await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE * 2, reading).await.expect("all of it comes");
    let batch = ingress.pull(session, after, 100).await.unwrap();
    let doubled = batch.entries.iter().filter(|entry| entry.wire.has_attribute("type", "chat")).count();
    assert_eq!(doubled, 0, "nothing comes twice");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_link_loses_doubles_and_reorders_nothing() {
    let core = Core::new();
    let mut wires = Vec::new();
    for name in ["router-1", "router-2"] {
        wires.push(Wire::to(core.router(name, None).await.0, &core.tasks).await);
    }
    let manager = Manager::new("manager-1", &[wires[0].address, wires[1].address], None);
    manager.linked(2).await;
    let uplinks = manager.uplinks.clone();
    let bob = core.account("bob").await;
    let desk = uplinks.bind(&bob, Some("desk"), Default::default()).await.unwrap();
    uplinks.submit(&desk, vec![presence(1)]).await.unwrap();

    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (account, bob, uplinks) =
            (core.account(&format!("alice{sender}")).await, bob.clone(), uplinks.clone());
        senders.spawn(async move {
            let session = uplinks.bind(&account, Some("phone"), Default::default()).await.unwrap();
            uplinks.enable_sm(&session, true, SmBase::default()).await.unwrap();
            let mut next = 1;
            while next <= MESSAGES {
                let batch =
                    (next..next + 1 + next % 3).map(|number| message(number, &bob, &number.to_string()));
                let batch: Vec<_> = batch.collect();
                let last = batch.last().unwrap().number;
                let done = uplinks.submit(&session, batch).await.unwrap();
                assert_eq!(done.handling, Handling::Done(Handled(last)));
                next = last + 1;
            }
            (session.jid.to_string(), next - 1)
        });
    }
    let mut sent = HashMap::new();
    for round in 0.. {
        let wire = &wires[round % 2];
        wire.deafen(); // what is done now, nobody hears of
        tokio::time::sleep(Duration::from_millis(20)).await;
        wire.cut();
        let done = tokio::time::timeout(Duration::from_millis(80), senders.join_next()).await;
        match done {
            Ok(Some(done)) => drop(sent.insert(done.as_ref().unwrap().0.clone(), done.unwrap().1)),
            Ok(None) => break,
            Err(_) => {} // still sending
        }
    }
    let total: u64 = sent.values().sum();
    assert!(total >= SENDERS * MESSAGES);
    let found = read_all(&*uplinks, &desk, total as usize).await;
    assert_eq!(found.len(), sent.len());
    for (sender, bodies) in found {
        let expected: Vec<String> = (1..=sent[&sender]).map(|number| number.to_string()).collect();
        assert_eq!(bodies, expected, "{sender}");
    }
}

#[tokio::test]
async fn a_router_that_stops_answers_first_and_the_next_one_goes_on() {
    let core = Core::new();
    let (first, stop) = core.router("router-1", None).await;
    let (second, _stop) = core.router("router-2", None).await;
    let manager = Manager::new("manager-1", &[first, second], None);
    manager.linked(2).await;
    let bob = core.account("bob").await;
    let desk = manager.uplinks.bind(&bob, Some("desk"), Default::default()).await.unwrap();
    for number in 1..=50 {
        if number == 20 {
            stop.cancel();
        }
        let done = manager.uplinks.submit(&desk, vec![message(number, &bob, "to myself")]).await.unwrap();
        assert_eq!(done.handling, Handling::Done(Handled(number)));
    }
    assert_eq!(manager.uplinks.count(), 1);
}

#[tokio::test]
async fn who_missed_a_push_is_told_to_pull_when_its_link_is_lost() {
    let core = Core::new();
    let wire = Wire::to(core.router("router-1", None).await.0, &core.tasks).await;
    let manager = Manager::new("manager-1", &[wire.address], None);
    manager.linked(1).await;
    let bob = core.account("bob").await;
    let desk = manager.uplinks.bind(&bob, Some("desk"), Default::default()).await.unwrap();
    manager.uplinks.submit(&desk, vec![presence(1)]).await.unwrap();
    manager.inbox.hold(&desk);
    wire.deafen();
    // By way of another manager, so that only the push is lost.
    let other = Manager::new("manager-2", &[core.router("router-2", None).await.0], None);
    let alice = core.account("alice").await;
    let phone = other.uplinks.bind(&alice, Some("phone"), Default::default()).await.unwrap();
    other.uplinks.submit(&phone, vec![message(1, &bob, "hello")]).await.unwrap();
    wire.cut();
    let is_told = |inbox: &super::setup::Inbox| {
        inbox.commands.lock().get(&desk.id).is_some_and(|commands| commands.contains(&Command::Pull))
    };
    manager.inbox.until(is_told).await;
    let held = manager.inbox.held.lock().clone();
    let renewed = manager.uplinks.renew(Default::default(), held).await.unwrap();
    assert_eq!(renewed.iter().map(|one| one.standing).collect::<Vec<_>>(), [Standing::Behind]);
}

#[tokio::test]
async fn what_is_over_for_the_slot_is_let_go() {
    let core = Core::new();
    let manager = Manager::new("manager-1", &[core.router("router-1", None).await.0], None);
    manager.linked(1).await;
    let bob = core.account("bob").await;
    let desk = manager.uplinks.bind(&bob, Some("desk"), Default::default()).await.unwrap();
    let other = SessionRef { epoch: starling_ports::ids::Epoch(7), ..desk.clone() };
    manager.inbox.hold(&other);
    let is_told = |inbox: &super::setup::Inbox| {
        inbox.commands.lock().get(&desk.id).is_some_and(|commands| commands.contains(&Command::Fenced))
    };
    manager.inbox.until(is_told).await;
}

#[tokio::test(start_paused = true)]
async fn without_any_router_a_call_fails_after_a_minute() {
    let manager = Manager::new("manager-1", &[], None);
    let begun = tokio::time::Instant::now();
    let jid = starling_jid::FullJid::new("bob@localhost/desk").unwrap();
    let session = SessionRef { id: starling_ports::ids::SessionId(1), jid, epoch: Default::default() };
    manager.inbox.hold(&session);
    let error = manager.uplinks.pull(&session, LogNumber(0), 10).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(begun.elapsed() >= Duration::from_secs(60), "{:?}", begun.elapsed());
    // Long before that its lease was over: another node may have it.
    let commands = manager.inbox.commands.lock().clone();
    assert!(commands[&session.id].contains(&Command::Fenced), "{commands:?}");
}

#[tokio::test]
async fn a_login_goes_through_and_a_new_account_too() {
    use starling_ports::authentication::{Authentication, Mechanism, Reply, SaslFailure, Step};

    let core = Core::new();
    let manager = Manager::new("manager-1", &[core.router("router-1", None).await.0], None);
    manager.linked(1).await;
    core.account("bob").await;
    let step = |message: &str| Step {
        exchange: 5,
        mechanism: Mechanism::Plain,
        domain: starling_jid::BareJid::new("localhost").unwrap(),
        peer: "192.0.2.1".parse().unwrap(),
        plus_offered: false,
        channel_binding: None,
        message: Some(message.as_bytes().to_vec()),
    };
    let good = manager.uplinks.step(step("\0bob\0secret")).await;
    assert!(matches!(good, Reply::Success { .. }), "{good:?}");
    let bad = manager.uplinks.step(step("\0bob\0wrong")).await;
    assert_eq!(bad, Reply::Failure(SaslFailure::NotAuthorized));
    let announced = manager.uplinks.announced().borrow().clone().unwrap();
    assert_eq!((announced.features.as_str(), announced.registration), ("<c xmlns='urn:x'/>", false));
    assert!(!manager.uplinks.offers_registration());
}

#[tokio::test]
async fn a_stop_ends_every_task() {
    let core = Core::new();
    let manager = Manager::new("manager-1", &[core.router("router-1", None).await.0], None);
    manager.linked(1).await;
    manager.stop.cancel();
    manager.tasks.close();
    tokio::time::timeout(PATIENCE, manager.tasks.wait()).await.expect("nothing is left");
}

/// Session-log rule 13: its sender has heard that it was refused, so nobody who decides later takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_router_has_refused_no_other_delivers() {
    let core = Core::new();
    let other = core.with_another_memory();
    let (first, stop) = core.router("router-1", None).await;
    let (second, _stop) = other.router("router-2", None).await;
    let wires = [Wire::to(first, &core.tasks).await, Wire::to(second, &core.tasks).await];
    let manager = Manager::new("manager-1", &[wires[0].address, wires[1].address], None);
    manager.linked(2).await;
    let (uplinks, bob) = (manager.uplinks.clone(), core.account("bob").await);
    let desk = uplinks.bind(&bob, Some("desk"), Default::default()).await.unwrap();
    uplinks.submit(&desk, vec![presence(1)]).await.unwrap();
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let account = core.account(&format!("alice{sender}")).await;
        let session = uplinks.bind(&account, Some("phone"), Default::default()).await.unwrap();
        uplinks.enable_sm(&session, true, SmBase::default()).await.unwrap();
        core.block(&account, &[bob.clone().into()]).await;
        senders.push(session);
    }
    wires.iter().for_each(|wire| wire.deafen());
    let mut sending = JoinSet::new();
    for session in senders.clone() {
        let (uplinks, batch) = (uplinks.clone(), vec![message(1, &bob, "1")]);
        sending.spawn(async move { uplinks.submit(&session, batch).await });
    }
    for session in &senders {
        let refused = async {
            while core.pipeline.pull(session, LogNumber(0), 10).await.unwrap().entries.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, refused).await.expect("each hears that it was refused");
        core.block(&session.jid.bare(), &[]).await;
    }
    wires[1].cut();
    stop.cancel();
    wires[0].cut();
    while let Some(sent) = sending.join_next().await {
        assert_eq!(sent.unwrap().unwrap().handling, Handling::Done(Handled(1)));
    }
    for session in &senders {
        let said = core.pipeline.pull(session, LogNumber(0), 10).await.unwrap().entries;
        assert_eq!(said.len(), 1, "one error each, and no other");
    }
    let came = core.pipeline.pull(&desk, LogNumber(0), 100).await.unwrap().entries;
    assert!(!came.iter().any(|entry| entry.wire.has_attribute("type", "chat")), "bob gets none of them");
}
