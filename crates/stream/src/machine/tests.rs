//! A machine is told what a client says and what the server decides; what it writes and wants is compared.

mod acks;
mod bind;
mod ends;
mod frames;
mod headers;
mod sasl;
mod sm;
mod tls;

use starling_ports::delivery::Command;
use starling_ports::ids::{Epoch, SessionId};
use starling_stanza::Wire;
use starling_xml::Limits;

use super::*;
use crate::settings::Security;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='a.example' version='1.0'>";
const OUR_HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='0000000000000000000000000000002a' from='a.example' \
    version='1.0' xml:lang='en'>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>phone</resource></bind></iq>";

fn settings() -> Settings {
    Settings {
        domains: vec![BareJid::new("a.example").unwrap(), BareJid::new("b.example").unwrap()],
        mechanisms: starling_ports::authentication::Mechanism::ALL.to_vec(),
        registration: false,
        sm: true,
        features: "<c xmlns='http://jabber.org/protocol/caps'/>".to_owned(),
        before_login: Limits::BEFORE_LOGIN.into(),
        after_login: Limits::AFTER_LOGIN.into(),
        login_within: Duration::from_secs(30),
        stanza_within: Duration::from_secs(60),
        ping_within: Duration::from_secs(60),
        random: || 42,
        security: Security::Direct,
        framing: Framing::Stream,
    }
}

/// Both sides of a machine.
struct Client {
    machine: Machine,
    now: Duration,
    out: Output,
}

impl Client {
    fn of(settings: Settings) -> Client {
        let machine = Machine::new(Arc::new(settings), IpAddr::from([127, 0, 0, 1]));
        Client { machine, now: Duration::ZERO, out: Output::default() }
    }

    /// On a listener of that kind; nothing was said yet.
    fn on(security: Security) -> Client {
        Client::of(Settings { security, ..settings() })
    }

    /// Signed in as alice@a.example, with a stream open again.
    fn authenticated() -> Client {
        let mut client = Client::on(Security::Direct);
        client.say(HEADER);
        client.sign_in();
        client.say(HEADER);
        client
    }

    fn sign_in(&mut self) {
        self.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>");
        assert!(matches!(self.effects()[..], [Effect::Authenticate(_)]));
        let account = BareJid::new("alice@a.example").unwrap();
        let reply = starling_ports::authentication::Reply::Success { account, additional: None };
        assert_eq!(
            self.give(Input::Authenticated(reply)),
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
        );
    }

    /// With a session, alice@a.example/phone.
    fn bound() -> Client {
        let mut client = Client::authenticated();
        client.say(BIND);
        assert!(matches!(client.effects()[..], [Effect::Bind { .. }]));
        client.give(Input::Bound(Ok(session())));
        assert!(matches!(client.effects()[..], [Effect::Attached(_)]));
        client
    }

    /// With XEP-0198, to be resumed within 300 seconds.
    fn managed() -> Client {
        let mut client = Client::bound();
        client.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        assert!(matches!(client.effects()[..], [Effect::EnableSm { resume: true, .. }]));
        client.give(Input::SmEnabled(Some(300)));
        client
    }

    /// What the server says to that.
    fn say(&mut self, text: &str) -> String {
        self.give(Input::Bytes(text.as_bytes()))
    }

    /// What the client hears of it.
    fn give(&mut self, input: Input<'_>) -> String {
        self.machine.handle(self.now, input, &mut self.out);
        self.heard()
    }

    fn heard(&mut self) -> String {
        self.out.ends.clear();
        String::from_utf8(std::mem::take(&mut self.out.bytes)).unwrap()
    }

    /// What the machine wants, since it was last asked.
    fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.out.effects)
    }

    /// The one ending that there must be.
    #[track_caller]
    fn ending(&mut self) -> Ending {
        assert!(self.machine.is_closed() && !self.machine.wants_input());
        let effects = self.effects();
        let [.., Effect::Close(ending)] = effects[..] else { panic!("{effects:?}") };
        ending
    }

    /// Writes an entry of the log.
    fn deliver(&mut self, number: u64) -> String {
        self.deliver_as(number, false)
    }

    fn deliver_as(&mut self, number: u64, late: bool) -> String {
        assert!(self.machine.can_deliver());
        let wire = Wire::from_bytes(bytes::Bytes::from_static(b"<message from='bob@a.example/x'>")).unwrap();
        let number = starling_ports::ids::LogNumber(number);
        let more = bytes::Bytes::new();
        let outgoing = Outgoing { number, wire, more, address: true, late, id: None, trace: None };
        self.machine.deliver(self.now, &outgoing, &mut self.out);
        self.heard()
    }

    /// What is written when a turn's entries are.
    fn flush(&mut self) -> String {
        self.machine.flush(self.now, &mut self.out);
        self.heard()
    }

    fn handled(&mut self, upto: u64) -> String {
        self.give(Input::Handled(Some(starling_ports::ingress::Handling::Done(
            starling_ports::ids::Handled(upto),
        ))))
    }

    /// The stanzas to be submitted: their numbers and ids.
    fn drafts(&mut self) -> Vec<(u64, String)> {
        let drafts = self.machine.take_drafts();
        drafts.iter().map(|one| (one.number, one.draft.id().unwrap_or_default().to_owned())).collect()
    }
}

fn session() -> starling_ports::ingress::SessionRef {
    let jid = FullJid::new("alice@a.example/phone").unwrap();
    starling_ports::ingress::SessionRef { id: SessionId(7), jid, epoch: Epoch(1) }
}

/// A stream error and the end of the stream, behind the server's header where that has not been written.
fn error(condition: &str) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    )
}

/// Whether it is a stream error with that condition, and maybe more, then the end of the stream.
#[track_caller]
fn assert_error(said: &str, condition: &str) {
    let expected = format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    assert!(
        said.contains(&expected) && said.ends_with("</stream:error></stream:stream>"),
        "{condition}: {said}"
    );
}
