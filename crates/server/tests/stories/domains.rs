//! Several domains in one server: each its own accounts, one way between them.

use serde_json::json;
use starling_testkit::{Connection, Tree, World};

/// An account of the second domain, signed in and available.
async fn elsewhere(world: &World, name: &str) -> (Connection, String) {
    let account = format!("{name}@other.localhost");
    let request = json!({"op": "user-add", "jid": account, "password": "secret"});
    let server = world.server().await;
    server.control(request).await.unwrap();
    let mut connection = Connection::open(server.plain()).await.unwrap();
    connection.login("other.localhost", name, "secret").await.unwrap();
    let jid = connection.bind("desk").await.unwrap();
    connection.write("<presence/>").await.unwrap();
    connection.element("presence").await.unwrap();
    (connection, jid)
}

async fn ask(connection: &mut Connection, iq: &str) -> Tree {
    connection.write(iq).await.unwrap();
    connection.element("iq").await.unwrap()
}

/// Messages, subscriptions and presence go from one to the other as they do within one.
pub(crate) async fn users_of_two_domains_talk(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let (mut carol, jid) = elsewhere(world, "carol").await;
    alice.send(&format!("<message to='{jid}' type='chat'><body>hello</body></message>")).await;
    let message = carol.element("message").await.unwrap();
    assert_eq!(
        (message.attr("from"), message.child("body").unwrap().text.as_str()),
        (Some(alice.jid()), "hello")
    );

    alice.send("<presence to='carol@other.localhost' type='subscribe'/>").await;
    let asked = carol.element("presence").await.unwrap();
    assert_eq!(
        (asked.attr("type"), asked.attr("from")),
        (Some("subscribe"), Some(world.fill("${alice}").as_str()))
    );
    carol.write(&world.fill("<presence to='${alice}' type='subscribed'/>")).await.unwrap();
    alice.expect(&format!("<presence from='{jid}' type='!'/>")).await;
}

/// The same name in two domains is two accounts.
pub(crate) async fn a_name_is_of_one_domain(world: &World) {
    let alice = world.user("alice").await;
    let name = alice.jid().split('@').next().unwrap();
    let phone = alice.device("phone").await;
    phone.ask("<iq type='set' id='v1'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>").await;
    let (mut namesake, _) = elsewhere(world, name).await;
    let card = ask(&mut namesake, "<iq type='get' id='v2'><vCard xmlns='vcard-temp'/></iq>").await;
    assert!(card.child("vCard").unwrap().children.is_empty(), "{card}");
    namesake
        .write(&format!("<message to='{name}@other.localhost' type='chat'><body>to myself</body></message>"))
        .await
        .unwrap();
    let message = namesake.element("message").await.unwrap();
    assert_eq!(message.child("body").unwrap().text, "to myself");
    phone.expect_silence().await;
}

/// Each domain answers for itself; only the own one knows the account.
pub(crate) async fn each_domain_answers(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    for domain in ["localhost", "other.localhost"] {
        alice.send(&format!("<iq to='{domain}' type='get' id='p1'><ping xmlns='urn:xmpp:ping'/></iq>")).await;
        alice.expect(&format!("<iq type='result' id='p1' from='{domain}'/>")).await;
    }
    let name = alice.jid().split('@').next().unwrap();
    let change = alice.ask(&format!("<iq to='other.localhost' type='set' id='c1'><query xmlns='jabber:iq:register'><username>{name}</username><password>x</password></query></iq>")).await;
    assert!(change.find(&["error", "not-allowed"]).is_some(), "{change}");
    let nobody =
        alice.ask("<iq to='third.localhost' type='get' id='p2'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    assert!(nobody.find(&["error", "remote-server-not-found"]).is_some(), "{nobody}");
}
