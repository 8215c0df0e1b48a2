//! A machine fed with anything: it ends once, writes nothing after its end, and pieces mean what the whole means.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use starling_jid::{BareJid, FullJid};
use starling_ports::authentication::{Mechanism, Reply, SaslFailure};
use starling_ports::delivery::{Command, Outgoing};
use starling_ports::ids::{Epoch, Handled, LogNumber, SessionId};
use starling_ports::ingress::{BindError, Handling, RegisterError, SessionRef};
use starling_ports::sessions::{Claimed, Flags, Portrait, SmBase};
use starling_stanza::Wire;
use starling_stream::{Effect, Input, Machine, Output, Security, Settings};
use starling_xml::{Framing, Limits};

/// The first byte says which listener it is. In the rest a zero byte and a letter stand for something that happens at
/// the server; everything else comes from the client.
pub fn stream(data: &[u8]) {
    let Some((kind, script)) = data.split_first() else { return };
    let whole = play(*kind, script, usize::MAX);
    // What stands behind <starttls/> in one piece is dropped, and a frame is a piece by itself.
    if !is_frames(*kind) && security(*kind) != Security::StartTls {
        assert_eq!(whole, play(*kind, script, 1), "in pieces");
    }
}

fn is_frames(kind: u8) -> bool {
    kind & 4 != 0
}

fn security(kind: u8) -> Security {
    match kind & 3 {
        0 => Security::Plain,
        1 => Security::StartTls,
        2 => Security::Direct,
        _ => Security::Proxied,
    }
}

/// What was written, how many stanzas were read, and whether the stream is over.
fn play(kind: u8, script: &[u8], step: usize) -> (Vec<u8>, u64, bool) {
    let mut peer = Peer::new(kind);
    let mut rest = script;
    while !rest.is_empty() {
        let until = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        let (said, behind) = rest.split_at(until);
        if is_frames(kind) && !said.is_empty() {
            peer.feed(Input::Document(said));
        } else {
            said.chunks(step.max(1)).for_each(|piece| peer.feed(Input::Bytes(piece)));
        }
        let Some(happens) = behind.get(1) else { break };
        peer.happen(*happens);
        rest = behind.get(2..).unwrap_or_default();
    }
    (peer.written, peer.read, peer.machine.is_closed())
}

struct Peer {
    machine: Machine,
    out: Output,
    now: Duration,
    written: Vec<u8>,
    read: u64,
    sent: u64,
    refuses: bool, // the next wish
}

impl Peer {
    fn new(kind: u8) -> Peer {
        let settings = Settings {
            domains: vec![BareJid::new("a").expect("a domain")],
            mechanisms: Mechanism::ALL.to_vec(),
            sm: true,
            registration: kind & 8 != 0,
            features: String::new(),
            before_login: Limits::BEFORE_LOGIN.into(),
            after_login: Limits::AFTER_LOGIN.into(),
            login_within: Duration::from_secs(30),
            stanza_within: Duration::from_secs(60),
            ping_within: Duration::from_secs(60),
            random: || 42,
            security: security(kind),
            framing: if is_frames(kind) { Framing::Element } else { Framing::Stream },
        };
        Peer {
            machine: Machine::new(Arc::new(settings), IpAddr::from([127, 0, 0, 1])),
            out: Output::default(),
            now: Duration::ZERO,
            written: Vec::new(),
            read: 0,
            sent: 0,
            refuses: false,
        }
    }

    /// Hands it in, answers what the machine wants, and takes what it has read, until it wants more.
    fn feed(&mut self, input: Input<'_>) {
        if matches!(input, Input::Bytes(_) | Input::Document(_)) && !self.machine.wants_input() {
            return;
        }
        self.hand_in(input);
        loop {
            let effects = std::mem::take(&mut self.out.effects);
            let answers: Vec<Input<'static>> =
                effects.into_iter().filter_map(|effect| self.answer(effect)).collect();
            assert!(answers.len() <= 1, "one wish at a time");
            let drafts = self.machine.take_drafts();
            for draft in &drafts {
                self.read += 1;
                assert_eq!(draft.number, self.read, "no stanza is left out, none comes twice");
            }
            match answers.into_iter().next() {
                Some(answer) => self.hand_in(answer),
                None if drafts.is_empty() => break,
                None => self.hand_in(Input::Command(Command::Pull)), // lets it read what it has kept
            }
        }
    }

    fn hand_in(&mut self, input: Input<'_>) {
        let was_closed = self.machine.is_closed();
        self.machine.handle(self.now, input, &mut self.out);
        assert!(
            !(was_closed && (!self.out.bytes.is_empty() || !self.out.effects.is_empty())),
            "after the end"
        );
        assert_eq!(self.out.ends.last().copied().unwrap_or(self.out.bytes.len()), self.out.bytes.len());
        self.written.append(&mut self.out.bytes);
        self.out.ends.clear();
    }

    fn answer(&mut self, effect: Effect) -> Option<Input<'static>> {
        let refuses = self.refuses;
        if !matches!(
            effect,
            Effect::AbortExchange(_)
                | Effect::Attached(_)
                | Effect::Acknowledge(_)
                | Effect::Failed(_)
                | Effect::Close(_)
        ) {
            self.refuses = false;
        }
        Some(match effect {
            Effect::Authenticate(step) if step.message.is_none() => {
                Input::Authenticated(Reply::Challenge(Vec::new()))
            }
            Effect::Authenticate(_) if refuses => {
                Input::Authenticated(Reply::Failure(SaslFailure::NotAuthorized))
            }
            Effect::Authenticate(_) => {
                let account = BareJid::new("u@a").expect("an account");
                Input::Authenticated(Reply::Success { account, additional: None })
            }
            Effect::Register(_) => {
                Input::Registered(if refuses { Err(RegisterError::Conflict) } else { Ok(()) })
            }
            Effect::Bind { .. } if refuses => Input::Bound(Err(BindError::BadRequest)),
            Effect::Bind { .. } => {
                Input::Bound(Ok(SessionRef { id: SessionId(7), jid: full(), epoch: Epoch(1) }))
            }
            Effect::Resume(_) if refuses => Input::Resumed(Some(Claimed::Failed { handled: None })),
            Effect::Resume(_) => {
                self.sent = 5;
                Input::Resumed(Some(Claimed::Resumed {
                    jid: full(),
                    epoch: Epoch(2),
                    handled: Handled(0),
                    base: SmBase { sent: LogNumber(1), handled: Handled(0) },
                    acknowledged: LogNumber(5),
                    portrait: Portrait {
                        flags: Flags { sm: true, resumable: true, ..Flags::default() },
                        ..Portrait::default()
                    },
                    fenced: None,
                    done: Default::default(),
                }))
            }
            Effect::EnableSm { resume, .. } => {
                Input::SmEnabled((!refuses).then_some(if resume { 300 } else { 0 }))
            }
            Effect::SetInactive(_) => Input::InactiveSet,
            Effect::StartTls => Input::TlsStarted { exporter: (!refuses).then_some([1; 32]) },
            Effect::Acknowledge(upto) => {
                assert!(upto.0 <= self.sent, "more than was sent");
                return None;
            }
            Effect::AbortExchange(_) | Effect::Attached(_) | Effect::Failed(_) | Effect::Close(_) => {
                return None;
            }
        })
    }

    fn happen(&mut self, what: u8) {
        match what {
            b't' => {
                self.now += Duration::from_secs(7);
                self.feed(Input::Tick);
            }
            b'x' => self.refuses = true,
            b'd' => self.feed(Input::Drain),
            b'e' => self.feed(Input::Eof),
            b'c' => self.feed(Input::Command(Command::Conflict)),
            b'f' => self.feed(Input::Command(Command::Fenced)),
            b'h' => self.feed(Input::Handled(Some(Handling::Done(Handled(self.read))))),
            b'n' => self.feed(Input::Handled(None)),
            b'i' => self.feed(Input::Handled(Some(Handling::InvalidFrom))),
            b'l' if self.machine.can_deliver() => self.deliver(),
            _ => {}
        }
    }

    fn deliver(&mut self) {
        self.sent += 1;
        let wire = Wire::from_bytes(Bytes::from_static(b"<message from='b@a'>")).expect("a stanza");
        let number = LogNumber(self.sent);
        let outgoing = Outgoing {
            number,
            wire,
            more: Bytes::new(),
            address: true,
            late: self.sent.is_multiple_of(2),
            id: None,
            trace: None,
        };
        self.machine.deliver(self.now, &outgoing, &mut self.out);
        self.machine.flush(self.now, &mut self.out);
        self.feed(Input::Command(Command::Pull));
    }
}

fn full() -> FullJid {
    FullJid::new("u@a/r").expect("a full JID")
}
