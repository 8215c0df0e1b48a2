//! RFC 6120 §13.11: who has no right to ask at an account cannot tell by any answer whether there is such an account.

use starling_testkit::World;

/// What may be asked of an account, and what nobody understands.
const ASKED: [(&str, &str); 18] = [
    ("urn:xmpp:mam:2", "query"),
    ("urn:xmpp:mam:2", "metadata"),
    ("urn:xmpp:mam:2", "prefs"),
    ("urn:xmpp:mam:2", "unknown"),
    ("http://jabber.org/protocol/disco#info", "query"),
    ("http://jabber.org/protocol/disco#items", "query"),
    ("jabber:iq:last", "query"),
    ("jabber:iq:last", "unknown"),
    ("jabber:iq:private", "query"),
    ("jabber:iq:roster", "query"),
    ("jabber:iq:register", "query"),
    ("jabber:iq:version", "query"),
    ("vcard-temp", "vCard"),
    ("urn:xmpp:blocking", "blocklist"),
    ("urn:xmpp:blocking", "block"),
    ("urn:xmpp:carbons:2", "enable"),
    ("urn:xmpp:ping", "ping"),
    ("urn:example:unknown", "x"),
];

pub(crate) async fn no_answer_tells_whether_there_is_an_account(world: &World) {
    let there = world.user("victim").await;
    let phone = there.device("phone").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    let nobody = format!("nobody-{}", there.jid());
    for (ns, name) in ASKED {
        for kind in ["get", "set"] {
            for resource in ["", "/phone"] {
                let mut answers = Vec::new();
                for account in [there.jid(), &nobody] {
                    let iq = format!(
                        "<iq type='{kind}' to='{account}{resource}' id='a'><{name} xmlns='{ns}'/></iq>"
                    );
                    let answer = mallory.ask(&iq).await.to_string();
                    answers.push(answer.replace(account, "ACCOUNT"));
                }
                assert_eq!(answers[0], answers[1], "{kind} {name} {ns} at {resource:?}");
            }
        }
    }
    phone.expect_silence().await;
}
