//! XEP-0115 Entity Capabilities.

use starling_testkit::{Connection, World};

/// §6.3, §6.2: the digest stands among the features of the stream, and names what the server can do.
pub(crate) async fn the_servers_digest_can_be_looked_up(world: &World) {
    let alice = world.user("alice").await;
    let mut connection = Connection::open(world.server().await.plain()).await.unwrap();
    let features =
        connection.login("localhost", alice.jid().split('@').next().unwrap(), "secret").await.unwrap();
    let caps = features.children.iter().find(|one| one.ns == "http://jabber.org/protocol/caps").unwrap();
    assert_eq!(caps.attr("hash"), Some("sha-1"));
    let node = format!("{}#{}", caps.attr("node").unwrap(), caps.attr("ver").unwrap());

    let phone = alice.quiet_device("phone").await;
    let of_node = phone.ask(&format!("<iq type='get' to='localhost' id='d1'><query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/></iq>")).await;
    assert_eq!(of_node.child("query").unwrap().attr("node"), Some(node.as_str()), "{of_node}");
    let plain = phone.ask(&super::disco::ask("info", "to='localhost'")).await;
    assert_eq!(of_node.child("query").unwrap().children, plain.child("query").unwrap().children);
    let other = phone.ask(&format!("<iq type='get' to='localhost' id='d2'><query xmlns='http://jabber.org/protocol/disco#info' node='{node}x'/></iq>")).await;
    assert!(other.find(&["error", "item-not-found"]).is_some(), "{other}");
}

/// §6: a client's capabilities travel in its presence as they are.
pub(crate) async fn a_clients_digest_reaches_its_contacts(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    super::subscription::befriend(&alice, &bob).await;
    let caps =
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='abc='/>";
    alice.send(&format!("<presence>{caps}</presence>")).await;
    bob.expect(&format!("<presence from='${{alice/phone}}'>{caps}</presence>")).await;
}
