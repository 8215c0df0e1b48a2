//! RFC 6120 §13.12, XEP-0205: what a client may cost. Each story has a server of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use starling_testkit::{Connection, Received, ServerOptions, TlsOptions, Tree, World};

use super::sasl::guest;

const LONG: Duration = Duration::from_secs(20);

async fn server(limits: &str) -> World {
    let options = ServerOptions { config: format!("[limits]\n{limits}"), data_dir: None };
    World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap()
}

async fn member(world: &World, name: &str) -> Connection {
    let user = world.user(name).await;
    let mut connection = guest(world, "plain", 70).await;
    connection.login("localhost", user.jid().split('@').next().unwrap(), "secret").await.unwrap();
    connection.bind("x").await.unwrap();
    connection
}

/// Resident memory of the server, in KiB.
pub(crate) async fn resident(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.server().await.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Silent, talkative or slow to a byte: who has not signed in in time hears so, or at least goes.
pub(crate) async fn who_does_not_sign_in_is_let_go(_: &World) {
    let world = server("login-within = '2s'").await;
    let begun = Instant::now();
    let mut silent = guest(&world, "plain", 71).await;
    let mut greeted = guest(&world, "plain", 71).await;
    greeted.header("localhost").await.unwrap();
    greeted.element("features").await.unwrap();
    let mut unfinished = guest(&world, "c2s", 71).await; // asks for TLS, and then says nothing
    unfinished.header("localhost").await.unwrap();
    unfinished.element("features").await.unwrap();
    unfinished.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await.unwrap();
    unfinished.element("proceed").await.unwrap();
    let mut half = guest(&world, "direct-tls", 71).await; // the beginning of a handshake
    half.write_bytes(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    let mut secured = guest(&world, "direct-tls", 71).await;
    secured.handshake(&TlsOptions::new("localhost")).await.unwrap();
    let slow = async {
        let mut slow = guest(&world, "plain", 71).await;
        let mut bytes =
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='localhost".iter().cycle();
        loop {
            let _ = slow.write_bytes(&[*bytes.next().unwrap()]).await;
            if slow.poll(Duration::from_millis(100)).await.unwrap().is_some() {
                return slow.stream_error().await.unwrap();
            }
        }
    };
    assert_eq!(slow.await, "connection-timeout");
    for connection in [&mut silent, &mut greeted, &mut secured] {
        assert_eq!(connection.stream_error().await.unwrap(), "connection-timeout");
    }
    for connection in [&mut unfinished, &mut half] {
        connection.read_away(LONG).await.unwrap(); // nothing that they could read without TLS
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// A stanza that never ends keeps no buffer for ever; between stanzas a client may be silent.
pub(crate) async fn a_stanza_takes_no_longer_than_allowed(_: &World) {
    let world = server("stanza-within = '2s'").await;
    let mut quiet = member(&world, "alice").await;
    let mut slow = member(&world, "bob").await;
    let begun = Instant::now();
    slow.write("<message><body>and then").await.unwrap();
    assert_eq!(slow.stream_error().await.unwrap(), "connection-timeout");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    quiet.write("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(quiet.element("iq").await.unwrap().attr("id"), Some("1"));
}

/// Answers to so many pings, each with so many bytes of padding; how long they took.
async fn pinged(connection: &mut Connection, count: usize, padding: usize) -> Duration {
    let begun = Instant::now();
    let padding = "x".repeat(padding);
    let all: String = (0..count)
        .map(|n| format!("<iq type='get' id='{n}'><ping xmlns='urn:xmpp:ping'>{padding}</ping></iq>"))
        .collect();
    connection.write(&all).await.unwrap();
    let mut answers = 0;
    while answers < count {
        let iq = connection.element("iq").await.unwrap();
        let id = iq.attr("id").unwrap();
        if iq.attr("type") == Some("get") {
            connection.write(&format!("<iq type='result' id='{id}' to='localhost'/>")).await.unwrap();
        } else {
            assert_eq!(id, answers.to_string());
            answers += 1;
        }
    }
    begun.elapsed()
}

/// Who is too fast waits, and nothing that it sent is lost.
pub(crate) async fn too_fast_is_slowed_and_never_dropped(_: &World) {
    let world = server("stanzas-per-second = 50\nstanzas-at-once = 20").await;
    let took = pinged(&mut member(&world, "alice").await, 170, 200).await;
    // What one read of the socket brings is handled at once and paid for afterwards.
    assert!(took >= Duration::from_millis(1000), "{took:?}");

    let world = server("bytes-per-second = 50000\nbytes-at-once = 20000").await;
    let took = pinged(&mut member(&world, "bob").await, 15, 10_000).await;
    assert!(took >= Duration::from_millis(2000), "{took:?}");
}

/// Strangers of one address are counted; who signs in, or comes from elsewhere, is none of them.
pub(crate) async fn strangers_of_one_address_are_few(_: &World) {
    let world = server("unauthenticated-per-address = 3").await;
    let mut friends = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        friends.push(member(&world, name).await);
    }
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut connection = guest(&world, "plain", 70).await;
        connection.header("localhost").await.unwrap();
        connection.element("features").await.unwrap();
        strangers.push(connection);
    }
    let mut fourth = guest(&world, "plain", 70).await;
    assert_eq!(fourth.stream_error().await.unwrap(), "policy-violation");
    let mut elsewhere = guest(&world, "plain", 72).await;
    elsewhere.header("localhost").await.unwrap();
    elsewhere.element("features").await.unwrap();
    let mut gone = strangers.pop().unwrap();
    gone.write("</stream:stream>").await.unwrap();
    gone.to_the_end(LONG).await.unwrap();
    let mut next = guest(&world, "plain", 70).await;
    next.header("localhost").await.unwrap();
    next.element("features").await.unwrap();
}

/// §13.12: memory does not grow by what is refused.
pub(crate) async fn memory_stays_flat_under_hostile_input(_: &World) {
    let world = server("").await;
    let user = world.user("mallory").await;
    let local = user.jid().split('@').next().unwrap();
    let uri = format!("<message xmlns:a='{}'>{}</message>", "u".repeat(200_000), "<a:b/>".repeat(500));
    let deep = format!("<message>{}", "<a>".repeat(80_000));
    let long = format!("<message><body>{}", "x".repeat(2_000_000));
    let round = async || {
        for hostile in [&uri, &deep, &long] {
            for is_member in [false, true] {
                let mut connection = guest(&world, "plain", 73).await;
                if is_member {
                    connection.login("localhost", local, "secret").await.unwrap();
                    connection.bind("x").await.unwrap();
                } else {
                    connection.header("localhost").await.unwrap();
                    connection.element("features").await.unwrap();
                }
                let _ = connection.write(hostile).await;
                assert_eq!(connection.stream_error().await.unwrap(), "policy-violation");
            }
        }
    };
    round().await;
    let before = resident(&world).await;
    for _ in 0..10 {
        round().await;
    }
    let after = resident(&world).await;
    assert!(after < before + 16 * 1024, "from {before} KiB to {after} KiB");
}

/// What half an element costs before login, and that a session which has said much holds nothing of it.
pub(crate) async fn idle_connections_hold_no_buffers(_: &World) {
    let world = server("unauthenticated-per-address = 0").await;
    drop(member(&world, "warm").await);
    let before = resident(&world).await;
    let mut strangers = Vec::new();
    for _ in 0..300 {
        let mut connection = guest(&world, "plain", 74).await;
        connection.header("localhost").await.unwrap();
        connection.element("features").await.unwrap();
        connection.write(&format!("<message><body>{}", "x".repeat(9_000))).await.unwrap();
        strangers.push(connection);
    }
    let each = (resident(&world).await.saturating_sub(before)) / 300;
    assert!(each <= 64, "{each} KiB for a stranger");
    drop(strangers);

    let mut sessions = Vec::new();
    let begun = resident(&world).await;
    for _ in 0..100 {
        let mut connection = member(&world, "alice").await;
        pinged(&mut connection, 1, 200_000).await;
        sessions.push(connection);
    }
    let each = (resident(&world).await.saturating_sub(begun)) / 100;
    assert!(each <= 64, "{each} KiB for a session that sent 200 KiB");
}

/// Connections of strangers, with streams and without, leave no memory behind.
pub(crate) async fn who_came_and_went_left_nothing(_: &World) {
    let world = server("").await;
    let round = async |count: usize| {
        for n in 0..count {
            let mut connection = guest(&world, "plain", 76).await;
            if n % 2 == 0 {
                connection.header("localhost").await.unwrap();
                connection.element("features").await.unwrap();
                connection.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'").await.unwrap();
            }
            connection.cut();
        }
    };
    round(500).await;
    let before = resident(&world).await;
    round(3000).await;
    let after = resident(&world).await;
    assert!(after < before + 8 * 1024, "from {before} KiB to {after} KiB");
}

/// Certificates are exchanged under way: new handshakes show the new one, whoever is connected stays.
pub(crate) async fn certificates_are_reloaded_without_a_restart(_: &World) {
    let world = server("").await;
    let options = TlsOptions::new("localhost");
    let mut old = guest(&world, "direct-tls", 75).await;
    let before = old.handshake(&options).await.unwrap();
    let user = world.user("alice").await;
    old.login("localhost", user.jid().split('@').next().unwrap(), "secret").await.unwrap();
    old.bind("x").await.unwrap();

    let files = world.server().await.data_dir().join("tls");
    for kind in ["crt", "key"] {
        std::fs::copy(files.join(format!("other.localhost.{kind}")), files.join(format!("localhost.{kind}")))
            .unwrap();
    }
    let mut unaware = guest(&world, "direct-tls", 75).await;
    assert_eq!(unaware.handshake(&options).await.unwrap().certificate, before.certificate);
    world.server().await.control(serde_json::json!({"op": "config-reload"})).await.unwrap();

    for kind in ["direct-tls", "c2s"] {
        let mut new = guest(&world, kind, 75).await;
        let shown = match kind {
            "c2s" => new.start_tls(&options).await.unwrap(),
            _ => new.handshake(&options).await.unwrap(),
        };
        assert_ne!(shown.certificate, before.certificate, "{kind}");
    }
    old.write("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    let pong: Tree = old.element("iq").await.unwrap();
    assert_eq!(pong.attr("id"), Some("1"));
    assert_eq!(old.poll(Duration::ZERO).await.unwrap(), None::<Received>);
}
