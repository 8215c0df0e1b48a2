//! The program of a former commit beside this one, while messages flow: part after part is replaced, and back.

use std::path::PathBuf;

use starling_testkit::Part;

use crate::kit::{Kit, binary, rounds};

/// As docs/how-to/upgrade.md has it.
const PARTS: [Part; 4] = [Part::Manager(0), Part::Manager(1), Part::Router(0), Part::Router(1)];

/// `scripts/fault.sh` builds it.
fn former() -> Option<PathBuf> {
    let former = std::env::var_os("STARLING_FORMER_BIN").map(PathBuf::from);
    if former.is_none() {
        println!("SKIPPED: STARLING_FORMER_BIN names no program of a former commit");
    }
    former
}

async fn replace(kit: &mut Kit, part: Part, by: &std::path::Path, what: &str) {
    kit.moments.next().await;
    kit.cluster.stop(part).await.unwrap();
    kit.flow("while it is away").await;
    kit.cluster.start_another(part, by).await.unwrap();
    kit.flow(&format!("{part:?} is {what}")).await;
}

/// Tables are migrated first; then each kind of node meets the other version of the other kind, in both directions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_version_is_replaced_part_by_part_and_nobody_notices() {
    let Some(former) = former() else { return };
    let mut kit = Kit::start_former(&former).await;
    kit.flow("at the beginning").await;
    kit.cluster.migrate(&binary()).unwrap();
    kit.flow("with migrated tables").await;
    for _ in 0..rounds(1) {
        for part in PARTS {
            replace(&mut kit, part, &binary(), "the present one").await;
        }
        for part in PARTS.into_iter().rev() {
            replace(&mut kit, part, &former, "the former one").await;
        }
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "always resumed: {streams:?}");
}
