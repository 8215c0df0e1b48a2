//! The stream of one client: input in, effects out, no I/O, no clock (RFC 6120).

mod header;
mod login;
mod session;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use starling_jid::{BareJid, FullJid};
use starling_ports::delivery::Outgoing;
use starling_ports::ids::LogNumber;
use starling_ports::ingress::Submitted;
use starling_xml::{Event, Framing, Raw, Reader, ns};

use crate::effect::{Effect, Ending, Input, Output};
use crate::error::{StreamCondition, StreamError};
use crate::settings::Settings;
use login::{Account, Login};
pub use session::Counts;
use session::Session;

/// As many stanzas are read before the first of them is handed on.
const MAX_DRAFTS: usize = 64;
/// As many bytes of stanzas are read before the first of them is handed on.
const MAX_DRAFT_BYTES: usize = 256 * 1024;

/// Decides what a client's stream does. Small while idle: what only a login needs is given back after it.
#[derive(Debug)]
pub struct Machine {
    settings: Arc<Settings>,
    peer: IpAddr,
    reader: Reader,
    rest: Vec<u8>, // came, but an answer is due before it is read
    drafts: Vec<Submitted>,
    draft_bytes: usize,
    phase: Phase,
    partial_since: Option<Duration>,
    waiting: bool, // for the answer to an effect: nothing is read meanwhile
    opened: bool,  // the client's header has come
    greeted: bool, // ours has been written
    state: Life,
}

#[derive(Debug)]
enum Phase {
    Login(Box<Login>),
    Authenticated(Box<Account>),
    Bound(Box<Session>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// The client has closed its stream; ours closes when everything that it sent is handled.
    Closing,
    Closed,
}

type Result<T = (), E = StreamError> = std::result::Result<T, E>;

impl Machine {
    /// For a new connection of `peer`.
    pub fn new(settings: Arc<Settings>, peer: IpAddr) -> Machine {
        Machine {
            reader: Reader::new(settings.framing, settings.before_login.clone()),
            settings,
            peer,
            rest: Vec::new(),
            drafts: Vec::new(),
            draft_bytes: 0,
            phase: Phase::Login(Box::default()),
            partial_since: None,
            waiting: false,
            opened: false,
            greeted: false,
            state: Life::Open,
        }
    }

    /// Whose connection it is.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Takes what happened at `now`, counted from the beginning of the connection; `out` grows by what follows from it.
    pub fn handle(&mut self, now: Duration, input: Input<'_>, out: &mut Output) {
        if self.state == Life::Closed {
            return;
        }
        let done = match input {
            Input::Bytes(bytes) => return self.bytes(now, bytes, out),
            Input::Document(bytes) => self.document(bytes, out),
            Input::Violation(condition, text) => Err(StreamError::new(condition, text)),
            Input::TlsStarted { exporter } => self.tls_started(exporter),
            Input::Authenticated(reply) => self.authenticated(reply, out),
            Input::Registered(result) => self.registered(result, out),
            Input::Bound(result) => self.bound(result, out),
            Input::Resumed(claimed) => self.resumed(claimed, out),
            Input::SmEnabled(seconds) => self.sm_enabled(seconds, out),
            Input::InactiveSet => {
                self.waiting = false;
                Ok(())
            }
            Input::Acknowledged(upto) => {
                self.acknowledged(upto, out);
                Ok(())
            }
            Input::Reached(reached) => {
                self.reached(now, reached, out);
                Ok(())
            }
            Input::Handled(handling) => self.handled(handling, out),
            Input::Command(command) => self.command(command, out),
            Input::Tick => self.tick(now, out),
            Input::Drain => self.drain(out),
            Input::Eof => {
                self.eof(out);
                Ok(())
            }
        };
        if let Err(error) = done {
            self.fail(error, out);
        }
        self.go_on(now, out);
    }

    /// Writes an entry of the session's log. Only where `can_deliver`.
    pub fn deliver(&mut self, now: Duration, outgoing: &Outgoing, out: &mut Output) {
        let declared = self.is_declared();
        if let Phase::Bound(session) = &mut self.phase {
            session.deliver(now, outgoing, declared, out);
            self.mark(out);
        }
    }

    /// Asks the client what it has handled, if it is time. To be called when a turn's entries are written.
    pub fn flush(&mut self, now: Duration, out: &mut Output) {
        let declared = self.is_declared();
        if !self.can_deliver() {
            return;
        }
        if let Phase::Bound(session) = &mut self.phase
            && session.ask(now, declared, out)
        {
            self.mark(out);
        }
    }

    /// Whether entries of the log may be written now.
    pub fn can_deliver(&self) -> bool {
        match &self.phase {
            Phase::Bound(session) => self.state == Life::Open && !session.is_enabling(),
            _ => false,
        }
    }

    /// Whether bytes of the client may be handed in; otherwise they wait in its socket.
    pub fn wants_input(&self) -> bool {
        self.is_reading() && self.rest.is_empty()
    }

    /// Whether the client may be expected to send something at any time; not once the stream is over.
    pub fn is_open(&self) -> bool {
        self.state == Life::Open
    }

    /// Whether nothing more will be written.
    pub fn is_closed(&self) -> bool {
        self.state == Life::Closed
    }

    /// The last entry of the log that was written.
    pub fn sent(&self) -> Option<LogNumber> {
        match &self.phase {
            Phase::Bound(session) => Some(session.sent()),
            _ => None,
        }
    }

    /// What its node must say of a session, once it has one.
    pub fn counts(&self) -> Option<Counts> {
        match &self.phase {
            Phase::Bound(session) => Some(session.counts()),
            _ => None,
        }
    }

    /// How many bytes the next element may have.
    pub fn max_bytes(&self) -> usize {
        match &self.phase {
            Phase::Login(_) => self.settings.before_login.bytes,
            Phase::Authenticated(_) | Phase::Bound(_) => self.settings.after_login.bytes,
        }
    }

    /// The stanzas read so far, to be submitted in one batch.
    pub fn take_drafts(&mut self) -> Vec<Submitted> {
        self.draft_bytes = 0;
        std::mem::take(&mut self.drafts)
    }

    /// Whether stanzas wait to be submitted.
    pub fn has_drafts(&self) -> bool {
        !self.drafts.is_empty()
    }

    /// Whose session it is, once it has one.
    pub fn jid(&self) -> Option<&FullJid> {
        match &self.phase {
            Phase::Bound(session) => Some(&session.session.jid),
            _ => None,
        }
    }

    /// The account, once it is proved.
    pub fn account(&self) -> Option<BareJid> {
        match &self.phase {
            Phase::Login(_) => None,
            Phase::Authenticated(account) => Some(account.jid.clone()),
            Phase::Bound(session) => Some(session.session.jid.bare()),
        }
    }

    /// When `Input::Tick` is due, counted from the beginning of the connection.
    pub fn deadline(&self) -> Option<Duration> {
        let next = match &self.phase {
            Phase::Bound(session) if self.can_deliver() => session.ask_at(),
            Phase::Bound(_) => None,
            _ => limited(self.settings.login_within),
        };
        let partial = self.partial_deadline();
        match (next, partial) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// When `Input::Reached` is due: the client has left a ping unanswered for long.
    pub fn prove_at(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Bound(session) if self.can_deliver() => session.prove_at(self.settings.ping_within),
            _ => None,
        }
    }

    fn partial_deadline(&self) -> Option<Duration> {
        Some(self.partial_since? + limited(self.settings.stanza_within)?)
    }

    fn is_reading(&self) -> bool {
        let has_room = self.drafts.len() < MAX_DRAFTS && self.draft_bytes < MAX_DRAFT_BYTES;
        self.state == Life::Open && !self.waiting && has_room
    }

    fn is_declared(&self) -> bool {
        self.settings.framing == Framing::Stream
    }

    fn bytes(&mut self, now: Duration, bytes: &[u8], out: &mut Output) {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            return self.go_on(now, out);
        }
        let left = self.read(now, bytes, out);
        if let Some(left) = bytes.len().checked_sub(left).and_then(|at| bytes.get(at..)) {
            self.rest = left.to_vec();
        }
    }

    /// One element and nothing else: what is less or more than that cannot be read by itself (RFC 7395 §3.3.3).
    fn document(&mut self, mut bytes: &[u8], out: &mut Output) -> Result {
        let length = bytes.len();
        let event = self.reader.next(&mut bytes)?;
        if !bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(StreamError::new(StreamCondition::BadFormat, "more than one element"));
        }
        match event {
            Some(event) => self.event(event, length, out),
            None => Err(StreamError::new(StreamCondition::NotWellFormed, "not a whole element")),
        }
    }

    /// Reads what came while an answer was due.
    fn go_on(&mut self, now: Duration, out: &mut Output) {
        if self.rest.is_empty() || !self.is_reading() {
            return;
        }
        let mut rest = std::mem::take(&mut self.rest);
        let left = self.read(now, &rest, out);
        rest.drain(..rest.len().saturating_sub(left));
        if !rest.is_empty() {
            self.rest = rest;
        }
    }

    /// How many bytes at the end of `input` are left.
    fn read(&mut self, now: Duration, mut input: &[u8], out: &mut Output) -> usize {
        let mut begun = self.partial_since;
        while self.is_reading() {
            let length = input.len();
            match self.reader.next(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    begun = None;
                    if let Err(error) = self.event(event, length - input.len(), out) {
                        self.fail(error, out);
                    }
                }
                Err(error) => self.fail(error.into(), out),
            }
        }
        self.partial_since = self.reader.has_partial().then(|| begun.unwrap_or(now));
        // What stands behind <starttls/> was not said under TLS, and what stands behind the end was not said at all.
        let is_dropped =
            self.state != Life::Open || matches!(&self.phase, Phase::Login(login) if login.handshaking);
        if is_dropped { 0 } else { input.len() }
    }

    fn event(&mut self, event: Event, length: usize, out: &mut Output) -> Result {
        match event {
            Event::Open(head) => self.open(&head, out),
            Event::Close => {
                self.client_closed(out);
                Ok(())
            }
            Event::Element(raw) => self.element(raw, length, out),
        }
    }

    fn element(&mut self, raw: Raw, length: usize, out: &mut Output) -> Result {
        if self.settings.framing == Framing::Element && raw.head.name.ns() == ns::FRAMING {
            match raw.head.name.local() {
                "open" => return self.open(&raw.head, out),
                "close" => {
                    self.client_closed(out);
                    return Ok(());
                }
                _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
            }
        }
        if !self.opened {
            return Err(StreamError::new(StreamCondition::BadFormat, "no stream header")); // RFC 6120 §4.3.3
        }
        match &self.phase {
            Phase::Login(_) => self.before_login(&raw, out),
            Phase::Authenticated(_) => self.before_bind(&raw, out),
            Phase::Bound(_) => self.in_session(raw, length, out),
        }
    }

    fn client_closed(&mut self, out: &mut Output) {
        self.state = Life::Closing;
        self.end_if_settled(out);
    }

    /// The client has closed and everything is handled: XEP-0198 §4 wants a last `<a/>`, then ours closes too.
    fn end_if_settled(&mut self, out: &mut Output) {
        if self.state != Life::Closing {
            return;
        }
        let mut detach = None;
        if let Phase::Bound(session) = &self.phase {
            if !session.is_settled() {
                return;
            }
            detach = Some(starling_ports::sessions::Detach::Closed);
            if session.write_answer(out) {
                self.mark(out);
            }
        }
        self.write_end(out);
        self.close(Ending { detach, linger: true }, out);
    }

    fn tick(&mut self, now: Duration, out: &mut Output) -> Result {
        let is_bound = matches!(self.phase, Phase::Bound(_));
        if !is_bound && limited(self.settings.login_within).is_some_and(|limit| now >= limit) {
            return Err(StreamError::new(StreamCondition::ConnectionTimeout, "login took too long"));
        }
        if self.partial_deadline().is_some_and(|limit| now >= limit) {
            return Err(StreamError::new(StreamCondition::ConnectionTimeout, "an element took too long"));
        }
        self.flush(now, out);
        Ok(())
    }

    fn drain(&mut self, out: &mut Output) -> Result {
        match &self.phase {
            // No word: a stream that is closed cannot be resumed (XEP-0198 §5).
            Phase::Bound(session) if session.is_resumable() => {
                let detach = Some(starling_ports::sessions::Detach::Lost);
                self.close(Ending { detach, linger: false }, out);
                Ok(())
            }
            _ => Err(StreamCondition::SystemShutdown.into()),
        }
    }

    fn eof(&mut self, out: &mut Output) {
        if self.state == Life::Open {
            let detach =
                matches!(self.phase, Phase::Bound(_)).then_some(starling_ports::sessions::Detach::Lost);
            self.close(Ending { detach, linger: false }, out);
        }
    }

    /// Ends the stream with an error. A header goes before it in any case (RFC 6120 §4.9.1.2).
    fn fail(&mut self, error: StreamError, out: &mut Output) {
        use starling_ports::sessions::Detach;

        self.greet(None, None, out);
        error.write(&mut out.bytes, self.is_declared());
        self.mark(out);
        self.write_end(out);
        let why = match error.condition {
            StreamCondition::ConnectionTimeout | StreamCondition::SystemShutdown => Detach::Lost,
            _ => Detach::Closed,
        };
        let detach = matches!(self.phase, Phase::Bound(_)).then_some(why);
        out.effects.push(Effect::Failed(error.condition));
        self.close(Ending { detach, linger: true }, out);
    }

    fn close(&mut self, ending: Ending, out: &mut Output) {
        if let Phase::Login(login) = &mut self.phase
            && let Some((exchange, _)) = login.exchange.take()
        {
            out.effects.push(Effect::AbortExchange(exchange));
        }
        self.state = Life::Closed;
        self.rest = Vec::new();
        self.partial_since = None;
        out.effects.push(Effect::Close(ending));
    }

    fn mark(&self, out: &mut Output) {
        if self.settings.framing == Framing::Element {
            out.ends.push(out.bytes.len());
        }
    }
}

/// Zero is no limit.
fn limited(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}
