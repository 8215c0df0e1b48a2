//! P7: who is told to drain takes nobody new, sends its clients elsewhere, and stops in a bounded time.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use starling_testkit::{Connection, Preset, Received, Server, ServerOptions, http};

use crate::starling::{PATIENCE, ctl, server, signal, starling, until};

/// Two connection managers, and a session router.
async fn cluster(more: &str) -> Server {
    let options = ServerOptions { config: more.to_owned(), data_dir: None };
    let program = Path::new(env!("CARGO_BIN_EXE_starling"));
    let server = Server::start_preset(program, &options, Preset::Cluster).await.unwrap();
    for name in ["alice", "bob"] {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        server.control(add).await.unwrap();
    }
    server
}

/// On the manager that drains first.
async fn login(server: &Server, name: &str) -> Connection {
    let mut connection = Connection::open(server.address("plain").unwrap()).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("desk").await.unwrap();
    connection
}

async fn resumable(server: &Server, name: &str) -> (Connection, String) {
    let mut connection = login(server, name).await;
    connection.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await.unwrap();
    let id = connection.element("enabled").await.unwrap().attr("id").unwrap().to_owned();
    (connection, id)
}

/// On the other manager.
async fn resume(server: &Server, name: &str, id: &str) -> Connection {
    let at = [server.plain(), server.plain()];
    let other = at.into_iter().find(|at| Some(*at) != server.address("plain")).unwrap();
    let mut again = Connection::open(other).await.unwrap();
    again.login("localhost", name, "secret").await.unwrap();
    again.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")).await.unwrap();
    again.element("resumed").await.unwrap();
    again
}

fn hears_of_shutdown(all: &[Received]) -> bool {
    let is_it = |one: &Received| matches!(one, Received::Element(tree, _) if tree.find(&["system-shutdown"]).is_some());
    all.iter().any(is_it)
}

#[tokio::test]
async fn sigterm_sends_clients_elsewhere_and_ends_the_process() {
    let mut server = cluster("").await;
    let ((mut alice, id), mut bob) = (resumable(&server, "alice").await, login(&server, "bob").await);
    signal(server.pid(), Signal::TERM);
    let (alice_heard, bob_heard) = tokio::join!(async { alice.to_the_end(PATIENCE).await.unwrap() }, async {
        bob.to_the_end(PATIENCE).await.unwrap()
    });
    let end: Vec<&Received> = alice_heard.iter().filter(|one| matches!(one, Received::Element(..))).collect();
    assert!(end.is_empty(), "the stream stays open, or it could not be resumed: {end:?}");
    assert!(hears_of_shutdown(&bob_heard), "{bob_heard:?}");
    resume(&server, "alice", &id).await;
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn a_drain_by_hand_shows_how_far_it_is_and_can_be_called_off() {
    let server = cluster("[drain]\nmax-rate = 1\n").await;
    let (mut first, id) = resumable(&server, "alice").await;
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut other = Connection::open(server.address("plain").unwrap()).await.unwrap();
        other.login("localhost", "bob", "secret").await.unwrap();
        other.bind(&others.len().to_string()).await.unwrap();
        others.push(other);
    }
    assert_eq!(
        ctl(&server, &["drain", "status"]),
        json!({"state": "serving", "sessions": 21, "node": "manager-1"})
    );
    let begun = ctl(&server, &["drain", "start"]);
    assert_eq!(begun["state"], "draining", "{begun}");
    assert!(begun["within-seconds"].as_u64().unwrap() >= 21, "{begun}");
    until("nobody new comes in", async || Connection::open(server.address("plain").unwrap()).await.is_err())
        .await;
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let ready = http(server.address("admin").unwrap(), request).await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    until("metrics tell of it", async || {
        told(&server).await.is_some_and(|(state, left)| state == 1 && left > 0)
    })
    .await;
    until("some have gone", async || ctl(&server, &["drain", "status"])["sessions"].as_u64().unwrap() < 21)
        .await;
    let called_off = ctl(&server, &["drain", "abort"]);
    assert_eq!(called_off["state"], "serving");
    assert!(called_off["sessions"].as_u64().unwrap() > 0, "{called_off}");
    until("metrics tell of that", async || told(&server).await == Some((0, 0))).await;
    until("clients come again", async || Connection::open(server.address("plain").unwrap()).await.is_ok())
        .await;
    until("it says that it is ready", async || {
        http(server.address("admin").unwrap(), request).await.unwrap().starts_with("HTTP/1.1 200")
    })
    .await;

    ctl(&server, &["drain", "start", "--now"]);
    until("all have gone", async || ctl(&server, &["drain", "status"])["state"] == "drained").await;
    assert_eq!(ctl(&server, &["drain", "status"])["sessions"], 0);
    until("metrics tell of the end", async || told(&server).await == Some((2, 0))).await;
    first.to_the_end(PATIENCE).await.unwrap();
    resume(&server, "alice", &id).await;
}

/// The state of a drain and the sessions that are left, as `/metrics` has them.
async fn told(server: &Server) -> Option<(u8, usize)> {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let page = http(server.address("admin").unwrap(), request).await.unwrap();
    let value = |name: &str| page.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let state = value("starling_drain_state ")?.parse().unwrap();
    Some((state, value("starling_drain_left{what=\"sessions\"} ")?.parse().unwrap()))
}

#[tokio::test]
async fn a_second_sigterm_hurries() {
    let mut server = cluster("[drain]\nmax-rate = 1\nwindow = '10min'\n").await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let mut one = Connection::open(server.address("plain").unwrap()).await.unwrap();
        one.login("localhost", "bob", "secret").await.unwrap();
        one.bind(&all.len().to_string()).await.unwrap();
        all.push(one);
    }
    signal(server.pid(), Signal::TERM);
    until("the drain begins", async || server.log().contains("\"draining\"")).await;
    let begin = std::time::Instant::now();
    signal(server.pid(), Signal::TERM);
    server.stopped().await.unwrap();
    assert!(begin.elapsed().as_secs() < 15, "it took {:?}", begin.elapsed());
    for mut one in all {
        assert!(hears_of_shutdown(&one.to_the_end(PATIENCE).await.unwrap()));
    }
}

#[tokio::test]
async fn who_is_alone_refuses_and_says_why() {
    let server = server("").await;
    let data_dir = server.data_dir().to_str().unwrap();
    let refused = starling(&["ctl", "--data-dir", data_dir, "drain", "start"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("the only one") && refused.stderr.contains("saved"), "{refused:?}");
    assert_eq!(ctl(&server, &["drain", "status"])["state"], "serving");
    let refused = starling(&["ctl", "--data-dir", data_dir, "drain", "abort"]);
    assert!(refused.stderr.contains("nothing drains"), "{refused:?}");
}
