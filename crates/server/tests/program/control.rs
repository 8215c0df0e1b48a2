//! `starling ctl`: accounts, sessions and messages of a running server.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use starling_testkit::{Connection, Received, Server, Tree};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::starling::{PATIENCE, ctl, server, starling, until};

/// A client that may be resumed, and its resumption id.
async fn resumable(server: &Server, resource: &str) -> (Connection, String) {
    let mut client = Connection::open(server.plain()).await.unwrap();
    client.login("localhost", "alice", "secret").await.unwrap();
    client.bind(resource).await.unwrap();
    client.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await.unwrap();
    let enabled = client.element("enabled").await.unwrap();
    (client, enabled.attr("id").unwrap().to_owned())
}

/// What the server says to whoever signs in and resumes that session.
async fn resumed(server: &Server, password: &str, id: &str) -> Tree {
    let mut client = Connection::open(server.plain()).await.unwrap();
    client.login("localhost", "alice", password).await.unwrap();
    client.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")).await.unwrap();
    match client.next(PATIENCE).await.unwrap() {
        Received::Element(answer, _) => answer,
        other => panic!("{other:?}"),
    }
}

/// Why nobody signs in with that.
async fn refused(server: &Server, password: &str) -> String {
    let mut client = Connection::open(server.plain()).await.unwrap();
    client.header("localhost").await.unwrap();
    client.element("features").await.unwrap();
    let answer = client.auth("PLAIN", Some(format!("\0alice\0{password}").as_bytes())).await.unwrap();
    assert_eq!(answer.name, "failure", "{answer}");
    answer.children[0].name.clone()
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_and_their_resumption() {
    let server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let (mut here, id_here) = resumable(&server, "here").await;
    let (lost, id_lost) = resumable(&server, "lost").await;
    lost.cut();
    let answer = ctl(&server, &["user", "passwd", "alice@localhost", "another"]);
    assert_eq!(answer, json!({"changed": "alice@localhost"}));
    assert_eq!(here.stream_error().await.unwrap(), "not-authorized");
    assert_eq!(ctl(&server, &["session", "list"])["sessions"], json!([]));
    assert_eq!(refused(&server, "secret").await, "not-authorized");
    for id in [id_here, id_lost] {
        assert_eq!(resumed(&server, "another", &id).await.name, "failed");
    }
}

#[tokio::test]
async fn a_suspended_account_is_out_until_it_is_let_in_again() {
    let server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let (mut here, id) = resumable(&server, "here").await;
    ctl(&server, &["user", "suspend", "alice@localhost"]);
    assert_eq!(here.stream_error().await.unwrap(), "not-authorized");
    assert_eq!(refused(&server, "secret").await, "account-disabled");
    ctl(&server, &["user", "suspend", "--lift", "alice@localhost"]);
    assert_eq!(resumed(&server, "secret", &id).await.name, "failed");
}

#[tokio::test]
async fn a_removed_account_leaves_nothing_to_who_takes_its_name() {
    let server = server("").await;
    for name in ["alice@localhost", "bob@localhost"] {
        ctl(&server, &["user", "add", name, "secret"]);
    }
    let mut bob = Connection::open(server.plain()).await.unwrap();
    bob.login("localhost", "bob", "secret").await.unwrap();
    bob.bind("desk").await.unwrap();
    bob.write("<message to='alice@localhost' type='chat'><body>for her only</body></message>").await.unwrap();
    bob.write("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    bob.element("iq").await.unwrap();
    let (mut here, id) = resumable(&server, "here").await;
    assert_eq!(ctl(&server, &["user", "remove", "alice@localhost"]), json!({"removed": "alice@localhost"}));
    assert_eq!(here.stream_error().await.unwrap(), "not-authorized");
    assert_eq!(refused(&server, "secret").await, "not-authorized");
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    assert_eq!(resumed(&server, "secret", &id).await.name, "failed");
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    let jid = alice.bind("new").await.unwrap();
    alice.write("<presence/>").await.unwrap();
    assert_eq!(alice.element("presence").await.unwrap().attr("from"), Some(jid.as_str()));
    alice.write("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(alice.element("iq").await.unwrap().attr("id"), Some("p"));
}

#[tokio::test]
async fn a_changed_password_in_band_keeps_the_session_that_changed_it() {
    let server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let (mut here, _) = resumable(&server, "here").await;
    let (mut other, _) = resumable(&server, "other").await;
    here.write(
        "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>alice</username><password>another</password></query></iq>",
    )
    .await
    .unwrap();
    assert_eq!(other.stream_error().await.unwrap(), "not-authorized");
    assert_eq!(here.element("iq").await.unwrap().attr("type"), Some("result"));
}

#[tokio::test]
async fn sessions_are_listed_and_kicked() {
    let server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let (mut here, _) = resumable(&server, "here").await;
    let (mut there, _) = resumable(&server, "there").await;
    let listed = ctl(&server, &["session", "list", "alice@localhost"]);
    let jids: Vec<_> = listed["sessions"].as_array().unwrap().iter().map(|one| one["jid"].clone()).collect();
    assert_eq!(jids.len(), 2, "{listed}");
    assert!(jids.contains(&json!("alice@localhost/here")), "{listed}");
    assert_eq!(ctl(&server, &["session", "kick", "alice@localhost/here"]), json!({"ended": 1}));
    assert_eq!(here.stream_error().await.unwrap(), "policy-violation");
    there.write("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(there.element("iq").await.unwrap().attr("id"), Some("p"));
    assert_eq!(ctl(&server, &["session", "kick", "alice@localhost"]), json!({"ended": 1}));
    assert_eq!(there.stream_error().await.unwrap(), "policy-violation");

    let (away, _) = resumable(&server, "away").await;
    away.cut();
    while ctl(&server, &["session", "list", "alice@localhost"])["sessions"][0]["attached"] != false {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(
        ctl(&server, &["session", "kick", "alice@localhost"]),
        json!({"ended": 1}),
        "though it only waits"
    );
}

#[tokio::test]
async fn long_lists_come_in_pages_and_say_so() {
    let server = server("").await;
    for name in ["alice", "bob", "carol"] {
        ctl(&server, &["user", "add", &format!("{name}@localhost"), "secret"]);
    }
    let first = ctl(&server, &["user", "list", "--limit", "2"]);
    assert_eq!(first, json!({"accounts": ["alice@localhost", "bob@localhost"], "more": true}));
    let rest = ctl(&server, &["user", "list", "--limit", "2", "--after", "bob@localhost"]);
    assert_eq!(rest, json!({"accounts": ["carol@localhost"], "more": false}));
    let data_dir = server.data_dir().to_str().unwrap();
    let shown = starling(&["ctl", "--data-dir", data_dir, "user", "list", "--limit", "2"]).succeeded();
    assert_eq!(shown.stdout, "alice@localhost\nbob@localhost\n");
    assert!(shown.stderr.contains("--after bob@localhost"), "{shown:?}");
    let (_one, _) = resumable(&server, "one").await;
    let (_two, _) = resumable(&server, "two").await;
    let cut = ctl(&server, &["session", "list", "--limit", "1"]);
    assert_eq!((cut["sessions"].as_array().unwrap().len(), &cut["more"]), (1, &json!(true)), "{cut}");
}

/// Prometheus gets them every 10 s; who asks for them now sees what there is now.
#[tokio::test]
async fn sessions_are_counted_when_that_is_asked_for() {
    let server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let attached = || ctl(&server, &["counts"])["sessions-attached"].clone();
    for resource in ["one", "two"] {
        let (client, _) = resumable(&server, resource).await;
        let bound = std::time::Instant::now();
        while attached() != json!(1) {
            assert!(bound.elapsed() < std::time::Duration::from_secs(4), "{resource} is not counted");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        drop(client);
        ctl(&server, &["session", "kick", "alice@localhost"]);
    }
}

#[tokio::test]
async fn counts_have_a_line_for_each_latency() {
    let server = server("").await;
    let data_dir = server.data_dir().to_str().unwrap();
    let counts = || starling(&["ctl", "--data-dir", data_dir, "counts"]).succeeded().stdout;
    assert!(counts().lines().any(|line| line == "acknowledge: none yet"), "{}", counts());
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let (mut alice, _) = resumable(&server, "alice").await;
    alice.write("<presence/><r xmlns='urn:xmpp:sm:3'/>").await.unwrap();
    let shown = async || {
        counts().lines().any(|line| line.starts_with("acknowledge: ") && line.contains(", half within 0."))
    };
    until("the ack is counted", shown).await;
    assert!(!counts().contains("buckets"), "{}", counts());
    let reloaded = starling(&["ctl", "--data-dir", data_dir, "config", "reload"]).succeeded().stdout;
    assert_eq!(reloaded, "reloaded: true\nrestart: none\n");
}

#[tokio::test]
async fn a_message_is_found_by_its_id_and_its_body_stays_its_own() {
    let server = server("").await;
    for name in ["alice", "bob"] {
        ctl(&server, &["user", "add", &format!("{name}@localhost"), "secret"]);
    }
    let mut bob = Connection::open(server.plain()).await.unwrap();
    bob.login("localhost", "bob", "secret").await.unwrap();
    bob.bind("desk").await.unwrap();
    bob.write("<presence/>").await.unwrap();
    bob.element("presence").await.unwrap();
    let (mut alice, _) = resumable(&server, "here").await;
    alice.write("<message to='bob@localhost' type='chat'><body>unspoken</body></message>").await.unwrap();
    let message = bob.element("message").await.unwrap();
    let id = message.child("stanza-id").unwrap().attr("id").unwrap().to_owned();
    let found = ctl(&server, &["message", "bob@localhost", &id]);
    assert_eq!((&found["id"], &found["with"]), (&json!(id), &json!("alice@localhost")), "{found}");
    assert!(!found.to_string().contains("unspoken"), "{found}");
    let trail: Vec<_> = found["trail"].as_array().unwrap().iter().map(|event| &event["what"]).collect();
    assert_eq!(trail, [&json!("stored"), &json!("written")], "{found}");
    assert_eq!(found["trail"][1]["device"], "bob@localhost/desk");
    let nodes = ctl(&server, &["node", "list"]);
    let node = &nodes["nodes"][0];
    assert_eq!((&node["roles"], &node["state"]), (&json!("all"), &json!("serving")), "{nodes}");
    assert_eq!((&node["sessions"], nodes["nodes"].as_array().unwrap().len()), (&json!(2), 1), "{nodes}");
    let data_dir = server.data_dir().to_str().unwrap();
    let nowhere = starling(&[
        "ctl",
        "--json",
        "--data-dir",
        data_dir,
        "message",
        "bob@localhost",
        &"0".repeat(id.len()),
    ]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.json()["error"].as_str().unwrap().contains("has no message"), "{nowhere:?}");
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let server = server("").await;
    let data_dir = server.data_dir().to_str().unwrap();
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    for (arguments, why) in [
        (&["user", "add", "alice@localhost", "x"][..], "alice@localhost exists already"),
        (&["user", "passwd", "nobody@localhost", "x"], "there is no account nobody@localhost"),
        (&["user", "remove", "nobody@localhost"], "there is no account nobody@localhost"),
        (&["user", "add", "localhost", "x"], "names a domain, not an account"),
        (&["user", "add", "carol@elsewhere.example", "x"], "elsewhere.example is not served here"),
        (&["user", "add", "carol@localhost", ""], "the password is empty"),
    ] {
        let refused = starling(&[&["ctl", "--data-dir", data_dir], arguments].concat());
        assert_eq!(refused.code, Some(1), "{arguments:?} {refused:?}");
        assert!(refused.stderr.contains(why), "{arguments:?} {refused:?}");
    }
    let nobody = starling(&["ctl", "--json", "--data-dir", "/no/such/place", "status"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.json()["error"].as_str().unwrap().contains("no server answers"), "{nobody:?}");
}

#[tokio::test]
async fn a_password_may_come_by_standard_input() {
    use std::io::Write;
    let server = server("").await;
    let data_dir = server.data_dir().to_str().unwrap();
    let add = |given: &[u8]| {
        let mut child = std::process::Command::new(crate::starling::PROGRAM)
            .args(["ctl", "--data-dir", data_dir, "user", "add", "alice@localhost", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(given).unwrap();
        child.wait_with_output().unwrap()
    };
    for nothing in [&b""[..], b"\n"] {
        let refused = add(nothing);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert_eq!(refused.stderr, b"starling: no password came by standard input\n", "{refused:?}");
    }
    assert!(add(b"secret\n").status.success());
    resumable(&server, "here").await;
}

#[tokio::test]
async fn the_socket_is_its_owners_alone() {
    let server = server("").await;
    let socket = std::fs::metadata(server.data_dir().join("control.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert!(!server.data_dir().join("control.new").exists());
}

/// Who opens the socket and says nothing keeps it from nobody: so many may, and each for a while only.
#[tokio::test]
async fn who_says_nothing_is_let_go() {
    let server = server("").await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(UnixStream::connect(server.data_dir().join("control.sock")).await.unwrap());
    }
    let asked = tokio::time::timeout(PATIENCE * 2, server.control(json!({"op": "status"})));
    assert!(
        asked.await.unwrap().unwrap()["pid"].is_u64(),
        "whoever asks is answered when the silent ones are gone"
    );
    let mut nothing = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, silent[0].read_to_end(&mut nothing)).await;
    assert_eq!((ended.unwrap().unwrap(), nothing.len()), (0, 0));
}
