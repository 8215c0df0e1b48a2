//! Sessions without XEP-0198: the answer to a ping of the server acknowledges (session-log rule 19).

use super::*;

fn ping(number: u64) -> String {
    format!(
        "<iq to='alice@a.example/phone' from='a.example' id='ack-{number:x}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
}

/// A client to which 20 entries were written, and that was asked.
fn asked() -> Client {
    let mut client = Client::bound();
    (1..=20).for_each(|number| drop(client.deliver(number)));
    assert_eq!(client.flush(), "");
    assert_eq!(client.machine.deadline(), Some(Duration::from_secs(5)));
    client.now = Duration::from_secs(5);
    assert_eq!(client.give(Input::Tick), ping(20));
    client
}

#[test]
fn an_entry_is_written_with_its_address() {
    let said = Client::bound().deliver(1);
    assert_eq!(said, "<message to='alice@a.example/phone' from='bob@a.example/x'></message>");
}

#[test]
fn the_answer_acknowledges_what_was_written_before_the_question() {
    for answer in [
        "<iq type='result' id='ack-14' to='a.example'/>",
        "<iq type='result' id='ack-14'/>",
        "<iq type='error' id='ack-14'><error type='cancel'/></iq>",
    ] {
        let mut client = asked();
        client.deliver(21);
        assert_eq!(client.say(answer), "");
        let effects = client.effects();
        assert!(matches!(effects[..], [Effect::Acknowledge(number)] if number.0 == 20), "{effects:?}");
        assert!(client.drafts().is_empty(), "it is nobody else's concern");
    }
}

#[test]
fn other_results_are_stanzas_like_any_other() {
    for other in [
        "<iq type='result' id='ack-13'/>",
        "<iq type='result' id='ack-14' to='bob@a.example'/>",
        "<iq type='get' id='ack-14'><x xmlns='u'/></iq>",
        "<message id='ack-14'/>",
    ] {
        let mut client = asked();
        client.say(other);
        assert_eq!((client.effects().len(), client.drafts().len()), (0, 1), "{other}");
    }
}

#[test]
fn much_is_asked_for_early_and_only_one_question_is_open() {
    let mut client = Client::bound();
    for number in 1..=64 {
        assert_eq!(client.flush(), "");
        client.deliver(number);
    }
    assert_eq!(client.flush(), ping(64));
    (65..=200).for_each(|number| drop(client.deliver(number)));
    client.now = Duration::from_secs(60);
    assert_eq!((client.flush(), client.machine.deadline()), (String::new(), None));
    client.say("<iq type='result' id='ack-40'/>");
    assert_eq!(client.flush(), ping(200));
}

#[test]
fn with_xep_0198_no_pings_are_sent() {
    let mut client = Client::managed();
    client.deliver(1);
    client.now = Duration::from_secs(60);
    assert_eq!(client.flush(), "<r xmlns='urn:xmpp:sm:3'/>");
}

#[test]
fn a_client_that_answers_no_ping_is_taken_at_its_tcps_word() {
    let mut client = asked();
    assert_eq!(client.machine.prove_at(), Some(Duration::from_secs(65)));
    client.give(Input::Reached(true));
    assert!(client.effects().is_empty(), "not before its time");
    client.now = Duration::from_secs(65);
    client.give(Input::Reached(false));
    assert!(client.effects().is_empty(), "it is slow: what it has not got it has not got");
    client.now = client.machine.prove_at().unwrap();
    client.deliver(21);
    client.give(Input::Reached(true));
    let effects = client.effects();
    assert!(matches!(effects[..], [Effect::Acknowledge(number)] if number.0 == 20), "{effects:?}");
}

#[test]
fn it_is_asked_again_and_waited_for_less() {
    let mut client = asked();
    client.now = Duration::from_secs(65);
    client.give(Input::Reached(true));
    client.deliver(21);
    client.now = Duration::from_secs(70);
    assert_eq!(client.give(Input::Tick), ping(21));
    assert_eq!(client.machine.prove_at(), Some(Duration::from_secs(80)));
    client.say("<iq type='result' id='ack-15'/>");
    assert_eq!(client.machine.prove_at(), None, "it answers after all");
}
