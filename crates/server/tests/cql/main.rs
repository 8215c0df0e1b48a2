//! The program with a real CQL server: `scripts/lib/cassandra.sh start`, or STARLING_TEST_CQL=host:port.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;
use std::process::{Command, Output};

use starling_testkit::cql_server;

fn migrate(directory: &Path, more: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.args(["store", "migrate", "--config", "starling.toml"]).current_dir(directory);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STARLING_")) {
        command.env_remove(name);
    }
    command.envs(more.iter().copied()).output().unwrap()
}

#[test]
fn tables_are_made_once_and_follow_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let keyspace = format!("test_{}_program", std::process::id());
    let text = format!(
        "[scylla]\nnodes = ['{}']\nkeyspace = '{keyspace}'\nrequest-timeout = '20s'\narchive-kept = '90d'\n",
        cql_server()
    );
    std::fs::write(directory.path().join("starling.toml"), text).unwrap();
    let said = |more: &[(&str, &str)]| {
        let done = migrate(directory.path(), more);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let first = said(&[]);
    assert!(first.starts_with(&format!("keyspace {keyspace} on ")), "{first}");
    assert!(first.trim().ends_with(": made at version 2"), "{first}");
    assert!(said(&[]).trim().ends_with(": is at version 2 already"));
    let longer = said(&[("STARLING_SCYLLA_ARCHIVE_KEPT", "365d")]);
    assert!(longer.contains("archive: new rows are kept 31536000 s, before 7776000 s"), "{longer}");
}
