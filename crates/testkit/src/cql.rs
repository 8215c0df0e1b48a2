//! The CQL server that tests share: it takes too long to start for each of them to have its own.

use std::path::Path;
use std::process::Command;

/// `host:port` of the one that STARLING_TEST_CQL names, or that `scripts/lib/cassandra.sh start` has started. Panics without one.
pub fn cql_server() -> String {
    if let Ok(given) = std::env::var("STARLING_TEST_CQL") {
        return given;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/lib/cassandra.sh");
    let status = Command::new(script).arg("status").output().unwrap();
    assert!(
        status.status.success(),
        "no CQL server: start one with `scripts/lib/cassandra.sh start`, or name one by STARLING_TEST_CQL=host:port"
    );
    String::from_utf8(status.stdout).unwrap().trim().to_owned()
}
