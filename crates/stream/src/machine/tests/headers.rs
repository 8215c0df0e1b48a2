//! RFC 6120 §4.7, §4.8, §4.9: headers, and what is wrong with them; XEP-0170: what is offered when.
//!
//! Version 1.0 of XEP-0170: complete.

use super::*;

#[test]
fn a_header_is_answered_by_ours_and_the_features() {
    let mut client = Client::on(Security::Direct);
    let said = client.say(HEADER);
    assert!(said.starts_with(OUR_HEADER) && said.ends_with("</stream:features>"), "{said}");
    assert!(client.machine.wants_input() && client.machine.is_open());

    let mut named = Client::on(Security::Direct);
    let said = named.say(&HEADER.replace(" to=", " from='alice@a.example/x&apos;y' to="));
    assert!(said.contains(" to='alice@a.example/x&apos;y'"), "{said}");
    let mut unnamed = Client::on(Security::Direct);
    assert!(!unnamed.say(&HEADER.replace(" to=", " from='@' to=")).contains(" to="));
}

#[test]
fn each_fault_of_a_header_has_its_error() {
    for (from, to, condition) in [
        (" to='a.example'", " to='c.example'", "host-unknown"),
        (" to='a.example'", "", "host-unknown"),
        (" to='a.example'", " to='alice@a.example'", "host-unknown"),
        (" to='a.example'", " to='a example'", "improper-addressing"),
        (" to='a.example'", " to=''", "improper-addressing"),
        (" version='1.0'>", ">", "unsupported-version"),
        (" version='1.0'>", " version='0.9'>", "unsupported-version"),
        (" version='1.0'>", " version='1'>", "unsupported-version"),
        ("jabber:client", "jabber:server", "invalid-namespace"),
        ("xmlns='jabber:client'", "", "invalid-namespace"),
        ("http://etherx.jabber.org/streams", "urn:x", "invalid-namespace"),
        ("<stream:stream", "<stream:features", "bad-format"),
        ("<stream:stream", "<streams:stream", "bad-namespace-prefix"),
        ("<stream:stream xmlns='jabber:client' xmlns:stream=", "<stream xmlns=", "bad-namespace-prefix"),
        ("<?xml version='1.0'?>", "<?xml version='1.0' encoding='utf-16'?>", "unsupported-encoding"),
        ("<?xml version='1.0'?>", "<!DOCTYPE x>", "restricted-xml"),
        ("<?xml version='1.0'?>", "text", "not-well-formed"),
        ("'1.0'>", "'1.0'/>", "not-well-formed"),
        (" to=", " version='1.0' to=", "not-well-formed"),
    ] {
        let mut client = Client::on(Security::Direct);
        let said = client.say(&HEADER.replace(from, to));
        assert!(said.starts_with("<?xml version='1.0'?><stream:stream "), "§4.9.1.2: {said}");
        assert_eq!(said.matches("<stream:stream").count(), 1, "{said}");
        assert_error(&said, condition);
        assert_eq!(client.ending(), Ending { detach: None, linger: true });
    }
}

#[test]
fn later_versions_are_answered_with_ours() {
    for version in ["1.0", "1.1", "1.99", "2.0", "12.3"] {
        let mut client = Client::on(Security::Direct);
        let said = client.say(&HEADER.replace("'1.0'>", &format!("'{version}'>")));
        assert!(
            said.contains(" version='1.0' xml:lang='en'>") && said.ends_with("</stream:features>"),
            "{said}"
        );
    }
}

#[test]
fn each_domain_is_answered_by_its_name() {
    let mut client = Client::on(Security::Direct);
    let said = client.say(&HEADER.replace("a.example", "B.example"));
    assert!(said.contains(" from='b.example'"), "{said}");
}

#[test]
fn nothing_is_offered_before_tls_but_tls() {
    let mut client = Client::on(Security::StartTls);
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
        </stream:features>";
    assert_eq!(client.say(HEADER), format!("{OUR_HEADER}{features}"));
}

#[test]
fn mechanisms_come_strongest_first_and_bindings_where_they_work() {
    let mechanism = |name: &str| format!("<mechanism>{name}</mechanism>");
    let weak = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"].map(mechanism).concat();
    let strong = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"].map(mechanism).concat();
    let of = |list: &str| format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{list}</mechanisms>");

    for security in [Security::Direct, Security::Proxied, Security::Plain] {
        let said = Client::on(security).say(HEADER);
        assert_eq!(said, format!("{OUR_HEADER}<stream:features>{}</stream:features>", of(&weak)));
    }
    let mut client = Client::on(Security::Direct);
    client.give(Input::TlsStarted { exporter: Some([1; 32]) });
    let binding = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
        </sasl-channel-binding>";
    let all = of(&format!("{strong}{weak}"));
    assert_eq!(client.say(HEADER), format!("{OUR_HEADER}<stream:features>{all}{binding}</stream:features>"));

    let mut open = Client::of(Settings { registration: true, ..settings() });
    assert!(open.say(HEADER).contains("<register xmlns='http://jabber.org/features/iq-register'/>"));
}

#[test]
fn after_login_a_session_is_offered() {
    let mut client = Client::on(Security::Direct);
    client.say(HEADER);
    client.sign_in();
    let said = client.say(HEADER);
    let features = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
        <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session><sm xmlns='urn:xmpp:sm:3'/>\
        <csi xmlns='urn:xmpp:csi:0'/><ver xmlns='urn:xmpp:features:rosterver'/>\
        <sub xmlns='urn:xmpp:features:pre-approval'/><c xmlns='http://jabber.org/protocol/caps'/></stream:features>";
    assert_eq!(said, format!("{OUR_HEADER}{features}"));
}

#[test]
fn every_split_of_the_bytes_is_answered_alike() {
    let whole = Client::on(Security::Direct).say(HEADER);
    for at in 1..HEADER.len() {
        let mut client = Client::on(Security::Direct);
        let said = client.say(&HEADER[..at]) + &client.say(&HEADER[at..]);
        assert_eq!(said, whole, "{at}");
    }
}
