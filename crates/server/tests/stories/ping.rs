//! XEP-0199 XMPP Ping.

use starling_testkit::World;

/// §4.2.
pub(crate) async fn the_server_answers(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let answer = alice.ask("<iq to='localhost' type='get' id='p1'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    assert_eq!((answer.attr("type"), answer.attr("from")), (Some("result"), Some("localhost")));
    assert!(answer.children.is_empty());
}

/// Without `to`, and to the own account: the server answers for it (RFC 6120 §10.3.3).
pub(crate) async fn the_account_answers(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    for to in ["", "to='${alice}'"] {
        let answer =
            alice.ask(&format!("<iq {to} type='get' id='p2'><ping xmlns='urn:xmpp:ping'/></iq>")).await;
        assert_eq!(answer.attr("type"), Some("result"), "{answer}");
    }
}
