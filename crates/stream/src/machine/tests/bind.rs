//! RFC 6120 §7, XEP-0077 §3.1: what is asked before there is a session.

use starling_ports::ingress::{BindError, RegisterError};

use super::*;

#[test]
fn a_resource_is_asked_for_or_left_to_the_server() {
    for (bind, wanted) in [
        (BIND, Some("phone")),
        ("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", None),
        (
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource/></bind></iq>",
            None,
        ),
    ] {
        let mut client = Client::authenticated();
        assert_eq!(client.say(bind), "");
        let effects = client.effects();
        let [Effect::Bind { account, resource }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((account.as_str(), resource.as_deref()), ("alice@a.example", wanted));
        assert!(!client.machine.wants_input() && !client.machine.can_deliver());
        let said = client.give(Input::Bound(Ok(session())));
        let jid = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@a.example/phone</jid></bind>";
        assert_eq!(said, format!("<iq type='result' id='b'>{jid}</iq>"));
        let effects = client.effects();
        let [Effect::Attached(attached)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((attached.session.id, attached.acknowledged.0), (SessionId(7), 0));
        assert_eq!(client.machine.jid().map(FullJid::as_str), Some("alice@a.example/phone"));
        assert!(client.machine.wants_input() && client.machine.can_deliver());
    }
}

#[test]
fn a_refusal_leaves_the_stream_for_another_try() {
    for (error, kind, condition) in [
        (BindError::BadRequest, "modify", "bad-request"),
        (BindError::ResourceConstraint, "wait", "resource-constraint"),
        (BindError::Unavailable, "wait", "resource-constraint"),
        (BindError::NotAllowed, "cancel", "not-allowed"),
    ] {
        let mut client = Client::authenticated();
        client.say(&BIND.replace("'b'", "'it&apos;s'"));
        let said = client.give(Input::Bound(Err(error)));
        assert!(said.starts_with("<iq type='error' id='it&apos;s'><error type='"), "{said}");
        assert!(said.contains(&format!("type='{kind}'><{condition} xmlns=")), "{said}");
        client.effects();
        client.say(BIND);
        assert!(matches!(client.effects()[..], [Effect::Bind { .. }]));
    }
}

#[test]
fn no_stanza_is_handled_before_binding() {
    for stanza in [
        "<message/>",
        "<presence/>",
        "<iq type='get' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
        "<what/>",
    ] {
        let mut client = Client::authenticated();
        assert_eq!(client.say(stanza), error("not-authorized"), "{stanza}");
        assert_eq!(client.ending(), Ending { detach: None, linger: true });
    }
}

/// RFC 3921 §3, until XEP-0198 counts every stanza; then it goes the way of all others.
#[test]
fn a_session_request_is_answered_at_once() {
    let request = "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    let mut client = Client::bound();
    assert_eq!(client.say(request), "<iq type='result' id='s'/>");
    assert!(client.drafts().is_empty());
    let mut client = Client::managed();
    assert_eq!(client.say(request), "");
    assert_eq!(client.drafts(), [(1, "s".to_owned())]);
}

fn newcomer() -> Client {
    let mut client = Client::of(Settings { registration: true, ..settings() });
    client.say(HEADER);
    client
}

const REGISTER: &str = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>alice</username>\
    <password>secret</password></query></iq>";

#[test]
fn an_account_is_made_before_login() {
    let mut client = newcomer();
    let fields = client.say("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>");
    assert!(fields.starts_with("<iq type='result' id='f'><query xmlns='jabber:iq:register'>"), "{fields}");
    assert!(fields.contains("<username/><password/>"), "{fields}");
    assert_eq!(client.say(REGISTER), "");
    let effects = client.effects();
    let [Effect::Register(register)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((register.domain.as_str(), register.username.as_str()), ("a.example", "alice"));
    assert_eq!(register.password, "secret");
    assert_eq!(client.give(Input::Registered(Ok(()))), "<iq type='result' id='r'/>");
    client.sign_in();
}

#[test]
fn a_refused_registration_says_why() {
    for (error, condition) in [
        (RegisterError::Conflict, "conflict"),
        (RegisterError::NotAcceptable, "not-acceptable"),
        (RegisterError::NotAllowed, "not-allowed"),
        (RegisterError::ResourceConstraint, "resource-constraint"),
    ] {
        let mut client = newcomer();
        client.say(REGISTER);
        let said = client.give(Input::Registered(Err(error)));
        assert!(
            said.starts_with("<iq type='error' id='r'>") && said.contains(&format!("<{condition} ")),
            "{said}"
        );
        assert!(client.machine.wants_input());
    }
    let mut closed = Client::on(Security::Direct);
    closed.say(HEADER);
    assert_eq!(closed.say(REGISTER), error("not-authorized"));
}
