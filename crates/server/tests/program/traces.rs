//! P8: a followed message leaves one trace, from the sender's socket to the receiving device's ack, across processes.

use std::path::Path;

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble;
use serde_json::{Value, json};
use starling_testkit::{Connection, Preset, Received, Server, ServerOptions, http};

use crate::receiver::{self, Receiver};
use crate::starling::{PATIENCE, ctl, server, until};

/// `printf %s alice@localhost | sha256sum | cut -c 1-16`
const ALICE: &str = "93c56f4408cff66f";
/// All that spans say beside their times.
const SAID: [&str; 7] = [
    "messaging.batch.message_count",
    "messaging.message.body.size",
    "messaging.system",
    "xmpp.account.hash",
    "xmpp.error",
    "xmpp.number",
    "xmpp.stanza",
];
/// What nobody but the two may ever see.
const SECRET: &str = "the treasure lies below the oak";

/// Two connection managers and a session router that send spans there.
async fn cluster(receiver: &Receiver, more: &str) -> Server {
    let config = format!("[log]\nlevel = 'debug'\n{}", otlp(receiver, more));
    let options = ServerOptions { config, data_dir: None };
    let program = Path::new(env!("CARGO_BIN_EXE_starling"));
    let server = Server::start_preset(program, &options, Preset::Cluster).await.unwrap();
    make_accounts(&server).await;
    server
}

fn otlp(receiver: &Receiver, more: &str) -> String {
    format!("[otlp]\nendpoint = 'http://{}'\n{more}", receiver.address)
}

async fn make_accounts(server: &Server) {
    for name in ["alice", "bob"] {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        server.control(add).await.unwrap();
    }
}

/// On the next manager in turn, with XEP-0198, and nothing under way: what is pushed now is not pulled as well.
async fn login(server: &Server, name: &str) -> Connection {
    let mut connection = Connection::open(server.plain()).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("desk").await.unwrap();
    connection.write("<enable xmlns='urn:xmpp:sm:3'/>").await.unwrap();
    connection.element("enabled").await.unwrap();
    connection.write("<presence/>").await.unwrap();
    connection.element("presence").await.unwrap();
    connection
}

/// Sends a message from Alice to Bob; both have acknowledged it then.
async fn send(alice: &mut Connection, bob: &mut Connection, body: &str) {
    let message = format!("<message to='bob@localhost/desk' type='chat'><body>{body}</body></message>");
    alice.write(&format!("{message}<r xmlns='urn:xmpp:sm:3'/>")).await.unwrap();
    assert!(past_requests(bob, "message").await.contains(body));
    past_requests(alice, "a").await;
}

/// The next element of that name, with nothing before it but requests for acks.
async fn past_requests(client: &mut Connection, name: &str) -> String {
    loop {
        match client.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) if tree.name == "r" => {}
            Received::Element(tree, text) if tree.name == name => return text,
            other => panic!("{other:?}"),
        }
    }
}

/// Bob's client has got so many stanzas.
async fn acknowledge(bob: &mut Connection, stanzas: usize) {
    bob.write(&format!("<a xmlns='urn:xmpp:sm:3' h='{stanzas}'/>")).await.unwrap();
}

/// The spans of the first trace that is whole; of the three that are sent one may have been pulled before it was pushed.
async fn whole_trace(receiver: &Receiver) -> Vec<receiver::Received> {
    let mut whole = Vec::new();
    until("a whole trace", async || {
        let spans = receiver.spans();
        let of = |trace: &[u8]| spans.iter().filter(|one| one.span.trace_id == trace).cloned().collect();
        let traces = spans.iter().filter(|one| one.span.name == "receive").map(|one| of(&one.span.trace_id));
        let is_whole = |trace: &Vec<receiver::Received>| {
            ["route", "store", "deliver", "ack"]
                .iter()
                .all(|name| trace.iter().any(|one| one.span.name == *name))
        };
        whole = traces.into_iter().find(is_whole).unwrap_or_default();
        !whole.is_empty()
    })
    .await;
    whole
}

#[tokio::test]
async fn a_followed_message_is_one_trace_over_all_processes() {
    let receiver = Receiver::start().await;
    let server = cluster(&receiver, "sample-rate = 0.0\n").await;
    let (mut alice, mut bob) = (login(&server, "alice").await, login(&server, "bob").await);
    send(&mut alice, &mut bob, "nobody follows this").await;
    let follow = json!({"op": "trace-change", "follow": "alice@localhost"});
    until("all are reached", async || {
        let answer = server.control(follow.clone()).await.unwrap();
        assert_eq!(answer["accounts"], json!(["alice@localhost"]), "{answer}");
        assert_eq!(answer["account-hashes"], json!([ALICE]), "{answer}");
        answer["reached"] == json!(["manager-1", "manager-2", "router-1"]) && answer["missing"] == json!([])
    })
    .await;
    for answer in server.control_each(json!({"op": "trace-status"})).await.unwrap() {
        assert_eq!(answer["reached"].as_array().unwrap().len(), 3, "each of them follows her: {answer}");
    }
    for _ in 0..3 {
        send(&mut alice, &mut bob, SECRET).await;
    }
    acknowledge(&mut bob, 5).await;

    let spans = whole_trace(&receiver).await;
    assert_is_one_trace(&spans);
    let all = receiver.spans();
    assert_eq!(all.iter().filter(|one| one.span.parent_span_id.is_empty()).count(), 3, "{all:#?}");
    assert_nothing_private(&all);
    assert_is_in_the_logs(&server.log(), &spans);
}

/// Only what is known to be no secret, and in it no address and no word of what was said.
fn assert_nothing_private(spans: &[receiver::Received]) {
    for span in spans.iter().map(|one| &one.span) {
        for attribute in &span.attributes {
            assert!(SAID.contains(&attribute.key.as_str()), "{attribute:?}");
        }
    }
    let all = format!("{spans:?}");
    for word in
        SECRET.split(' ').filter(|word| word.len() > 3).chain(["alice", "bob", "@", "localhost", "desk"])
    {
        assert!(!all.contains(word), "{word}: {all}");
    }
}

/// Whoever has a trace finds its lines, and the other way round.
fn assert_is_in_the_logs(log: &str, spans: &[receiver::Received]) {
    let trace: String = spans[0].span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_of_trace =
        |line: &Value| line["trace_id"] == trace.as_str() || line["span"]["trace_id"] == trace.as_str();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let targets: Vec<String> =
        lines.filter(is_of_trace).map(|line| line["target"].as_str().unwrap().to_owned()).collect();
    for part in ["starling_connection_manager", "starling_im"] {
        assert!(targets.iter().any(|target| target.starts_with(part)), "{part}: {targets:?}");
    }
}

fn assert_is_one_trace(spans: &[receiver::Received]) {
    let first = spans.iter().find(|one| one.span.parent_span_id.is_empty()).unwrap();
    assert_eq!(first.span.name, "receive");
    assert_eq!(first.says("xmpp.account.hash").as_deref(), Some(ALICE));
    assert_eq!(first.says("xmpp.stanza").as_deref(), Some("message"));
    let after = |name: &str, parent: &receiver::Received| {
        let is_it = |one: &&receiver::Received| {
            one.span.name == name && one.span.parent_span_id == parent.span.span_id
        };
        let found = spans.iter().find(is_it).cloned();
        found.unwrap_or_else(|| panic!("no {name} after {}: {spans:#?}", parent.span.name))
    };
    let route = after("route", first);
    let (store, deliver) = (after("store", &route), after("deliver", &route));
    let ack = after("ack", &deliver);
    assert_ne!(first.node, deliver.node);
    assert!(first.node.starts_with("manager-") && deliver.node.starts_with("manager-"), "{spans:#?}");
    assert_eq!((&*route.node, &*store.node), ("router-1", "router-1"));
    assert_eq!(ack.node, deliver.node);
    for one in [first, &route, &store, &deliver, &ack] {
        assert!(one.span.start_time_unix_nano <= one.span.end_time_unix_nano, "{one:?}");
        assert!(one.span.status.is_none(), "{one:?}");
    }
    let begun = [first, &route, &store].map(|one| one.span.start_time_unix_nano);
    assert!(begun.is_sorted(), "one machine, one clock: {spans:#?}");
}

/// Everything the command line can say of it, in one process.
#[tokio::test]
async fn what_is_followed_changes_while_the_server_runs() {
    let receiver = Receiver::start().await;
    let server = server(&otlp(&receiver, "sample-rate = 0.0\nmost-per-second = 0\n")).await;
    make_accounts(&server).await;
    let (mut alice, mut bob) = (login(&server, "alice").await, login(&server, "bob").await);
    send(&mut alice, &mut bob, "not followed").await;
    assert_eq!(ctl(&server, &["trace", "rate", "1"])["rate"], json!(1.0));
    for _ in 0..3 {
        send(&mut alice, &mut bob, "followed").await;
    }
    assert_eq!(ctl(&server, &["trace", "follow", "carol@localhost"])["accounts"], json!(["carol@localhost"]));
    assert_eq!(ctl(&server, &["trace", "unfollow", "carol@localhost"])["accounts"], json!([]));
    assert_eq!(ctl(&server, &["trace", "rate", "0"])["rate"], json!(0.0));
    send(&mut alice, &mut bob, "not followed again").await;
    acknowledge(&mut bob, 6).await;
    whole_trace(&receiver).await;
    let all = receiver.spans();
    assert_eq!(all.iter().filter(|one| one.span.name == "receive").count(), 3, "{all:#?}");
    assert!(all.iter().all(|one| one.says("xmpp.account.hash").is_none()), "nobody was named: {all:#?}");
    assert_nothing_private(&all);
}

/// Each that `/metrics` has, by the name that OpenTelemetry gives it.
#[tokio::test]
async fn metrics_are_sent_as_they_are_read() {
    let receiver = Receiver::start().await;
    let server = server(&otlp(&receiver, "metrics-every = '1s'\n")).await;
    make_accounts(&server).await;
    let _alice = login(&server, "alice").await;
    let counts_one = |metric: &Metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.iter().any(|one| one.value == Some(AsDouble(1.0))),
        _ => false,
    };
    until("her connection", async || {
        receiver.metrics().iter().any(|metric| metric.name == "xmpp.cm.connections" && counts_one(metric))
    })
    .await;
    let get = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let page = http(server.address("admin").unwrap(), get).await.unwrap();
    let read = page.lines().filter(|line| line.starts_with("# TYPE ")).count();
    until("all of them", async || receiver.metrics().len() >= read).await;
    let sent = receiver.metrics();
    let latency = sent.iter().find(|metric| metric.name == "xmpp.ack.latency").unwrap();
    assert_eq!(latency.unit, "s");
    let Some(Data::Histogram(histogram)) = &latency.data else { panic!("{latency:?}") };
    let point = &histogram.data_points[0];
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
}

/// A receiver behind TLS, as the configuration names it; what it is told beside is in a file of that folder.
fn otlp_tls(receiver: &Receiver, certificate: &str, folder: &Path) -> String {
    let (ca, headers) = (folder.join("ca.pem"), folder.join("headers"));
    std::fs::write(&ca, certificate).unwrap();
    std::fs::write(&headers, "authorization: Bearer first\n").unwrap();
    format!(
        "[otlp]\nendpoint = 'https://localhost:{}'\nca-file = {ca:?}\nheaders-file = {headers:?}\nsample-rate = 1.0\nmetrics-every = '1s'\n",
        receiver.address.port()
    )
}

#[tokio::test]
async fn what_is_sent_over_tls_has_the_headers_of_a_file_that_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start_tls().await;
    let server = server(&otlp_tls(&receiver, &receiver.certificate, folder.path())).await;
    make_accounts(&server).await;
    let (mut alice, mut bob) = (login(&server, "alice").await, login(&server, "bob").await);
    send(&mut alice, &mut bob, "followed").await;
    until("spans and metrics", async || !receiver.spans().is_empty() && !receiver.metrics().is_empty()).await;
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    assert!(receiver.said().iter().all(|said| *said == bearer("first")), "{:?}", receiver.said());
    std::fs::write(folder.path().join("headers"), "authorization: Bearer second\n").unwrap();
    until("the other token", async || receiver.said().last() == Some(&bearer("second"))).await;
    assert!(!server.log().contains("Bearer"), "{}", server.log());
}

/// Whoever answers without a certificate of the named authority could read everything.
#[tokio::test]
async fn a_receiver_with_the_certificate_of_somebody_else_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, other) = (Receiver::start_tls().await, Receiver::start_tls().await);
    let server = server(&otlp_tls(&receiver, &other.certificate, folder.path())).await;
    make_accounts(&server).await;
    let (mut alice, mut bob) = (login(&server, "alice").await, login(&server, "bob").await);
    send(&mut alice, &mut bob, "followed").await;
    let get = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    until("spans that are lost", async || {
        let page = http(server.address("admin").unwrap(), get).await.unwrap();
        page.lines().any(|line| {
            line.starts_with("starling_spans_lost_total{reason=\"receiver\"}") && !line.ends_with(" 0")
        })
    })
    .await;
    assert!(receiver.said().is_empty(), "{:?}", receiver.said());
}

#[tokio::test]
async fn without_a_receiver_nothing_can_be_followed() {
    let server = server("").await;
    let refused = server.control(json!({"op": "trace-change", "rate": 1.0})).await.unwrap_err().to_string();
    assert!(refused.contains("otlp.endpoint"), "{refused}");
    assert_eq!(ctl(&server, &["trace", "status"])["has-receiver"], json!(false));
}
