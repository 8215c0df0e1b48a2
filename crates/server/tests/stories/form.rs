//! XEP-0004 Data Forms, where the server describes itself by one: XEP-0128 with the addresses of XEP-0157.

use starling_testkit::World;

/// XEP-0157 §3: whom to write to about this server.
pub(crate) async fn the_server_says_whom_to_write_to(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    alice.send(&super::disco::ask("info", "to='localhost'")).await;
    let info = alice
        .expect(
            "<iq type='result'><query xmlns='http://jabber.org/protocol/disco#info'><x xmlns='jabber:x:data' type='result'>\
             <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>\
             <field var='abuse-addresses'><value>mailto:abuse@localhost</value><value>xmpp:abuse@localhost</value></field>\
             </x></query></iq>",
        )
        .await;
    let fields: Vec<_> =
        info.all("field").iter().map(|field| field.attr("var").unwrap().to_owned()).collect();
    assert_eq!(fields, ["FORM_TYPE", "abuse-addresses"], "nothing is said of what is not configured");
}
