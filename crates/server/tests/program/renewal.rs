//! A renewed certificate is shown without a restart and without a command, wherever the program shows one.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use starling_admin::hash;
use starling_testkit::{Connection, Server, TlsOptions};

use crate::admin::get;
use crate::api::token;
use crate::starling::{ByHand, ctl, server, until};

/// A certificate that holds until that year, in PEM form, its key, and the certificate as it is shown.
fn made(until: i32) -> (String, String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let made = params.self_signed(&key).unwrap();
    (made.pem(), key.serialize_pem(), made.der().to_vec())
}

fn section(directory: &Path) -> String {
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    format!("[tls.certificates.'localhost']\ncertificate = {certificate:?}\nkey = {key:?}\n")
}

/// As Kubernetes changes a mounted secret: `tls.crt` leads through `..data`, a link that is exchanged for another at once.
fn mount(directory: &Path, version: &str, until: i32) -> Vec<u8> {
    let (certificate, key, der) = made(until);
    fs::create_dir(directory.join(version)).unwrap();
    fs::write(directory.join(version).join("tls.crt"), certificate).unwrap();
    fs::write(directory.join(version).join("tls.key"), key).unwrap();
    symlink(version, directory.join("..data_tmp")).unwrap();
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        let _ = symlink(format!("..data/{name}"), directory.join(name)); // it is there the second time
    }
    der
}

async fn shown_at(address: SocketAddr, alpn: &'static str) -> Vec<u8> {
    let mut client = Connection::open(address).await.unwrap();
    let options = TlsOptions { alpn: vec![alpn], ..TlsOptions::new("localhost") };
    client.handshake(&options).await.unwrap().certificate
}

async fn shown(server: &Server) -> [Vec<u8>; 3] {
    let mut plain = Connection::open(server.address("c2s").unwrap()).await.unwrap();
    let starttls = plain.start_tls(&TlsOptions::new("localhost")).await.unwrap().certificate;
    let direct = shown_at(server.address("direct-tls").unwrap(), "xmpp-client").await;
    [starttls, direct, shown_at(server.address("https").unwrap(), "http/1.1").await]
}

async fn expiry(admin: SocketAddr) -> Option<f64> {
    let (_, text) = get(admin, "/metrics").await;
    let line = "tls_cert_expiry_seconds{domain=\"localhost\"} ";
    text.lines().find_map(|one| one.strip_prefix(line)?.parse().ok())
}

/// 1 January of 3000 and 3001.
const ENDS: [f64; 2] = [32_503_680_000.0, 32_535_216_000.0];

#[tokio::test]
async fn clients_are_shown_a_changed_secret_and_who_is_connected_stays() {
    let directory = tempfile::tempdir().unwrap();
    let former = mount(directory.path(), "..1", 3000);
    let server = server(&section(directory.path())).await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    assert!(shown(&server).await.iter().all(|one| *one == former));
    let mut alice = Connection::open(server.address("direct-tls").unwrap()).await.unwrap();
    alice.handshake(&TlsOptions::new("localhost")).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    alice.bind("desk").await.unwrap();
    let admin = server.address("admin").unwrap();
    assert_eq!(expiry(admin).await, Some(ENDS[0]));

    let renewed = mount(directory.path(), "..2", 3001);
    until("all ways show it", async || shown(&server).await.iter().all(|one| *one == renewed)).await;
    until("the metric says so", async || expiry(admin).await == Some(ENDS[1])).await;
    alice.write("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    alice.element("iq").await.unwrap();
    assert!(!server.log().contains("cannot be used"), "{}", server.log());
}

/// Certificate and key are two files, which somebody may write one after the other, or in part.
#[tokio::test]
async fn the_former_certificate_holds_while_the_files_are_not_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (certificate, key, former) = made(3000);
    fs::write(file("tls.crt"), certificate).unwrap();
    fs::write(file("tls.key"), key).unwrap();
    let server = server(&section(directory.path())).await;
    let (certificate, key, renewed) = made(3001);
    let warned = |times: usize| server.log().matches("cannot be used, the former one holds").count() == times;

    fs::write(file("tls.crt"), &certificate[..certificate.len() / 2]).unwrap();
    until("half a certificate is warned of", async || warned(1)).await;
    fs::write(file("tls.crt"), certificate).unwrap();
    until("a certificate without its key is warned of", async || warned(2)).await;
    fs::remove_file(file("tls.key")).unwrap();
    until("a key that is not there is warned of", async || warned(3)).await;
    assert!(shown(&server).await.iter().all(|one| *one == former));
    assert_eq!(expiry(server.address("admin").unwrap()).await, Some(ENDS[0]));
    fs::write(file("tls.key"), key).unwrap();
    until("the new one is shown", async || shown(&server).await.iter().all(|one| *one == renewed)).await;
}

/// A router shows certificates to administrators only, and has no client's listener.
#[tokio::test]
async fn administrators_are_shown_it_and_the_metric_of_a_router_follows() {
    let directory = tempfile::tempdir().unwrap();
    let former = mount(directory.path(), "..1", 3000);
    let tokens = format!("{{rules = {{role = 'admin', hash = '{}'}}}}", hash(&token("rules")));
    let config = directory.path().join("starling.toml");
    fs::write(&config, format!("domains = ['localhost']\n{}", section(directory.path()))).unwrap();
    let variables = [
        ("STARLING_API_LISTEN", "127.0.0.1:0"),
        ("STARLING_API_TLS", "true"),
        ("STARLING_API_TOKENS", tokens.as_str()),
        ("STARLING_CLUSTER_STORES", "embedded"),
        ("STARLING_CLUSTER_PLAINTEXT", "true"),
        ("STARLING_CLUSTER_LISTEN", "127.0.0.1:0"),
    ];
    let arguments = ["--roles", "session-router", "--config", config.to_str().unwrap()];
    let mut router = ByHand::start(directory.path(), &arguments, &variables);
    let (admin, console) = (router.address("admin").await, router.address("console").await);
    assert_eq!((shown_at(console, "h2").await, expiry(admin).await), (former, Some(ENDS[0])));

    let renewed = mount(directory.path(), "..2", 3001);
    until("it is shown", async || shown_at(console, "h2").await == renewed).await;
    until("the metric says so", async || expiry(admin).await == Some(ENDS[1])).await;
}
