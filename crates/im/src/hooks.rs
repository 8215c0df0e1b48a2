//! What a XEP module may do: each hook is a type, not a string.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use starling_jid::{BareJid, FullJid};
use starling_ports::ingress::SessionRef;
use starling_ports::sessions::View;
use starling_session_router::Plan;
use starling_stanza::{Condition, Iq, IqType, Message, Stanza, StanzaError, Wire};
use starling_xml::{Element, Ns};

use crate::{Context, Quotas, Stage};

/// What a module says of itself; disco, caps and the generated docs are made of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct XepInfo {
    /// The XEPs that it implements.
    pub numbers: &'static [u16],
    /// Features of the server (XEP-0030).
    pub server: &'static [Ns],
    /// Features of an account.
    pub account: &'static [Ns],
}

/// One XEP, one file.
pub trait Xep: Send + Sync + 'static {
    /// What it is.
    fn info(&self) -> XepInfo;
    /// Takes its places.
    fn attach(self: Arc<Self>, hooks: &mut Hooks);
}

/// Whether the other modules go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They do.
    Continue,
    /// The plan stands as it is.
    Stop,
}

/// At whose account a message is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It is addressed to it.
    Receiver,
    /// It was sent from it, and the receiver's commit is done.
    Sender,
}

/// What a decision knows beside the view and the message.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// At whose account.
    pub side: Side,
    /// Whether the sender's stream has XEP-0198.
    pub sender_sm: bool,
    /// Whether the other one is in the roster; asked only where the preferences depend on it.
    pub in_roster: bool,
    /// Whether the server keeps archives at all.
    pub archive: bool,
    /// What may be kept for one account.
    pub quotas: Quotas,
}

/// Takes out of a message what its sender may not say, before anything is decided.
pub trait Clean: Send + Sync {
    /// Asked first: a message that does not concern a module costs it nothing.
    fn concerns(&self, message: &Message) -> bool;
    /// The message without it; `is_ours` says whether a domain is served here.
    fn clean(&self, message: Message, is_ours: &dyn Fn(&str) -> bool) -> Message;
}

/// Decides about a message.
pub trait OnMessage: Send + Sync {
    /// Asked first: a message that does not concern a module costs it nothing.
    fn concerns(&self, message: &Message) -> bool;
    /// Decides on the account's view alone, without I/O: if the view was stale, the commit says so and this runs again.
    fn on_message(&self, case: &Case, view: &View, message: &Message, plan: &mut Plan) -> Verdict;
}

/// To whom a request is addressed, of those that the server answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// A domain of this server.
    Server,
    /// The sender's own account, or nobody (RFC 6120 §10.3.3).
    Own,
    /// Somebody else's account; it exists and does not block the sender.
    Account,
}

/// A request that the server answers.
#[derive(Debug)]
pub struct Request<'a> {
    /// The session that asks.
    pub session: &'a SessionRef,
    /// Where.
    pub at: At,
    /// The domain, or the account.
    pub to: BareJid,
    /// The whole stanza.
    pub iq: &'a Iq,
    /// Its payload.
    pub payload: Element,
    /// It may have been handled before, up to any step.
    pub again: bool,
    pub(crate) later: &'a Mutex<Later>,
}

/// What goes to the asking session with a result.
#[derive(Debug, Default)]
pub(crate) struct Later {
    pub(crate) before: Vec<Wire>,
    pub(crate) stanzas: Vec<Stanza>,
    pub(crate) end: bool,
}

impl Request<'_> {
    /// Who asks.
    pub fn from(&self) -> &FullJid {
        &self.session.jid
    }
    /// A stanza to the asking session that comes behind the result.
    pub fn follow(&self, stanza: Stanza) {
        self.later.lock().stanzas.push(stanza);
    }
    /// A stanza to the asking session that comes before the result.
    pub fn precede(&self, wire: Wire) {
        self.later.lock().before.push(wire);
    }
    /// The account is no more: behind the result all its streams end with `<not-authorized/>`.
    pub fn end(&self) {
        self.later.lock().end = true;
    }
    /// Whether it wants to change something.
    pub fn is_set(&self) -> bool {
        self.iq.iq_type() == IqType::Set
    }
}

/// The payload of the result, or why there is none. A `StoreError` becomes one by `to_stanza_error`.
pub type Answer = Result<Option<Element>, StanzaError>;

/// Answers requests. It may use the stores; pushes that must come before the result are sent by it.
#[async_trait]
pub trait OnIq: Send + Sync {
    /// The answer.
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer;
}

/// Says whether a request may reach a session of another account.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Whether it may, and if not, what the asker hears.
    async fn admit(&self, cx: &Context, owner: &BareJid, iq: &Iq) -> Result<(), StanzaError>;
}

/// The name of a payload, and who answers it.
type Named = (&'static str, Arc<dyn OnIq>);

/// Where modules take their places.
#[derive(Default)]
pub struct Hooks {
    admissions: Vec<(Ns, Arc<dyn Admission>)>,
    guarded: Vec<(Ns, &'static [IqType])>,
    nobodies: Vec<(Ns, fn() -> Element)>,
    cleaners: Vec<Arc<dyn Clean>>,
    messages: Vec<(Stage, Arc<dyn OnMessage>)>,
    requests: HashMap<(At, Ns), Vec<Named>>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

impl Hooks {
    /// Before any decision.
    pub fn clean(&mut self, module: Arc<dyn Clean>) {
        self.cleaners.push(module);
    }
    /// In a stage; after those that took their places in it before.
    pub fn message(&mut self, stage: Stage, module: Arc<dyn OnMessage>) {
        let at = self.messages.partition_point(|(other, _)| *other <= stage);
        self.messages.insert(at, (stage, module));
    }
    /// Requests with the payload `<name xmlns='ns'/>`, get and set.
    pub fn iq(&mut self, at: At, ns: Ns, name: &'static str, module: Arc<dyn OnIq>) {
        self.requests.entry((at, ns)).or_default().push((name, module));
    }
    /// Requests with a payload in `ns` to sessions of other accounts.
    pub fn admit(&mut self, ns: Ns, module: Arc<dyn Admission>) {
        self.admissions.push((ns, module));
    }
    /// Who asks this of an account without the right to hears `forbidden`, whether there is such an account or not.
    pub fn guard(&mut self, ns: Ns, types: &'static [IqType]) {
        self.guarded.push((ns, types));
    }
    /// What is answered in the name of an account that does not exist, where that is no error.
    pub fn nobody(&mut self, ns: Ns, answer: fn() -> Element) {
        self.nobodies.push((ns, answer));
    }
    /// What the server answers in the name of an account that does not exist.
    pub(crate) fn answer_of_nobody(&self, iq: &Iq) -> Answer {
        let found = self.nobodies.iter().find(|(ns, _)| iq.payloads().has_ns(ns));
        match found.filter(|_| iq.iq_type() == IqType::Get) {
            Some((_, answer)) => Ok(Some(answer())),
            None => Err(self.refusal(iq)),
        }
    }
    /// Who decides whether it may pass.
    pub(crate) fn admission(&self, iq: &Iq) -> Option<&Arc<dyn Admission>> {
        let found = self.admissions.iter().find(|(ns, _)| iq.payloads().has_ns(ns));
        found.filter(|_| iq.is_request()).map(|(_, module)| module)
    }
    /// What a stranger hears of an account: the same, whether it exists or not.
    pub(crate) fn refusal(&self, iq: &Iq) -> StanzaError {
        let kind = iq.iq_type();
        match self.guarded.iter().any(|(ns, types)| types.contains(&kind) && iq.payloads().has_ns(ns)) {
            true => StanzaError::auth(Condition::Forbidden),
            false => StanzaError::cancel(Condition::ServiceUnavailable),
        }
    }
    /// Who answers such a request.
    pub(crate) fn find(&self, at: At, ns: &str, name: &str) -> Option<&Arc<dyn OnIq>> {
        // `Ns` lives for ever, the name of a payload does not: so the few keys are compared.
        let (_, modules) = self.requests.iter().find(|((place, known), _)| *place == at && *known == ns)?;
        modules.iter().find(|(known, _)| *known == name).map(|(_, module)| module)
    }
    /// The message as it goes on.
    pub(crate) fn cleaned(&self, message: Message, is_ours: &dyn Fn(&str) -> bool) -> Message {
        let concerned = |message: &Message, module: &Arc<dyn Clean>| module.concerns(message);
        self.cleaners.iter().fold(message, |message, module| {
            if concerned(&message, module) { module.clean(message, is_ours) } else { message }
        })
    }
    /// What is to be done with a message at an account.
    pub fn decide(&self, case: &Case, view: &View, message: &Message) -> Plan {
        let mut plan = Plan::default();
        for (_, module) in &self.messages {
            if module.concerns(message) && module.on_message(case, view, message, &mut plan) == Verdict::Stop
            {
                break;
            }
        }
        plan
    }
}
