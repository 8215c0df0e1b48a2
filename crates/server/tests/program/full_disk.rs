//! A full disk: operators and clients are told, what needs no room goes on, and it is got over without a restart.

use starling_testkit::{Connection, Received, Server, SmallDisk, Tree, http};

use crate::starling::{PATIENCE, ctl, server_in, until};

async fn signed_in(server: &Server, name: &str) -> Connection {
    let mut client = Connection::open(server.plain()).await.unwrap();
    client.login("localhost", name, "secret").await.unwrap();
    client.bind("desk").await.unwrap();
    client.write("<presence/>").await.unwrap();
    client.element("presence").await.unwrap();
    client
}

/// A message to a full disk: it arrives, because it was taken before the server looked at the disk, or it is refused. It never
/// waits for room. Says whether it was refused.
async fn is_refused(alice: &mut Connection, bob: &mut Connection) -> bool {
    say(alice, "there is none").await;
    tokio::select! { // reading is cancel-safe
        refusal = next(alice, "message") => {
            assert!(refusal.find(&["error", "resource-constraint"]).is_some(), "{refusal}");
            assert_eq!(refusal.child("error").unwrap().attr("type"), Some("wait"), "{refusal}");
            true
        }
        taken = next(bob, "message") => {
            assert_eq!(taken.child("body").unwrap().text, "there is none");
            false
        }
    }
}

/// The next element of that name; the server asks clients whether they have read, and what is asked may come in between.
async fn next(client: &mut Connection, name: &str) -> Tree {
    loop {
        match client.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) if tree.name == name && tree.attr("type") != Some("get") => {
                return tree;
            }
            Received::Element(..) => {}
            other => panic!("no {name}: {other:?}"),
        }
    }
}

async fn readiness(server: &Server) -> (bool, String) {
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = http(server.address("admin").unwrap(), request).await.unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim().to_owned();
    (answer.starts_with("HTTP/1.1 200"), body)
}

async fn say(client: &mut Connection, body: &str) {
    let message = format!("<message to='bob@localhost' type='chat'><body>{body}</body></message>");
    client.write(&message).await.unwrap();
}

async fn asked(client: &mut Connection, content: &str) -> Tree {
    client.write(&format!("<iq type='get' id='x'>{content}</iq>")).await.unwrap();
    next(client, "iq").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_to_all_whom_it_concerns_and_got_over() {
    let disk = SmallDisk::mount();
    let server = server_in(&disk.path().join("data"), "").await;
    for name in ["alice", "bob", "carol"] {
        ctl(&server, &["user", "add", &format!("{name}@localhost"), "secret"]);
    }
    let (mut alice, mut bob) = (signed_in(&server, "alice").await, signed_in(&server, "bob").await);
    say(&mut alice, "there is room").await;
    next(&mut bob, "message").await;
    assert_eq!(readiness(&server).await, (true, "ok".to_owned()));

    disk.fill();
    until("refused", async || is_refused(&mut alice, &mut bob).await).await;
    for _ in 0..3 {
        assert!(is_refused(&mut alice, &mut bob).await, "the disk is full still");
    }
    until("not ready", async || readiness(&server).await == (false, "the store cannot write".to_owned()))
        .await;
    // What needs no room: signing in, reading what is stored.
    let mut carol = signed_in(&server, "carol").await;
    for (content, wanted) in [
        ("<ping xmlns='urn:xmpp:ping'/>", "result"),
        ("<query xmlns='jabber:iq:roster'/>", "result"),
        ("<metadata xmlns='urn:xmpp:mam:2'/>", "result"),
    ] {
        let answer = asked(&mut carol, content).await;
        assert_eq!(answer.attr("type"), Some(wanted), "{answer}");
    }
    assert_eq!(asked(&mut alice, "<ping xmlns='urn:xmpp:ping'/>").await.attr("type"), Some("result"));

    disk.free();
    until("ready", async || readiness(&server).await.0).await;
    say(&mut alice, "again").await;
    assert_eq!(next(&mut bob, "message").await.child("body").unwrap().text, "again");
}
