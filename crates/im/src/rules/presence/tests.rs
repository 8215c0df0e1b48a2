//! RFC 6121 appendix A, row by row, and §8.5 for presence.

use starling_jid::Jid;
use starling_ports::blocklist::BlockList;
use starling_ports::ids::SessionId;
use starling_ports::roster::Subscription;
use starling_ports::sessions::View;
use starling_stanza::PresenceType::{self, Subscribe, Subscribed, Unsubscribe, Unsubscribed};

use super::{inbound, outbound, route};
use crate::xep::tests::view;

/// The nine states of appendix A.1, in its order.
const STATES: [&str; 9] = [
    "None",
    "None + Pending Out",
    "None + Pending In",
    "None + Pending Out+In",
    "To",
    "To + Pending In",
    "From",
    "From + Pending Out",
    "Both",
];

fn state(name: &str) -> Subscription {
    let (base, pending) = name.split_once(" + Pending ").unwrap_or((name, ""));
    Subscription {
        to: matches!(base, "To" | "Both"),
        from: matches!(base, "From" | "Both"),
        pending_out: pending.starts_with("Out"),
        pending_in: pending.ends_with("In"),
        approved: false,
    }
}

/// For each state of `STATES`: whether the stanza goes on, and the new state; `""` is no change.
type Table = [(bool, &'static str); 9];

const MUST: bool = true;
const MUST_NOT: bool = false;

fn check_outbound(kind: PresenceType, table: &Table) {
    for (old, (routed, new)) in STATES.iter().zip(table) {
        let new = if new.is_empty() { old } else { new };
        let done = outbound(state(old), kind).unwrap();
        // What is approved in advance is beside the table (§3.4).
        let reached = Subscription { approved: false, ..done.state };
        assert_eq!((done.routed, reached), (*routed, state(new)), "{kind:?} out of {old:?}");
    }
}

fn check_inbound(kind: PresenceType, table: &Table) {
    for (old, (delivered, new)) in STATES.iter().zip(table) {
        let new = if new.is_empty() { old } else { new };
        let done = inbound(state(old), kind).unwrap();
        assert_eq!((done.delivered, done.state), (*delivered, state(new)), "{kind:?} into {old:?}");
    }
}

/// A.2.1: always routed, so that both rosters agree again where they had come to differ.
#[test]
fn outbound_subscribe() {
    check_outbound(
        Subscribe,
        &[
            (MUST, "None + Pending Out"),
            (MUST, ""),
            (MUST, "None + Pending Out+In"),
            (MUST, ""),
            (MUST, ""),
            (MUST, ""),
            (MUST, "From + Pending Out"),
            (MUST, ""),
            (MUST, ""),
        ],
    );
}

/// A.2.2.
#[test]
fn outbound_unsubscribe() {
    check_outbound(
        Unsubscribe,
        &[
            (MUST, ""),
            (MUST, "None"),
            (MUST, ""),
            (MUST, "None + Pending In"),
            (MUST, "None"),
            (MUST, "None + Pending In"),
            (MUST, ""),
            (MUST, "From"),
            (MUST, "From"),
        ],
    );
}

/// A.2.3.
#[test]
fn outbound_subscribed() {
    check_outbound(
        Subscribed,
        &[
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST, "From"),
            (MUST, "From + Pending Out"),
            (MUST_NOT, ""),
            (MUST, "Both"),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
        ],
    );
}

/// A.2.4.
#[test]
fn outbound_unsubscribed() {
    check_outbound(
        Unsubscribed,
        &[
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST, "None"),
            (MUST, "None + Pending Out"),
            (MUST_NOT, ""),
            (MUST, "To"),
            (MUST, "None"),
            (MUST, "None + Pending Out"),
            (MUST, "To"),
        ],
    );
}

/// A.3.1.
#[test]
fn inbound_subscribe() {
    check_inbound(
        Subscribe,
        &[
            (MUST, "None + Pending In"),
            (MUST, "None + Pending Out+In"),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST, "To + Pending In"),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
        ],
    );
}

/// A.3.1, note 2: who may see already is told so again, in the user's name; the others wait for an answer. A.3.2, note 1:
/// who gives up what it had, or had asked for, hears that it is so. Nothing else is answered.
#[test]
fn inbound_stanzas_are_answered_where_the_notes_say_so() {
    for old in STATES {
        let grants = ["From", "From + Pending Out", "Both"].contains(&old);
        let asked = ["None + Pending In", "None + Pending Out+In", "To + Pending In"].contains(&old);
        let reply = |kind| inbound(state(old), kind).unwrap().reply;
        assert_eq!(reply(Subscribe), grants.then_some(Subscribed), "{old}");
        assert_eq!(reply(Unsubscribe), (grants || asked).then_some(Unsubscribed), "{old}");
        assert_eq!((reply(Subscribed), reply(Unsubscribed)), (None, None), "{old}");
    }
}

/// A.3.2.
#[test]
fn inbound_unsubscribe() {
    check_inbound(
        Unsubscribe,
        &[
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST, "None"),
            (MUST, "None + Pending Out"),
            (MUST_NOT, ""),
            (MUST, "To"),
            (MUST, "None"),
            (MUST, "None + Pending Out"),
            (MUST, "To"),
        ],
    );
}

/// A.3.3: nobody is subscribed to somebody without having asked.
#[test]
fn inbound_subscribed() {
    check_inbound(
        Subscribed,
        &[
            (MUST_NOT, ""),
            (MUST, "To"),
            (MUST_NOT, ""),
            (MUST, "To + Pending In"),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST_NOT, ""),
            (MUST, "Both"),
            (MUST_NOT, ""),
        ],
    );
}

/// A.3.4.
#[test]
fn inbound_unsubscribed() {
    check_inbound(
        Unsubscribed,
        &[
            (MUST_NOT, ""),
            (MUST, "None"),
            (MUST_NOT, ""),
            (MUST, "None + Pending In"),
            (MUST, "None"),
            (MUST, "None + Pending In"),
            (MUST_NOT, ""),
            (MUST, "From"),
            (MUST, "From"),
        ],
    );
}

/// §3.4.2: `subscribed` to who has not asked is an approval in advance; it holds until `unsubscribed` takes it back.
#[test]
fn approval_in_advance() {
    for old in ["None", "None + Pending Out", "To"] {
        let approved = outbound(state(old), Subscribed).unwrap().state;
        assert!(approved.approved, "{old}");
        let asked = inbound(approved, Subscribe).unwrap();
        assert!(asked.state.from && !asked.state.pending_in && !asked.delivered, "{old}");
        assert!(asked.state.approved, "{old}");
        assert_eq!(asked.reply, Some(Subscribed), "{old}");
        assert_eq!(outbound(approved, Unsubscribed).unwrap().state, state(old), "{old}");
    }
    for old in [
        "None + Pending In",
        "None + Pending Out+In",
        "To + Pending In",
        "From",
        "From + Pending Out",
        "Both",
    ] {
        assert!(!outbound(state(old), Subscribed).unwrap().state.approved, "{old}");
    }
}

#[test]
fn other_presence_changes_no_subscription() {
    for kind in [PresenceType::Available, PresenceType::Unavailable, PresenceType::Probe, PresenceType::Error]
    {
        assert_eq!(outbound(Subscription::default(), kind), None);
        assert_eq!(inbound(Subscription::default(), kind), None);
    }
}

fn reached(view: &View, from: &str, resource: Option<&str>) -> Vec<u128> {
    let plan = route(view, &Jid::new(from).unwrap(), resource);
    assert!(plan.refusal.is_none() && plan.keep.is_none());
    plan.targets.into_iter().map(|(SessionId(id), _)| id).collect()
}

/// §8.5.2.1.2, §8.5.3.1, §8.5.3.2.2: available ones, whatever their priority; and only the named one.
#[test]
fn presence_goes_to_who_is_available() {
    let there = view(&[("desk", Some(0)), ("bot", Some(-5)), ("quiet", None)]);
    let from = "alice@a.example/desk";
    assert_eq!(reached(&there, from, None), [1, 2]);
    assert_eq!(reached(&there, from, Some("bot")), [2]);
    assert_eq!(reached(&there, from, Some("quiet")), [3]);
    assert_eq!(reached(&there, from, Some("gone")), []);
    assert_eq!(reached(&view(&[]), from, None), []);
}

/// XEP-0191 §3.3, and its note: never between the user's own devices.
#[test]
fn presence_of_who_is_blocked_is_dropped() {
    let items = ["alice@a.example", "b.example"].map(|jid| Jid::new(jid).unwrap());
    let blocked = BlockList { items: items.into() };
    let there = View { blocked: blocked.into(), ..view(&[("desk", Some(0))]) };
    assert_eq!(reached(&there, "alice@a.example/desk", None), []);
    assert_eq!(reached(&there, "alice@a.example", Some("desk")), []);
    assert_eq!(reached(&there, "carol@a.example/desk", None), [1]);
    assert_eq!(reached(&there, "bob@b.example/phone", None), [1]);
}
