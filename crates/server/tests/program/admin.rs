//! The admin listener: health and metrics, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::process::Signal;
use starling_testkit::{Server, http};

use crate::starling::{ByHand, server, signal, until};

pub(crate) async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = http(address, &request).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

async fn ask(server: &Server, path: &str) -> (u16, String) {
    get(server.address("admin").unwrap(), path).await
}

#[tokio::test]
async fn health_is_told() {
    let server = server("").await;
    for path in ["/startupz", "/livez", "/readyz"] {
        assert_eq!(ask(&server, path).await, (200, "ok\n".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_server_that_stops_is_alive_and_not_ready() {
    // What is written takes its time, so that the stop can be watched.
    let mut server = server("[store]\ncommit-delay = '3s'\n").await;
    let address = server.address("admin").unwrap();
    let data_dir = server.data_dir().to_owned();
    let adding = tokio::task::spawn_blocking(move || {
        crate::starling::starling(&[
            "ctl",
            "--data-dir",
            data_dir.to_str().unwrap(),
            "user",
            "add",
            "a@localhost",
            "x",
        ])
    });
    adding.await.unwrap().succeeded();
    let mut client = starling_testkit::Connection::open(server.plain()).await.unwrap();
    client.login("localhost", "a", "x").await.unwrap();
    client.bind("desk").await.unwrap();
    client.write("<message to='a@localhost' type='chat'><body>x</body></message>").await.unwrap();
    client.write("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    signal(server.pid(), Signal::TERM);
    until("not ready", async || {
        let request = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        http(address, request).await.map_or(true, |answer| answer.starts_with("HTTP/1.1 503"))
    })
    .await;
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn nothing_else_is_served_wherever_it_is_bound() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[("STARLING_ADMIN_LISTEN", "0.0.0.0:0")]);
    let address = (std::net::Ipv4Addr::LOCALHOST, server.address("admin").await.port()).into();
    for path in ["/", "/ws", "/bosh", "/config", "/metrics/", "/../secret", "/chat.js"] {
        assert_eq!(get(address, path).await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let request = format!(
            "{method} /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        assert!(http(address, &request).await.unwrap().starts_with("HTTP/1.1 405"), "{method}");
    }
    assert_eq!(get(address, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_in_http() {
    let server = server("").await;
    for length in [20_000, 100_000, 1_000_000] {
        let (status, _) = ask(&server, &format!("/{}", "a".repeat(length))).await;
        assert_eq!(status, 431, "{length}");
    }
    assert_eq!(ask(&server, &format!("/{}", "a".repeat(8000))).await.0, 404);
    assert_eq!(ask(&server, "/livez").await.0, 200);
}

/// So many series one process may have.
const MOST_SERIES: usize = 2000;

/// Each metric that is served is described, has the kind and the labels that docs/reference/metrics.md says, and all together are not
/// too many.
pub(crate) fn assert_documented(served: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: BTreeMap<&str, Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name, rest.split(" | ").collect()))
        .collect();
    let types: Vec<(&str, &str)> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert!(types.len() > 5, "{served}");
    for (name, kind) in &types {
        let Some([documented, labels, ..]) = rows.get(name).map(|row| &row[..]) else {
            panic!("{name} is not in docs/reference/metrics.md")
        };
        assert_eq!(kind, documented, "{name}");
        assert!(served.contains(&format!("# HELP {name} ")), "{name} is not described");
        let all = served.lines().filter_map(|line| line.strip_prefix(name)?.split_once('{'));
        let all = all.filter(|(end, _)| ["", "_bucket", "_sum", "_count"].contains(end));
        let all = all.filter_map(|(_, rest)| Some(rest.split_once("\"} ")?.0));
        let keys: BTreeSet<&str> = all
            .flat_map(|labels| labels.split("\",").filter_map(|label| label.split_once("=\"")))
            .map(|(key, _)| key)
            .filter(|key| *key != "le")
            .collect();
        let labels: BTreeSet<&str> = labels.split([',', '`', ' ']).filter(|key| !key.is_empty()).collect();
        assert!(keys.is_empty() || keys == labels, "{name}: {keys:?}, in the reference {labels:?}");
    }
    let series = served.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    assert!(series <= MOST_SERIES, "{series} series");
}

#[tokio::test]
async fn every_metric_is_documented_and_described() {
    let server = server("").await;
    crate::starling::ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut client = starling_testkit::Connection::open(server.plain()).await.unwrap();
    client.login("localhost", "alice", "secret").await.unwrap();
    client.bind("desk").await.unwrap();
    client.write("<presence/>").await.unwrap();
    client.element("presence").await.unwrap();
    client
        .write("<message to='alice@localhost/desk' type='chat'><body>note</body></message><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await
        .unwrap();
    client.element("message").await.unwrap();
    client.element("iq").await.unwrap();
    let _stranger = starling_testkit::Connection::open(server.plain()).await.unwrap();
    let mut broken = starling_testkit::Connection::open(server.plain()).await.unwrap();
    broken.write("</b>").await.unwrap();
    let counted = async || {
        let (_, text) = ask(&server, "/metrics").await;
        text.contains("xmpp_cm_streams{state=\"handshake\"} 1\n")
            && text.contains("xmpp_ack_latency_seconds_count")
            && text.contains("xmpp_stream_errors_total{condition=\"not-well-formed\"} 1\n")
            && text.contains("xmpp_cm_connections{listener=\"plain\"} 2\n")
            && text.contains("tokio_workers")
    };
    until("what has happened is counted", counted).await;
    let (status, text) = ask(&server, "/metrics").await;
    assert_eq!(status, 200);
    assert_documented(&text);
    let value = |line: &str| text.lines().find_map(|one| one.strip_prefix(line)?.trim().parse::<f64>().ok());
    assert_eq!(value("xmpp_stream_errors_total{condition=\"connection-timeout\"}"), Some(0.0), "{text}");
    assert!(value("xmpp_auth_attempts_total{mechanism=\"PLAIN\",result=\"success\"}") >= Some(1.0), "{text}");
    assert!(value("xmpp_stanza_received_total{kind=\"presence\"}") >= Some(1.0), "{text}");
    assert!(value("starling_store_write_duration_seconds_count") >= Some(1.0), "{text}");
    assert!(value("xmpp_route_duration_seconds_count") >= Some(1.0), "{text}");
    assert_eq!(value("xmpp_cm_streams{state=\"bound\"}"), Some(1.0), "{text}");
    assert_eq!(value("xmpp_cm_streams{state=\"auth\"}"), Some(0.0), "{text}");
    assert!(value("xmpp_message_delivery_duration_seconds_count{path=\"live\"}") >= Some(1.0), "{text}");
    assert!(value("xmpp_route_decisions_total{result=\"hit\"}") >= Some(1.0), "{text}");
    for direction in ["in", "out"] {
        let sizes = format!("xmpp_stanza_size_bytes_count{{kind=\"message\",direction=\"{direction}\"}}");
        assert!(value(&sizes) >= Some(1.0), "{sizes} in {text}");
    }
    assert!(value("tokio_workers") >= Some(1.0), "{text}");
    assert!(value("process_resident_memory_bytes") > Some(1e6), "{text}");
    assert!(value("tls_cert_expiry_seconds{domain=\"localhost\"}") > Some(1.8e9), "{text}");
    assert!(!text.contains("alice") && !text.contains("localhost/"), "{text}");
}

/// A HorizontalPodAutoscaler takes a pod without the metric for one that is full, and scales down no more.
#[tokio::test]
async fn who_has_no_clients_says_so() {
    let server = server("").await;
    let none = async || {
        let (_, text) = ask(&server, "/metrics").await;
        text.contains("xmpp_cm_connections{listener=\"plain\"} 0\n")
    };
    until("there are none", none).await;
}

#[tokio::test]
async fn by_default_only_this_machine_reaches_it() {
    let dump = crate::starling::starling(&["config", "dump"]).succeeded().stdout;
    assert!(dump.contains("listen = \"127.0.0.1:5281\""), "{dump}");
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[]);
    assert!(server.address("admin").await.ip().is_loopback());
}
