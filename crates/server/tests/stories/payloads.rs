//! RFC 6120 §8.4: what the server does not know passes as it came, and every copy of a message is made of the same bytes.

use std::time::Duration;

use starling_testkit::{Received, Tree, World};

use crate::mam::query;
use crate::sm;

/// Whatever XML can hold: namespaces, prefixes, white space, quotes, references, a language.
const CONTENT: &str = "<body xml:lang='de'>a &lt; b &amp;&#10; \u{1F600}</body><subject/>\
    <x xmlns='urn:unknown' xmlns:p='urn:p' p:a='1' b='it&apos;s &quot;'><p:y>mixed <z xmlns=''/> text</p:y>\n</x>\
    <p:x xmlns:p='urn:unknown'/><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>";

/// The content of the innermost message in these bytes, without what the server has appended for the receiver.
fn content(bytes: &str) -> &str {
    let start = bytes.rfind("<message ").expect("a message");
    let open = start + bytes[start..].find('>').unwrap() + 1;
    let rest = &bytes[open..];
    let ends =
        ["<stanza-id xmlns='urn:xmpp:sid:0'", "<delay xmlns='urn:xmpp:delay' from='localhost'", "</message>"];
    &rest[..ends.iter().filter_map(|end| rest.find(end)).min().unwrap()]
}

/// The live, carbon, archived, offline and resent copies are byte-equal; so are the sender's own.
pub(crate) async fn all_copies_are_the_same_bytes(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    let id = sm::enable(&phone).await;
    let laptop = alice.quiet_device("laptop").await;
    laptop.enable_carbons().await;
    let bob = world.user("bob").await;
    let (desk, tab) = (bob.quiet_device("desk").await, bob.quiet_device("tab").await);
    tab.enable_carbons().await;

    desk.send(&format!(
        "<message to='${{alice/phone}}' type='chat' xml:lang='en' id='1'>{CONTENT}</message>"
    ))
    .await;
    let (tree, live) = phone.next().await;
    assert_eq!((tree.attr("xml:lang"), tree.attr("id")), (Some("en"), Some("1")), "{tree}");
    let (_, received) = laptop.next().await;
    let (_, sent) = tab.next().await;
    phone.cut(); // it has acknowledged nothing
    let (mut connection, resumed) = sm::resume(world, &alice, &id, 0).await;
    assert_eq!(resumed.name, "resumed", "{resumed}");
    let Received::Element(_, resent) = connection.next(Duration::from_secs(15)).await.unwrap() else {
        panic!()
    };
    let archived = query(&laptop, "").await.bytes.remove(0);
    let own = query(&tab, "").await.bytes.remove(0);
    let carol = world.user("carol").await;
    desk.send(&format!("<message to='${{carol}}' type='chat' xml:lang='en' id='1'>{CONTENT}</message>"))
        .await;
    tab.next().await;
    desk.expect_silence().await;
    let (_, offline) = carol.device("late").await.next().await;

    let expected = content(&live);
    for (copy, bytes) in [
        ("received carbon", &received),
        ("sent carbon", &sent),
        ("resent", &resent),
        ("archived", &archived),
        ("own archived", &own),
        ("offline", &offline),
    ] {
        assert_eq!(content(bytes), expected, "{copy}");
    }
    // The same infoset as was sent; the server may write it otherwise.
    let children =
        |content: &str| Tree::parse(&format!("<w>{content}</w>"), "jabber:client").unwrap().children;
    assert_eq!(children(expected), children(CONTENT));
}

/// XEP-0085, 0184, 0308, 0333, 0444, 0461 and others are between clients: the server carries and keeps them.
pub(crate) async fn what_clients_say_to_each_other_passes(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let kept = [
        "<body>x</body><request xmlns='urn:xmpp:receipts'/>",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<body>y</body><replace xmlns='urn:xmpp:message-correct:0' id='1'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>\u{1F44B}</reaction></reactions>",
        "<body>z</body><reply xmlns='urn:xmpp:reply:0' to='${bob}' id='1'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='1'/></fallback>",
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
    ];
    let fleeting = "<paused xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>";
    for content in kept.iter().chain([&fleeting]) {
        bob.send(&format!("<message to='${{alice}}' type='chat'>{content}</message>")).await;
        phone.expect(&format!("<message from='${{bob/desk}}'>{content}</message>")).await;
    }
    let archived = query(&phone, "").await;
    assert_eq!(archived.results.len(), kept.len());
    for (result, content) in archived.results.iter().zip(kept) {
        let message = result.find(&["forwarded", "message"]).unwrap();
        let sent = Tree::parse(&world.fill(&format!("<w>{content}</w>")), "jabber:client").unwrap();
        assert_eq!(message.children, sent.children);
    }
}
