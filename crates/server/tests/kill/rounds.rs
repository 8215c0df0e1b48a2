//! Rounds of kill -9 under load: P1, P3, P4, and order.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use starling_history::Expect;
use starling_testkit::numbered::{Habit, Readers, Recipient, Sender};

use crate::setup::{Kit, rounds, until};

const SENDERS: [&str; 3] = ["anna", "ben", "cleo"];
/// `online` acknowledges, `moving` loses its socket all the time, `silent` acknowledges nothing for rounds, `offline` is
/// not there for rounds.
const RECEIVERS: [&str; 4] = ["online", "moving", "silent", "offline"];
/// How many messages are acknowledged in a round, at least, before the kill.
const A_ROUND: usize = 120;

/// Some rounds end with SIGTERM: then all sessions must be there again.
fn is_clean(round: usize) -> bool {
    round % 5 == 3
}

struct Cast {
    senders: Vec<Sender>,
    online: Recipient,
    moving: Recipient,
    silent: Recipient,
    offline: Recipient,
    readers: Readers,
}

/// After every kill: what was acked is in the archive, once; nothing came twice on a resumed stream, nothing without a
/// word on a new one, nothing under another id, nothing out of order. At the end everything acked has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_of_kill_nine_lose_double_and_reorder_nothing() {
    let accounts: Vec<&str> = SENDERS.into_iter().chain(RECEIVERS).collect();
    let mut kit = Kit::start("", &accounts).await;
    let device = |name| Recipient::new(name, "phone", &kit.notes);
    let mut cast = Cast {
        senders: SENDERS.iter().map(|name| Sender::new(name, &RECEIVERS, &kit.notes)).collect(),
        online: device("online"),
        moving: device("moving"),
        silent: device("silent"),
        offline: device("offline"),
        readers: Readers::default(),
    };
    let rounds = rounds();
    let mut was_clean = false;
    for round in 0..rounds {
        cast = play(&mut kit, cast, round, was_clean).await;
        was_clean = is_clean(round);
        kit.start_again().await;
        cast.readers.read(kit.server.plain(), &accounts, &kit.notes).await;
        let expect = Expect { all_delivered: false, all_archived: true };
        kit.notes.check(expect, &format!("round {round}"));
    }
    finish(&kit, cast).await;
    kit.notes.check(Expect { all_delivered: true, all_archived: true }, "at the end");
    let (sent, acked, received) = kit.notes.open().counts();
    println!("{rounds} rounds: {sent} sent, {acked} acked, {received} received");
    assert!(acked >= rounds * A_ROUND);
}

/// Everybody connects; the load runs until enough is acknowledged. The tasks end with the server.
async fn play(kit: &mut Kit, cast: Cast, round: usize, was_clean: bool) -> Cast {
    let Cast { mut senders, mut online, mut moving, mut silent, mut offline, readers } = cast;
    let address = kit.server.plain();
    let stop = Arc::new(AtomicBool::new(false));
    let silent_habit = if round % 5 == 4 { Habit::Answers } else { Habit::KeepsSilent };
    let goal = kit.notes.acked() + A_ROUND + (round * 37) % 100;

    let mut devices = tokio::task::JoinSet::new();
    for (device, habit) in
        [(&mut online, Habit::Answers), (&mut moving, Habit::IsCutAfter(25)), (&mut silent, silent_habit)]
    {
        let (stream, resumed) = device.connect(address).await;
        assert!(resumed || !was_clean, "a clean stop keeps the session");
        let device = std::mem::replace(device, Recipient::new("", "", &kit.notes));
        let task = device.run(stream, address, habit, stop.clone());
        devices.spawn(async move { (habit, task.await) });
    }
    let mut lanes = tokio::task::JoinSet::new();
    for sender in &mut senders {
        let (stream, resumed) = sender.connect(address).await;
        assert!(resumed || !was_clean, "a clean stop keeps the session");
        let own = std::mem::replace(sender, Sender::new("", &[], &kit.notes));
        lanes.spawn(own.run(stream, stop.clone()));
    }
    if round % 3 == 2 {
        // It comes while others send to it, takes some of what waits, and acknowledges what it was asked for.
        let (mut stream, _) = offline.connect(address).await;
        let some = |device: &Recipient| device.came() >= 60;
        offline.read(&mut stream, Habit::Answers, Duration::from_millis(300), some).await;
        offline.cut(stream);
    }
    until("a round of acknowledgements", || kit.notes.acked() >= goal).await;

    if is_clean(round) {
        kit.server.stop().await.unwrap();
    } else {
        kit.server.kill().await.unwrap();
    }
    senders = lanes.join_all().await;
    for (habit, device) in devices.join_all().await {
        match habit {
            Habit::IsCutAfter(_) => moving = device,
            _ if device.is("online") => online = device,
            _ => silent = device,
        }
    }
    Cast { senders, online, moving, silent, offline, readers }
}

/// Everything is acknowledged, and everybody reads what there is.
async fn finish(kit: &Kit, mut cast: Cast) {
    let address = kit.server.plain();
    for sender in &mut cast.senders {
        let (stream, _) = sender.connect(address).await;
        sender.finish(stream).await;
    }
    for device in [&mut cast.online, &mut cast.moving, &mut cast.silent, &mut cast.offline] {
        let (mut stream, _) = device.connect(address).await;
        device.read_all(&mut stream).await;
        device.leave(stream).await;
    }
    let accounts: Vec<&str> = SENDERS.into_iter().chain(RECEIVERS).collect();
    cast.readers.read(address, &accounts, &kit.notes).await;
}
