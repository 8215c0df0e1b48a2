//! What other servers have exported (recorded in `exports`, by scripts/import) is there for its users, under their old passwords.

use std::path::{Path, PathBuf};

use starling_testkit::{Connection, Hash, Received, Scram, Server, Tree};

use crate::starling::{Outcome, PATIENCE, server_in, starling};

/// However long ago these exports were made.
pub(crate) const KEPT: &str = "[store]\narchive-ttl = '0s'\n";

/// Of this server: the recorded one, or where `make import-peers` has made one.
pub(crate) fn exports(server: &str) -> PathBuf {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/exports");
    std::env::var("STARLING_EXPORTS").map_or_else(|_| recorded.into(), PathBuf::from).join(server)
}

pub(crate) fn import(data: &Path, from: impl AsRef<Path>, more: &[&str]) -> Outcome {
    let from = from.as_ref().to_str().unwrap();
    starling(&[&["import", "--data-dir", data.to_str().unwrap(), from], more].concat())
}

/// All that it wrote.
fn export_of(server: &str) -> String {
    let files = exports(server).read_dir().unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

/// An export of one domain in a file.
fn export(directory: &Path, users: &str) -> PathBuf {
    let file = directory.join("export.xml");
    let text =
        format!("<server-data xmlns='urn:xmpp:pie:0'>\n<host jid='localhost'>\n{users}</host></server-data>");
    std::fs::write(&file, text).unwrap();
    file
}

async fn scram(server: &Server, name: &str, password: &str) -> (Connection, Tree) {
    let mut connection = Connection::open(server.plain()).await.unwrap();
    connection.header("localhost").await.unwrap();
    connection.element("features").await.unwrap();
    let answer = connection.scram(&Scram::new(Hash::Sha1, name, password)).await.unwrap();
    (connection, answer)
}

async fn enter(server: &Server, name: &str, password: &str) -> Connection {
    let (mut connection, answer) = scram(server, name, password).await;
    assert_eq!(answer.name, "success", "{name} {answer:?}");
    connection.expect_header();
    connection.header("localhost").await.unwrap();
    connection.element("features").await.unwrap();
    connection.bind("desk").await.unwrap();
    connection
}

/// What comes until the answer, and the answer last.
async fn ask(connection: &mut Connection, request: &str) -> Vec<Tree> {
    connection.write(request).await.unwrap();
    let mut came = Vec::new();
    loop {
        let Received::Element(tree, _) = connection.next(PATIENCE).await.unwrap() else { panic!("{came:?}") };
        let is_last = tree.name == "iq" && tree.attr("id") == Some("q");
        came.push(tree);
        if is_last {
            return came;
        }
    }
}

async fn get(connection: &mut Connection, payload: &str) -> String {
    ask(connection, &format!("<iq type='get' id='q'>{payload}</iq>")).await.pop().unwrap().to_string()
}

/// The bodies of messages that wait, and their delays: they come before what is said now.
async fn collected(connection: &mut Connection, name: &str) -> Vec<(String, Option<String>)> {
    let last =
        format!("<presence/><message to='{name}@localhost/desk' type='chat'><body>now</body></message>");
    connection.write(&last).await.unwrap();
    let mut came = Vec::new();
    loop {
        let Received::Element(tree, _) = connection.next(PATIENCE).await.unwrap() else { panic!("{came:?}") };
        let Some(body) = tree.child("body").map(|body| body.text.clone()) else { continue };
        if body == "now" {
            return came;
        }
        came.push((body, tree.child("delay").and_then(|delay| delay.attr("stamp")).map(str::to_owned)));
    }
}

async fn archived(connection: &mut Connection) -> Vec<String> {
    let query = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>";
    let came = ask(connection, query).await;
    let body = |one: &Tree| Some(one.find(&["result", "forwarded", "message", "body"])?.text.clone());
    came.iter().filter_map(body).collect()
}

pub(crate) async fn check_people(server: &Server) {
    let mut alice = enter(server, "alice", "alice-secret").await;
    let roster = get(&mut alice, "<query xmlns='jabber:iq:roster'/>").await;
    for part in [
        "jid='bob@localhost'",
        "subscription='both'",
        "<group xmlns='jabber:iq:roster'>Work & Co</group>",
        "ask='subscribe'",
    ] {
        assert!(roster.contains(part), "{part} {roster}");
    }
    let bookmarks =
        get(&mut alice, "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>")
            .await;
    assert!(bookmarks.contains("tea@rooms.example"), "{bookmarks}");
    let card = get(&mut alice, "<vCard xmlns='vcard-temp'/>").await;
    assert!(card.contains("Alice Liddell") && card.contains("NICKNAME"), "{card}");
    let mut carol = enter(server, "carol", "carol-secret").await;
    let came = ask(&mut carol, "<presence/><iq type='get' id='q'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    let asks = came.iter().find(|one| one.attr("type") == Some("subscribe")).unwrap();
    assert_eq!(asks.attr("from"), Some("alice@localhost"));
    let (_, refused) = scram(server, "alice", "bob-secret").await;
    assert_eq!(refused.name, "failure");
}

#[tokio::test]
async fn users_of_ejabberd_come_with_their_passwords() {
    let data = tempfile::tempdir().unwrap();
    let done = import(data.path(), exports("ejabberd"), &[]).succeeded();
    let whole = "imported: 3 accounts, 3 contacts, 2 documents, 1 blocked addresses, 0 archived messages, 2 messages that wait";
    assert_eq!(done.stdout.lines().next(), Some(whole), "{done:?}");
    assert!(done.stdout.contains("3 accounts have keys for SCRAM-SHA-1 alone"), "{done:?}");
    assert_eq!(done.stderr, "");

    let server = server_in(data.path(), KEPT).await;
    check_people(&server).await;
    let mut alice = enter(&server, "alice", "alice-secret").await;
    assert!(get(&mut alice, "<blocklist xmlns='urn:xmpp:blocking'/>").await.contains("eve@localhost"));
    let mut bob = enter(&server, "bob", "bob-secret").await;
    let (late, exported) = (collected(&mut bob, "bob").await, export_of("ejabberd"));
    assert!(late.iter().all(|(_, stamp)| exported.contains(stamp.as_ref().unwrap())), "{late:?}");
    let bodies: Vec<&str> = late.iter().map(|(body, _)| body.as_str()).collect();
    assert_eq!(bodies, ["first <late>", "second & last"]);
}

#[tokio::test]
async fn users_of_prosody_come_with_their_passwords_and_archives() {
    let data = tempfile::tempdir().unwrap();
    let done = import(data.path(), exports("prosody"), &[]).succeeded();
    let whole = "imported: 3 accounts, 3 contacts, 2 documents, 0 blocked addresses, 6 archived messages, 0 messages that wait";
    assert_eq!(done.stdout.lines().next(), Some(whole), "{done:?}");
    assert!(done.stdout.contains("not kept: 1 nodes of publish-subscribe"), "{done:?}");

    let server = server_in(data.path(), KEPT).await;
    check_people(&server).await;
    for name in ["alice", "bob"] {
        let mut user = enter(&server, name, &format!("{name}-secret")).await;
        assert_eq!(archived(&mut user).await, ["curiouser", "first <late>", "second & last"]);
        assert_eq!(collected(&mut user, name).await, [], "what is archived does not wait");
    }
}

#[tokio::test]
async fn an_account_that_is_there_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    import(data.path(), exports("prosody"), &[]).succeeded();
    let again = import(data.path(), exports("prosody"), &[]).succeeded();
    let expected = "imported: 0 accounts, 0 contacts, 0 documents, 0 blocked addresses, 0 archived messages, 0 messages that wait\n\
                    left alone: 3 accounts that are there already\n";
    assert_eq!(again.stdout, expected);
    import(data.path(), exports("ejabberd"), &[]).succeeded();
    let server = server_in(data.path(), KEPT).await;
    let mut alice = enter(&server, "alice", "alice-secret").await;
    assert!(!get(&mut alice, "<blocklist xmlns='urn:xmpp:blocking'/>").await.contains("eve"));
    let running = import(data.path(), exports("prosody"), &[]);
    assert!(running.code == Some(1) && running.stderr.contains("another process"), "{running:?}");
}

/// An account without keys is one that was not finished.
#[tokio::test]
async fn an_import_goes_on_where_it_was_broken_off() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let result = |number: u32, body: &str| {
        format!(
            "<result xmlns='urn:xmpp:mam:2' id='{number}'><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/><message xmlns='jabber:client' from='bob@b.example' \
             to='alice@localhost' type='chat'><body>{body}</body></message></forwarded></result>"
        )
    };
    let waits = "<message xmlns='jabber:client' from='bob@b.example' to='alice@localhost' type='chat'><stanza-id \
                 xmlns='urn:xmpp:sid:0' by='alice@localhost' id='x'/><body>two</body><delay xmlns='urn:xmpp:delay' \
                 from='localhost' stamp='2020-01-01T00:00:01Z'/></message>";
    let roster = "<query xmlns='jabber:iq:roster'><item jid='bob@b.example' subscription='both'/></query>";
    let parts = |count: usize| {
        let results: Vec<String> =
            ["one", "two", "three"].iter().zip(1..).take(count).map(|(body, at)| result(at, body)).collect();
        format!("<archive xmlns='urn:xmpp:pie:0#mam'>{}</archive>", results.concat())
    };
    let first = export(directory.path(), &format!("<user name='alice'>{roster}{}</user>", parts(1)));
    let done = import(&data, &first, &[]).succeeded();
    assert!(done.stdout.contains("1 accounts have no password"), "{done:?}");
    let offline = format!("<offline-messages>{waits}</offline-messages>");
    let whole = format!("<user name='alice' password='new'>{}{roster}{offline}</user>", parts(3));
    let second = export(directory.path(), &whole);
    let checked = import(&data, &second, &["--check"]).succeeded();
    let counts = "1 accounts, 1 contacts, 0 documents, 0 blocked addresses, 3 archived messages, 1 messages that wait\n";
    let old = "note: 3 messages are older than `store.archive-ttl` and are erased when the server runs: set that first\n";
    assert_eq!(checked.stdout, format!("would import: {counts}{old}"));
    let done = import(&data, &second, &[]).succeeded();
    assert_eq!(done.stdout, format!("imported: {counts}{old}"));

    let server = server_in(&data, KEPT).await;
    let mut alice = enter(&server, "alice", "new").await;
    assert_eq!(archived(&mut alice).await, ["one", "two", "three"], "none twice");
    let waiting: Vec<String> =
        collected(&mut alice, "alice").await.into_iter().map(|(body, _)| body).collect();
    assert_eq!(waiting, ["two"]);
    assert_eq!(get(&mut alice, "<query xmlns='jabber:iq:roster'/>").await.matches("<item").count(), 1);
}

#[test]
fn a_file_that_is_broken_is_refused_with_its_line_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let good = "<user name='alice' password='a'/>\n";
    for (users, why) in [
        ("<user name='bob'>\n<vCard xmlns='vcard-temp'></user>\n", "export.xml:5: "),
        ("<user/>", "export.xml:4: <user/> has no name"),
        (
            "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='../secret.xml'/>",
            "is not a file of this directory",
        ),
        ("<host>", "end tag"),
    ] {
        let file = export(directory.path(), &format!("{good}{users}"));
        let refused = import(&data, &file, &[]);
        assert!(refused.code == Some(1) && refused.stderr.contains(why), "{why} {refused:?}");
    }
    std::fs::write(directory.path().join("export.xml"), "<stream/>").unwrap();
    let refused = import(&data, directory.path().join("export.xml"), &[]);
    assert!(refused.stderr.contains("not with <server-data"), "{refused:?}");
    let none = import(&data, directory.path(), &[]);
    assert!(none.code == Some(1) && none.stderr.contains("no file in it begins with"), "{none:?}");
    assert_eq!(import(&data, directory.path().join("none.xml"), &[]).code, Some(1));
    assert!(!data.exists());
    let file = export(directory.path(), good);
    let checked = import(&data, file, &["--check"]).succeeded();
    assert!(checked.stdout.starts_with("would import: 1 accounts") && !data.exists(), "{checked:?}");
}
