//! XEP-0106 JID Escaping.

use serde_json::json;
use starling_testkit::World;

/// §2, §7: an escaped name is a name; it travels as it is written.
pub(crate) async fn an_escaped_name_is_a_name(world: &World) {
    let artagnan = world.user("d\\27art\\20agnan").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send(&format!("<message to='{}' type='chat'><body>en garde</body></message>", artagnan.jid())).await;
    artagnan.expect("<message><body>en garde</body></message>").await;
    let info = bob.ask("<iq to='localhost' type='get' id='d1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>").await;
    assert!(
        info.all("feature").iter().any(|feature| feature.attr("var") == Some("jid\\20escaping")),
        "{info}"
    );
}

/// §4.2: an escaped space is neither the first nor the last character.
pub(crate) async fn no_name_ends_with_a_space(world: &World) {
    for name in ["\\20cadet", "cadet\\20"] {
        let request = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        let refused = world.server().await.control(request).await.unwrap_err();
        assert!(refused.to_string().contains("localpart"), "{refused}");
    }
}
