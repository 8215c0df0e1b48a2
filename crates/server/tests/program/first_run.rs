//! `starling run` without a file.

use std::os::unix::fs::PermissionsExt;

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
async fn the_log_says_how_many_clients_the_descriptors_allow() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[]);
    let room = server.line("room").await;
    let clients: u64 = room.split(' ').next().unwrap().parse().unwrap();
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(log.contains(&format!("\"clients\":{clients}")), "{room} is not in {log}");
}
