//! What is archived.

use starling_stanza::ErrorType;

use super::*;
use crate::Quotas;
use crate::xep::tests::{case, message, stamped, view};

fn kept(case: &Case, view: &View, message: &Message) -> Option<Keep> {
    let mut plan = Plan::default();
    if Mam.concerns(message) {
        Mam.on_message(case, view, message, &mut plan);
    }
    plan.keep
}

fn archived(kind: &str, content: &str) -> bool {
    let message = message(kind, content);
    let of = |side| kept(&case(side), &view(&[]), &message).is_some();
    assert_eq!(of(Side::Receiver), of(Side::Sender), "both sides alike");
    of(Side::Receiver)
}

#[test]
fn conversations_are_archived() {
    for content in [
        "<body>hi</body>",
        "<subject>plans</subject>",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
        "<anything xmlns='unknown'/><store xmlns='urn:xmpp:hints'/>",
    ] {
        assert!(archived("chat", content) && archived("normal", content), "{content}");
    }
}

#[test]
fn state_changes_and_notices_are_not() {
    for content in ["", "<active xmlns='http://jabber.org/protocol/chatstates'/>", "<x xmlns='unknown'/>"] {
        assert!(!archived("chat", content), "{content}");
    }
    for kind in ["headline", "groupchat", "error"] {
        assert!(!archived(kind, "<body>hi</body>"), "{kind}");
    }
}

#[test]
fn hints_keep_a_message_out() {
    for hint in ["no-store", "no-permanent-store"] {
        assert!(!archived("chat", &format!("<body>hi</body><{hint} xmlns='urn:xmpp:hints'/>")), "{hint}");
    }
}

#[test]
fn each_side_keeps_the_other() {
    let message = stamped("<message to='carol@c.example/tab' type='chat'><body>hi</body></message>");
    let received = kept(&case(Side::Receiver), &view(&[("tab", Some(0))]), &message).unwrap();
    assert_eq!((received.with.as_str(), received.direction), ("alice@a.example", Direction::Received));
    assert_eq!(received.resource.as_deref(), Some("tab"));
    let sent = kept(&case(Side::Sender), &view(&[]), &message).unwrap();
    assert_eq!((sent.with.as_str(), sent.direction), ("carol@c.example", Direction::Sent));
    assert!(!sent.deliverable);
}

#[test]
fn nothing_is_archived_where_archives_are_off() {
    let off = Case { archive: false, ..case(Side::Receiver) };
    assert!(kept(&off, &view(&[]), &message("chat", "<body>hi</body>")).is_none());
}

#[test]
fn a_full_archive_takes_nothing_more_from_others() {
    let mut full = view(&[("phone", Some(0))]);
    full.archived_bytes = 1 << 30;
    let decide = |case: &Case, content: &str| {
        let (message, mut plan) = (message("chat", content), Plan::default());
        if Mam.concerns(&message) {
            Mam.on_message(case, &full, &message, &mut plan);
        }
        plan
    };
    let refused = decide(&case(Side::Receiver), "<body>hi</body>").refusal.unwrap();
    assert_eq!((refused.kind, refused.condition), (ErrorType::Wait, Condition::ResourceConstraint));
    assert!(
        decide(&case(Side::Receiver), "<body>hi</body><no-store xmlns='urn:xmpp:hints'/>").refusal.is_none()
    );
    // What was sent is committed at its receiver already: it is refused before that, or not at all.
    assert!(decide(&case(Side::Sender), "<body>hi</body>").keep.is_some());
    let unlimited = Case { quotas: Quotas { archive_bytes: 0, ..Quotas::default() }, ..case(Side::Receiver) };
    assert!(decide(&unlimited, "<body>hi</body>").keep.is_some());
}

#[test]
fn lists_win_over_the_default_and_never_wins_over_always() {
    let jid = |text: &str| Jid::new(text).unwrap();
    let desk = jid("alice@a.example/desk");
    let preferences = |default, always: &[&str], never: &[&str]| Preferences {
        default,
        always: always.iter().map(|text| jid(text)).collect(),
        never: never.iter().map(|text| jid(text)).collect(),
    };
    use DefaultPreference::{Always, Never, Roster};
    assert!(wants(&preferences(Always, &[], &[]), &desk, false));
    assert!(!wants(&preferences(Never, &[], &[]), &desk, true));
    assert!(wants(&preferences(Roster, &[], &[]), &desk, true));
    assert!(!wants(&preferences(Roster, &[], &[]), &desk, false));
    assert!(wants(&preferences(Never, &["alice@a.example"], &[]), &desk, false));
    assert!(!wants(&preferences(Always, &[], &["alice@a.example"]), &desk, false));
    assert!(!wants(&preferences(Always, &["alice@a.example"], &["alice@a.example"]), &desk, true));
    assert!(!wants(&preferences(Always, &[], &["alice@a.example/desk"]), &desk, true));
    assert!(wants(&preferences(Always, &[], &["alice@a.example/phone"]), &desk, true));
    assert!(wants(&preferences(Always, &[], &["a.example"]), &desk, true));
}
