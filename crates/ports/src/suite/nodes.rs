//! For `Nodes`.

use super::fresh_user;
use crate::ids::{NodeId, Timestamp};
use crate::nodes::{NodeReport, Nodes};

/// The last word of each, in the order of names; other tests may have left some, too.
pub async fn the_last_word_of_each_node_is_listed(store: &dyn Nodes) {
    let prefix = fresh_user().to_string();
    let report = |name: &str, sessions| NodeReport {
        name: format!("{prefix}-{name}"),
        node: NodeId { name: 5, incarnation: 6 },
        roles: "connection-manager".to_owned(),
        version: "0.1.0".to_owned(),
        since: Timestamp(8),
        sessions,
        links: 2,
        state: "draining".to_owned(),
    };
    for (name, sessions) in [("b", 1), ("a", 2), ("b", 3)] {
        store.report(report(name, sessions)).await.unwrap();
    }
    let listed = store.nodes().await.unwrap();
    let ours: Vec<_> = listed.iter().filter(|(one, _)| one.name.starts_with(&prefix)).collect();
    assert_eq!(ours.iter().map(|(one, _)| one.clone()).collect::<Vec<_>>(), [report("a", 2), report("b", 3)]);
    assert!(ours.iter().all(|(_, ago)| ago.as_secs() < 60), "{ours:?}");
    assert!(listed.is_sorted_by_key(|(one, _)| one.name.clone()));
}
