//! Before a session: STARTTLS, SASL, registration, and what may be asked between login and binding.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use starling_jid::BareJid;
use starling_ports::authentication::{Mechanism, Reply, SaslFailure, Step};
use starling_ports::ingress::{BindError, RegisterError, Resume, SessionRef};
use starling_ports::sessions::Claimed;
use starling_stanza::Condition;
use starling_xml::{Raw, ns};

use super::session::Session;
use super::{Machine, Phase, Result};
use crate::effect::{Attached, Effect, Ending, Output, Register};
use crate::error::{StreamCondition, StreamError, TooHigh};
use crate::feature::{bind, register, sm};
use crate::sasl;

/// RFC 6120 §6.4.5 wants a number between 2 and 5 here.
const MAX_FAILURES: u8 = 5;

/// What is known before login.
#[derive(Debug, Default)]
pub(super) struct Login {
    pub(super) domain: Option<BareJid>,
    pub(super) secured: bool,
    pub(super) handshaking: bool,
    pub(super) exporter: Option<[u8; 32]>,
    pub(super) exchange: Option<(u128, Mechanism)>,
    failures: u8,
    request: Option<String>, // the id of a registration that is being decided
}

/// Who has signed in, and what it waits for.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) jid: BareJid,
    request: Option<String>, // the id of a request to bind
    resume: Option<Resume>,
}

impl Machine {
    pub(super) fn before_login(&mut self, raw: &Raw, out: &mut Output) -> Result {
        let name = &raw.head.name;
        match name.ns() {
            ns::TLS if name.local() == "starttls" => {
                self.starttls(out);
                Ok(())
            }
            ns::SASL => self.sasl(raw, out),
            ns::CLIENT => self.registration(raw, out),
            ns::SM => Err(StreamCondition::NotAuthorized.into()),
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    fn starttls(&mut self, out: &mut Output) {
        if !self.needs_tls() {
            out.bytes.extend_from_slice(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            self.mark(out);
            self.write_end(out); // RFC 6120 §5.4.2.2
            return self.close(Ending { detach: None, linger: true }, out);
        }
        out.bytes.extend_from_slice(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        if let Phase::Login(login) = &mut self.phase {
            login.handshaking = true;
        }
        self.waiting = true;
        self.restart();
        out.effects.push(Effect::StartTls);
    }

    pub(super) fn tls_started(&mut self, exporter: Option<[u8; 32]>) -> Result {
        if let Phase::Login(login) = &mut self.phase {
            login.secured = true;
            login.handshaking = false;
            login.exporter = exporter;
        }
        self.waiting = false;
        Ok(())
    }

    /// A new stream begins; nothing of the old one is left (RFC 6120 §4.3.3).
    fn restart(&mut self) {
        self.reader.reset();
        self.opened = false;
        self.greeted = false;
    }

    fn sasl(&mut self, raw: &Raw, out: &mut Output) -> Result {
        let step = match raw.head.name.local() {
            _ if self.needs_tls() => Err(SaslFailure::EncryptionRequired),
            // One exchange at a time: of one that is under way, something is kept where the keys are.
            "auth" if matches!(&self.phase, Phase::Login(login) if login.exchange.is_some()) => {
                Err(SaslFailure::MalformedRequest)
            }
            "auth" => self.begin(raw),
            "response" => self.respond(raw),
            "abort" => Err(SaslFailure::Aborted),
            _ => Err(SaslFailure::MalformedRequest),
        };
        match step {
            Ok(step) => {
                self.waiting = true;
                out.effects.push(Effect::Authenticate(Box::new(step)));
                Ok(())
            }
            Err(failure) => self.sasl_failed(failure, out),
        }
    }

    fn begin(&mut self, raw: &Raw) -> Result<Step, SaslFailure> {
        let mechanism = raw.head.attribute("mechanism").and_then(Mechanism::parse);
        let mechanism = mechanism.filter(|wanted| self.offered().any(|offered| offered == *wanted));
        let mechanism = mechanism.ok_or(SaslFailure::InvalidMechanism)?;
        let message = decoded(raw)?;
        let exchange = (self.settings.random)();
        self.step(exchange, mechanism, message).ok_or(SaslFailure::MalformedRequest)
    }

    fn respond(&mut self, raw: &Raw) -> Result<Step, SaslFailure> {
        let Phase::Login(login) = &self.phase else { return Err(SaslFailure::MalformedRequest) };
        let (exchange, mechanism) = login.exchange.ok_or(SaslFailure::MalformedRequest)?;
        let message = decoded(raw)?.unwrap_or_default();
        self.step(exchange, mechanism, Some(message)).ok_or(SaslFailure::MalformedRequest)
    }

    fn step(&mut self, exchange: u128, mechanism: Mechanism, message: Option<Vec<u8>>) -> Option<Step> {
        let plus_offered = self.offered().any(Mechanism::is_plus);
        let Phase::Login(login) = &mut self.phase else { return None };
        login.exchange = Some((exchange, mechanism));
        Some(Step {
            exchange,
            mechanism,
            domain: login.domain.clone()?,
            peer: self.peer,
            plus_offered,
            channel_binding: login.exporter.map(Vec::from),
            message,
        })
    }

    pub(super) fn authenticated(&mut self, reply: Reply, out: &mut Output) -> Result {
        self.waiting = false;
        match reply {
            Reply::Challenge(data) => {
                write_sasl(out, "challenge", Some(&data));
                self.mark(out);
                Ok(())
            }
            Reply::Success { account, additional } => {
                write_sasl(out, "success", additional.as_deref());
                self.mark(out);
                self.phase =
                    Phase::Authenticated(Box::new(Account { jid: account, request: None, resume: None }));
                self.reader.set_limits(self.settings.after_login.clone());
                self.restart();
                Ok(())
            }
            Reply::Failure(failure) => {
                if let Phase::Login(login) = &mut self.phase {
                    login.exchange = None;
                }
                self.sasl_failed(failure, out)
            }
        }
    }

    fn sasl_failed(&mut self, failure: SaslFailure, out: &mut Output) -> Result {
        let condition = failure.condition();
        let text = format!("<failure xmlns='{}'><{condition}/></failure>", ns::SASL);
        out.bytes.extend_from_slice(text.as_bytes());
        self.mark(out);
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        if let Some((exchange, _)) = login.exchange.take() {
            out.effects.push(Effect::AbortExchange(exchange));
        }
        login.failures += 1;
        if login.failures >= MAX_FAILURES {
            return Err(StreamError::new(StreamCondition::PolicyViolation, "too many failed logins"));
        }
        Ok(())
    }

    fn registration(&mut self, raw: &Raw, out: &mut Output) -> Result {
        let request = register::read(raw).filter(|_| self.settings.registration && !self.needs_tls());
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        match (request, &login.domain) {
            (Some((id, register::Request::Fields)), _) => {
                let declared = self.is_declared();
                bind::write_result(&mut out.bytes, declared, id, Some(&register::fields()));
                self.mark(out);
                Ok(())
            }
            (Some((id, register::Request::Register { username, password })), Some(domain)) => {
                let register = Register { domain: domain.clone(), username, password };
                login.request = Some(id.to_owned());
                self.waiting = true;
                out.effects.push(Effect::Register(Box::new(register)));
                Ok(())
            }
            _ => match raw.head.name.local() {
                "message" | "presence" | "iq" => Err(StreamCondition::NotAuthorized.into()),
                _ => Err(StreamCondition::UnsupportedStanzaType.into()),
            },
        }
    }

    pub(super) fn registered(&mut self, result: Result<(), RegisterError>, out: &mut Output) -> Result {
        self.waiting = false;
        let declared = self.is_declared();
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let id = login.request.take().unwrap_or_default();
        match result {
            Ok(()) => bind::write_result(&mut out.bytes, declared, &id, None),
            Err(error) => bind::write_error(&mut out.bytes, declared, &id, &register::refusal(error)),
        }
        self.mark(out);
        Ok(())
    }

    /// RFC 6120 §7.1: until a resource is bound, no stanza is handled but the request to bind.
    pub(super) fn before_bind(&mut self, raw: &Raw, out: &mut Output) -> Result {
        let random = self.settings.random;
        let Phase::Authenticated(account) = &mut self.phase else { return Ok(()) };
        if let Some(bind::Request { id, resource }) = bind::read(raw) {
            account.request = Some(id);
            self.waiting = true;
            out.effects.push(Effect::Bind { account: account.jid.clone(), resource });
            return Ok(());
        }
        match sm::read(raw) {
            Some(_) if !self.settings.sm => self.sm_failed(Condition::FeatureNotImplemented, out),
            Some(sm::Element::Resume { previous: Some(session), h }) => {
                let resume = Resume { account: account.jid.clone(), session, h, token: random() };
                account.resume = Some(resume.clone());
                self.waiting = true;
                out.effects.push(Effect::Resume(Box::new(resume)));
            }
            Some(sm::Element::Resume { .. }) => {
                sm::write_failed(&mut out.bytes, Condition::ItemNotFound, None);
                self.mark(out);
            }
            Some(sm::Element::Malformed) => {
                sm::write_failed(&mut out.bytes, Condition::BadRequest, None);
                self.mark(out);
            }
            Some(_) => {
                sm::write_failed(&mut out.bytes, Condition::UnexpectedRequest, None);
                self.mark(out);
            }
            None => return Err(StreamCondition::NotAuthorized.into()),
        }
        Ok(())
    }

    pub(super) fn bound(&mut self, result: Result<SessionRef, BindError>, out: &mut Output) -> Result {
        self.waiting = false;
        let declared = self.is_declared();
        let Phase::Authenticated(account) = &mut self.phase else { return Ok(()) };
        let id = account.request.take().unwrap_or_default();
        match result {
            Ok(session) => {
                bind::write_bound(&mut out.bytes, declared, &id, &session.jid);
                let session = Session::bound(session);
                out.effects.push(Effect::Attached(Box::new(session.attached())));
                self.phase = Phase::Bound(Box::new(session));
            }
            Err(error) => bind::write_error(&mut out.bytes, declared, &id, &bind::refusal(error)),
        }
        self.mark(out);
        Ok(())
    }

    pub(super) fn resumed(&mut self, claimed: Option<Claimed>, out: &mut Output) -> Result {
        self.waiting = false;
        let Phase::Authenticated(account) = &mut self.phase else { return Ok(()) };
        let Some(resume) = account.resume.take() else { return Ok(()) };
        match claimed {
            Some(Claimed::Resumed { jid, epoch, handled, acknowledged, portrait, base, .. }) => {
                let session = SessionRef { id: resume.session, jid, epoch };
                let counters = sm::Counters { base, resumable: portrait.flags.resumable };
                sm::write_resumed(&mut out.bytes, resume.session, counters.h(handled));
                let session = Session::resumed(session, counters, handled, acknowledged);
                let Attached { session: reference, acknowledged } = session.attached();
                out.effects.push(Effect::Attached(Box::new(Attached { session: reference, acknowledged })));
                self.phase = Phase::Bound(Box::new(session));
            }
            Some(Claimed::Failed { handled }) => {
                let h = handled.map(|handled| handled.0 as u32); // told modulo 2^32
                sm::write_failed(&mut out.bytes, Condition::ItemNotFound, h);
            }
            Some(Claimed::TooHigh { sent }) => {
                let too_high = Some(TooHigh { h: resume.h, sent: sent.0 as u32 });
                return Err(StreamError {
                    condition: StreamCondition::UndefinedCondition,
                    text: None,
                    too_high,
                });
            }
            // A refusal would make the client give its session up: it tries again with a new connection.
            None | Some(Claimed::Doubtful) => self.close(Ending { detach: None, linger: false }, out),
        }
        self.mark(out);
        Ok(())
    }
}

/// The message in an element; nothing is none.
fn decoded(raw: &Raw) -> Result<Option<Vec<u8>>, SaslFailure> {
    if raw.children.is_empty() { Ok(None) } else { sasl::decode(&raw.children).map(Some) }
}

fn write_sasl(out: &mut Output, name: &str, data: Option<&[u8]>) {
    let text = match data {
        None if name == "success" => format!("<success xmlns='{}'/>", ns::SASL),
        None | Some([]) => format!("<{name} xmlns='{}'>=</{name}>", ns::SASL),
        Some(data) => format!("<{name} xmlns='{}'>{}</{name}>", ns::SASL, BASE64_STANDARD.encode(data)),
    };
    out.bytes.extend_from_slice(text.as_bytes());
}
