//! Certificates that are renewed while nodes run: the next handshake uses them, at both ends, and links that are there stay.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::refusals::{MANAGER, ROUTER, Raw, known};
use super::setup::{Authority, Core, Manager};
use crate::{Identity, Role};

/// New files of a node; a file system may count time in steps that are longer than a test.
fn renew(directory: &Path, authority: &Authority, roles: &[Role]) {
    authority.write(directory, roles, authority);
    for name in ["node.crt", "node.key", "ca.crt"] {
        let file = File::options().write(true).open(directory.join(name)).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    }
}

#[tokio::test]
async fn renewed_certificates_are_used_without_a_restart() {
    let core = Core::new();
    let (former, next) = (Authority::new(), Authority::new());
    let (at_router, at_manager) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let of_router = Identity::open(&former.write(at_router.path(), ROUTER, &former)).unwrap();
    let of_manager = Identity::open(&former.write(at_manager.path(), MANAGER, &former)).unwrap();
    let (router, _stop) = core.router("router-1", of_router).await;
    let linked = Manager::new("manager-2", &[router], of_manager.clone());
    linked.linked(1).await;

    renew(at_router.path(), &next, ROUTER);
    Raw::open(router, former.identity(MANAGER, &former), known(1))
        .await
        .err()
        .expect("the router has new ones");
    Raw::open(router, of_manager.clone(), known(1)).await.err().expect("the manager has not");
    renew(at_manager.path(), &next, MANAGER);
    Raw::open(router, of_manager, known(1)).await.unwrap();
    assert_eq!(linked.uplinks.count(), 1, "what is there stays");
}

#[tokio::test]
async fn files_that_do_not_fit_together_change_nothing() {
    let core = Core::new();
    let ours = Authority::new();
    let (at_router, at_manager) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let of_router = Identity::open(&ours.write(at_router.path(), ROUTER, &ours)).unwrap();
    let of_manager = Identity::open(&ours.write(at_manager.path(), MANAGER, &ours)).unwrap();
    let (router, _stop) = core.router("router-1", of_router).await;
    let key = std::fs::read(at_manager.path().join("node.key")).unwrap();
    renew(at_manager.path(), &ours, MANAGER);
    std::fs::write(at_manager.path().join("node.key"), key).unwrap(); // halfway through
    std::fs::write(at_router.path().join("ca.crt"), "not a certificate").unwrap();
    Raw::open(router, of_manager, known(1)).await.unwrap();
}
