//! `starling store`: check, backup, restore and migrate.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use starling_history::{Expect, Id};
use starling_testkit::numbered::{Notes, Readers, Sender};
use starling_testkit::{Connection, SmallDisk};

use crate::starling::{ctl, server_in, starling, starling_in, until};

const UNLIMITED: &str =
    "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n[im.quotas]\noffline-messages = 0\n";

async fn signs_in(server: &starling_testkit::Server, name: &str) -> bool {
    Connection::open(server.plain()).await.unwrap().login("localhost", name, "secret").await.is_ok()
}

#[tokio::test]
async fn a_running_server_is_backed_up_and_comes_back_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let server = server_in(&directory.path().join("old"), "").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let done = starling(&["store", "backup", "--data-dir", &path("old"), &path("copy")]).succeeded();
    assert_eq!(done.stdout.trim(), format!("backed up into {}", path("copy")));
    ctl(&server, &["user", "add", "later@localhost", "secret"]);
    assert!(signs_in(&server, "alice").await, "it went on working");

    starling(&["store", "restore", "--data-dir", &path("new"), &path("copy")]).succeeded();
    let restored = server_in(&directory.path().join("new"), "").await;
    assert!(signs_in(&restored, "alice").await);
    assert!(!signs_in(&restored, "later").await, "the copy is of one moment");
}

#[tokio::test]
async fn a_stopped_server_is_backed_up_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut server = server_in(&directory.path().join("old"), "").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    server.stop().await.unwrap();
    starling(&["store", "backup", "--data-dir", &path("old"), &path("copy")]).succeeded();
    starling(&["store", "restore", "--data-dir", &path("new"), &path("copy")]).succeeded();
    for one in ["new", "copy"] {
        let checked = starling(&["store", "check", "--json", "--data-dir", &path(one)]).succeeded().json();
        assert_eq!((&checked["damaged"], &checked["places"]), (&json!(0), &json!([])), "{checked}");
        assert!(checked["values"].as_u64().unwrap() > 0, "{one}: {checked}");
    }
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let server = server_in(&directory.path().join("old"), "").await;
    starling(&["store", "backup", "--data-dir", &path("old"), &path("copy")]).succeeded();
    let twice = starling(&["store", "backup", "--data-dir", &path("old"), &path("copy")]);
    assert_eq!(twice.code, Some(1), "{twice:?}");
    let plain = format!("starling: {} is not empty; name an empty directory", path("copy"));
    assert!(twice.stderr.starts_with(&plain), "{twice:?}");
    drop(server);
    let over = starling(&["store", "restore", "--data-dir", &path("old"), &path("copy")]);
    assert_eq!(over.code, Some(1), "{over:?}");
    assert!(over.stderr.contains("there is a store already; move it away first"), "{over:?}");
    let nothing = starling(&["store", "restore", "--data-dir", &path("new"), &path("nowhere")]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("there is no backup"), "{nothing:?}");
}

/// Every path under `directory` that others may do something with.
fn open_to_others(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let (mut found, mut below) = (Vec::new(), Vec::new());
    for path in entries {
        if path.is_dir() {
            below.extend(open_to_others(&path));
        }
        if path.metadata().unwrap().permissions().mode() & 0o077 != 0 {
            found.push(path);
        }
    }
    found.extend(below);
    found
}

#[tokio::test]
async fn what_is_kept_and_copied_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let old = directory.path().join("old");
    for name in ["", "store", "tls"] {
        std::fs::create_dir_all(old.join(name)).unwrap();
        std::fs::set_permissions(old.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let mut server = server_in(&old, "").await;
    starling(&["store", "backup", "--data-dir", &path("old"), &path("copy")]).succeeded();
    server.stop().await.unwrap();
    starling(&["store", "restore", "--data-dir", &path("new"), &path("copy")]).succeeded();
    let mut open = open_to_others(directory.path());
    // The test's own things make the directory one that is shared: it is left as it is.
    let of_this_test = ["old", "server.log", "starling.toml"];
    open.retain(|path| !of_this_test.iter().any(|name| path.ends_with(name)));
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_named_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server_in(directory.path(), "").await;
    server.stop().await.unwrap();
    let data_dir = directory.path().to_str().unwrap();
    std::fs::write(directory.path().join("store/store/format"), "none").unwrap();
    let checked = starling(&["store", "check", "--json", "--data-dir", data_dir]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let answer = checked.json();
    assert!(answer["damaged"] == 1 && answer["places"][0].as_str().unwrap().contains("format"), "{answer}");
}

#[tokio::test]
async fn a_damaged_copy_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut server = server_in(&directory.path().join("old"), "").await;
    starling(&["store", "backup", "--data-dir", &path("old"), &path("copy")]).succeeded();
    server.stop().await.unwrap();
    std::fs::write(directory.path().join("copy/store/format"), "none").unwrap();
    std::fs::create_dir(directory.path().join("there")).unwrap();
    for place in ["there", "new", "new/deep"] {
        let refused = starling(&["store", "restore", "--data-dir", &path(place), &path("copy")]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("nothing was changed"), "{refused:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path().join("there")).unwrap().count(), 0);
    assert!(!directory.path().join("new").exists(), "a directory was made");
}

#[tokio::test]
async fn a_store_in_use_is_not_checked_behind_its_back() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_in(directory.path(), "").await;
    let refused = starling(&["store", "check", "--data-dir", directory.path().to_str().unwrap()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("another process has it open"), "{refused:?}");
    until("it answers still", async || server.control(json!({"op": "status"})).await.is_ok()).await;
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking() {
    let directory = tempfile::tempdir().unwrap();
    let (nothing, empty) = (directory.path().join("nothing"), directory.path().join("empty"));
    std::fs::create_dir_all(empty.join("store")).unwrap();
    for data_dir in [&nothing, &empty] {
        for action in ["check", "backup"] {
            let mut arguments = vec!["store", action, "--data-dir", data_dir.to_str().unwrap()];
            let to = directory.path().join("copy");
            if action == "backup" {
                arguments.push(to.to_str().unwrap());
            }
            let refused = starling(&arguments);
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert!(refused.stderr.contains("there is no store"), "{refused:?}");
        }
    }
    assert!(!nothing.exists());
    assert_eq!(std::fs::read_dir(empty.join("store")).unwrap().count(), 0, "nothing was made");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_checked_as_a_copy() {
    let disk = SmallDisk::mount();
    let (data, directory) = (disk.path().join("data"), tempfile::tempdir().unwrap());
    let mut server = server_in(&data, "").await;
    server.stop().await.unwrap();
    disk.make_read_only();
    let (data, copy) = (data.to_str().unwrap(), directory.path().join("copy"));
    let to = directory.path().join("backup");
    for arguments in [&["store", "check"][..], &["store", "backup", to.to_str().unwrap()]] {
        let refused = starling(&[arguments, &["--data-dir", data]].concat());
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let said = format!("starling: the store at {data}/store cannot be written: Read-only file system");
        assert!(refused.stderr.starts_with(&said), "{refused:?}");
        assert!(refused.stderr.contains("name the copy with --data-dir"), "{refused:?}");
    }
    assert!(!to.exists(), "nothing was made");
    let copied = std::process::Command::new("cp").args(["-a", data]).arg(&copy).status().unwrap();
    assert!(copied.success());
    starling(&["store", "check", "--data-dir", copy.to_str().unwrap()]).succeeded();
}

#[tokio::test]
async fn a_copy_is_not_made_inside_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut server = server_in(&data, "").await;
    std::os::unix::fs::symlink(data.join("store"), directory.path().join("link")).unwrap();
    let targets =
        [data.join("store/copy"), data.join("store/store/db/copy"), directory.path().join("link/a/b")];
    for is_running in [true, false] {
        if !is_running {
            server.stop().await.unwrap();
        }
        for to in &targets {
            let to = to.to_str().unwrap();
            let refused = starling(&["store", "backup", "--data-dir", data.to_str().unwrap(), to]);
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert!(
                refused.stderr.contains("is in the store itself; name a directory outside"),
                "{refused:?}"
            );
            assert!(!Path::new(to).exists(), "{to}");
        }
    }
    starling(&["store", "check", "--data-dir", data.to_str().unwrap()]).succeeded();
}

#[tokio::test]
async fn a_cql_store_that_cannot_be_reached_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nodes = format!("['{closed}']");
    let failed = starling_in(directory.path(), &["store", "migrate"], &[("STARLING_SCYLLA_NODES", &nodes)]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains(&format!("no server of {closed} can be used")), "{failed:?}");
    assert_eq!(failed.stderr.matches("Connection refused").count(), 1, "its cause once: {failed:?}");
    assert!(failed.stderr.contains("check `scylla.nodes`"), "{failed:?}");
    let bad = starling_in(directory.path(), &["store", "migrate"], &[("STARLING_SCYLLA_KEYSPACE", "a b")]);
    assert_eq!(bad.code, Some(64), "{bad:?}");
    assert!(
        bad.stderr.contains("STARLING_SCYLLA_KEYSPACE") && bad.stderr.contains("small letter"),
        "{bad:?}"
    );
    assert!(directory.path().read_dir().unwrap().next().is_none(), "nothing was made here");
}

#[test]
fn a_password_is_not_dumped() {
    let variables = [("STARLING_SCYLLA_PASSWORD", "s3cret"), ("STARLING_SCYLLA_USER", "starling")];
    let dumped = starling_in(&std::env::temp_dir(), &["config", "dump"], &variables).succeeded().stdout;
    assert!(dumped.contains("user = \"starling\"") && !dumped.contains("s3cret"), "{dumped}");
}

/// While two write: what was acknowledged before the copy was begun is in it, once and in order, and they notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let server = server_in(&directory.path().join("old"), UNLIMITED).await;
    let (notes, stop) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let mut lanes = tokio::task::JoinSet::new();
    for name in ["bob", "anna", "ben"] {
        ctl(&server, &["user", "add", &format!("{name}@localhost"), "secret"]);
    }
    for name in ["anna", "ben"] {
        let mut sender = Sender::new(name, &["bob"], &notes);
        let (stream, _) = sender.connect(server.plain()).await;
        lanes.spawn(sender.run_slowly(stream, stop.clone()));
    }
    until("there is something to copy", async || notes.acked() >= 200).await;
    let before = notes.open().clone();
    let (from, to) = (path("old"), path("copy"));
    let copy = move || starling(&["store", "backup", "--data-dir", &from, &to]).succeeded();
    tokio::task::spawn_blocking(copy).await.unwrap();
    let then = notes.acked();
    assert!(then > before.counts().1, "others went on meanwhile");
    until("they go on", async || notes.acked() > then).await;
    stop.store(true, Ordering::Relaxed);
    lanes.join_all().await;

    starling(&["store", "restore", "--data-dir", &path("new"), &path("copy")]).succeeded();
    starling(&["store", "check", "--data-dir", &path("new")]).succeeded();
    let restored = server_in(&directory.path().join("new"), UNLIMITED).await;
    let copied = Notes::default();
    *copied.open() = before;
    for number in 1..=notes.open().counts().0 as u64 {
        for name in ["anna", "ben"] {
            copied.open().sent(Id::new(name, number), "bob"); // later ones may be in it, or not
        }
    }
    Readers::default().read(restored.plain(), &["bob", "anna", "ben"], &copied).await;
    copied.check(Expect { all_delivered: false, all_archived: true }, "in the copy");
}

/// As after a power cut: the last write is half there. It is dropped, and said; what was acknowledged is there.
#[tokio::test]
async fn a_torn_journal_is_mended_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server_in(directory.path(), "").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    server.kill().await.unwrap();
    let entries =
        fs::read_dir(directory.path().join("store/store/db")).unwrap().map(|entry| entry.unwrap().path());
    let journal = entries.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max();
    let file = fs::File::options().read(true).write(true).open(journal.unwrap()).unwrap();
    let mut bytes = vec![0; 1024 * 1024];
    let read = file.read_at(&mut bytes, 0).unwrap();
    let end = bytes[..read].iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    file.write_all_at(&[0xa5; 300], end).unwrap();

    let server = server_in(directory.path(), "").await;
    assert!(signs_in(&server, "alice").await);
    let log = server.log();
    assert!(log.contains("dropped the end of the journal") && log.contains("300"), "{log}");
}
