//! `starling ctl config reload` and SIGHUP: what changes at once, and what is said to need a restart.

use std::ops::Range;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use serde_json::{Value, json};
use starling_testkit::{Connection, Received, Server, TlsOptions};

use crate::starling::{PATIENCE, ctl, server, signal, starling, until};

pub(crate) fn rewrite(server: &Server, change: impl Fn(String) -> String) {
    let path = server.data_dir().join("starling.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
}

/// The answer to a first header for that domain: features, or the condition of the error.
async fn greeted(server: &Server, domain: &str) -> String {
    let mut client = Connection::open(server.plain()).await.unwrap();
    client.header(domain).await.unwrap();
    loop {
        match client.next(PATIENCE).await.unwrap() {
            Received::Header(_) => {}
            Received::Element(tree, _) if tree.name == "error" => return tree.children[0].name.clone(),
            Received::Element(tree, _) => return tree.name,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn certificate(directory: &Path, domain: &str) -> (String, Vec<u8>) {
    holding(directory, domain, 1975..4096)
}

/// The same, from the first of January of one year to that of another.
fn holding(directory: &Path, domain: &str, years: Range<i32>) -> (String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![domain.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let made = params.self_signed(&key).unwrap();
    let (certificate, file) = (directory.join("own.crt"), directory.join("own.key"));
    std::fs::write(&certificate, made.pem()).unwrap();
    std::fs::write(&file, key.serialize_pem()).unwrap();
    let section = format!("\n[tls.certificates.'{domain}']\ncertificate = {certificate:?}\nkey = {file:?}\n");
    (section, made.der().to_vec())
}

#[tokio::test]
async fn domains_change_at_once() {
    let server = server("").await;
    assert_eq!(greeted(&server, "new.localhost").await, "host-unknown");
    rewrite(&server, |text| text.replace("\"other.localhost\"", "\"new.localhost\""));
    assert_eq!(ctl(&server, &["config", "reload"]), json!({"reloaded": true, "restart": []}));
    assert_eq!(greeted(&server, "new.localhost").await, "features");
    assert_eq!(greeted(&server, "other.localhost").await, "host-unknown");
    ctl(&server, &["user", "add", "alice@new.localhost", "secret"]);
    let (_, metrics) = crate::admin::get(server.address("admin").unwrap(), "/metrics").await;
    let expiry = |domain: &str| {
        let start = format!("tls_cert_expiry_seconds{{domain=\"{domain}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok()).unwrap()
    };
    assert!(expiry("new.localhost") > 1.8e9, "{metrics}");
    assert!(expiry("other.localhost").is_nan(), "no alert is about what is not served: {metrics}");
}

#[tokio::test]
async fn limits_hold_for_connections_from_then_on() {
    let server = server("").await;
    rewrite(&server, |text| format!("{text}\n[limits]\nlogin-bytes = 2000\n"));
    ctl(&server, &["config", "reload"]);
    let mut client = Connection::open(server.plain()).await.unwrap();
    client.header("localhost").await.unwrap();
    client.element("features").await.unwrap();
    client.write(&format!("<auth x='{}'", "a".repeat(3000))).await.unwrap();
    assert_eq!(client.stream_error().await.unwrap(), "policy-violation");
}

#[tokio::test]
async fn certificates_change_at_once() {
    let server = server("").await;
    let (section, der) = certificate(server.data_dir(), "localhost");
    let presented = async || {
        let mut client = Connection::open(server.address("direct-tls").unwrap()).await.unwrap();
        client.handshake(&TlsOptions::new("localhost")).await.unwrap().certificate
    };
    assert_ne!(presented().await, der);
    rewrite(&server, |text| text + &section);
    ctl(&server, &["config", "reload"]);
    assert_eq!(presented().await, der);
}

#[tokio::test]
async fn a_certificate_that_clients_refuse_is_taken_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let (section, _) = holding(directory.path(), "localhost", 2001..2002);
    let server = server(&section).await;
    let line_with = |why: &str| {
        let log = server.log();
        let mut lines = log.lines().filter(|line| line.contains("clients will refuse this certificate"));
        lines.find(|line| line.contains(why)).map(str::to_owned)
    };
    let warned = async |why: &str| {
        until(why, async || line_with(why).is_some()).await;
        line_with(why).unwrap()
    };
    let line = warned("it has expired").await;
    for part in
        ["WARN", "\"domain\":\"localhost\"", "own.crt", "2001-01-01T00:00:00Z", "2002-01-01T00:00:00Z"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    holding(directory.path(), "localhost", 3001..3002);
    ctl(&server, &["config", "reload"]);
    assert!(warned("it does not hold yet").await.contains("3001-01-01T00:00:00Z"));
    certificate(directory.path(), "other.localhost");
    ctl(&server, &["config", "reload"]);
    warned("it is for other.localhost").await;
    let warnings = || server.log().matches("clients will refuse this certificate").count();
    let before = warnings();
    certificate(directory.path(), "localhost");
    ctl(&server, &["config", "reload"]);
    assert_eq!(warnings(), before, "{}", server.log());
}

#[tokio::test]
async fn sighup_changes_the_log_level() {
    let server = server("[log]\nlevel = 'info'\n").await;
    assert!(!server.log().contains("\"level\":\"DEBUG\""));
    rewrite(&server, |text| text.replace("level = 'info'", "level = 'debug'"));
    signal(server.pid(), Signal::HUP);
    until("debug lines", async || {
        let mut client = Connection::open(server.plain()).await.unwrap();
        assert!(client.login("localhost", "nobody", "x").await.is_err());
        server.log().contains("\"level\":\"DEBUG\"")
    })
    .await;
    until("it is said", async || server.log().contains("configuration read again")).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let server = server("").await;
    rewrite(&server, |text| format!("{text}\n[im]\narchive = false\n[store]\nlog-max-stanzas = 50\n"));
    let answer = ctl(&server, &["config", "reload"]);
    assert_eq!(answer["restart"], json!(["im.archive", "store.log-max-stanzas"]), "{answer}");
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing() {
    let server = server("").await;
    rewrite(&server, |text| {
        text.replace("\"other.localhost\"", "\"new.localhost\"") + "\n[limits]\nstanza-byte = 1\n"
    });
    let data_dir = server.data_dir().to_str().unwrap();
    let refused = starling(&["ctl", "--json", "--data-dir", data_dir, "config", "reload"]);
    assert_eq!(refused.code, Some(1));
    let error: Value = refused.json();
    assert!(error["error"].as_str().unwrap().contains("did you mean `stanza-bytes`?"), "{error}");
    signal(server.pid(), Signal::HUP);
    until("a warning", async || server.log().contains("the former one holds")).await;
    assert_eq!(greeted(&server, "new.localhost").await, "host-unknown");
    assert_eq!(greeted(&server, "other.localhost").await, "features");
}
