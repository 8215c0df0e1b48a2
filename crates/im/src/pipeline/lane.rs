//! One batch of one session, in its order: grouped by receiving account, then the sender's own copies and answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::archive::{Born, StanzaKey};
use starling_ports::ids::{ArchiveId, Epoch, Handled, Life, SessionId};
use starling_ports::ingress::{Handling, SessionRef, Submitted};
use starling_ports::preferences::DefaultPreference;
use starling_ports::roster::Roster;
use starling_ports::sessions::{Role, SenderKey, View};
use starling_session_router::{Item, Plan, Routed};
use starling_stanza::{Condition, Iq, Message, Presence, PresenceType, Stanza, StanzaError};
use starling_xml::{Element, ns};

use super::Pipeline;
use super::followed::Followed;
use super::refused::Before;
use crate::hooks::{At, Case, Later, Side};
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
    /// Consecutive stanzas to one account.
    group: Option<(BareJid, Vec<Item>)>,
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
            group: None,
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
        lane.flush_group().await?;
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
        self.enqueue(to, item).await
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
            (Some(to), PresenceType::Error) => self.direct(number, to, presence).await,
            (Some(to), PresenceType::Available | PresenceType::Unavailable) => {
                let available = presence.presence_type() == PresenceType::Available;
                self.pipeline.cx.remember_directed(self.session, &to, available, view).await?;
                self.direct(number, to, presence).await
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

    async fn direct(&mut self, number: u64, to: Jid, presence: Presence) -> Result<()> {
        if to.local().is_none() {
            return Ok(());
        }
        let item = self.item(number, Role::Receive, Stanza::Presence(presence));
        self.enqueue(to.bare(), item).await
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
                return self.enqueue(to.bare(), item).await;
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

    async fn enqueue(&mut self, account: BareJid, item: Item) -> Result<()> {
        if self.group.as_ref().is_some_and(|(current, _)| *current != account) {
            Box::pin(self.flush_group()).await?;
        }
        self.group.get_or_insert_with(|| (account, Vec::new())).1.push(item);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.flush_group().await?;
        self.flush_own(None).await
    }

    async fn flush_group(&mut self) -> Result<()> {
        let Some((account, items)) = self.group.take() else { return Ok(()) };
        let (pipeline, case) = (self.pipeline, self.case(Side::Receiver));
        let decide = |view: &View, item: &Item, roster: Option<&Roster>| {
            let in_roster = roster.is_none_or(|roster| is_listed(roster, &self.account));
            pipeline.decide(&Case { in_roster, ..case }, view, item)
        };
        let is_own = account == self.account;
        let routing = self.route(&account, &items, None, &decide);
        let routed = if self.leaves_nothing && !is_own {
            // In one go with the commit, so that nobody waits for it behind it. If it is not heard now it is asked for then.
            let own = self.pipeline.cx.stores.sessions.known_view(&self.account, self.came.elapsed());
            Box::pin(async { tokio::join!(routing, own).0 }).await?
        } else {
            routing.await?
        };
        for (item, routed) in items.into_iter().zip(routed) {
            let (Some(stanza), Some(key)) = (item.stanza.as_ref(), item.key) else { continue };
            if matches!(stanza, Stanza::Message(_)) {
                pipeline.cx.metrics.message(&routed);
            }
            self.note_row(&account, Some(key), &routed);
            match routed {
                Routed::Refused(error) => self.refuse(key.number, stanza, &error),
                Routed::Done { .. } if !is_own && matches!(stanza, Stanza::Message(_)) => {
                    let key = Some(SenderKey { role: Role::Sent, ..key });
                    self.own.push(Item { key, ..item });
                }
                // Rule 6: no `h` covers a message that was not taken.
                Routed::Fenced => self.is_fenced |= matches!(stanza, Stanza::Message(_)),
                Routed::Done { .. } | Routed::Dropped => {}
            }
        }
        Ok(())
    }

    async fn flush_own(&mut self, last: Option<(SessionId, Epoch, Handled)>) -> Result<()> {
        if self.own.is_empty() {
            return Ok(());
        }
        let items = std::mem::take(&mut self.own);
        let (pipeline, session, case) = (self.pipeline, self.session, self.case(Side::Sender));
        let decide = |view: &View, item: &Item, roster: Option<&Roster>| match item.key.map(|key| key.role) {
            Some(Role::Answer) | None => {
                let there = view.sessions.iter().any(|one| one.id == session.id);
                Plan { urgent: true, ..Plan::to(there.then_some(session.id)) }
            }
            _ => {
                let to = item.stanza.as_ref().and_then(|stanza| stanza.to()).map(Jid::bare);
                let in_roster = roster.zip(to).is_none_or(|(roster, to)| is_listed(roster, &to));
                pipeline.decide(&Case { in_roster, ..case }, view, item)
            }
        };
        let routed = self.route(&self.account, &items, last, &decide).await?;
        let own = self.account.clone();
        for (item, routed) in items.iter().zip(&routed) {
            self.note_row(&own, item.key, routed);
        }
        Ok(())
    }

    fn note_row(&mut self, account: &BareJid, key: Option<SenderKey>, routed: &Routed) {
        let Routed::Done { id: Some(id) } = routed else { return };
        let key =
            key.map(|SenderKey { session, number, role, .. }| StanzaKey { session, number, role, hash: 0 });
        self.rows.push((account.clone(), *id, Born { life: Life::UNKNOWN, key }));
    }

    fn case(&self, side: Side) -> Case {
        let config = &self.pipeline.cx.config;
        Case { side, sender_sm: self.sm, in_roster: true, archive: config.archive, quotas: config.quotas }
    }

    /// Decides with the roster of `account` where what it wants archived depends on it (XEP-0441 §2.1). Only the view on
    /// which it is decided says so: without the roster nothing is taken then, and all of it is decided again.
    async fn route(
        &self,
        account: &BareJid,
        items: &[Item],
        last: Option<(SessionId, Epoch, Handled)>,
        decide: &(dyn Fn(&View, &Item, Option<&Roster>) -> Plan + Send + Sync),
    ) -> Result<Vec<Routed>> {
        let (cx, mut done) = (&self.pipeline.cx, Vec::with_capacity(items.len()));
        let mut roster: Option<Arc<Roster>> = None;
        let lacks = || StanzaError::wait(Condition::ResourceConstraint).with_text("its roster decides");
        loop {
            let decide = |view: &View, item: &Item| {
                let by_roster = cx.config.archive && view.preferences.default == DefaultPreference::Roster;
                if by_roster && roster.is_none() {
                    return Plan::refuse(lacks());
                }
                decide(view, item, roster.as_deref())
            };
            let rest = items.get(done.len()..).unwrap_or_default();
            let routed = cx.router.route_since(self.came, account, rest, last, &decide).await?;
            let is_decided = |routed: &Routed| !matches!(routed, Routed::Refused(error) if *error == lacks());
            done.extend(routed.into_iter().take_while(is_decided));
            if done.len() == items.len() {
                return Ok(done);
            }
            roster = Some(cx.stores.rosters.get(account).await?);
        }
    }
}

fn is_listed(roster: &Roster, contact: &BareJid) -> bool {
    roster.contact(contact).is_some_and(|contact| contact.listed)
}

impl Pipeline {
    /// What is to be done with a stanza of a client at an account.
    fn decide(&self, case: &Case, view: &View, item: &Item) -> Plan {
        match &item.stanza {
            Some(Stanza::Message(message)) => self.hooks.decide(case, view, message),
            Some(Stanza::Presence(presence)) => {
                let resource = presence.to().and_then(|to| to.resource());
                let plan = rules::presence::route(view, presence.from(), resource);
                Plan { coalesce: Some(presence.from().clone()), ..plan }
            }
            Some(Stanza::Iq(iq)) => {
                let resource = iq.to().and_then(|to| to.resource()).unwrap_or_default();
                rules::iq::route(view, iq.from(), resource, iq.is_request())
            }
            None => Plan::default(),
        }
    }
}

fn blocked() -> StanzaError {
    StanzaError::cancel(Condition::NotAcceptable).with_specific(Element::new(ns::BLOCKING_ERRORS, "blocked"))
}
