//! RFC 6120 §6: SASL, as far as a stream has to do with it.

use starling_ports::authentication::{Mechanism, Reply, SaslFailure, Step};

use super::*;

fn auth(mechanism: &str, text: &str) -> String {
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{text}</auth>")
}

fn response(text: &str) -> String {
    format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{text}</response>")
}

fn failure(condition: &str) -> String {
    format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>")
}

const ABORT: &str = "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

fn opened() -> Client {
    let mut client = Client::on(Security::Direct);
    client.say(HEADER);
    client
}

#[track_caller]
fn step(client: &mut Client) -> Step {
    match client.effects().pop() {
        Some(Effect::Authenticate(step)) => *step,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_step_carries_what_was_said_and_where() {
    let mut client = Client::on(Security::Direct);
    client.give(Input::TlsStarted { exporter: Some([5; 32]) });
    client.say(&HEADER.replace("a.example", "b.example"));
    assert_eq!(client.say(&auth("SCRAM-SHA-256-PLUS", "bg==")), "");
    let step = step(&mut client);
    assert_eq!((step.exchange, step.mechanism), (42, Mechanism::ScramSha256Plus));
    assert_eq!((step.domain.as_str(), step.peer), ("b.example", IpAddr::from([127, 0, 0, 1])));
    assert_eq!(step.message.as_deref(), Some(&b"n"[..]));
    assert_eq!((step.plus_offered, step.channel_binding), (true, Some(vec![5; 32])));
}

#[test]
fn an_empty_message_is_an_equals_sign_and_none_is_none() {
    for (text, message) in [("=", Some(Vec::new())), ("", None), ("AA==", Some(vec![0]))] {
        let mut client = opened();
        client.say(&auth("SCRAM-SHA-1", text));
        let step = step(&mut client);
        assert_eq!((step.message, step.plus_offered, step.channel_binding), (message, false, None));
    }
    let mut client = opened();
    client.say(&auth("PLAIN", ""));
    step(&mut client);
    let asked = client.give(Input::Authenticated(Reply::Challenge(Vec::new())));
    assert_eq!(asked, "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</challenge>");
    client.say(&response(""));
    assert_eq!(step(&mut client).message, Some(Vec::new()));
}

#[test]
fn base64_is_strict() {
    for text in [
        "A", "AA", "AA=", "AA===", "AB==", " AA==", "AA==\n", "A A=", "A*==", "==", "===", "<a/>", "AA==AA==",
    ] {
        let mut client = opened();
        assert_eq!(client.say(&auth("PLAIN", text)), failure("incorrect-encoding"), "{text}");
        assert!(client.effects().is_empty() && client.machine.wants_input());
    }
}

#[test]
fn only_what_was_offered_is_a_mechanism() {
    for mechanism in ["SCRAM-SHA-256-PLUS", "EXTERNAL", "plain", ""] {
        assert_eq!(opened().say(&auth(mechanism, "=")), failure("invalid-mechanism"), "{mechanism}");
    }
    let none = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</auth>";
    assert_eq!(opened().say(none), failure("invalid-mechanism"));
}

#[test]
fn an_exchange_ends_in_success() {
    let mut client = opened();
    client.say(&auth("SCRAM-SHA-1", "bg=="));
    let first = step(&mut client);
    let said = client.give(Input::Authenticated(Reply::Challenge(b"r=x".to_vec())));
    assert_eq!(said, "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj14</challenge>");
    client.say(&response("Yw=="));
    let second = step(&mut client);
    assert_eq!((second.exchange, second.mechanism), (first.exchange, first.mechanism));
    let account = BareJid::new("alice@a.example").unwrap();
    let reply = Reply::Success { account: account.clone(), additional: Some(b"v=y".to_vec()) };
    let said = client.give(Input::Authenticated(reply));
    assert_eq!(said, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj15</success>");
    assert_eq!((client.machine.account(), client.machine.jid()), (Some(account), None));
}

#[test]
fn nothing_is_read_while_an_answer_is_due() {
    let mut client = opened();
    client.say(&format!("{}{}", auth("PLAIN", "AGEAYg=="), auth("PLAIN", "AGEAYw==")));
    assert!(!client.machine.wants_input());
    assert_eq!(step(&mut client).message.as_deref(), Some(&b"\0a\0b"[..]));
    let said = client.give(Input::Authenticated(Reply::Failure(SaslFailure::NotAuthorized)));
    assert_eq!(said, failure("not-authorized"));
    let effects = client.effects();
    assert!(
        matches!(&effects[..], [Effect::Authenticate(step)] if step.message.as_deref() == Some(b"\0a\0c"))
    );
}

#[test]
fn an_abort_is_answered_and_told() {
    let mut client = opened();
    assert_eq!(client.say(ABORT), failure("aborted"));
    assert!(client.effects().is_empty());
    client.say(&auth("SCRAM-SHA-1", "bg=="));
    step(&mut client);
    client.give(Input::Authenticated(Reply::Challenge(b"x".to_vec())));
    assert_eq!(client.say(ABORT), failure("aborted"));
    assert!(matches!(client.effects()[..], [Effect::AbortExchange(42)]));
    for _ in 3..5 {
        assert_eq!(client.say(&response("Yw==")), failure("malformed-request"));
    }
    assert_eq!(client.say(&response("Yw==")), failure("malformed-request") + &error_too_many());
}

/// RFC 6120 §6.4.5: a client may try again two to five times; one that knows three mechanisms of which none fits has one left.
fn error_too_many() -> String {
    "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
     <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>too many failed logins</text></stream:error>\
     </stream:stream>"
        .to_owned()
}

#[test]
fn one_exchange_at_a_time() {
    let mut client = opened();
    client.say(&auth("SCRAM-SHA-1", "bg=="));
    step(&mut client);
    client.give(Input::Authenticated(Reply::Challenge(b"x".to_vec())));
    assert_eq!(client.say(&auth("SCRAM-SHA-1", "bg==")), failure("malformed-request"));
    assert!(matches!(client.effects()[..], [Effect::AbortExchange(42)]), "nothing of it is left behind");
    client.say(&auth("PLAIN", "AGEAYg=="));
    step(&mut client);
}

#[test]
fn what_is_out_of_turn_is_malformed() {
    for said in [response("="), "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned()] {
        assert_eq!(opened().say(&said), failure("malformed-request"), "{said}");
    }
}

#[test]
fn the_fifth_failure_ends_the_stream() {
    let mut client = opened();
    for n in 0..5 {
        client.say(&auth("PLAIN", "AGEAYg=="));
        step(&mut client);
        let said = client.give(Input::Authenticated(Reply::Failure(SaslFailure::NotAuthorized)));
        let end = if n == 4 { error_too_many() } else { String::new() };
        assert_eq!(said, failure("not-authorized") + &end);
    }
    assert_eq!(client.ending(), Ending { detach: None, linger: true });
}

#[test]
fn an_exchange_does_not_outlive_its_connection() {
    let mut client = opened();
    client.say(&auth("SCRAM-SHA-1", "bg=="));
    step(&mut client);
    client.give(Input::Authenticated(Reply::Challenge(b"x".to_vec())));
    assert_eq!(client.give(Input::Eof), "");
    assert!(matches!(client.effects()[..], [Effect::AbortExchange(42), Effect::Close(_)]));
}

/// §4.3.3, §6.4.6: nothing of the old stream is left, neither its header nor its limits.
#[test]
fn a_new_stream_begins_after_success() {
    let mut client = opened();
    client.sign_in();
    assert_error(&client.say(BIND), "invalid-namespace");

    let mut client = opened();
    client.say(&format!("{}{HEADER}", auth("PLAIN", "AGEAYg=="))); // optimistic, but in order
    step(&mut client);
    let account = BareJid::new("alice@a.example").unwrap();
    let said = client.give(Input::Authenticated(Reply::Success { account, additional: None }));
    assert!(said.starts_with("<success") && said.contains(OUR_HEADER) && said.contains("<bind"), "{said}");

    let big = "x".repeat(20_000);
    let mut stranger = opened();
    assert_error(&stranger.say(&format!("<message id='{big}'/>")), "policy-violation");
    let mut member = Client::bound();
    assert_eq!(member.say(&format!("<message id='{big}'/>")), "");
    assert_eq!(member.drafts().len(), 1);
    assert_error(&member.say(&format!("<message id='{}'/>", "x".repeat(262_145))), "policy-violation");
}

#[test]
fn an_account_belongs_to_its_domain() {
    let mut client = opened();
    client.sign_in();
    assert_error(&client.say(&HEADER.replace("a.example", "b.example")), "host-unknown");
}
