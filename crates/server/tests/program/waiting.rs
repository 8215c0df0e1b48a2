//! A part of a cluster that starts before what it needs: it waits, is alive, not ready, and says for what.

use rustix::process::Signal;

use crate::admin::get;
use crate::starling::{ByHand, until};

/// Nobody listens there (tcpmux).
const NOBODY: &str = "127.0.0.1:1";

/// Until its health says that; then it is alive, has not begun, and stops cleanly when it is told to.
async fn waits(roles: &str, admin: &str, more: &[(&str, &str)], lacking: &str) {
    let directory = tempfile::tempdir().unwrap();
    let variables = [
        ("STARLING_ADMIN_LISTEN", admin),
        ("STARLING_CLUSTER_PLAINTEXT", "true"),
        ("STARLING_CLUSTER_LISTEN", "127.0.0.1:0"),
        ("STARLING_CLUSTER_SECRET", "secret"),
        ("STARLING_SCYLLA_NODES", "['127.0.0.1:1']"),
    ];
    let mut server = ByHand::start(directory.path(), &["--roles", roles], &[&variables[..], more].concat());
    let address = admin.parse().unwrap();
    until("it listens", async || tokio::net::TcpStream::connect(admin).await.is_ok()).await;
    let said = (503, format!("{lacking}\n"));
    until(lacking, async || get(address, "/readyz").await == said).await;
    assert_eq!(get(address, "/startupz").await, said);
    assert_eq!(get(address, "/livez").await.0, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_router_waits_for_its_stores() {
    waits("session-router", "127.53.90.1:5281", &[], "the CQL store is not reached").await;
}

#[tokio::test]
async fn a_manager_waits_for_a_router() {
    let routers = format!("['{NOBODY}']");
    let more = [("STARLING_CLUSTER_ROUTERS", routers.as_str())];
    waits("connection-manager", "127.53.90.2:5281", &more, "no session router is reached").await;
}
