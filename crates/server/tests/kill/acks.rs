//! P1: an ack means that it is safe. P3: a message leaves the server only when a device has acknowledged it. P4: one id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use starling_history::Expect;
use starling_testkit::numbered::{Came, Habit, Kept, PATIENCE, Readers, Recipient, Sender, Stream};

use crate::setup::{Kit, rounds, until};

/// The commit is held back for 5 s: in that time the client may wait for its `<a/>` as it likes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ack_comes_while_the_commit_is_held_back() {
    let kit = Kit::start("[store]\ncommit-delay = \"5s\"\n", &["anna", "bob"]).await;
    let (mut stream, _) = Stream::open(kit.server.plain(), "anna", "sender", Kept::default()).await.unwrap();
    let begin = Instant::now();
    let message = "<message to='bob@localhost' type='chat'><body>hello</body></message>";
    stream.write(&format!("{message}<r xmlns='urn:xmpp:sm:3'/>")).await.unwrap();
    loop {
        match stream.poll(PATIENCE).await {
            Some(Came::Acked(0)) | Some(Came::Asked) => {}
            Some(Came::Acked(1)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(begin.elapsed() >= Duration::from_secs(5), "acked after {:?}", begin.elapsed());
}

/// Sends `count` messages to who is not there, and waits until all are acknowledged.
async fn send(kit: &Kit, sender: &mut Sender, count: usize) {
    let goal = kit.notes.acked() + count;
    let (stream, _) = sender.connect(kit.server.plain()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let own = std::mem::replace(sender, Sender::new("", &[], &kit.notes));
    let lane = tokio::spawn(own.run(stream, stop.clone()));
    until("acknowledgements", || kit.notes.acked() >= goal).await;
    stop.store(true, Ordering::Relaxed);
    *sender = lane.await.unwrap();
    let (stream, _) = sender.connect(kit.server.plain()).await;
    sender.finish(stream).await;
}

/// The device reads everything and is killed with the server before it acknowledges: all of it comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_between_send_and_the_devices_ack_takes_nothing_from_it() {
    // In many rounds more waits than the log of a device that acknowledges nothing holds by default.
    let log = "[store]\nlog-max-stanzas = 1000000\nlog-max-bytes = 1000000000\n";
    let mut kit = Kit::start(log, &["anna", "bob"]).await;
    let mut anna = Sender::new("anna", &["bob"], &kit.notes);
    let mut bob = Recipient::new("bob", "phone", &kit.notes);
    for _ in 0..rounds().div_ceil(4) {
        send(&kit, &mut anna, 10).await;
        let waiting = kit.notes.acked();
        let (mut stream, _) = bob.connect(kit.server.plain()).await;
        bob.read(&mut stream, Habit::KeepsSilent, PATIENCE, |bob| bob.came() >= waiting).await;
        assert_eq!(bob.came(), waiting, "everything that was never acknowledged");
        kit.kill().await;
        bob.cut(stream);
    }
    let waiting = kit.notes.acked();
    let (mut stream, _) = bob.connect(kit.server.plain()).await;
    bob.read(&mut stream, Habit::Answers, PATIENCE, |bob| bob.came() >= waiting).await;
    bob.leave(stream).await;
    let (mut stream, _) = bob.connect(kit.server.plain()).await;
    bob.read(&mut stream, Habit::Answers, Duration::from_secs(1), |_| false).await;
    assert_eq!(bob.came(), 0, "what was acknowledged comes no more");
    Readers::default().read(kit.server.plain(), &["anna", "bob"], &kit.notes).await;
    kit.notes.check(Expect { all_delivered: true, all_archived: true }, "at the end");
}

/// P1 for a sender that is cut between its message and the ack: it sends again what is in the store already, and resumes
/// or begins anew; both ways it is done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_is_done_once() {
    let mut kit = Kit::start("", &["anna", "bob"]).await;
    let mut anna = Sender::new("anna", &["bob"], &kit.notes);
    let mut readers = Readers::default();
    for round in 0..rounds().div_ceil(4) {
        let (stream, _) = anna.connect(kit.server.plain()).await;
        let stop = Arc::new(AtomicBool::new(false));
        let goal = kit.notes.acked() + 50;
        let own = std::mem::replace(&mut anna, Sender::new("", &[], &kit.notes));
        let lane = tokio::spawn(own.run(stream, stop.clone()));
        until("acknowledgements", || kit.notes.acked() >= goal).await;
        stop.store(true, Ordering::Relaxed);
        anna = lane.await.unwrap(); // the socket is cut with some on their way
        if round % 2 == 1 {
            let (stream, _) = anna.connect(kit.server.plain()).await;
            anna.leave_unasked(stream, 20).await; // they are stored, and Anna cannot know
            kit.kill().await;
        }
        let (stream, resumed) = anna.connect(kit.server.plain()).await;
        assert_eq!(resumed, round % 2 == 0);
        anna.finish(stream).await;
        readers.read(kit.server.plain(), &["anna", "bob"], &kit.notes).await;
        kit.notes.check(Expect { all_delivered: false, all_archived: true }, &format!("round {round}"));
    }
}

/// More than a log holds waits, and comes in order once a device is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_late_gets_everything_that_waits() {
    let kit = Kit::start("", &["anna", "bob"]).await;
    let mut anna = Sender::new("anna", &["bob"], &kit.notes);
    send(&kit, &mut anna, 1500).await;
    let mut bob = Recipient::new("bob", "phone", &kit.notes);
    let waiting = kit.notes.acked();
    let (mut stream, _) = bob.connect(kit.server.plain()).await;
    bob.read(&mut stream, Habit::Answers, PATIENCE, |bob| bob.came() >= waiting).await;
    kit.notes.check(Expect { all_delivered: true, all_archived: false }, "at the end");
}

/// P4: whoever goes on behind the last id seen gets everything, though three write meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_meanwhile_is_missed_by_no_reader_of_an_archive() {
    let kit = Kit::start("", &["anna", "ben", "cleo", "bob"]).await;
    let address = kit.server.plain();
    let (mut readers, stop) = (Readers::default(), Arc::new(AtomicBool::new(false)));
    let mut bob = Readers::open(address, "bob").await;
    let mut lanes = tokio::task::JoinSet::new();
    for name in ["anna", "ben", "cleo"] {
        let mut sender = Sender::new(name, &["bob"], &kit.notes);
        let (stream, _) = sender.connect(address).await;
        lanes.spawn(sender.run_slowly(stream, stop.clone()));
    }
    let mut pages = 0;
    while pages < 100 || kit.notes.acked() < 100 {
        readers.page(&mut bob, "bob", &kit.notes).await;
        pages += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for mut sender in lanes.join_all().await {
        let (stream, _) = sender.connect(address).await;
        sender.finish(stream).await;
    }
    readers.read(address, &["anna", "ben", "cleo", "bob"], &kit.notes).await;
    kit.notes.check(Expect { all_delivered: false, all_archived: true }, "at the end");
}
