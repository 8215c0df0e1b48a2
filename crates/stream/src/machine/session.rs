//! A bound session: stanzas both ways, their counters, and acknowledgements with or without XEP-0198.

use std::time::Duration;

use starling_jid::Jid;
use starling_ports::delivery::{Command, Outgoing};
use starling_ports::ids::{Handled, LogNumber};
use starling_ports::ingress::{Handling, SessionRef, Submitted};
use starling_ports::sessions::{Detach, SmBase};
use starling_stanza::{Condition, Draft};
use starling_xml::Raw;

use super::{Machine, Phase, Result};
use crate::effect::{Attached, Effect, Ending, Output};
use crate::error::{StreamCondition, StreamError};
use crate::feature::ping::Ping;
use crate::feature::{bind, csi, sm};

/// When a client is asked what it has handled.
struct Asking {
    stanzas: u32,
    bytes: usize,
    after: Duration,
}

/// `<r/>` is cheap and frees the log early.
const BY_REQUEST: Asking = Asking { stanzas: 16, bytes: 64 * 1024, after: Duration::from_secs(1) };
/// A ping costs a stanza each way.
const BY_PING: Asking = Asking { stanzas: 64, bytes: 256 * 1024, after: Duration::from_secs(5) };

/// A client that has left a ping unanswered is waited for so many times shorter.
const DEAF: u32 = 6;

/// With the condition that says of which kind: of its address, or of all.
const ONE_TOO_MANY: &str = "too many clients are here that have not signed in; come again later";

/// A session on its stream.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) session: SessionRef,
    address: Jid,
    received: u64, // the number of the last stanza read
    handled: Handled,
    sent: LogNumber, // the last entry written
    acknowledged: LogNumber,
    unconfirmed: bool, // the first `h` says more than its number: what went before <enabled/> has come
    unasked: Unasked,
    asked: Asked,
    asked_at: Duration,
    is_deaf: bool, // it answers no pings (RFC 6120 §8.2.3 wants it to)
    sm: Option<sm::Counters>,
    enabling: Option<SmBase>,
    answer_at: Option<u64>, // the client asked when it had sent so many: its first question that is open
    answer_upto: u64,       // and its last one
}

/// What a session's node must say of its stream, should its store forget it (session-log rule 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// How far what the client sent is handled, as far as it may have been told.
    pub handled: Handled,
    /// From where XEP-0198 counts, where it is on.
    pub base: Option<SmBase>,
    /// Whether the session may be resumed.
    pub resumable: bool,
}

/// What was written since the client was last asked.
#[derive(Debug, Default)]
struct Unasked {
    stanzas: u32,
    bytes: usize,
    since: Option<Duration>,
    is_late: bool, // among it is what had waited: the sooner it is acknowledged, the less comes twice
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Request,
    Ping(Ping),
}

impl Session {
    pub(super) fn bound(session: SessionRef) -> Session {
        Session {
            address: session.jid.clone().into(),
            session,
            received: 0,
            handled: Handled(0),
            sent: LogNumber(0),
            acknowledged: LogNumber(0),
            unconfirmed: false,
            unasked: Unasked::default(),
            asked: Asked::No,
            asked_at: Duration::ZERO,
            is_deaf: false,
            sm: None,
            enabling: None,
            answer_at: None,
            answer_upto: 0,
        }
    }

    pub(super) fn resumed(
        session: SessionRef,
        counters: sm::Counters,
        handled: Handled,
        acknowledged: LogNumber,
    ) -> Session {
        Session {
            received: handled.0,
            handled,
            sent: acknowledged,
            acknowledged,
            sm: Some(counters),
            ..Session::bound(session)
        }
    }

    pub(super) fn attached(&self) -> Attached {
        Attached { session: self.session.clone(), acknowledged: self.acknowledged }
    }

    pub(super) fn is_enabling(&self) -> bool {
        self.enabling.is_some()
    }

    pub(super) fn is_resumable(&self) -> bool {
        self.sm.is_some_and(|sm| sm.resumable)
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { handled: self.handled, base: self.sm.map(|sm| sm.base), resumable: self.is_resumable() }
    }

    pub(super) fn sent(&self) -> LogNumber {
        self.sent
    }

    pub(super) fn is_settled(&self) -> bool {
        self.handled.0 >= self.received
    }

    pub(super) fn deliver(&mut self, now: Duration, outgoing: &Outgoing, declared: bool, out: &mut Output) {
        let before = out.bytes.len();
        let to = outgoing.address.then_some(&self.address);
        outgoing.wire.write(&mut out.bytes, declared, to, &outgoing.more);
        self.sent = outgoing.number;
        self.unasked.stanzas += 1;
        self.unasked.bytes += out.bytes.len() - before;
        self.unasked.is_late |= outgoing.late;
        self.unasked.since.get_or_insert(now);
    }

    fn asking(&self) -> &'static Asking {
        if self.sm.is_some() { &BY_REQUEST } else { &BY_PING }
    }

    /// When the client is to be asked; at most one question is open.
    pub(super) fn ask_at(&self) -> Option<Duration> {
        let since = self.unasked.since.filter(|_| self.asked == Asked::No)?;
        let asking = self.asking();
        let is_much = self.unasked.stanzas >= asking.stanzas || self.unasked.bytes >= asking.bytes;
        Some(if is_much || self.unasked.is_late { since } else { since + asking.after })
    }

    /// Asks if it is time; says whether it did.
    pub(super) fn ask(&mut self, now: Duration, declared: bool, out: &mut Output) -> bool {
        if self.ask_at().is_none_or(|at| now < at) {
            return false;
        }
        self.unasked = Unasked::default();
        self.asked_at = now;
        if self.sm.is_some() {
            out.bytes.extend_from_slice(sm::REQUEST);
            self.asked = Asked::Request;
        } else {
            let ping = Ping { upto: self.sent };
            ping.write(&mut out.bytes, &self.session.jid, declared);
            self.asked = Asked::Ping(ping);
        }
        true
    }

    /// When a client that does not answer is taken at its TCP's word.
    pub(super) fn prove_at(&self, ping_within: Duration) -> Option<Duration> {
        let patience = if self.is_deaf { ping_within / DEAF } else { ping_within };
        matches!(self.asked, Asked::Ping(_)).then_some(self.asked_at + patience)
    }

    fn acknowledge(&mut self, upto: LogNumber, out: &mut Output) {
        if upto > self.acknowledged || self.unconfirmed {
            self.unconfirmed = false;
            self.acknowledged = upto;
            out.effects.push(Effect::Acknowledge(upto));
        }
        if upto >= self.sent {
            self.unasked = Unasked::default();
        }
    }

    /// `<a/>` with what is durable; says whether XEP-0198 is on.
    pub(super) fn write_answer(&self, out: &mut Output) -> bool {
        let Some(sm) = &self.sm else { return false };
        sm::write_answer(&mut out.bytes, sm.h(self.handled));
        true
    }

    /// The client asks (XEP-0198 §4). A question that is open stays open: who asks again and again is answered all the same.
    fn take_question(&mut self) {
        self.answer_at = self.answer_at.or(Some(self.received));
        self.answer_upto = self.received;
    }

    /// Answers `<r/>` once everything that stood before it is durable (session-log rule 6).
    fn answer_if_due(&mut self, out: &mut Output) -> bool {
        if self.answer_at.is_none_or(|at| self.handled.0 < at) {
            return false;
        }
        self.answer_at = Some(self.answer_upto).filter(|upto| self.handled.0 < *upto);
        self.write_answer(out)
    }
}

impl Machine {
    pub(super) fn in_session(&mut self, raw: Raw, length: usize, out: &mut Output) -> Result {
        if let Some(element) = sm::read(&raw) {
            if !self.settings.sm {
                self.sm_failed(Condition::FeatureNotImplemented, out);
                return Ok(());
            }
            return self.stream_management(element, out);
        }
        if let Some(inactive) = csi::read(&raw) {
            self.waiting = true;
            out.effects.push(Effect::SetInactive(inactive));
            return Ok(());
        }
        let declared = self.is_declared();
        let Phase::Bound(session) = &mut self.phase else { return Ok(()) };
        if session.sm.is_none() {
            // With XEP-0198 on, every stanza counts, so these go the way of all others.
            if let Asked::Ping(ping) = session.asked
                && ping.is_answered_by(&raw, &session.session.jid)
            {
                session.asked = Asked::No;
                session.is_deaf = false;
                session.acknowledge(ping.upto, out);
                return Ok(());
            }
            if let Some(id) = bind::read_session(&raw) {
                bind::write_result(&mut out.bytes, declared, id, None);
                self.mark(out);
                return Ok(());
            }
        }
        let draft = Draft::read(raw)?;
        session.received += 1;
        self.draft_bytes += length;
        self.drafts.push(Submitted { number: session.received, draft, trace: None });
        Ok(())
    }

    pub(super) fn acknowledged(&mut self, upto: LogNumber, out: &mut Output) {
        if let Phase::Bound(session) = &mut self.phase {
            session.acknowledge(upto, out);
        }
    }

    /// A client without XEP-0198 that answers no pings would soon get nothing more: what its TCP has, it has (ADR 10).
    pub(super) fn reached(&mut self, now: Duration, reached: bool, out: &mut Output) {
        let ping_within = self.settings.ping_within;
        let Phase::Bound(session) = &mut self.phase else { return };
        let Asked::Ping(ping) = session.asked else { return };
        if session.prove_at(ping_within).is_none_or(|at| now < at) {
            return;
        }
        session.asked_at = now;
        if reached {
            session.asked = Asked::No;
            session.is_deaf = true;
            session.acknowledge(ping.upto, out);
        }
    }

    fn stream_management(&mut self, element: sm::Element, out: &mut Output) -> Result {
        let Phase::Bound(session) = &mut self.phase else { return Ok(()) };
        let is_on = session.sm.is_some();
        match element {
            sm::Element::Enable { resume } if !is_on => {
                let base = SmBase { sent: session.sent, handled: Handled(session.received) };
                session.enabling = Some(base);
                self.waiting = true;
                out.effects.push(Effect::EnableSm { resume, base });
            }
            sm::Element::Request if is_on => {
                session.take_question();
                if session.answer_if_due(out) {
                    self.mark(out);
                }
            }
            sm::Element::Answer(h) if is_on => {
                let Some(counters) = &session.sm else { return Ok(()) };
                let upto =
                    counters.upto(h, session.acknowledged, session.sent).map_err(|too_high| StreamError {
                        condition: StreamCondition::UndefinedCondition,
                        text: None,
                        too_high: Some(too_high),
                    })?;
                session.asked = Asked::No;
                session.acknowledge(upto, out);
            }
            sm::Element::Malformed => self.sm_failed(Condition::BadRequest, out),
            _ => self.sm_failed(Condition::UnexpectedRequest, out),
        }
        Ok(())
    }

    pub(super) fn sm_failed(&mut self, condition: Condition, out: &mut Output) {
        sm::write_failed(&mut out.bytes, condition, None);
        self.mark(out);
    }

    pub(super) fn sm_enabled(&mut self, seconds: Option<u32>, out: &mut Output) -> Result {
        self.waiting = false;
        let Phase::Bound(session) = &mut self.phase else { return Ok(()) };
        let Some(base) = session.enabling.take() else { return Ok(()) };
        let Some(seconds) = seconds else {
            self.sm_failed(Condition::InternalServerError, out);
            return Ok(());
        };
        sm::write_enabled(&mut out.bytes, session.session.id, seconds);
        session.sm = Some(sm::Counters { base, resumable: seconds > 0 });
        // Streams are ordered, so the client has what went before when it answers, but not before.
        session.unconfirmed = session.acknowledged < base.sent;
        session.acknowledged = base.sent;
        session.asked = Asked::No;
        let since = session.unconfirmed.then_some(Duration::ZERO);
        session.unasked = Unasked { since, ..Unasked::default() };
        self.mark(out);
        Ok(())
    }

    pub(super) fn handled(&mut self, handling: Option<Handling>, out: &mut Output) -> Result {
        match handling {
            Some(Handling::Done(handled)) => {
                let Phase::Bound(session) = &mut self.phase else { return Ok(()) };
                session.handled = session.handled.max(handled);
                if session.answer_if_due(out) {
                    self.mark(out);
                }
                self.end_if_settled(out);
            }
            Some(Handling::Fenced) => self.close(Ending { detach: None, linger: false }, out),
            Some(Handling::InvalidFrom) => return Err(StreamCondition::InvalidFrom.into()),
            // Nothing was acknowledged: without a word the client may resume and send again (session-log rule 25).
            None => self.close(Ending { detach: Some(Detach::Lost), linger: false }, out),
        }
        Ok(())
    }

    pub(super) fn command(&mut self, command: Command, out: &mut Output) -> Result {
        match command {
            Command::Pull => Ok(()),
            Command::Conflict => Err(StreamCondition::Conflict.into()),
            Command::Close(condition) => {
                let condition =
                    StreamCondition::parse(condition).unwrap_or(StreamCondition::UndefinedCondition);
                // Who has not signed in yet is sent away for one reason only.
                Err(match self.phase {
                    Phase::Login(_) => StreamError::new(condition, ONE_TOO_MANY),
                    _ => condition.into(),
                })
            }
            Command::Fenced => {
                self.close(Ending { detach: None, linger: false }, out);
                Ok(())
            }
        }
    }
}
