//! RFC 7395: every element stands on its own, and the machine says where each ends.

use super::*;

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.example' version='1.0'/>";
const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";

fn client() -> Client {
    Client::of(Settings { framing: Framing::Element, ..settings() })
}

impl Client {
    /// What the server says to one frame, frame by frame.
    fn frames(&mut self, input: Input<'_>) -> Vec<String> {
        self.machine.handle(self.now, input, &mut self.out);
        let (bytes, ends) = (std::mem::take(&mut self.out.bytes), std::mem::take(&mut self.out.ends));
        assert_eq!(ends.last().copied().unwrap_or_default(), bytes.len(), "no bytes without a frame");
        let mut start = 0;
        let frame = |end: usize| {
            let text = String::from_utf8(bytes[start..end].to_vec()).unwrap();
            start = end;
            text
        };
        ends.into_iter().map(frame).collect()
    }

    fn frame(&mut self, text: &str) -> Vec<String> {
        self.frames(Input::Document(text.as_bytes()))
    }
}

fn bound() -> Client {
    let mut client = client();
    client.frame(OPEN);
    client.frame("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>");
    let account = BareJid::new("alice@a.example").unwrap();
    let reply = starling_ports::authentication::Reply::Success { account, additional: None };
    client.frames(Input::Authenticated(reply));
    client.frame(OPEN);
    client.frame(&BIND.replace("<iq", "<iq xmlns='jabber:client'"));
    let bound = client.frames(Input::Bound(Ok(session())));
    assert!(bound[0].starts_with("<iq xmlns='jabber:client' type='result' id='b'>"), "{bound:?}");
    client.effects();
    client
}

#[test]
fn open_is_answered_by_open_and_features_in_frames_of_their_own() {
    let said = client().frame(OPEN);
    let [open, features] = &said[..] else { panic!("{said:?}") };
    assert!(open.starts_with("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='"), "{open}");
    assert!(open.ends_with(" from='a.example' version='1.0' xml:lang='en'/>"), "{open}");
    assert!(
        features.starts_with("<stream:features xmlns:stream='http://etherx.jabber.org/streams'>"),
        "{features}"
    );
    assert!(!features.contains("starttls"), "§3.9: the layer below has TLS");
}

#[test]
fn an_error_is_a_frame_and_so_is_the_end() {
    for (sent, condition) in [
        (OPEN.replace("a.example", "c.example"), "host-unknown"),
        (OPEN.replace("1.0", "0.9"), "unsupported-version"),
        ("<message xmlns='jabber:client'/>".to_owned(), "bad-format"),
        (
            "<stream xmlns='http://etherx.jabber.org/streams' to='a.example' version='1.0'/>".to_owned(),
            "bad-format",
        ),
        ("<other xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>".to_owned(), "unsupported-stanza-type"),
        ("<!-- -->".to_owned(), "restricted-xml"),
        ("<?xml version='1.0'?>".to_owned(), "restricted-xml"),
        ("<!DOCTYPE a>".to_owned(), "restricted-xml"),
        ("<stream:features/>".to_owned(), "bad-namespace-prefix"),
    ] {
        let mut client = client();
        let said = client.frame(&sent);
        let [open, error, close] = &said[..] else { panic!("{sent}: {said:?}") };
        assert!(open.starts_with("<open ") && close == CLOSE, "{said:?}");
        assert!(
            error.starts_with("<stream:error xmlns:stream='http://etherx.jabber.org/streams'>"),
            "{error}"
        );
        assert!(error.contains(&format!("<{condition} xmlns=")), "{sent}: {error}");
        client.ending();
    }
}

#[test]
fn a_frame_is_one_whole_element() {
    for (sent, condition) in [
        ("<message xmlns='jabber:client'/><message xmlns='jabber:client'/>", "bad-format"),
        ("<message xmlns='jabber:client'", "not-well-formed"),
        ("<message xmlns='jabber:client'>", "not-well-formed"),
        ("", "not-well-formed"),
        ("text", "not-well-formed"),
        ("</message>", "not-well-formed"),
    ] {
        let mut client = bound();
        let said = client.frame(sent);
        assert!(said[0].contains(&format!("<{condition} xmlns=")), "{sent}: {said:?}");
        assert!(client.drafts().is_empty() || condition == "bad-format", "{sent}");
    }
}

#[test]
fn a_second_open_is_an_error() {
    let said = bound().frame(OPEN);
    assert!(said[0].contains("<bad-format xmlns="), "{said:?}");
}

#[test]
fn close_is_answered_by_close() {
    assert_eq!(client().frame(CLOSE)[1..], [CLOSE.to_owned()]);
    let mut client = bound();
    client.frame("<message xmlns='jabber:client'/>");
    assert!(client.frame(CLOSE).is_empty());
    client.drafts();
    let handled = starling_ports::ingress::Handling::Done(starling_ports::ids::Handled(1));
    assert_eq!(client.frames(Input::Handled(Some(handled))), [CLOSE]);
}

#[test]
fn everything_written_names_its_namespace() {
    let mut client = bound();
    let wire = Wire::from_bytes(bytes::Bytes::from_static(b"<message from='bob@a.example/x'>")).unwrap();
    let number = starling_ports::ids::LogNumber(1);
    let more = bytes::Bytes::new();
    let outgoing = Outgoing { number, wire, more, address: false, late: true, id: None, trace: None };
    client.machine.deliver(client.now, &outgoing, &mut client.out);
    client.machine.flush(client.now, &mut client.out);
    let said = client.frames(Input::Command(Command::Pull));
    let [message, ping] = &said[..] else { panic!("{said:?}") };
    assert_eq!(message, "<message xmlns='jabber:client' from='bob@a.example/x'></message>");
    assert!(ping.starts_with("<iq xmlns='jabber:client' to='"), "{ping}");
}

#[test]
fn a_violation_of_the_transport_ends_the_stream() {
    let mut client = bound();
    let said = client.frames(Input::Violation(StreamCondition::PolicyViolation, "a frame too long"));
    assert!(said[0].contains("<policy-violation xmlns=") && said[0].contains("a frame too long"), "{said:?}");
    assert_eq!(said[1], CLOSE);
}

/// XEP-0206: where the transport acknowledges, XEP-0198 is neither offered nor taken.
#[test]
fn a_transport_that_acknowledges_has_no_stream_management() {
    let mut client = Client::of(Settings { sm: false, ..settings() });
    client.say(HEADER);
    client.sign_in();
    assert!(!client.say(HEADER).contains("urn:xmpp:sm:3"));
    let resume = client.say("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>");
    assert!(resume.contains("<feature-not-implemented "), "{resume}");
    client.say(BIND);
    client.give(Input::Bound(Ok(session())));
    client.effects();
    let enable = client.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    assert!(enable.contains("<feature-not-implemented "), "{enable}");
    client.deliver(1);
    assert_eq!(client.machine.sent(), Some(starling_ports::ids::LogNumber(1)));
    client.give(Input::Acknowledged(starling_ports::ids::LogNumber(1)));
    assert!(matches!(client.effects()[..], [Effect::Acknowledge(starling_ports::ids::LogNumber(1))]));
    client.now += Duration::from_secs(60);
    assert_eq!(client.flush(), "", "nothing is left to ask for");
}
