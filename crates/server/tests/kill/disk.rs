//! The disk: full, and then not; and a directory that is another process's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use starling_history::Expect;
use starling_testkit::SmallDisk;
use starling_testkit::numbered::{Hosts, PATIENCE, Readers, Recipient, Sender};

use crate::setup::{Kit, binary, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_to_senders_and_nothing_acked_is_lost() {
    let disk = SmallDisk::mount();
    let kit = Kit::start_in(&disk.path().join("data"), "", &["anna", "ben", "bob"]).await;
    let address = kit.server.plain();
    let hosts = Hosts::new(vec![address]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut lanes = tokio::task::JoinSet::new();
    for name in ["anna", "ben"] {
        lanes.spawn(Sender::new(name, &["bob"], &kit.notes).insist(hosts.clone(), stop.clone()));
    }
    until("messages", || kit.notes.acked() >= 100).await;

    disk.fill();
    // Also they whose messages were under way when it happened: none of them waits for room.
    until("the senders are told to wait", || kit.notes.open().refusals() >= 10).await;
    disk.free();
    let before = kit.notes.open().accepted();
    until("the server recovers by itself", || kit.notes.open().accepted() >= before + 100).await;

    stop.store(true, Ordering::Relaxed);
    for mut sender in lanes.join_all().await {
        let (stream, _) = sender.connect(address).await;
        sender.finish(stream).await;
    }
    let mut bob = Recipient::new("bob", "phone", &kit.notes);
    let (mut stream, _) = bob.connect(address).await;
    bob.read_all(&mut stream).await;
    bob.leave(stream).await;
    Readers::default().read(address, &["bob", "anna", "ben"], &kit.notes).await;
    kit.notes.check(Expect { all_delivered: true, all_archived: true }, "after the disk was full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_use_is_refused() {
    let kit = Kit::start("", &[]).await;
    let config = Path::new(kit.server.data_dir()).join("starling.toml");
    let begin = Instant::now();
    let second = Command::new(binary())
        .args(["run", "--data-dir"])
        .env_remove("STARLING_KILL_ROUNDS")
        .env_remove("STARLING_BIN")
        .arg(kit.server.data_dir())
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    assert!(begin.elapsed() < PATIENCE && !second.status.success());
    let said =
        String::from_utf8_lossy(&second.stderr).into_owned() + &String::from_utf8_lossy(&second.stdout);
    assert!(said.contains("another process has it open"), "{said}");
}
