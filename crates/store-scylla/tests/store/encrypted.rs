//! A server that wants TLS, a certificate and a password: who has all of them gets in, nobody else.

use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use starling_ports::archive::{Archive, Table};
use starling_ports::suite::{fresh_user, row};
use starling_store_scylla::{Config, ConnectError, Store, Tls, migrate};

use crate::server::{OwnServer, fresh_at};

/// The DNS name in the server's certificate: it has no other, and no address.
const NAME: &str = "cql.example.org";

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes `name.crt`, `name.key`, and both as `name.pem`.
fn issue(directory: &Path, name: &str, dns: &str, authority: &CertifiedIssuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![dns.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let write = |extension: &str, text: String| {
        std::fs::write(directory.join(format!("{name}.{extension}")), text).unwrap();
    };
    write("crt", certificate.pem());
    write("key", key.serialize_pem());
    write("pem", format!("{}{}", key.serialize_pem(), certificate.pem()));
}

fn settings(directory: &Path) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    format!(
        "authenticator: PasswordAuthenticator\n\
         client_encryption_options:\n  enabled: true\n  optional: false\n  require_client_auth: true\n  \
         ssl_context_factory: {{class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}}\n  \
         keystore: {}\n  truststore: {}\n",
        path("server.pem"),
        path("ca.crt"),
    )
}

async fn refused(why: &str, config: Config) {
    let begun = Instant::now();
    let outcome = Store::connect(&config).await;
    assert!(matches!(outcome, Err(ConnectError::Unreachable { .. })), "{why}: {:?}", outcome.err());
    assert!(begun.elapsed() < Duration::from_secs(60), "{why}: {:?}", begun.elapsed());
}

#[tokio::test]
async fn certificates_and_passwords_are_asked_for_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, foreign) = (authority(), authority());
    issue(directory.path(), "server", NAME, &ours);
    issue(directory.path(), "client", "starling.example.org", &ours);
    issue(directory.path(), "stranger", "starling.example.org", &foreign);
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("ca.crt"), ours.pem()).unwrap();
    std::fs::write(path("foreign.crt"), foreign.pem()).unwrap();
    std::fs::write(path("password"), "cassandra\n").unwrap();
    let (ca, certificate, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let (foreign, stranger) = (path("foreign.crt"), (path("stranger.crt"), path("stranger.key")));
    let tls = Tls { ca, server_name: NAME.to_owned(), certificate, key };
    let password_file = path("password");
    let settings = settings(directory.path());
    let server = OwnServer::start_in(directory, &settings);

    let config = Config { user: "cassandra".to_owned(), password_file, tls, ..fresh_at(&server.address) };
    // The user is made some time after the start.
    let end = Instant::now() + Duration::from_secs(120);
    while let Err(error) = migrate(&config).await {
        assert!(Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let store = Store::connect(&config).await.unwrap();
    let owner = fresh_user();
    store.put(Table::Archive, &owner, vec![row(1, "hello")]).await.unwrap();
    assert!(store.get(Table::Archive, &owner, row(1, "").id).await.unwrap().is_some());

    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        config
    };
    let wrong_password = |config: &mut Config| {
        config.password_file = "".into();
        config.password = "wrong".into();
    };
    refused("wrong password", with(&wrong_password)).await;
    refused("no user", with(&|config| config.user.clear())).await;
    refused("no encryption", with(&|config| config.tls = Tls::default())).await;
    refused("another authority's server", with(&|config| config.tls.ca.clone_from(&foreign))).await;
    refused("another name", with(&|config| config.tls.server_name = "other.example.org".into())).await;
    refused("its address is not in its certificate", with(&|config| config.tls.server_name.clear())).await;
    let without_certificate = |config: &mut Config| {
        (config.tls.certificate, config.tls.key) = ("".into(), "".into());
    };
    refused("no certificate of ours", with(&without_certificate)).await;
    let as_stranger = |config: &mut Config| {
        (config.tls.certificate, config.tls.key) = stranger.clone();
    };
    refused("another authority's certificate", with(&as_stranger)).await;

    let missing = Store::connect(&with(&|config| config.tls.ca = "/no/such/file".into())).await;
    assert!(
        matches!(&missing, Err(ConnectError::File { path, .. }) if path == "/no/such/file"),
        "{:?}",
        missing.err()
    );
}
