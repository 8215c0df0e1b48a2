//! File descriptors: strangers take none that the server needs; where none is left, those who are in are served on.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use starling_connection_manager::Descriptors;
use starling_testkit::{Connection, Received, Server, ServerOptions, TlsOptions};
use tokio::net::TcpStream;

use crate::admin::get;
use crate::starling::{PROGRAM, ctl, server, until};

/// How many descriptors the server may have from now on; what it had is open still.
fn limit(server: &Server, descriptors: u64) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let limit = Rlimit { current: Some(descriptors), ..getrlimit(Resource::Nofile) };
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

fn open_descriptors(server: &Server) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() as u64
}

async fn greeted(connection: &mut Connection) -> bool {
    connection.header("localhost").await.unwrap();
    matches!(connection.poll(Duration::from_millis(500)).await, Ok(Some(Received::Header(_))))
}

#[tokio::test]
async fn who_is_in_is_served_on_and_others_get_in_when_there_is_room() {
    let server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    alice.bind("phone").await.unwrap();
    limit(&server, open_descriptors(&server) + 3);

    let mut waiting = Vec::new();
    for _ in 0..12 {
        waiting.push(Connection::open(server.plain()).await.unwrap());
    }
    until("it says that it is full", async || server.log().contains("cannot accept clients")).await;

    for n in 0..5 {
        alice.write(&format!("<iq type='get' id='{n}'><ping xmlns='urn:xmpp:ping'/></iq>")).await.unwrap();
        let answer = alice.element("iq").await.unwrap();
        assert_eq!((answer.attr("type"), answer.attr("id")), (Some("result"), Some(n.to_string().as_str())));
    }
    let mut last = waiting.pop().unwrap();
    assert!(!greeted(&mut last).await, "there is no descriptor for it");
    assert_eq!(server.log().matches("cannot accept clients").count(), 1, "{}", server.log());

    limit(&server, 1000);
    let heard =
        async { while !matches!(last.next(Duration::from_secs(20)).await.unwrap(), Received::Header(_)) {} };
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
}

/// So few that all places of clients can be taken; who has not signed in may have half of them.
const FEW: u64 = 256;

/// How a client that comes now hears that it is one too many.
async fn refusal(server: &Server, kind: &str) -> String {
    let mut late = Connection::open(server.address(kind).unwrap()).await.unwrap();
    if kind == "direct-tls" {
        late.handshake(&TlsOptions::new("localhost")).await.unwrap();
    }
    late.stream_error().await.unwrap()
}

#[tokio::test]
async fn strangers_take_nothing_that_the_server_needs() {
    let options = ServerOptions { config: "[store]\ncommit-delay = '1ms'\n".to_owned(), data_dir: None };
    let server = Server::start_limited(Path::new(PROGRAM), &options, FEW).await.unwrap();
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    let jid = alice.bind("phone").await.unwrap();

    // They say nothing, on every way in, and are far more than there is room for.
    let mut strangers = Vec::new();
    for kind in ["plain", "c2s", "direct-tls", "http", "https", "plain-http"].iter().cycle().take(600) {
        strangers.push(TcpStream::connect(server.address(kind).unwrap()).await.unwrap());
    }
    let admin = server.address("admin").unwrap();
    let rejects = async || {
        let (_, text) = get(admin, "/metrics").await;
        let counted =
            text.lines().find_map(|line| line.strip_prefix("xmpp_cm_rejects_total{reason=\"full\"} "));
        counted.unwrap_or("0").parse::<u64>().unwrap()
    };
    until("they are too many", async || rejects().await > 0).await;

    for n in 0..5 {
        assert_eq!(get(admin, "/readyz").await, (200, "ok\n".to_owned()));
        ctl(&server, &["user", "add", &format!("bob{n}@localhost"), "secret"]); // asked and committed
        alice
            .write(&format!("<message to='{jid}' type='chat' id='{n}'><body>note</body></message>"))
            .await
            .unwrap();
        assert_eq!(alice.element("message").await.unwrap().attr("id"), Some(n.to_string().as_str()));
    }
    assert!(open_descriptors(&server) < FEW, "{}", open_descriptors(&server));
    assert!(!server.log().contains("cannot accept clients"), "{}", server.log());

    // When they are gone, others come in.
    drop(strangers);
    let mut bob = Connection::open(server.plain()).await.unwrap();
    bob.login("localhost", "bob1", "secret").await.unwrap();
    bob.bind("desk").await.unwrap();
}

/// Not to be ready would cost it those who are in: docs/adr/0023-full-and-ready.md.
#[tokio::test]
async fn a_server_whose_places_are_all_taken_stays_ready_and_says_so_to_who_comes() {
    let options = ServerOptions {
        config: "[im]\nmax-sessions = 0\n[limits]\nlogins-at-once = 0\n".to_owned(),
        data_dir: None,
    };
    let server = Server::start_limited(Path::new(PROGRAM), &options, FEW).await.unwrap();
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let places = usize::try_from(Descriptors(Some(FEW)).clients().unwrap()).unwrap();
    let (_, text) = get(server.address("admin").unwrap(), "/metrics").await;
    assert!(text.contains(&format!("\nxmpp_cm_connections_max {places}\n")), "{text}");
    let mut clients = Vec::new();
    for n in 0..places {
        let mut client = Connection::open(server.plain()).await.unwrap();
        client.login("localhost", "alice", "secret").await.unwrap();
        client.bind(&format!("device-{n}")).await.unwrap();
        clients.push(client);
    }
    for _ in 0..3 {
        assert_eq!(refusal(&server, "c2s").await, "resource-constraint");
        assert_eq!(get(server.address("admin").unwrap(), "/readyz").await, (200, "ok\n".to_owned()));
    }
    drop(clients.pop());
    until("there is room again", async || {
        let mut late = Connection::open(server.plain()).await.unwrap();
        greeted(&mut late).await
    })
    .await;
}

#[tokio::test]
async fn who_is_one_too_many_hears_so() {
    let server = server("[limits]\nunauthenticated = 1\n").await;
    let mut first = Connection::open(server.plain()).await.unwrap();
    assert!(greeted(&mut first).await);
    for kind in ["plain", "c2s", "direct-tls"] {
        assert_eq!(refusal(&server, kind).await, "resource-constraint", "{kind}");
    }
    let (status, text) = get(server.address("http").unwrap(), "/.well-known/host-meta").await;
    assert_eq!((status, text.as_str()), (503, "too many clients are here\n"));
    drop(first);
    until("there is room again", async || {
        get(server.address("http").unwrap(), "/.well-known/host-meta").await.0 == 200
    })
    .await;
}
