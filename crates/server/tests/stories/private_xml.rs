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

/// §2.3: a request names exactly one element, with a namespace of its own.
pub(crate) async fn what_names_nothing_is_refused(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    for (kind, content, condition) in [
        ("get", "", "not-acceptable"),
        ("set", "", "not-acceptable"),
        ("set", "<notes/>", "not-acceptable"),
        ("get", "<a xmlns='urn:example:a'/><b xmlns='urn:example:b'/>", "bad-request"),
        ("set", "<a xmlns='urn:example:a'/><a xmlns='urn:example:a'><x/></a>", "not-acceptable"),
    ] {
        let answer = alice
            .ask(&format!(
                "<iq type='{kind}' id='p1'><query xmlns='jabber:iq:private'>{content}</query></iq>"
            ))
            .await;
        let error = answer.child("error").unwrap_or_else(|| panic!("{kind} {content}: {answer}"));
        assert!(error.child(condition).is_some(), "{kind} {content}: {answer}");
    }
}

/// An account's quota holds for all its documents together; what was kept before stays.
pub(crate) async fn there_is_a_limit(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let text = "x".repeat(200_000);
    let set = |name: usize, text: &str| {
        format!(
            "<iq type='set' id='s{name}'><query xmlns='jabber:iq:private'><n xmlns='urn:example:{name}'>{text}</n></query></iq>"
        )
    };
    for name in 0..5 {
        let kept = alice.ask(&set(name, &text)).await;
        assert_eq!(kept.attr("type"), Some("result"), "{name}");
    }
    let full = alice.ask(&set(5, &text)).await;
    assert!(full.find(&["error", "resource-constraint"]).is_some(), "{full}");
    let card = alice
        .ask(&format!("<iq type='set' id='v1'><vCard xmlns='vcard-temp'><NOTE>{text}</NOTE></vCard></iq>"))
        .await;
    assert!(card.find(&["error", "resource-constraint"]).is_some(), "{card}");
    let replaced = alice.ask(&set(3, "short")).await;
    assert_eq!(replaced.attr("type"), Some("result"), "{replaced}");
    let again = alice.ask(&set(5, &text)).await;
    assert_eq!(again.attr("type"), Some("result"), "there was room again");
}
