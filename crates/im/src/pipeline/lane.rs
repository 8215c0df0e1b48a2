//! One batch of one session, in its order at each receiving account, then the sender's own copies and answers.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::archive::Born;
use starling_ports::ids::{ArchiveId, Handled};
use starling_ports::ingress::{Handling, SessionRef, Submitted};
use starling_ports::sessions::{Role, SenderKey, View};
use starling_session_router::Item;
use starling_stanza::{Condition, Iq, Message, Presence, PresenceType, Stanza, StanzaError};
use starling_xml::{Element, ns};

mod flush;

use super::Pipeline;
use super::followed::Followed;
use super::refused::Before;
use crate::hooks::{At, Later, Side};
use crate::identity;
use crate::rules;

/// No batch has so many bytes.
const BATCH: u64 = 64 << 20;
/// How old the view may be on which a sender's own block list and quotas are judged: what it says itself is handled by one
/// router, but its devices may for a while be with two.
pub(super) const OWN_VIEW: Duration = Duration::from_secs(1);
/// Clients that handle stanzas and the end of the stream in different threads, as Smack does, would miss an answer that the end follows
/// at once.
const TO_READ: Duration = Duration::from_millis(250);

/// What is under way in one call of `submit`.
struct Lane<'a> {
    pipeline: &'a Pipeline,
    session: &'a SessionRef,
    account: BareJid,
    sm: bool,
    /// When the batch came.
    came: Instant,
    /// What this session sends is likely to leave nothing at its own account, which is known only when it is asked for; `false` where
    /// nobody need be asked.
    leaves_nothing: bool,
    /// What goes to other accounts, and was not routed yet.
    groups: Vec<(BareJid, Vec<Item>)>,
    /// For the sender's own account: copies of what was sent, answers, errors.
    own: Vec<Item>,
    /// Bytes of own copies in this batch, counted where the archive is nearly full.
    archived: u64,
    /// What came before this batch: a batch is given only when the former one is handled.
    handled: Handled,
    /// The account is erased: nothing more of the session is handled.
    is_over: bool,
    /// Where this batch has rows.
    rows: Vec<(BareJid, ArchiveId, Born)>,
    /// It may have come before, and have been handled up to any step.
    again: bool,
    /// What became of it then.
    before: Before,
    has_refused: bool,
    followed: Followed,
    /// Somebody else has the session, or has sent something else under these numbers.
    is_fenced: bool,
}

impl Pipeline {
    pub(super) async fn handle(
        &self,
        session: &SessionRef,
        batch: Vec<Submitted>,
        again: bool,
    ) -> Result<Handling> {
        let (came, account) = (Instant::now(), session.jid.bare());
        let _under_way = self.under_way.begin(session.id); // before it is known that the session is there (rule 4)
        let continuity = self.cx.stores.sessions.continuity();
        let flags_in =
            |view: &View| view.sessions.iter().find(|one| one.id == session.id).map(|one| one.flags);
        let mut view = self.cx.stores.sessions.known_view(&account, OWN_VIEW).await?;
        if flags_in(&view).is_none() {
            view = self.cx.stores.sessions.view(&account).await?; // another router may have bound it meanwhile
        }
        let Some(flags) = flags_in(&view) else { return Ok(Handling::Fenced) };
        let has_copies = view.sessions.iter().any(|one| one.id != session.id && one.flags.carbons);
        let mut lane = Lane {
            pipeline: self,
            session,
            account,
            sm: flags.sm,
            came,
            leaves_nothing: self.cx.stores.sessions.is_shared() && !self.cx.config.archive && !has_copies,
            groups: Vec::new(),
            own: Vec::new(),
            archived: 0,
            handled: Handled(batch.first().map_or(0, |first| first.number.saturating_sub(1))),
            is_over: false,
            rows: Vec::new(),
            again,
            before: self.before(session, again).await?,
            has_refused: false,
            followed: Followed::default(),
            is_fenced: false,
        };
        let mut handled = Handled(0);
        for Submitted { number, draft, trace } in batch {
            if let Some(context) = &trace {
                lane.followed.take(self.cx.router.tracer(), number, context);
            }
            let refusal = draft.refusal().cloned();
            let Ok(stanza) = draft.stamp(&session.jid) else {
                lane.flush().await?;
                return Ok(Handling::InvalidFrom);
            };
            match refusal {
                Some(error) => lane.refuse(number, &stanza, &error),
                None => lane.take(number, stanza, &view).await?,
            }
            handled = Handled(number);
            if lane.is_over {
                return Ok(Handling::Done(handled));
            }
        }
        lane.flush_groups().await?;
        if lane.is_fenced {
            tracing::warn!(session = ?session.id, "a batch of somebody who has the session no more, or not yet, is not taken");
            return lane.look_again(continuity).await;
        }
        // What is told to a client is saved before: with the copies and answers, if there are any.
        lane.flush_own(Some((session.id, session.epoch, handled)).filter(|_| flags.sm)).await?;
        // Also where nobody resumes: what is handled is not sent again, so the slots need not remember it.
        let saved = Some((session.id, session.epoch, handled));
        let is_saved = self.cx.stores.sessions.settle(&lane.account, &[], saved).await?;
        if !is_saved || self.cx.stores.sessions.continuity() != continuity {
            return lane.look_again(continuity).await;
        }
        if lane.has_refused {
            self.refused.forget(session.id);
        }
        Ok(Handling::Done(handled))
    }
}

impl Lane<'_> {
    /// The session is not its sender's, or waits for its node, or what was committed may be gone (rule 8): its node finds out, and
    /// sends all this again. What has a row and no commit any more would be there twice.
    async fn look_again(self, continuity: u64) -> Result<Handling> {
        if self.pipeline.cx.stores.sessions.continuity() != continuity {
            for (account, id, born) in &self.rows {
                self.pipeline.cx.router.undo(account, &[(*id, *born)]).await?;
            }
        }
        Ok(Handling::Fenced)
    }

    async fn take(&mut self, number: u64, stanza: Stanza, view: &View) -> Result<()> {
        if let Some(error) = self.before.refuses(number, &stanza) {
            self.refuse(number, &stanza, &error);
            return Ok(());
        }
        if let Some(to) = stanza.to() {
            if rules::is_blocked(view, to) {
                self.refuse(number, &stanza, &blocked()); // XEP-0191 §3.3
                return Ok(());
            }
            if !self.pipeline.cx.domains.serves(to.domain()) {
                self.refuse(number, &stanza, &StanzaError::cancel(Condition::RemoteServerNotFound));
                return Ok(());
            }
        }
        match stanza {
            Stanza::Message(message) => self.message(number, message, view).await,
            // In boxes, as in `enqueue`: a future is moved with all that it may ever hold, and most batches are one message.
            Stanza::Presence(presence) => Box::pin(self.presence(number, presence, view)).await,
            Stanza::Iq(iq) => Box::pin(self.iq(number, iq)).await,
        }
    }

    async fn message(&mut self, number: u64, message: Message, view: &View) -> Result<()> {
        let to = message.to().map_or_else(|| self.account.clone(), Jid::bare);
        if to.is_domain() {
            let error = StanzaError::cancel(Condition::ServiceUnavailable);
            self.refuse(number, &Stanza::Message(message), &error);
            return Ok(());
        }
        let origin = identity::origin(&message);
        let hash = identity::hash_message(&message);
        let domains = &self.pipeline.cx.domains;
        let message = self.pipeline.hooks.cleaned(message, &|domain| domains.serves(domain));
        if !self.may_send(view, &message) {
            // Now: behind the receiver's commit nothing can be refused.
            let full = StanzaError::wait(Condition::ResourceConstraint).with_text("your own archive is full");
            self.refuse(number, &Stanza::Message(message), &full);
            return Ok(());
        }
        let item = Item { hash, origin, ..self.item(number, Role::Receive, Stanza::Message(message)) };
        self.enqueue(to, item);
        Ok(())
    }

    /// Whether the sender's archive has room for its own copy, where it would keep one.
    fn may_send(&mut self, view: &View, message: &Message) -> bool {
        let (pipeline, quotas) = (self.pipeline, &self.pipeline.cx.config.quotas);
        if !quotas.is_archive_full_with(view, BATCH)
            || pipeline.hooks.decide(&self.case(Side::Sender), view, message).keep.is_none()
        {
            return true;
        }
        let has_room = !quotas.is_archive_full_with(view, self.archived);
        self.archived += message.wire().len() as u64;
        has_room
    }

    async fn presence(&mut self, number: u64, presence: Presence, view: &View) -> Result<()> {
        match (presence.to().cloned(), presence.presence_type()) {
            (None, PresenceType::Available | PresenceType::Unavailable) => {
                self.flush().await?;
                self.pipeline.cx.broadcast(self.session, &presence, self.again).await
            }
            (None, _) => Ok(()),
            (Some(to), PresenceType::Probe) => {
                self.flush().await?;
                let view = self.pipeline.cx.stores.sessions.view(&self.account).await?; // nothing is committed on it
                self.pipeline.cx.answer_probe(self.session, &presence, &to, &view).await
            }
            (Some(to), PresenceType::Error) => {
                self.direct(number, &to, presence);
                Ok(())
            }
            (Some(to), PresenceType::Available | PresenceType::Unavailable) => {
                let available = presence.presence_type() == PresenceType::Available;
                self.pipeline.cx.remember_directed(self.session, &to, available, view).await?;
                self.direct(number, &to, presence);
                Ok(())
            }
            (Some(to), _) => {
                self.flush().await?;
                let refused =
                    self.pipeline.cx.subscription(self.session, &presence, &to.bare(), self.again).await?;
                if let Some(error) = refused {
                    self.refuse(number, &Stanza::Presence(presence), &error);
                }
                Ok(())
            }
        }
    }

    fn direct(&mut self, number: u64, to: &Jid, presence: Presence) {
        if to.local().is_some() {
            let item = self.item(number, Role::Receive, Stanza::Presence(presence));
            self.enqueue(to.bare(), item);
        }
    }

    async fn iq(&mut self, number: u64, iq: Iq) -> Result<()> {
        let to = iq.to().cloned();
        let at = match &to {
            None => At::Own,
            Some(to) if to.resource().is_some() && to.local().is_some() => {
                if let Err(error) = self.admit(to, &iq).await {
                    self.refuse(number, &Stanza::Iq(iq), &error);
                    return Ok(());
                }
                let item = self.item(number, Role::Receive, Stanza::Iq(iq));
                self.enqueue(to.bare(), item);
                return Ok(());
            }
            Some(to) if *to == self.account => At::Own,
            Some(to) if to.local().is_none() => At::Server,
            Some(_) => At::Account,
        };
        if !iq.is_request() {
            return Ok(()); // an answer to the server: a roster push was confirmed
        }
        self.flush().await?;
        let later = Mutex::default();
        let answer = self.pipeline.answer(self.session, at, &iq, self.again, &later).await;
        let later: Later = later.into_inner();
        self.own.extend(later.before.into_iter().map(Item::bytes));
        let stanza = match answer {
            Ok(payload) => Some(Stanza::Iq(iq.result(payload, &self.session.jid))),
            Err(error) => iq.bounce(&error, &self.session.jid).map(Stanza::Iq),
        };
        if let Some(stanza) = stanza {
            let item = self.item(number, Role::Answer, stanza);
            self.own.push(item);
        }
        self.own.extend(later.stanzas.iter().map(Item::own));
        if later.end {
            self.flush().await?;
            self.end().await;
        }
        Ok(())
    }

    /// Whether a request may reach a session of another account: who does not see its presence cannot tell by it whether
    /// the session is there (RFC 6121 §8.5.3.1).
    async fn admit(&self, to: &Jid, iq: &Iq) -> Result<(), StanzaError> {
        let (cx, owner) = (&self.pipeline.cx, to.bare());
        if owner == self.account || !iq.is_request() {
            return Ok(());
        }
        if let Some(module) = self.pipeline.hooks.admission(iq) {
            module.admit(cx, &owner, iq).await?;
        }
        match cx.shares_presence(to, &self.session.jid).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StanzaError::cancel(Condition::ServiceUnavailable)),
            Err(error) => Err(error.to_stanza_error()),
        }
    }

    /// The account is erased: its other devices go at once, the one that asked for it when it has read the answer.
    async fn end(&mut self) {
        let cx = &self.pipeline.cx;
        let others = cx.end_sessions(&self.account, Some(self.session.id)).await;
        tokio::time::sleep(TO_READ).await;
        let own = cx.end_sessions(&self.account, None).await;
        others.and(own).unwrap_or_else(|error| tracing::warn!(%error, "sessions of an erased account go on"));
        self.is_over = true;
    }

    fn item(&self, number: u64, role: Role, stanza: Stanza) -> Item {
        let (session, epoch, handled) = (self.session.id, self.session.epoch, self.handled);
        let key = SenderKey { session, epoch, number, role, handled };
        let wire = stanza.wire();
        let hash = match &stanza {
            Stanza::Message(_) => 0, // as it came, so before it is cleaned
            other if role == Role::Receive => identity::hash(other),
            _ => 0,
        };
        let trace = self.followed.carried(number);
        Item { key: Some(key), hash, origin: None, stanza: Some(stanza), wire, trace }
    }

    fn refuse(&mut self, number: u64, stanza: &Stanza, error: &StanzaError) {
        if let Some(bounce) = stanza.bounce(error, &self.session.jid) {
            self.has_refused = true;
            self.followed.refused(number, error);
            self.pipeline.refused.note(self.session.id, number, error);
            let item = self.item(number, Role::Answer, bounce);
            self.own.push(item);
        }
    }

    fn enqueue(&mut self, account: BareJid, item: Item) {
        match self.groups.iter_mut().find(|(known, _)| *known == account) {
            Some((_, items)) => items.push(item),
            None => self.groups.push((account, vec![item])),
        }
    }
}

fn blocked() -> StanzaError {
    StanzaError::cancel(Condition::NotAcceptable).with_specific(Element::new(ns::BLOCKING_ERRORS, "blocked"))
}
