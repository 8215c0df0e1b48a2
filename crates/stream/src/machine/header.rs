//! Stream headers and stream features (RFC 6120 §4.3, §4.7; RFC 7395 §3.4).

use starling_jid::{BareJid, Jid};
use starling_ports::authentication::Mechanism;
use starling_xml::{Framing, Head, ns};

use super::{Machine, Phase, Result};
use crate::effect::Output;
use crate::error::{StreamCondition, StreamError, attribute};
use crate::feature::{bind, csi, register, sm};
use crate::settings::Security;

/// XEP-0440: the channel binding that works here.
const CHANNEL_BINDING: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>";

/// Versioned rosters (RFC 6121 §2.6) and pre-approval (§3.4).
const ROSTER_FEATURES: &str =
    "<ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/>";

impl Machine {
    /// A stream header of the client.
    pub(super) fn open(&mut self, head: &Head, out: &mut Output) -> Result {
        if self.opened {
            // Its end may never come, so it is refused at its beginning (RFC 6120 §4.9.3.1, §4.9.3.24).
            return match head.name.local() {
                "stream" | "open" => {
                    Err(StreamError::new(StreamCondition::BadFormat, "a second stream header"))
                }
                _ => Err(StreamCondition::UnsupportedStanzaType.into()),
            };
        }
        self.opened = true;
        if self.settings.framing == Framing::Stream {
            if head.name.ns() == ns::STREAM && head.default_ns == *ns::STREAM {
                return Err(StreamCondition::BadNamespacePrefix.into()); // RFC 6120 §4.9.3.2: it needs one
            }
            if head.name.ns() != ns::STREAM || head.default_ns != *ns::CLIENT {
                return Err(StreamCondition::InvalidNamespace.into());
            }
            if head.name.local() != "stream" {
                return Err(StreamCondition::BadFormat.into());
            }
        }
        let domain = self.wanted_domain(head);
        let client = head.attribute("from").and_then(|from| Jid::new(from).ok());
        self.greet(domain.as_ref().ok(), client.as_ref(), out);
        let domain = domain?;
        if !is_supported(head.attribute("version")) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        if let Phase::Login(login) = &mut self.phase {
            login.domain = Some(domain);
        }
        self.write_features(out);
        self.mark(out);
        Ok(())
    }

    fn wanted_domain(&self, head: &Head) -> Result<BareJid> {
        let Some(to) = head.attribute("to") else {
            return Err(StreamError::new(StreamCondition::HostUnknown, "no domain"));
        };
        let to = BareJid::new(to).map_err(|_| StreamError::from(StreamCondition::ImproperAddressing))?;
        let known = match &self.phase {
            Phase::Login(login) => login.domain.as_ref().is_none_or(|domain| *domain == to),
            Phase::Authenticated(account) => account.jid.domain() == to.as_str(),
            Phase::Bound(_) => true,
        };
        if known && self.settings.domains.contains(&to) {
            Ok(to)
        } else {
            Err(StreamCondition::HostUnknown.into())
        }
    }

    /// Our own header, once a stream.
    pub(super) fn greet(&mut self, domain: Option<&BareJid>, client: Option<&Jid>, out: &mut Output) {
        if std::mem::replace(&mut self.greeted, true) {
            return;
        }
        let is_stream = self.settings.framing == Framing::Stream;
        let start: &[u8] = match is_stream {
            true => b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'",
            false => b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'",
        };
        out.bytes.extend_from_slice(start);
        attribute(&mut out.bytes, "id", &format!("{:032x}", (self.settings.random)()));
        if let Some(domain) = domain.or(self.settings.domains.first()) {
            attribute(&mut out.bytes, "from", domain.as_str());
        }
        if let Some(client) = client {
            attribute(&mut out.bytes, "to", client.as_str());
        }
        out.bytes.extend_from_slice(b" version='1.0' xml:lang='en'");
        out.bytes.extend_from_slice(if is_stream { b">" } else { b"/>" });
        self.mark(out);
    }

    /// The end of our stream.
    pub(super) fn write_end(&mut self, out: &mut Output) {
        self.greet(None, None, out);
        match self.settings.framing {
            Framing::Stream => out.bytes.extend_from_slice(b"</stream:stream>"),
            Framing::Element => {
                out.bytes.extend_from_slice(b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
                self.mark(out);
            }
        }
    }

    /// In the order of XEP-0170: TLS, then SASL, then binding.
    fn write_features(&self, out: &mut Output) {
        let out = &mut out.bytes;
        out.extend_from_slice(b"<stream:features");
        if !self.is_declared() {
            attribute(out, "xmlns:stream", ns::STREAM);
        }
        out.push(b'>');
        let mut add = |text: &str| out.extend_from_slice(text.as_bytes());
        match &self.phase {
            Phase::Login(_) if self.needs_tls() => {
                add("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>");
            }
            Phase::Login(login) => {
                add("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
                for mechanism in self.offered() {
                    add("<mechanism>");
                    add(mechanism.as_str());
                    add("</mechanism>");
                }
                add("</mechanisms>");
                if login.exporter.is_some() {
                    add(CHANNEL_BINDING);
                }
                if self.settings.registration {
                    add(register::FEATURE);
                }
            }
            Phase::Authenticated(_) | Phase::Bound(_) => {
                add(bind::FEATURE);
                if self.settings.sm {
                    add(sm::FEATURE);
                }
                add(csi::FEATURE);
                add(ROSTER_FEATURES);
                add(&self.settings.features);
            }
        }
        add("</stream:features>");
    }

    /// Whether nothing but STARTTLS goes.
    pub(super) fn needs_tls(&self) -> bool {
        match &self.phase {
            Phase::Login(login) => self.settings.security == Security::StartTls && !login.secured,
            _ => false,
        }
    }

    /// The mechanisms of this stream: -PLUS only with something to bind to.
    pub(super) fn offered(&self) -> impl Iterator<Item = Mechanism> {
        let is_bound = matches!(&self.phase, Phase::Login(login) if login.exporter.is_some());
        self.settings.mechanisms.iter().copied().filter(move |mechanism| is_bound || !mechanism.is_plus())
    }
}

/// RFC 6120 §4.7.5: absent means 0.9; a higher version than ours is answered with ours.
fn is_supported(version: Option<&str>) -> bool {
    let Some((major, minor)) = version.and_then(|version| version.split_once('.')) else { return false };
    let number = |text: &str| text.parse::<u16>().ok();
    number(major).is_some_and(|major| major >= 1) && number(minor).is_some()
}
