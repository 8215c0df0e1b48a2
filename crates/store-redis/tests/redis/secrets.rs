//! TLS, certificates and passwords, and what is done when they change.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use starling_ports::sessions::Sessions;
use starling_ports::suite::fresh_user;
use starling_store_redis::{Config, ConnectError, Tls, check};

use crate::server::Server;
use crate::talk::{online, soon};
use crate::world::{Routers, World, patient};

/// Signs certificates of servers and clients.
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Under one name it and what it signs would look self-signed.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for loopback, its key, and whom to trust.
    pub(crate) fn write(&self, directory: &Path) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("ca.pem"), &self.certificate).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(directory.join("certificate.pem"), certificate).unwrap();
    }
}

pub(crate) fn tls(directory: &Path) -> Tls {
    Tls {
        ca: directory.join("ca.pem"),
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
    }
}

/// The connections of the router, by their ids.
fn connections(server: &Server) -> Vec<String> {
    let all: String = server.ask(&["CLIENT", "LIST"]);
    let ours = all.lines().filter(|line| line.contains("user=starling"));
    ours.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The lease is short because that is how often files are looked at.
pub(crate) fn watchful(config: Config) -> Config {
    Config { lease: Duration::from_secs(1), ..config }
}

/// Waits until one connection has taken the place of the one that is known.
async fn changed_over(server: &Server, before: &[String]) {
    assert_eq!(before.len(), 1, "{before:?}");
    soon("another connection has taken its place", async || {
        let now = connections(server);
        now.len() == 1 && now != before
    })
    .await;
}

#[tokio::test]
async fn certificates_are_checked_at_both_ends_and_taken_up_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs, strangers) =
        (directory.path().join("ours"), directory.path().join("theirs"), directory.path().join("strangers"));
    let authority = Authority::new();
    authority.write(&ours);
    authority.write(&theirs);
    Authority::new().write(&strangers);
    let server = Server::start_tls(&theirs);
    let config = watchful(Config {
        url: format!("rediss://starling@127.0.0.1:{}/0", server.tls_port),
        password_file: server.password_file(),
        tls: tls(&ours),
        ..patient()
    });
    let with = |tls: Tls| Config { tls, ..config.clone() };
    for wrong in [Tls { ca: ours.join("ca.pem"), ..Tls::default() }, tls(&strangers)] {
        let refused = check(&with(wrong.clone())).await;
        assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{wrong:?}: {refused:?}");
    }
    let world = Routers::new();
    let router = world.router_with(config.clone()).await;
    let account = fresh_user();
    online(&*router, &account, "desk").await;
    let before = connections(&server);
    authority.write(&ours);
    changed_over(&server, &before).await;
    assert_eq!(router.list(Some(&account), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_changed_password_is_taken_up_without_an_interruption() {
    let world = World::new();
    let router = world.router_with(watchful(world.config())).await;
    let account = fresh_user();
    online(&*router, &account, "desk").await;
    let (before, continuity) = (connections(&world.server), router.continuity());
    // A file that is ahead of Redis changes nothing.
    fs::write(world.server.password_file(), "a newer secret\n").unwrap();
    soon("it is tried", async || {
        let refused: String = world.server.ask(&["INFO", "errorstats"]);
        refused.contains("errorstat_WRONGPASS")
    })
    .await;
    assert_eq!(connections(&world.server), before);
    world.server.ask::<String>(&["ACL", "SETUSER", "starling", ">a newer secret"]);
    changed_over(&world.server, &before).await;
    world.server.ask::<String>(&["ACL", "SETUSER", "starling", "<secret"]);
    assert_eq!(router.list(Some(&account), 10).await.unwrap().len(), 1);
    assert_eq!(router.continuity(), continuity, "nobody decides again because of it");
    world.server.ask::<i64>(&["CLIENT", "KILL", "USER", "starling"]);
    assert_eq!(router.list(Some(&account), 10).await.unwrap().len(), 1, "with the newer one");
}
