//! P1 on a cluster: what is acknowledged is stored, so it outlives all routers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use starling_history::Expect;
use starling_testkit::numbered::{Notes, PATIENCE, Readers, Sender};
use starling_testkit::{Cluster, ClusterOptions, Part};
use tokio::task::JoinSet;

use crate::kit::{binary, rounds};
use crate::moment::Moments;

const SENDERS: [&str; 8] = ["anna", "ben", "cleo", "dora", "emil", "fred", "gina", "hugo"];
const ROUTERS: [Part; 2] = [Part::Router(0), Part::Router(1)];
/// How many are acknowledged before the routers die, and after.
const FLOW: usize = 200;

async fn flow(notes: &Notes) {
    let (goal, begun) = (notes.acked() + FLOW, Instant::now());
    while notes.acked() < goal {
        assert!(begun.elapsed() < PATIENCE, "too few were acknowledged in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The receiver is not there: only the archive tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_all_routers() {
    let config =
        "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n[im.quotas]\noffline-messages = 0\n";
    let options = ClusterOptions { config: config.to_owned(), ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&binary(), &options).await.unwrap();
    for name in SENDERS.into_iter().chain(["bob"]) {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        cluster.control(add).await.unwrap();
    }
    let (notes, stop) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let mut senders = JoinSet::new();
    for name in SENDERS {
        senders.spawn(Sender::new(name, &["bob"], &notes).insist(cluster.hosts().clone(), stop.clone()));
    }
    flow(&notes).await;
    let moments = Moments::of(&notes);
    for _ in 0..rounds(1) {
        moments.next().await;
        for router in ROUTERS {
            cluster.kill(router).await.unwrap();
        }
        for router in ROUTERS {
            cluster.start_again(router).await.unwrap();
        }
        flow(&notes).await;
    }
    stop.store(true, Ordering::Relaxed);
    for mut sender in senders.join_all().await {
        let (stream, _) = sender.connect(cluster.hosts().nth(0)).await;
        sender.finish(stream).await;
    }
    Readers::default().read(cluster.hosts().nth(0), &["bob"], &notes).await;
    notes.check(Expect { all_delivered: false, all_archived: true }, "at the end");
}
