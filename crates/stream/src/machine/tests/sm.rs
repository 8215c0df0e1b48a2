//! XEP-0198: counters, acknowledgements, resumption.

use starling_ports::ids::{Handled, LogNumber};
use starling_ports::ingress::Handling;
use starling_ports::sessions::{Claimed, Flags, Portrait, SmBase};

use super::*;

const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn failed(condition: &str) -> String {
    format!(
        "<failed xmlns='urn:xmpp:sm:3'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
}

fn id(text: &str) -> String {
    format!("<message id='{text}'/>")
}

fn acknowledged(client: &mut Client) -> Vec<u64> {
    let effects = client.effects();
    let only = |effect: &Effect| match effect {
        Effect::Acknowledge(LogNumber(upto)) => *upto,
        other => panic!("{other:?}"),
    };
    effects.iter().map(only).collect()
}

#[test]
fn both_counts_begin_behind_enable() {
    let mut client = Client::bound();
    client.say(&id("1"));
    client.deliver(1);
    client.say(&format!("<enable xmlns='urn:xmpp:sm:3' resume='1'/>{}", id("2")));
    let effects = client.effects();
    let [Effect::EnableSm { resume: true, base }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((base.sent, base.handled), (LogNumber(1), Handled(1)));
    assert!(!client.machine.can_deliver(), "the pump stands still (session-log rule 5)");
    assert_eq!(client.drafts(), [(1, "1".to_owned())], "what came behind it waits");
    let enabled =
        "<enabled xmlns='urn:xmpp:sm:3' id='00000000000000000000000000000007' resume='true' max='300'/>";
    assert_eq!(client.give(Input::SmEnabled(Some(300))), enabled);
    assert_eq!(client.drafts(), [(2, "2".to_owned())]);
    client.handled(2);
    assert_eq!(client.say(R), a(1));
    client.deliver(2);
    client.say(&a(1));
    assert_eq!(acknowledged(&mut client), [2]);
}

#[test]
fn what_cannot_be_resumed_says_so() {
    let mut client = Client::bound();
    client.say("<enable xmlns='urn:xmpp:sm:3'/>");
    assert!(matches!(client.effects()[..], [Effect::EnableSm { resume: false, .. }]));
    assert_eq!(client.give(Input::SmEnabled(Some(0))), "<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(client.say("<enable xmlns='urn:xmpp:sm:3'/>"), failed("unexpected-request"));
    let mut client = Client::bound();
    client.say("<enable xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(client.give(Input::SmEnabled(None)), failed("internal-server-error"));
    assert!(client.machine.can_deliver() && client.machine.wants_input());
    assert_eq!(client.say(R), failed("unexpected-request"));
}

/// Session-log rule 6.
#[test]
fn an_answer_waits_until_everything_before_the_question_is_durable() {
    let mut client = Client::managed();
    assert_eq!(client.say(&format!("{}{}{R}{}", id("1"), id("2"), id("3"))), "");
    assert_eq!(client.handled(1), "");
    assert_eq!(client.handled(2), a(2));
    assert_eq!(client.handled(3), "", "nobody asked");
    assert_eq!(client.say(R), a(3));
}

#[test]
fn a_question_is_answered_though_the_next_one_is_asked_before() {
    let mut client = Client::managed();
    assert_eq!(client.say(&format!("{}{R}{}{}{R}", id("1"), id("2"), id("3"))), "");
    assert_eq!(client.handled(1), a(1));
    assert_eq!(client.say(&format!("{}{R}", id("4"))), "");
    assert_eq!(client.handled(3), a(3), "also what was asked after it is answered");
    assert_eq!(client.handled(4), a(4));
    assert_eq!(client.handled(4), "", "nobody asked");
}

#[test]
fn an_h_above_what_was_sent_ends_the_stream() {
    let mut client = Client::managed();
    client.deliver(1);
    let said = client.say(&a(2));
    assert_error(&said, "undefined-condition");
    assert!(said.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'/>"), "{said}");
    assert_eq!(
        client.ending(),
        Ending { detach: Some(starling_ports::sessions::Detach::Closed), linger: true }
    );
}

#[test]
fn an_old_h_says_nothing_and_a_new_one_only_what_is_new() {
    let mut client = Client::managed();
    (1..=3).for_each(|number| drop(client.deliver(number)));
    client.say(&(a(1) + &a(3) + &a(2) + &a(3)));
    assert_eq!(acknowledged(&mut client), [1, 3]);
}

#[test]
fn what_is_malformed_or_out_of_turn_is_refused_and_the_stream_lives() {
    for (sent, condition) in [
        ("<a xmlns='urn:xmpp:sm:3'/>", "bad-request"),
        ("<a xmlns='urn:xmpp:sm:3' h='-1'/>", "bad-request"),
        ("<a xmlns='urn:xmpp:sm:3' h='4294967296'/>", "bad-request"),
        ("<enabled xmlns='urn:xmpp:sm:3'/>", "bad-request"),
        (
            "<resume xmlns='urn:xmpp:sm:3' h='0' previd='00000000000000000000000000000007'/>",
            "unexpected-request",
        ),
        ("<enable xmlns='urn:xmpp:sm:3'/>", "unexpected-request"),
    ] {
        let mut client = Client::managed();
        assert_eq!(client.say(sent), failed(condition), "{sent}");
        assert!(client.machine.is_open());
    }
    for sent in [R, "<enable xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='0'/>"] {
        assert_eq!(Client::authenticated().say(sent), failed("unexpected-request"), "{sent}");
    }
    for sent in ["<resume xmlns='urn:xmpp:sm:3' h='0'/>", "<resume xmlns='urn:xmpp:sm:3' previd='x'/>"] {
        assert_eq!(Client::authenticated().say(sent), failed("bad-request"), "{sent}");
    }
    let foreign = "<resume xmlns='urn:xmpp:sm:3' h='0' previd='not-one-of-ours'/>";
    assert_eq!(Client::authenticated().say(foreign), failed("item-not-found"));
}

fn resuming(h: u32) -> Client {
    let mut client = Client::authenticated();
    let previous = "00000000000000000000000000000007";
    client.say(&format!("<resume xmlns='urn:xmpp:sm:3' h='{h}' previd='{previous}'/>{}", id("early")));
    let effects = client.effects();
    let [Effect::Resume(resume)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((resume.account.as_str(), resume.session, resume.h), ("alice@a.example", SessionId(7), h));
    assert!(!client.machine.wants_input());
    client
}

fn claimed(handled: u64, base: u64, acknowledged: u64) -> Claimed {
    Claimed::Resumed {
        jid: FullJid::new("alice@a.example/phone").unwrap(),
        epoch: Epoch(2),
        handled: Handled(handled),
        base: SmBase { sent: LogNumber(base), handled: Handled(1) },
        acknowledged: LogNumber(acknowledged),
        portrait: Portrait {
            flags: Flags { sm: true, resumable: true, ..Flags::default() },
            ..Portrait::default()
        },
        fenced: None,
        done: Default::default(),
    }
}

#[test]
fn a_resumed_session_goes_on_where_it_was() {
    let mut client = resuming(3);
    let said = client.give(Input::Resumed(Some(claimed(6, 10, 13))));
    assert_eq!(said, "<resumed xmlns='urn:xmpp:sm:3' h='5' previd='00000000000000000000000000000007'/>");
    let effects = client.effects();
    let [Effect::Attached(attached)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((attached.session.epoch, attached.acknowledged), (Epoch(2), LogNumber(13)));
    assert_eq!(client.drafts(), [(7, "early".to_owned())], "numbers go on");
    client.deliver(14);
    client.say(&a(4));
    assert_eq!(acknowledged(&mut client), [14]);
    assert_eq!(client.give(Input::Drain), "", "it may be resumed again");
}

#[test]
fn both_counts_wrap_at_two_to_the_32() {
    let near = u64::from(u32::MAX);
    let mut client = resuming(u32::MAX);
    let said = client.give(Input::Resumed(Some(claimed(near + 1, 10, near + 10))));
    assert!(said.contains(" h='4294967295' "), "{said}");
    client.effects();
    client.deliver(near + 11);
    client.deliver(near + 12);
    client.say(&(a(0) + &a(1)));
    assert_eq!(acknowledged(&mut client), [near + 11, near + 12]);
    client.handled(near + 2);
    assert_eq!(client.say(R), a(0));
    assert_error(&client.say(&a(2)), "undefined-condition");
}

#[test]
fn a_failed_resumption_says_what_was_handled_and_the_stream_goes_on() {
    let mut client = resuming(0);
    let said = client.give(Input::Resumed(Some(Claimed::Failed { handled: Some(Handled(5)) })));
    let expected = "<failed xmlns='urn:xmpp:sm:3' h='5'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    assert_eq!(said, format!("{expected}{}", error("not-authorized")), "the early stanza has no session");

    let mut client = Client::authenticated();
    client.say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='00000000000000000000000000000007'/>");
    let said = client.give(Input::Resumed(Some(Claimed::Failed { handled: None })));
    assert_eq!(said, failed("item-not-found"));
    client.effects();
    client.say(BIND);
    assert!(matches!(client.effects()[..], [Effect::Bind { .. }]));
}

#[test]
fn an_h_that_is_too_high_is_no_resumption() {
    let said = resuming(9).give(Input::Resumed(Some(Claimed::TooHigh { sent: LogNumber(4) })));
    assert!(said.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='4'/>"), "{said}");
}

/// A refusal would make the client give its session up.
#[test]
fn a_store_that_does_not_answer_is_no_refusal() {
    let mut client = resuming(0);
    assert_eq!(client.give(Input::Resumed(None)), "");
    assert_eq!(client.ending(), Ending { detach: None, linger: false });
}

#[test]
fn a_client_is_asked_after_much_or_after_a_second() {
    let mut client = Client::managed();
    assert_eq!(client.machine.deadline(), None);
    for number in 1..=15 {
        client.deliver(number);
        assert_eq!(client.flush(), "");
    }
    assert_eq!(client.machine.deadline(), Some(Duration::from_secs(1)));
    client.deliver(16);
    assert_eq!(client.flush(), R);
    client.deliver(17);
    client.now = Duration::from_secs(9);
    assert_eq!((client.flush(), client.machine.deadline()), (String::new(), None), "one question at a time");
    client.say(&a(16));
    assert_eq!(client.flush(), R);
    client.say(&a(17));
    client.deliver(18);
    assert_eq!(client.machine.deadline(), Some(Duration::from_secs(10)));
    client.now = Duration::from_secs(10);
    assert_eq!(client.give(Input::Tick), R);
}

#[test]
fn what_had_waited_is_asked_for_at_once() {
    let mut client = Client::managed();
    client.deliver_as(1, true);
    assert_eq!(client.flush(), R);
}

#[test]
fn what_went_before_enabled_is_confirmed_by_the_first_h() {
    let mut client = Client::bound();
    client.deliver(1);
    client.say("<enable xmlns='urn:xmpp:sm:3'/>");
    client.effects();
    client.give(Input::SmEnabled(Some(300)));
    client.now = Duration::from_secs(1);
    assert_eq!(client.give(Input::Tick), R);
    client.say(&a(0));
    assert_eq!(acknowledged(&mut client), [1]);
    client.say(&a(0));
    assert!(acknowledged(&mut client).is_empty());
}

#[test]
fn a_last_answer_comes_before_the_end() {
    let mut client = Client::managed();
    assert_eq!(client.say(&format!("{}</stream:stream>", id("1"))), "");
    assert_eq!(client.give(Input::Handled(Some(Handling::Done(Handled(1))))), a(1) + "</stream:stream>");
    client.ending();
}
