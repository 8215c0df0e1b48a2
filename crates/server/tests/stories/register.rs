//! XEP-0077 In-Band Registration, before and after login.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use starling_testkit::{Connection, Device, Received, ServerOptions, Tree, World};

use super::subscription::befriend;

/// Failed logins slow down who shares an address.
const ELSEWHERE: [u8; 4] = [127, 0, 77, 1];

/// A stream on which nobody has signed in; its features.
async fn stranger(world: &World) -> (Connection, Tree) {
    let mut connection = Connection::open(world.server().await.plain()).await.unwrap();
    connection.header("localhost").await.unwrap();
    let features = connection.element("features").await.unwrap();
    (connection, features)
}

async fn register(connection: &mut Connection, name: &str, password: &str) -> Tree {
    let fields = format!("<username>{name}</username><password>{password}</password>");
    ask(
        connection,
        &format!("<iq type='set' id='r2'><query xmlns='jabber:iq:register'>{fields}</query></iq>"),
    )
    .await
}

async fn ask(connection: &mut Connection, iq: &str) -> Tree {
    connection.write(iq).await.unwrap();
    connection.element("iq").await.unwrap()
}

fn condition(answer: &Tree) -> Option<&str> {
    answer.child("error")?.children.first().map(|condition| condition.name.as_str())
}

/// A name that no other story has.
async fn fresh(world: &World) -> String {
    let user = world.user("taken").await;
    user.jid().split('@').next().unwrap().replace("taken", "fresh")
}

async fn signs_in(world: &World, jid: &str, password: &str) -> bool {
    let source = IpAddr::from(ELSEWHERE);
    let mut connection = Connection::open_from(source, world.server().await.plain()).await.unwrap();
    connection.login("localhost", jid.split('@').next().unwrap(), password).await.is_ok()
}

/// XEP-0198 on; the resumption id.
async fn resumable(device: &Device<'_>) -> String {
    device.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    device.next().await.0.attr("id").unwrap().to_owned()
}

/// The stream ends with this error.
async fn expect_end(device: &Device<'_>, condition: &str) {
    let (error, _) = device.next().await;
    assert!(error.name == "error" && error.child(condition).is_some(), "{error}");
    assert_eq!(device.poll(Duration::from_secs(15)).await, Some(Received::StreamEnd));
}

/// §3.1: offered, asked for, done, and it can be used at once.
pub(crate) async fn an_account_is_made_and_signs_in(world: &World) {
    let name = fresh(world).await;
    let (mut connection, features) = stranger(world).await;
    assert!(
        features.children.iter().any(|one| one.ns == "http://jabber.org/features/iq-register"),
        "{features}"
    );
    let fields =
        ask(&mut connection, "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>").await;
    assert!(fields.find(&["query", "username"]).is_some() && fields.find(&["query", "password"]).is_some());
    assert!(fields.find(&["query", "registered"]).is_none(), "{fields}");

    let done = register(&mut connection, &name, "s3cret").await;

    assert_eq!((done.attr("type"), done.attr("id")), (Some("result"), Some("r2")), "{done}");
    assert!(signs_in(world, &name, "s3cret").await);
}

/// §3.1: what is wrong is said; the stream goes on.
pub(crate) async fn a_name_is_given_once(world: &World) {
    let name = fresh(world).await;
    let (mut connection, _) = stranger(world).await;
    for (username, password, wrong) in [
        (name.as_str(), "", "not-acceptable"),
        ("", "secret", "not-acceptable"),
        ("two words", "secret", "not-acceptable"),
        ("a@b", "secret", "not-acceptable"),
        ("cadet\\20", "secret", "not-acceptable"),
    ] {
        let refused = register(&mut connection, username, password).await;
        assert_eq!(condition(&refused), Some(wrong), "{username:?}: {refused}");
    }
    assert_eq!(register(&mut connection, &name, "first").await.attr("type"), Some("result"));
    // RFC 8265 §3.3: other forms of the same name are that name, or none.
    for (form, wrong) in [
        (name.to_uppercase(), "conflict"),
        (name.replace('f', "\u{ff46}"), "conflict"),
        (name.replace('s', "\u{17f}"), "not-acceptable"),
        (name.replace('s', "s\u{200d}"), "not-acceptable"),
    ] {
        let again = register(&mut connection, &form, "second").await;
        assert_eq!(condition(&again), Some(wrong), "{form:?}: {again}");
    }
    assert!(signs_in(world, &name, "first").await);
}

/// The limit of the configuration; a refused registration does not count.
pub(crate) async fn one_address_makes_so_many_accounts(_: &World) {
    let config = "[im.registration]\nenabled = true\nper-address-and-hour = 2\n".to_owned();
    let options = ServerOptions { config, ..ServerOptions::default() };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let (mut connection, _) = stranger(&world).await;
    assert_eq!(register(&mut connection, "one", "secret").await.attr("type"), Some("result"));
    assert_eq!(condition(&register(&mut connection, "one", "secret").await), Some("conflict"));
    assert_eq!(register(&mut connection, "two", "secret").await.attr("type"), Some("result"));

    let refused = register(&mut connection, "three", "secret").await;

    assert_eq!(condition(&refused), Some("resource-constraint"), "{refused}");
    let server = world.server().await;
    let mut other = Connection::open_from(IpAddr::from(ELSEWHERE), server.plain()).await.unwrap();
    other.header("localhost").await.unwrap();
    other.element("features").await.unwrap();
    assert_eq!(register(&mut other, "three", "secret").await.attr("type"), Some("result"));
}

/// §3.1: whoever has signed in is told what is on file.
pub(crate) async fn who_is_registered_is_told_so(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    for to in ["", "to='localhost'"] {
        let answer =
            phone.ask(&format!("<iq type='get' {to} id='r1'><query xmlns='jabber:iq:register'/></iq>")).await;
        assert!(answer.find(&["query", "registered"]).is_some(), "{answer}");
        let name = &answer.find(&["query", "username"]).unwrap().text;
        assert_eq!(format!("{name}@localhost"), alice.jid());
    }
}

/// §3.3: the new one holds, and whoever signed in with the old one is out, connected or waiting to resume.
pub(crate) async fn a_password_is_changed(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    let tablet = alice.quiet_device("tablet").await;
    let previous = resumable(&tablet).await;
    tablet.cut();
    let name = alice.jid().split('@').next().unwrap();

    phone.send(&format!("<iq type='set' to='localhost' id='c1'><query xmlns='jabber:iq:register'><username>{name}</username><password>another</password></query></iq>")).await;

    phone.expect("<iq type='result' id='c1'/>").await;
    expect_end(&laptop, "not-authorized").await;
    assert!(!signs_in(world, alice.jid(), "secret").await);
    let mut connection = Connection::open(world.server().await.plain()).await.unwrap();
    connection.login("localhost", name, "another").await.unwrap();
    connection.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='0'/>")).await.unwrap();
    assert!(connection.element("failed").await.unwrap().child("item-not-found").is_some());
    phone.expect_silence().await;
}

/// §3.3: an empty password changes nothing, and nobody changes another's.
pub(crate) async fn a_password_is_changed_for_oneself_only(world: &World) {
    let victim = world.user("victim").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    let own = mallory.jid().split('@').next().unwrap().to_owned();
    let other = victim.jid().split('@').next().unwrap();
    for (fields, wrong) in [
        (format!("<username>{other}</username><password>stolen</password>"), "not-allowed"),
        (format!("<username>{own}</username><password/>"), "bad-request"),
        (format!("<username>{own}</username>"), "bad-request"),
        ("<password>x</password>".to_owned(), "bad-request"),
        (format!("<remove/><username>{own}</username>"), "bad-request"),
    ] {
        let answer = mallory
            .ask(&format!("<iq type='set' id='c1'><query xmlns='jabber:iq:register'>{fields}</query></iq>"))
            .await;
        assert_eq!(condition(&answer), Some(wrong), "{fields}: {answer}");
        assert!(answer.child("query").is_none(), "a password came back: {answer}");
    }
    let refused = mallory
        .ask("<iq type='set' to='${victim}' id='c2'><query xmlns='jabber:iq:register'><remove/></query></iq>")
        .await;
    assert_eq!(refused.attr("type"), Some("error"), "{refused}");
    assert!(signs_in(world, victim.jid(), "secret").await);
    assert!(signs_in(world, &own, "secret").await);
}

/// §3.2: the result, then the end of the stream; contacts are left; nobody signs in any more.
pub(crate) async fn an_account_is_erased(world: &World) {
    let account = world.user("alice").await;
    let alice = account.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    bob.send("<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>").await;
    bob.expect("<iq type='result' id='r1'/>").await;
    befriend(&alice, &bob).await;
    let laptop = account.quiet_device("laptop").await;

    alice.send("<iq type='set' id='u1'><query xmlns='jabber:iq:register'><remove/></query></iq>").await;

    loop {
        let (stanza, _) = alice.next().await;
        if stanza.name == "iq" {
            assert_eq!((stanza.attr("type"), stanza.attr("id")), (Some("result"), Some("u1")), "{stanza}");
            break;
        }
        assert_eq!(stanza.attr("type"), Some("unavailable"), "{stanza}");
    }
    expect_end(&alice, "not-authorized").await;
    expect_end(&laptop, "not-authorized").await;
    let mut last = String::new();
    for stanza in bob.so_far().await {
        if let Some(item) = stanza.find(&["query", "item"]) {
            last = item.attr("subscription").unwrap().to_owned();
        }
        assert_ne!(stanza.attr("type"), Some("error"), "{stanza}");
    }
    assert_eq!(last, "none", "bob's roster still has a subscription");
    assert!(!signs_in(world, account.jid(), "secret").await);
    let gone = bob.ask("<iq type='get' to='${alice}' id='v1'><vCard xmlns='vcard-temp'/></iq>").await;
    assert_eq!(condition(&gone), Some("service-unavailable"), "{gone}");
}

/// RFC 6121 §4.5.2: whoever erases it, each device goes once.
pub(crate) async fn contacts_of_an_erased_account_see_it_go_once(world: &World) {
    for by_its_owner in [true, false] {
        let account = world.user("alice").await;
        let (phone, tablet) = (account.device("phone").await, account.device("tablet").await);
        let bob = world.user("bob").await.device("desk").await;
        befriend(&phone, &bob).await;
        phone.send("<presence to='${bob/desk}'/>").await; // a reason more to be told
        phone.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        if by_its_owner {
            let remove = "<iq type='set' id='u1'><query xmlns='jabber:iq:register'><remove/></query></iq>";
            phone.send(remove).await;
            while let Some(Received::Element(..)) = phone.poll(Duration::from_secs(15)).await {}
        } else {
            let request = json!({"op": "user-remove", "jid": account.jid()});
            world.server().await.control(request).await.unwrap();
        }
        let mut came = bob.so_far().await;
        while let Some(Received::Element(stanza, _)) = bob.poll(Duration::from_millis(700)).await {
            came.push(stanza);
        }
        let is_gone = |stanza: &&Tree| stanza.attr("type") == Some("unavailable");
        let mut gone: Vec<_> = came.iter().filter(is_gone).filter_map(|stanza| stanza.attr("from")).collect();
        gone.sort_unstable();
        assert_eq!(gone, [phone.jid(), tablet.jid()], "by its owner: {by_its_owner}");
    }
}

/// Who takes the name of an erased account finds nothing of it.
pub(crate) async fn an_erased_name_begins_anew(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    for iq in [
        "<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query></iq>",
        "<iq type='set' id='2'><query xmlns='jabber:iq:private'><n xmlns='urn:example:n'>mine</n></query></iq>",
        "<iq type='set' id='3'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>",
        "<iq type='set' id='4'><block xmlns='urn:xmpp:blocking'><item jid='evil@localhost'/></block></iq>",
    ] {
        assert_eq!(phone.ask(iq).await.attr("type"), Some("result"), "{iq}");
    }
    mallory.send("<message to='${alice}' type='chat'><body>for the old owner</body></message>").await;
    mallory.expect_silence().await;
    phone.send("<iq type='set' id='u1'><query xmlns='jabber:iq:register'><remove/></query></iq>").await;
    phone.expect("<iq type='result' id='u1'/>").await;
    expect_end(&phone, "not-authorized").await;

    let name = alice.jid().split('@').next().unwrap();
    let (mut connection, _) = stranger(world).await;
    assert_eq!(register(&mut connection, name, "secret").await.attr("type"), Some("result"));

    let heir = alice.device("phone").await;
    let roster = heir.ask("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>").await;
    assert!(roster.all("item").is_empty(), "{roster}");
    let private = heir
        .ask("<iq type='get' id='2'><query xmlns='jabber:iq:private'><n xmlns='urn:example:n'/></query></iq>")
        .await;
    assert_eq!(private.find(&["query", "n"]).unwrap().text, "");
    let card = heir.ask("<iq type='get' id='3'><vCard xmlns='vcard-temp'/></iq>").await;
    assert!(card.child("vCard").unwrap().children.is_empty(), "{card}");
    let blocked = heir.ask("<iq type='get' id='4'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
    assert!(blocked.all("item").is_empty(), "{blocked}");
    heir.expect_silence().await;
}
