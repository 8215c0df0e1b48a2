//! XEP-0160 and the promise behind it: a message leaves the server only when a device has acknowledged it.

use starling_testkit::{Device, Tree, World};

/// XEP-0160 §2: kept while nobody is there, delivered once, in order, with the time it came.
pub(crate) async fn messages_wait_for_a_device(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for n in 0..3 {
        bob.send(&format!("<message to='${{alice}}' type='chat'><body>{n}</body></message>")).await;
    }
    bob.expect_silence().await;

    let phone = alice.device("phone").await;
    for n in 0..3 {
        phone.expect(&format!("<message from='${{bob/desk}}'><body>{n}</body><delay xmlns='urn:xmpp:delay' stamp='*'/></message>")).await;
    }
    phone.expect_silence().await;
    phone.close().await;

    let laptop = alice.device("laptop").await;
    laptop.expect_silence().await;
}

/// P3: read from the store and written to a socket is not acknowledged.
pub(crate) async fn a_message_is_not_gone_until_acknowledged(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send("<message to='${alice}' type='chat'><body>important</body></message>").await;
    bob.expect_silence().await;

    let phone = alice.quiet_device("phone").await;
    phone.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(phone.next().await.0.name, "enabled");
    phone.send("<presence/>").await;
    phone
        .expect_all(&["<presence from='${alice/phone}'/>", "<message><body>important</body></message>"])
        .await;
    let cut = phone.jid().to_owned();
    phone.cut(); // without an <a/>

    let laptop = alice.device("laptop").await;
    comes_late(&laptop, "important", &bob, &cut).await;
}

/// The same for what came live.
pub(crate) async fn unacknowledged_comes_again(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    phone.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(phone.next().await.0.name, "enabled");
    phone.send("<presence/>").await;
    phone.expect("<presence from='${alice/phone}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send("<message to='${alice}' type='chat'><body>live</body></message>").await;
    phone.expect("<message><body>live</body></message>").await;
    let cut = phone.jid().to_owned();
    phone.cut();

    let laptop = alice.device("laptop").await;
    comes_late(&laptop, "live", &bob, &cut).await;
    laptop.send("<iq type='get' id='nothing-more'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    assert_eq!(next_but_the_end_of(&cut, &laptop).await.attr("id"), Some("nothing-more"));
}

async fn comes_late(device: &Device<'_>, body: &str, sender: &Device<'_>, cut: &str) {
    let message = next_but_the_end_of(cut, device).await;
    assert_eq!(message.attr("from"), Some(sender.jid()), "{message}");
    assert_eq!(message.find(&["body"]).map(|found| found.text.as_str()), Some(body), "{message}");
    assert!(message.find(&["delay"]).is_some_and(|delay| delay.ns == "urn:xmpp:delay"), "{message}");
}

/// What comes to `device` next. That the one that was cut is unavailable may come before or after: it may have ended only when
/// `device` was there.
async fn next_but_the_end_of(cut: &str, device: &Device<'_>) -> Tree {
    loop {
        let (stanza, _) = device.next().await;
        let is_end = stanza.attr("from") == Some(cut) && stanza.attr("type") == Some("unavailable");
        if !is_end {
            return stanza;
        }
    }
}
