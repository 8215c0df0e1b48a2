//! What managers say of themselves.

use starling_ports::nodes::Nodes;

use super::setup::{Core, Manager, PATIENCE};
use crate::node_id;

/// One that holds nothing says so too, at one of its routers.
#[tokio::test]
async fn a_manager_without_sessions_is_known() {
    let core = Core::new();
    let routers = [core.router("r1", None).await.0, core.router("r2", None).await.0];
    let manager = Manager::new("m1", &routers, None);
    manager.linked(2).await;
    let known = async {
        loop {
            let nodes = core.store.nodes().await.unwrap();
            if let Some((report, _)) = nodes.into_iter().find(|(report, _)| report.links == 2) {
                return report;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let report = tokio::time::timeout(PATIENCE, known).await.expect("it says so every five seconds");
    assert_eq!((report.name.as_str(), report.version.as_str()), ("m1", "1.2.3"));
    assert_eq!((report.node, report.sessions), (node_id("m1", 1), 0));
    manager.stop.cancel();
}
