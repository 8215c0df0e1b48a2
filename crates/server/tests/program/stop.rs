//! SIGTERM: everything is written down, sessions wait for their clients; whoever says it twice does not wait.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use starling_testkit::{Connection, Received, Tree};

use crate::starling::{ByHand, PATIENCE, ctl, server, server_in, signal, until};

#[tokio::test]
async fn sigterm_and_sigint_stop_cleanly() {
    for name in [Signal::TERM, Signal::INT] {
        let directory = tempfile::tempdir().unwrap();
        let mut server = ByHand::start(directory.path(), &[], &[]);
        server.line("accounts").await;
        // Somebody looks whether it is there, as `store backup` does.
        drop(std::os::unix::net::UnixStream::connect(directory.path().join("data/control.sock")).unwrap());
        server.signal(name);
        assert_eq!(server.ended().await.code(), Some(0), "{name:?}");
        let log = std::fs::read_to_string(&server.log).unwrap();
        assert!(log.contains("\"stopped\":\"Clean\"") && !log.contains("WARN"), "{log}");
    }
}

#[tokio::test]
async fn a_session_is_resumed_after_a_clean_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server_in(directory.path(), "").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    let jid = alice.bind("desk").await.unwrap();
    alice.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await.unwrap();
    let id = alice.element("enabled").await.unwrap().attr("id").unwrap().to_owned();
    alice.write(&format!("<message to='{jid}' type='chat'><body>to myself</body></message>")).await.unwrap();
    alice.element("message").await.unwrap();
    server.stop().await.unwrap();
    let server = server_in(directory.path(), "").await;
    let mut again = Connection::open(server.plain()).await.unwrap();
    again.login("localhost", "alice", "secret").await.unwrap();
    again.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")).await.unwrap();
    let resumed = again.element("resumed").await.unwrap();
    assert_eq!((resumed.attr("h"), resumed.attr("previd")), (Some("1"), Some(id.as_str())), "{resumed}");
    let body = again.element("message").await.unwrap();
    assert_eq!(body.find(&["body"]).unwrap().text, "to myself");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = server("[store]\ncommit-delay = '4s'\n").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    alice.bind("desk").await.unwrap();
    alice.write("<message to='alice@localhost' type='chat'><body>slow</body></message>").await.unwrap();
    alice.write("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    until("the message is read", async || {
        ctl(&server, &["session", "list"])["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty())
    })
    .await;
    signal(server.pid(), Signal::TERM);
    until("the stop begins", async || server.log().contains("\"stopping\"")).await;
    signal(server.pid(), Signal::TERM);
    let status = tokio::time::timeout(Duration::from_secs(3), server.ended()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn a_client_without_resumption_hears_why() {
    let mut server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    alice.bind("desk").await.unwrap();
    server.stop().await.unwrap();
    let all = alice.to_the_end(PATIENCE).await.unwrap();
    let is_shutdown = |one: &Received| matches!(one, Received::Element(tree, _) if tree.find(&["system-shutdown"]).is_some());
    assert!(all.iter().any(is_shutdown), "{all:?}");
}

/// Two signals in one moment may be one to the system: then it stops cleanly, otherwise the second hurries it. It says which, and what
/// was acknowledged is there either way.
#[tokio::test]
async fn two_signals_at_once_lose_nothing_that_was_acknowledged() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let mut server = server_in(directory.path(), "[store]\ncommit-delay = '50ms'\n").await;
        ctl(&server, &["user", "add", "alice@localhost", "secret"]);
        ctl(&server, &["user", "add", "bob@localhost", "secret"]);
        let mut alice = Connection::open(server.plain()).await.unwrap();
        alice.login("localhost", "alice", "secret").await.unwrap();
        alice.bind("desk").await.unwrap();
        alice.write("<enable xmlns='urn:xmpp:sm:3'/>").await.unwrap();
        alice.element("enabled").await.unwrap();
        let note = |n: usize| {
            format!(
                "<message to='bob@localhost' type='chat' id='{n}'><body>note</body></message><r xmlns='urn:xmpp:sm:3'/>"
            )
        };
        alice.write(&(0..200).map(note).collect::<String>()).await.unwrap();
        let h = |tree: &Tree| tree.attr("h").and_then(|h| h.parse::<usize>().ok()).unwrap_or_default();
        let mut acknowledged = h(&alice.element("a").await.unwrap());

        signal(server.pid(), Signal::TERM);
        signal(server.pid(), Signal::TERM);

        // A socket that is cut ends it too.
        while let Ok(Received::Element(tree, _)) = alice.next(PATIENCE).await {
            acknowledged = acknowledged.max(h(&tree));
        }
        let code = server.ended().await.unwrap().code();
        let said = |how: &str| server.log().contains(how);
        match code {
            Some(0) => assert!(said("Clean") && !said("Forced"), "{}", server.log()),
            Some(1) => assert!(said("Forced") && !said("Clean"), "{}", server.log()),
            other => panic!("{other:?}: {}", server.log()),
        }
        let server = server_in(directory.path(), "").await;
        let mut bob = Connection::open(server.plain()).await.unwrap();
        bob.login("localhost", "bob", "secret").await.unwrap();
        bob.bind("desk").await.unwrap();
        bob.write("<presence/>").await.unwrap();
        assert!(acknowledged > 0);
        let mut missing: BTreeSet<usize> = (0..acknowledged).collect();
        while !missing.is_empty() {
            if let Received::Element(tree, _) = bob.next(PATIENCE).await.unwrap()
                && tree.name == "message"
            {
                missing.remove(&tree.attr("id").unwrap().parse().unwrap());
            }
        }
    }
}
