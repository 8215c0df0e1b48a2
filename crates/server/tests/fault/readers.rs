//! P4: whoever reads an archive on and on misses nothing, though two routers write to it meanwhile (session-log rule 12).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use starling_history::Expect;
use starling_testkit::numbered::{Notes, Readers, Sender};
use starling_testkit::{Cluster, ClusterOptions};
use tokio::task::JoinSet;

use crate::kit::{binary, calm, settles};

const SENDERS: [&str; 4] = ["anna", "ben", "cleo", "eve"];

/// A reader goes on behind the last id that it has seen: a row that is stored later, under a lower id, would never come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_routers_write_meanwhile_is_missed_by_no_reader_of_an_archive() {
    let options = ClusterOptions::default();
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    for name in SENDERS.into_iter().chain(["bob"]) {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        cluster.control(add).await.unwrap();
    }
    let usage = calm(&cluster).await;
    let (notes, stop) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let mut readers = Readers::default();
    let mut bob = Readers::open(cluster.hosts().nth(0), "bob").await;
    let mut lanes = JoinSet::new();
    for (place, name) in SENDERS.into_iter().enumerate() {
        let mut sender = Sender::new(name, &["bob"], &notes);
        let (stream, _) = sender.connect(cluster.hosts().nth(place)).await;
        lanes.spawn(sender.run_slowly(stream, stop.clone()));
    }
    let mut pages = 0;
    while pages < 100 || notes.acked() < 100 {
        readers.page(&mut bob, "bob", &notes).await;
        pages += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for mut sender in lanes.join_all().await {
        let (stream, _) = sender.connect(cluster.hosts().nth(1)).await;
        sender.finish(stream).await;
    }
    drop(bob);
    readers.read(cluster.hosts().nth(1), &["bob"], &notes).await;
    notes.check(Expect { all_delivered: false, all_archived: true }, "at the end");
    settles(&cluster, &usage).await;
}
