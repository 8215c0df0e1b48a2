//! `starling run` without a file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use starling_testkit::SmallDisk;

use crate::starling::{ByHand, starling_in};

#[tokio::test]
async fn a_start_without_a_file_says_where_everything_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[]);
    assert!(server.line("Starling").await.ends_with("serves localhost"));
    let data = server.line("data").await;
    assert_eq!(data, directory.path().join("data").display().to_string());
    for kind in ["starttls", "tls", "http", "https", "admin"] {
        assert_ne!(server.address(kind).await.port(), 0, "{kind}");
    }
    assert!(server.line("room").await.contains("clients"));
    assert_eq!(server.line("accounts").await, "none yet; `starling ctl user add NAME@localhost` makes one");
    // What it says works as it says it.
    let made = starling_in(directory.path(), &["ctl", "user", "add", "carol@localhost"], &[]).succeeded();
    assert!(
        made.stdout.contains("created: carol@localhost") && made.stdout.contains("password: "),
        "{made:?}"
    );
}

#[tokio::test]
async fn what_is_kept_is_nobody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[]);
    server.line("accounts").await;
    let data = directory.path().join("data");
    for (path, mode) in
        [("", 0o700), ("control.sock", 0o600), ("secret", 0o600), ("tls/localhost.key", 0o600)]
    {
        let metadata = std::fs::metadata(data.join(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path:?}");
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[]);
    server.line("accounts").await;
    let second = starling_in(directory.path(), &["run"], crate::starling::PORTS);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another process has it open; stop that one"), "{second:?}");
    // The first one is as it was.
    starling_in(directory.path(), &["ctl", "status"], &[]).succeeded();
}

#[tokio::test]
async fn a_data_directory_is_closed_to_others_unless_it_holds_other_things() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for (other, mode) in [(None, 0o700), (Some("letter"), 0o755)] {
        std::fs::create_dir_all(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(other) = other {
            std::fs::write(data.join(other), "x").unwrap();
        }
        // The second time it has a store already.
        let mut server = ByHand::start(directory.path(), &[], &[]);
        server.line("accounts").await;
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, mode, "{other:?}");
        let log = std::fs::read_to_string(&server.log).unwrap();
        assert_eq!(log.contains("which is shared with them; name another one"), other.is_some(), "{log}");
        server.signal(Signal::TERM);
        assert!(server.ended().await.success());
    }
}

#[test]
fn a_data_directory_that_cannot_be_used_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = |data_dir: &Path| {
        let data_dir = data_dir.to_str().unwrap();
        let refused = starling_in(directory.path(), &["run", "--data-dir", data_dir], crate::starling::PORTS);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        refused.stderr
    };
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let said = refusal(&file);
    assert!(said.contains("cannot make the data directory") && said.contains("name a directory"), "{said}");
    let disk = SmallDisk::mount();
    std::fs::create_dir(disk.path().join("data")).unwrap();
    disk.make_read_only();
    let said = refusal(&disk.path().join("data"));
    assert!(said.contains("cannot write the data directory"), "{said}");
    assert!(said.contains("give it to the server's user, or name another one"), "{said}");
}

#[tokio::test]
async fn the_log_says_how_many_clients_the_descriptors_allow() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[]);
    let room = server.line("room").await;
    let clients: u64 = room.split(' ').next().unwrap().parse().unwrap();
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(log.contains(&format!("\"clients\":{clients}")), "{room} is not in {log}");
}
