//! RFC 6120 §5: STARTTLS.

use super::*;

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

fn asked(behind: &str) -> Client {
    let mut client = Client::on(Security::StartTls);
    client.say(HEADER);
    assert_eq!(client.say(&format!("{STARTTLS}{behind}")), PROCEED);
    assert!(matches!(client.effects()[..], [Effect::StartTls]));
    client
}

#[test]
fn a_new_stream_begins_under_tls() {
    let mut client = asked("");
    assert!(!client.machine.wants_input(), "what comes now is TLS's own");
    assert_eq!(client.give(Input::TlsStarted { exporter: Some([3; 32]) }), "");
    assert!(client.machine.wants_input());
    let said = client.say(HEADER);
    assert!(
        said.starts_with(OUR_HEADER) && said.contains("<mechanism>SCRAM-SHA-256-PLUS</mechanism>"),
        "{said}"
    );
    assert!(!said.contains("starttls"), "{said}");
}

/// §5.4.3.3, CVE-2011-0411.
#[test]
fn what_stands_behind_starttls_is_dropped() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    for behind in [auth, &format!("{HEADER}{auth}"), "<half", " ", "<!--"] {
        let mut client = asked(behind);
        assert_eq!(client.give(Input::TlsStarted { exporter: None }), "");
        assert!(client.effects().is_empty(), "{behind}");
        assert!(client.say(HEADER).starts_with(OUR_HEADER), "{behind}");
    }
}

#[test]
fn without_a_new_header_nothing_is_understood_under_tls() {
    let mut client = asked("");
    client.give(Input::TlsStarted { exporter: None });
    let said = client.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>");
    assert_error(&said, "invalid-namespace");
}

#[test]
fn tls_is_refused_where_it_is_on() {
    for security in [Security::Direct, Security::Proxied, Security::Plain] {
        let mut client = Client::on(security);
        client.say(HEADER);
        let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>";
        assert_eq!(client.say(STARTTLS), failure);
        assert_eq!(client.ending(), Ending { detach: None, linger: true });
    }
    let mut client = asked("");
    client.give(Input::TlsStarted { exporter: None });
    client.say(HEADER);
    assert!(client.say(STARTTLS).starts_with("<failure"));
}

#[test]
fn nothing_else_is_done_before_tls() {
    let open = Settings { registration: true, security: Security::StartTls, ..settings() };
    for (stanza, condition) in [
        ("<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>", "not-authorized"),
        ("<message/>", "not-authorized"),
        ("<r xmlns='urn:xmpp:sm:3'/>", "not-authorized"),
        ("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "unsupported-stanza-type"),
    ] {
        let mut client = Client::of(open.clone());
        client.say(HEADER);
        assert_eq!(client.say(stanza), error(condition), "{stanza}");
        client.ending();
    }
    let mut client = Client::of(open);
    client.say(HEADER);
    let said = client.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>");
    assert_eq!(said, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><encryption-required/></failure>");
    assert!(client.effects().is_empty(), "the password is not even looked at");
}
