//! XEP-0049 Private XML Storage.

use starling_testkit::World;

/// §3: what was never kept comes back empty, under its own name.
pub(crate) async fn what_is_kept_comes_back(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let empty = phone.ask("<iq type='get' id='g1'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>").await;
    assert!(empty.find(&["query", "notes"]).unwrap().children.is_empty());

    let set = phone.ask("<iq type='set' id='s1'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'><n a='1'>milk &amp; eggs</n></notes></query></iq>").await;
    assert_eq!(set.attr("type"), Some("result"), "{set}");

    let laptop = alice.quiet_device("laptop").await;
    let kept = laptop.ask("<iq type='get' id='g2'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>").await;
    let note = kept.find(&["query", "notes", "n"]).unwrap();
    assert_eq!((note.attr("a"), note.text.as_str()), (Some("1"), "milk & eggs"));
}

/// §3.3 and security: only one's own.
pub(crate) async fn nobody_else_reads_it(world: &World) {
    let _alice = world.user("alice").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    let answer = mallory.ask("<iq to='${alice}' type='get' id='g1'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>").await;
    assert_eq!(answer.attr("type"), Some("error"), "{answer}");
}
