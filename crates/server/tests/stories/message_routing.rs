//! RFC 6121 §8.5: where a message goes.

use starling_testkit::{Device, World};

/// §8.5.2.1.1: a chat message to the account reaches every device with a non-negative priority.
pub(crate) async fn a_bare_jid_reaches_all_who_are_there(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    laptop.send("<presence><priority>5</priority></presence>").await;
    laptop.expect_all(&["<presence from='${alice/laptop}'/>", "<presence from='${alice/phone}'/>"]).await;
    phone.expect("<presence from='${alice/laptop}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    for kind in ["chat", "normal"] {
        bob.send(&format!("<message to='${{alice}}' type='{kind}'><body>to all</body></message>")).await;
        phone.expect("<message from='${bob/desk}' to='${alice}'><body>to all</body></message>").await;
        laptop.expect("<message from='${bob/desk}' to='${alice}'><body>to all</body></message>").await;
    }
    bob.expect_silence().await;
}

/// §8.5.3.1.
pub(crate) async fn a_full_jid_reaches_one(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let laptop = alice.quiet_device("laptop").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice/laptop}' type='chat'><body>to one</body></message>").await;

    laptop.expect("<message to='${alice/laptop}'><body>to one</body></message>").await;
    phone.expect_silence().await;
}

/// §8.5.3.2.1: what peers' users trip over: only `chat` falls back to the account.
pub(crate) async fn a_normal_message_to_a_missing_resource_goes_nowhere_else(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}/gone' type='chat'><body>chat</body></message>").await;
    phone
        .expect("<message from='${bob/desk}' to='${alice}/gone' type='chat'><body>chat</body></message>")
        .await;
    bob.send("<message to='${alice}/gone' id='n1'><body>normal</body></message>").await;
    bob.expect("<message type='error' id='n1' from='${alice}/gone'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    phone.expect_silence().await;
}

/// §8.5.2.1: a device with a negative priority gets only what is addressed to it.
pub(crate) async fn a_negative_priority_gets_nothing_for_the_account(world: &World) {
    let alice = world.user("alice").await;
    let robot = alice.quiet_device("robot").await;
    robot.send("<presence><priority>-1</priority></presence>").await;
    robot.expect("<presence from='${alice/robot}'/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='chat'><body>for people</body></message>").await;
    bob.send("<message to='${alice/robot}' type='chat'><body>for the robot</body></message>").await;

    robot.expect("<message><body>for the robot</body></message>").await;
    robot.expect_silence().await;
}

/// §8.5.2.2.1: nobody is there: a headline is dropped in silence.
pub(crate) async fn a_headline_is_not_kept(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='headline'><body>news</body></message>").await;
    bob.expect_silence().await;

    let phone = alice.device("phone").await;
    phone.expect_silence().await;
}

/// §8.5.2.1.1, §8.5.2.2.1: a `groupchat` message to an account is answered with an error.
pub(crate) async fn a_groupchat_message_bounces(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='groupchat' id='g1'><body>room?</body></message>").await;

    bob.expect("<message type='error' id='g1' from='${alice}'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    phone.expect_silence().await;
}

/// §8.5.1: no such account: messages and requests are answered, presence is not.
pub(crate) async fn nobody_by_that_name_is_an_error(world: &World) {
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='nobody@localhost' type='chat' id='m1'><body>?</body></message>").await;
    bob.expect("<message type='error' id='m1' from='nobody@localhost'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    bob.send("<iq to='nobody@localhost' type='get' id='i1'><query xmlns='jabber:iq:version'/></iq>").await;
    bob.expect("<iq type='error' id='i1' from='nobody@localhost'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>").await;
    // §8.5.4: a headline is dropped, as it is where somebody exists and is away.
    bob.send("<message to='nobody@localhost' type='headline' id='m3'><body>?</body></message>").await;
    bob.send("<message to='bob@elsewhere.example' type='chat' id='m2'><body>?</body></message>").await;
    bob.expect("<message type='error' id='m2'><error><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>").await;
    bob.expect_silence().await;
}

/// §8.5.3.2.3, and an answer goes back to who asked.
pub(crate) async fn an_iq_to_a_missing_resource_bounces(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<iq to='${alice}/gone' type='get' id='i1'><query xmlns='jabber:iq:version'/></iq>").await;
    bob.expect("<iq type='error' id='i1' from='${alice}/gone'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>").await;
    phone.send("<presence to='${bob}'/>").await; // or it would not be told of (§8.5.3.1)
    phone.ask_past("<iq type='get' id='sync'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    bob.send("<iq to='${alice/phone}' type='get' id='i2'><query xmlns='jabber:iq:version'/></iq>").await;
    phone.expect("<iq from='${bob/desk}' to='${alice/phone}' type='get' id='i2'><query xmlns='jabber:iq:version'/></iq>").await;
    phone.send("<iq to='${bob/desk}' type='result' id='i2'><query xmlns='jabber:iq:version'><name>phone</name></query></iq>").await;
    bob.expect("<iq from='${alice/phone}' type='result' id='i2'><query xmlns='jabber:iq:version'><name>phone</name></query></iq>").await;
}

/// §8.5.3.1: whether a device is there is told by no request of somebody who may not see it.
pub(crate) async fn a_request_of_a_stranger_tells_nothing(world: &World) {
    const NOT_THERE: &str =
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let phone = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    let request = |to: &str| {
        format!("<iq to='${{alice}}/{to}' type='get' id='i1'><query xmlns='jabber:iq:version'/></iq>")
    };
    let refused = |to: &str| format!("<iq from='${{alice}}/{to}' type='error' id='i1'>{NOT_THERE}</iq>");
    for to in ["phone", "gone"] {
        bob.send(&request(to)).await;
        bob.expect(&refused(to)).await;
    }
    // Not even for whom alice may see: what counts is what alice shows.
    bob.send("<presence to='${alice/phone}'/>").await;
    phone.expect("<presence from='${bob/desk}'/>").await;
    bob.send(&request("phone")).await;
    bob.expect(&refused("phone")).await;

    for to in ["${bob}", "${bob/desk}"] {
        phone.send(&format!("<presence to='{to}'/>")).await;
        bob.expect("<presence from='${alice/phone}' type='!'/>").await;
        bob.send(&request("phone")).await;
        phone.expect("<iq from='${bob/desk}' type='get' id='i1'/>").await;
        phone.send(&format!("<presence to='{to}' type='unavailable'/>")).await;
        bob.expect("<presence from='${alice/phone}' type='unavailable'/>").await;
        bob.send(&request("phone")).await;
        bob.expect(&refused("phone")).await;
    }
    phone.expect_silence().await;
}

/// RFC 6120 §8.1.2.1.
pub(crate) async fn from_is_stamped(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' type='chat'><body>none</body></message>").await;
    bob.send("<message to='${alice}' from='${bob}' type='chat'><body>bare</body></message>").await;

    alice.expect("<message from='${bob/desk}'><body>none</body></message>").await;
    alice.expect("<message from='${bob/desk}'><body>bare</body></message>").await;
}

/// RFC 6120 §4.9.3.9.
pub(crate) async fn a_forged_from_ends_the_stream(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;

    bob.send("<message to='${alice}' from='admin@localhost' type='chat'><body>forged</body></message>").await;

    let (error, _) = bob.next().await;
    assert!(error.child("invalid-from").is_some(), "{error}");
    alice.expect_silence().await;
}

/// RFC 6120 §10.1.
pub(crate) async fn order_is_kept(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let batch: String = (0..200)
        .map(|n| format!("<message to='${{alice}}' type='chat'><body>{n}</body></message>"))
        .collect();

    bob.send(&batch).await;

    for n in 0..200 {
        alice.expect(&format!("<message><body>{n}</body></message>")).await;
    }
}

/// What becomes of a message, in a row of §8.5.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The sender is told `service-unavailable`.
    Refused,
    /// Nobody hears anything.
    Ignored,
    /// It comes with the next login.
    Later,
    /// It comes to these devices.
    To(&'static [&'static str]),
}

/// §8.5.4, table 1: who is there by resource and priority, to which resource of theirs, and the fates of `normal`, `chat`,
/// `groupchat`, `headline` and `error`.
type Row = (&'static [(&'static str, i8)], Option<&'static str>, [Fate; 5]);

use Fate::{Ignored, Later, Refused, To};
const ROWS: [Row; 11] = [
    (&[], None, [Later, Later, Refused, Ignored, Ignored]),
    (&[], Some("gone"), [Refused, Later, Refused, Ignored, Ignored]),
    (&[("bot", -1)], None, [Later, Later, Refused, Ignored, Ignored]),
    (&[("bot", -1)], Some("bot"), [To(&["bot"]); 5]),
    (&[("bot", -1)], Some("gone"), [Refused, Later, Refused, Ignored, Ignored]),
    (&[("desk", 0)], None, [To(&["desk"]), To(&["desk"]), Refused, To(&["desk"]), Ignored]),
    (&[("desk", 0)], Some("desk"), [To(&["desk"]); 5]),
    (&[("desk", 0)], Some("gone"), [Refused, To(&["desk"]), Refused, Ignored, Ignored]),
    (&[("desk", 0), ("bot", -1), ("phone", 9)], None, [ALL, ALL, Refused, ALL, Ignored]),
    (&[("desk", 0), ("bot", -1), ("phone", 9)], Some("desk"), [To(&["desk"]); 5]),
    (&[("desk", 0), ("bot", -1), ("phone", 9)], Some("gone"), [Refused, ALL, Refused, Ignored, Ignored]),
];
const ALL: Fate = To(&["desk", "phone"]);

/// §8.5.4, each row and column.
pub(crate) async fn the_table_holds_row_by_row(world: &World) {
    let bob = world.user("bob").await.quiet_device("desk").await;
    for (there, resource, fates) in ROWS {
        let alice = world.user("alice").await;
        let mut devices = Vec::new();
        for (name, priority) in there {
            let device = alice.quiet_device(name).await;
            device.send(&format!("<presence><priority>{priority}</priority></presence>")).await;
            devices.push((*name, device));
        }
        for (_, device) in &devices {
            bodies(device).await;
        }
        let to = resource.map_or("${alice}".to_owned(), |resource| format!("${{alice}}/{resource}"));
        let mut late = Vec::new();
        for (kind, fate) in ["normal", "chat", "groupchat", "headline", "error"].into_iter().zip(fates) {
            let row = format!("{kind} to {resource:?} of {there:?}");
            bob.send(&format!("<message to='{to}' type='{kind}' id='m'><body>{kind}</body></message>")).await;
            bob.send("<iq type='get' id='sent'><ping xmlns='urn:xmpp:ping'/></iq>").await;
            let (mut answer, _) = bob.next().await;
            if fate == Refused {
                assert!(answer.find(&["error", "service-unavailable"]).is_some(), "{row}: {answer}");
                assert_eq!((answer.attr("type"), answer.attr("id")), (Some("error"), Some("m")), "{row}");
                (answer, _) = bob.next().await;
            }
            assert_eq!(answer.attr("id"), Some("sent"), "{row}: {answer}");
            for (name, device) in &devices {
                let reached = matches!(fate, To(names) if names.contains(name));
                let wanted: &[&str] = if reached { &[kind] } else { &[] };
                assert_eq!(bodies(device).await, wanted, "{row}, at {name}");
            }
            late.extend((fate == Later).then_some(kind));
        }
        let device = alice.quiet_device("late").await;
        device.send("<presence/>").await;
        let mut waited = Vec::new();
        while waited.len() < late.len() {
            waited.extend(device.next().await.0.child("body").map(|body| body.text.clone()));
        }
        assert_eq!(waited, late, "what waited of {resource:?} of {there:?}");
        assert!(bodies(&device).await.is_empty(), "more waited of {resource:?} of {there:?}");
    }
}

/// The bodies that have come, known by the answer to a ping.
async fn bodies(device: &Device<'_>) -> Vec<String> {
    device.send("<iq type='get' id='bodies'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    let mut found = Vec::new();
    loop {
        let (stanza, _) = device.next().await;
        if stanza.attr("id") == Some("bodies") {
            return found;
        }
        found.extend(stanza.child("body").map(|body| body.text.clone()));
    }
}

/// RFC 6120 §10.1: messages, presence and requests of one sender to one receiver stay in their order.
pub(crate) async fn order_holds_over_all_kinds(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let stanza = |n: usize| match n % 4 {
        0 => format!("<message to='${{alice/phone}}' type='chat' id='n{n}'><body>{n}</body></message>"),
        1 => format!("<presence to='${{alice/phone}}' id='n{n}'><status>{n}</status></presence>"),
        2 => {
            format!("<iq to='${{alice/phone}}' type='get' id='n{n}'><query xmlns='jabber:iq:version'/></iq>")
        }
        _ => format!("<message to='${{alice/phone}}' type='headline' id='n{n}'><body>{n}</body></message>"),
    };
    alice.send("<presence to='${bob/desk}'/>").await; // or its requests would not come
    bob.expect("<presence from='${alice/phone}'/>").await;
    bob.send(&(0..120).map(stanza).collect::<String>()).await;
    for n in 0..120 {
        let (came, _) = alice.next().await;
        assert_eq!(came.attr("id"), Some(format!("n{n}").as_str()), "{came}");
    }
}

/// §8.5.1, §8.5.2.1.3: a request to an account is answered by the server, whether there is such an account, a session, or none.
pub(crate) async fn a_request_to_an_account_is_answered(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    world.user("away").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for to in ["nobody@localhost", "${away}", "${alice}"] {
        for kind in ["get", "set"] {
            bob.send(&format!(
                "<iq to='{to}' type='{kind}' id='i1'><query xmlns='urn:example:unknown'/></iq>"
            ))
            .await;
            bob.expect(&format!("<iq from='{to}' type='error' id='i1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")).await;
        }
        bob.send(&format!("<iq to='{to}' type='result' id='i2'/><iq to='{to}' type='error' id='i3'><error type='cancel'/></iq>")).await;
        bob.expect_silence().await;
    }
    alice.expect_silence().await;
}

/// RFC 6120 §8.1.2.1: a resource is part of the address; so is what is no address.
pub(crate) async fn anothers_resource_is_forged_too(world: &World) {
    let account = world.user("bob").await;
    account.device("phone").await;
    for from in ["${bob/phone}", "${bob}/nothing", "localhost", "@", ""] {
        let desk = account.quiet_device("desk").await;
        desk.send(&format!("<message to='${{bob/phone}}' from='{from}'><body>forged</body></message>")).await;
        let (error, _) = desk.next().await;
        assert!(error.name == "error" && error.child("invalid-from").is_some(), "{from:?}: {error}");
    }
}

/// RFC 6120 §8.3.1: errors and results are never answered, so that nothing goes to and fro for ever.
pub(crate) async fn an_error_is_never_answered(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.ask("<iq type='set' id='b1'><block xmlns='urn:xmpp:blocking'><item jid='blocked@localhost'/></block></iq>").await;
    for to in [
        "nobody@localhost",
        "${alice}/gone",
        "localhost",
        "localhost/x",
        "a@elsewhere.example",
        "blocked@localhost",
        "@",
    ] {
        for stanza in ["message", "presence", "iq"] {
            bob.send(&format!("<{stanza} to='{to}' type='error' id='e1'><error type='cancel'/></{stanza}>"))
                .await;
        }
        bob.send(&format!("<iq to='{to}' type='result' id='e2'/>")).await;
        bob.expect_silence().await;
    }
    alice.expect_silence().await;
}

/// RFC 6120 §8.2.3, §8.3.3: what is no proper stanza is answered by its error, and the stream goes on.
pub(crate) async fn a_malformed_stanza_is_answered(world: &World) {
    let bob = world.user("bob").await.quiet_device("desk").await;
    for (stanza, condition) in [
        ("<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>", "bad-request"),
        ("<iq type='get' id='i1'/>", "bad-request"),
        ("<iq type='set' id='i1'><a xmlns='urn:example:a'/><b xmlns='urn:example:b'/></iq>", "bad-request"),
        ("<iq type='strange' id='i1'><ping xmlns='urn:xmpp:ping'/></iq>", "bad-request"),
        ("<iq id='i1'><ping xmlns='urn:xmpp:ping'/></iq>", "bad-request"),
        ("<iq type='get' id='i1' to='@'><ping xmlns='urn:xmpp:ping'/></iq>", "jid-malformed"),
        ("<message id='m1' to='a b@localhost'><body>x</body></message>", "jid-malformed"),
        ("<presence id='p1' to='@localhost'/>", "jid-malformed"),
        ("<message id='m1' to='localhost'><body>x</body></message>", "service-unavailable"),
        ("<message id='m1' to='localhost/x'><body>x</body></message>", "service-unavailable"),
        ("<iq type='get' id='i1' to='localhost/x'><ping xmlns='urn:xmpp:ping'/></iq>", "service-unavailable"),
    ] {
        bob.send(stanza).await;
        let (answer, _) = bob.next().await;
        assert_eq!(answer.attr("type"), Some("error"), "{stanza}: {answer}");
        assert!(answer.find(&["error", condition]).is_some(), "{stanza}: {answer}");
        assert!(answer.attr("to").is_none_or(|to| to == bob.jid()), "{stanza}: {answer}");
    }
    bob.expect_silence().await;
}
