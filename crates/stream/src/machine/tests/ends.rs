//! How streams end (RFC 6120 §4.4, §4.9), what becomes of their sessions, and what is never waited for too long.

use starling_ports::ingress::Handling;
use starling_ports::sessions::Detach;

use super::*;

const LOST: Ending = Ending { detach: Some(Detach::Lost), linger: false };

#[test]
fn ours_closes_when_all_that_came_before_is_handled() {
    let mut client = Client::bound();
    assert_eq!(client.say("<message id='1'/><message id='2'/></stream:stream>"), "");
    assert!(!client.machine.is_open() && !client.machine.is_closed());
    assert_eq!(client.drafts().len(), 2);
    assert_eq!(client.handled(1), "");
    assert_eq!(client.handled(2), "</stream:stream>");
    assert_eq!(client.ending(), Ending { detach: Some(Detach::Closed), linger: true });
}

#[test]
fn a_stream_without_a_session_closes_at_once() {
    let mut stranger = Client::on(Security::Direct);
    stranger.say(HEADER);
    for mut client in [stranger, Client::authenticated()] {
        assert_eq!(client.say("</stream:stream>"), "</stream:stream>");
        assert_eq!(client.ending(), Ending { detach: None, linger: true });
    }
}

#[test]
fn nothing_is_read_behind_the_end() {
    let mut client = Client::bound();
    assert_eq!(client.say("</stream:stream><message id='1'/><!--"), "</stream:stream>");
    assert!(client.drafts().is_empty());
    assert_eq!(client.say("<message/>"), "");
    assert!(client.drafts().is_empty());
}

#[test]
fn a_socket_that_is_gone_is_told_and_nothing_is_written() {
    let mut client = Client::bound();
    client.say("<message id='1'/><half");
    assert_eq!(client.give(Input::Eof), "");
    assert_eq!(client.ending(), LOST);
    assert_eq!(client.drafts(), [(1, "1".to_owned())], "what was read is still handled");
    let mut stranger = Client::on(Security::Direct);
    assert_eq!(stranger.give(Input::Eof), "");
    assert_eq!(stranger.ending(), Ending { detach: None, linger: false });
}

/// XEP-0198 §5: a stream that is closed cannot be resumed, so nothing is said that would close it.
#[test]
fn a_drain_ends_resumable_streams_without_a_word() {
    let mut client = Client::managed();
    assert_eq!(client.give(Input::Drain), "");
    assert_eq!(client.ending(), LOST);
    let mut client = Client::bound();
    assert_eq!(client.give(Input::Drain), error("system-shutdown"));
    assert_eq!(client.ending(), Ending { detach: Some(Detach::Lost), linger: true });
    let mut stranger = Client::on(Security::StartTls);
    assert_eq!(stranger.give(Input::Drain), format!("{OUR_HEADER}{}", error("system-shutdown")));
    assert_eq!(stranger.ending(), Ending { detach: None, linger: true });
}

/// To be counted.
#[test]
fn the_error_that_ends_a_stream_is_told_and_no_other_end_is_one() {
    let mut client = Client::bound();
    client.give(Input::Drain);
    assert!(matches!(
        client.effects()[..],
        [Effect::Failed(StreamCondition::SystemShutdown), Effect::Close(_)]
    ));
    for input in [Input::Eof, Input::Drain] {
        let mut client = Client::managed();
        client.give(input);
        assert!(matches!(client.effects()[..], [Effect::Close(_)]));
    }
}

#[test]
fn a_login_has_its_time() {
    for mut client in [Client::on(Security::StartTls), Client::authenticated()] {
        assert_eq!(client.machine.deadline(), Some(Duration::from_secs(30)));
        client.now = Duration::from_millis(29_999);
        assert_eq!(client.give(Input::Tick), "");
        client.now = Duration::from_secs(30);
        assert_error(&client.give(Input::Tick), "connection-timeout");
        assert_eq!(client.ending(), Ending { detach: None, linger: true });
    }
    let mut client = Client::bound();
    assert_eq!(client.machine.deadline(), None);
    client.now = Duration::from_secs(3600);
    assert_eq!(client.give(Input::Tick), "");
    let mut patient = Client::of(Settings { login_within: Duration::ZERO, ..settings() });
    patient.now = Duration::from_secs(3600);
    assert_eq!((patient.machine.deadline(), patient.give(Input::Tick)), (None, String::new()));
}

#[test]
fn a_stanza_has_its_time_however_often_a_byte_comes() {
    let mut client = Client::bound();
    client.now = Duration::from_secs(100);
    client.say("<message>");
    for second in 101..160 {
        client.now = Duration::from_secs(second);
        client.say("x");
        assert_eq!(client.machine.deadline(), Some(Duration::from_secs(160)));
        assert_eq!(client.give(Input::Tick), "");
    }
    client.now = Duration::from_secs(160);
    assert_error(&client.give(Input::Tick), "connection-timeout");
    assert_eq!(client.ending(), Ending { detach: Some(Detach::Lost), linger: true });
}

#[test]
fn the_time_of_a_stanza_begins_with_its_first_byte() {
    let mut client = Client::bound();
    client.say("<message>");
    client.now = Duration::from_secs(59);
    client.say("</message><presence");
    assert_eq!(client.machine.deadline(), Some(Duration::from_secs(119)));
    client.say("/> ");
    assert_eq!(client.machine.deadline(), None);
    let mut patient = Client::bound();
    patient.machine.settings = Arc::new(Settings { stanza_within: Duration::ZERO, ..settings() });
    patient.say("<message>");
    assert_eq!(patient.machine.deadline(), None);
}

#[test]
fn a_router_ends_a_session_with_the_right_words() {
    let closed = Ending { detach: Some(Detach::Closed), linger: true };
    for (command, condition) in [
        (Command::Conflict, "conflict"),
        (Command::Close("not-authorized"), "not-authorized"),
        (Command::Close("no such thing"), "undefined-condition"),
    ] {
        let mut client = Client::bound();
        assert_eq!(client.give(Input::Command(command)), error(condition));
        assert_eq!(client.ending(), closed);
    }
    let mut client = Client::managed();
    assert_eq!(client.give(Input::Command(Command::Fenced)), "", "the session lives elsewhere (rule 21)");
    assert_eq!(client.ending(), Ending { detach: None, linger: false });
    let mut client = Client::bound();
    assert_eq!(client.give(Input::Command(Command::Pull)), "");
    assert!(client.effects().is_empty());
}

#[test]
fn who_is_one_too_many_is_told_so() {
    let mut client = Client::on(Security::Direct);
    let said = client.give(Input::Command(Command::Close("policy-violation")));
    assert_error(&said, "policy-violation");
    assert!(said.contains("too many clients are here that have not signed in"), "{said}");
}

#[test]
fn what_became_of_stanzas_may_end_the_stream() {
    let mut client = Client::bound();
    client.say("<message from='eve@a.example'/>");
    assert_eq!(client.give(Input::Handled(Some(Handling::InvalidFrom))), error("invalid-from"));
    assert_eq!(client.ending(), Ending { detach: Some(Detach::Closed), linger: true });
    let mut client = Client::managed();
    assert_eq!(client.give(Input::Handled(Some(Handling::Fenced))), "");
    assert_eq!(client.ending(), Ending { detach: None, linger: false });
    let mut client = Client::managed();
    assert_eq!(client.give(Input::Handled(None)), "", "it may resume and send again (rule 25)");
    assert_eq!(client.ending(), LOST);
}

#[test]
fn what_is_no_stanza_ends_a_session() {
    for (sent, condition) in [
        ("<what/>", "unsupported-stanza-type"),
        ("<stream:error/>", "unsupported-stanza-type"),
        ("<stream:features>", "unsupported-stanza-type"),
        (HEADER.split_once("?>").unwrap().1, "bad-format"),
        ("<stream:stream>", "bad-format"),
        ("<stream:stream/>", "unsupported-stanza-type"),
        ("<message xmlns='jabber:server'/>", "invalid-namespace"),
        ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "unsupported-stanza-type"),
        ("text", "not-well-formed"),
    ] {
        let mut client = Client::bound();
        assert_error(&client.say(sent), condition);
        assert_eq!(client.ending(), Ending { detach: Some(Detach::Closed), linger: true });
    }
}

#[test]
fn no_more_is_read_than_is_handed_on() {
    let mut client = Client::bound();
    let all: String = (1..=100).map(|n| format!("<message id='{n}'/>")).collect();
    client.say(&all);
    assert!(!client.machine.wants_input());
    assert_eq!(client.drafts().len(), 64);
    client.give(Input::Tick); // anything that happens lets it go on
    assert_eq!(client.drafts().last(), Some(&(100, "100".to_owned())));
    assert!(client.machine.wants_input());
    client.say(&format!("<message id='{}'/>", "x".repeat(200_000)).repeat(2));
    assert!(!client.machine.wants_input(), "bytes count too");
    assert_eq!(client.drafts().len(), 2);
}

#[test]
fn csi_is_told_in_order() {
    let mut client = Client::bound();
    client.say("<message id='1'/><inactive xmlns='urn:xmpp:csi:0'/><message id='2'/>");
    assert!(matches!(client.effects()[..], [Effect::SetInactive(true)]));
    assert_eq!(client.drafts(), [(1, "1".to_owned())]);
    client.give(Input::InactiveSet);
    assert_eq!(client.drafts(), [(2, "2".to_owned())]);
    client.say("<active xmlns='urn:xmpp:csi:0'/>");
    assert!(matches!(client.effects()[..], [Effect::SetInactive(false)]));
}

#[test]
fn an_idle_session_holds_no_bytes() {
    let mut client = Client::bound();
    client.say(&format!("<message id='1'/><message><body>{}", "x".repeat(100_000)));
    client.say("</body></message> ");
    client.drafts();
    assert!(client.machine.rest.capacity() == 0 && client.machine.drafts.capacity() == 0);
    assert!(!client.machine.reader.has_partial());
    assert!(std::mem::size_of::<Machine>() <= 320, "{}", std::mem::size_of::<Machine>());
}
