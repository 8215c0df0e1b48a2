//! RFC 6121 §3: subscription stanzas, at the roster of who sends them and at the roster of who gets them.

use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::ingress::SessionRef;
use starling_ports::roster::{Contact, Subscription};
use starling_ports::sessions::{SessionView, View};
use starling_session_router::{Item, Plan};
use starling_stanza::{Condition, Presence, PresenceType, StanzaError};

use super::RosterChange;
use crate::Context;
use crate::config::most;
use crate::rules;
use crate::rules::presence::{Inbound, Outbound};

impl Context {
    /// A user's subscription stanza to `contact`. Returns an error for the user, if it is refused. With `again` it may have been
    /// handled before, up to any step: a step that has nothing to change is carried on behind its change all the same, so that
    /// both users hear of it once or twice, never not at all (session-log rule 1).
    pub(crate) async fn subscription(
        &self,
        session: &SessionRef,
        presence: &Presence,
        contact: &BareJid,
        again: bool,
    ) -> Result<Option<StanzaError>> {
        let user = session.jid.bare();
        if *contact == user || contact.is_domain() {
            return Ok(None);
        }
        let kind = presence.presence_type();
        let limit = most(self.config.max_roster_items);
        let change = self.edit_roster(&user, contact, again, |roster, entry| {
            let old = entry.state;
            let is_full = !entry.listed && roster.listed() >= limit;
            match rules::presence::outbound(old, kind) {
                Some(_) if is_full && kind == PresenceType::Subscribe => (RosterChange::Keep, Err(full())),
                Some(outbound) => (changed(entry, outbound.state), Ok(Some((old, outbound)))),
                None => (RosterChange::Keep, Ok(None)),
            }
        });
        match change.await? {
            Err(error) => Ok(Some(error)),
            Ok(Some((old, Outbound { routed, .. })))
                if routed || again && rules::presence::outbound_again(old, kind) =>
            {
                let stanza = presence.of_account().to_other(contact.clone().into());
                self.routed_subscription(&user, contact, old, &stanza, again).await.map(|()| None)
            }
            Ok(_) => Ok(None),
        }
    }

    /// What the server itself says for `user` when it removes a contact (§2.5.2).
    pub(crate) async fn cancel_subscriptions(
        &self,
        user: &BareJid,
        contact: &BareJid,
        old: Subscription,
        again: bool,
    ) -> Result<()> {
        let cancels = [
            (old.to || old.pending_out, PresenceType::Unsubscribe),
            (old.from || old.pending_in, PresenceType::Unsubscribed),
        ];
        for (_, kind) in cancels.into_iter().filter(|(holds, _)| *holds) {
            let stanza = Presence::own(kind, user.clone().into(), Some(contact.clone().into()), &[]);
            self.routed_subscription(user, contact, old, &stanza, again).await?;
        }
        Ok(())
    }

    /// The stanza reaches the contact, then what follows from it (§3.1.5, §3.2.2).
    async fn routed_subscription(
        &self,
        user: &BareJid,
        contact: &BareJid,
        old: Subscription,
        stanza: &Presence,
        again: bool,
    ) -> Result<()> {
        if !self.domains.serves(contact.domain()) {
            return Ok(());
        }
        let (kind, to) = (stanza.presence_type(), Jid::from(contact.clone()));
        if kind == PresenceType::Unsubscribed
            && (old.from || again && self.is_subscribed(contact, user).await?)
        {
            self.hide(user, &to).await?; // §3.2.2: while the contact may still see it
        }
        self.inbound_subscription(contact, user, stanza, again).await?;
        if kind == PresenceType::Subscribed {
            self.show(user, &to).await?; // §3.1.5
        }
        Ok(())
    }

    /// §3.1.3 and its like: at the account of who gets it. The server's own answer is handled in the same call.
    async fn inbound_subscription(
        &self,
        owner: &BareJid,
        from: &BareJid,
        stanza: &Presence,
        again: bool,
    ) -> Result<()> {
        let viewer = Jid::from(from.clone());
        // §3.3.3. While the roster still says that the contact may see it: whoever does this again is to find that as well.
        let hidden = match stanza.presence_type() {
            PresenceType::Unsubscribe if self.shows_to(owner, from).await? => {
                Some(self.hide(owner, &viewer).await?)
            }
            _ => None,
        };
        let Some((_, inbound)) = self.inbound_step(owner, from, stanza, again).await? else {
            return Ok(());
        };
        if let Some(reply) = inbound.reply {
            let answer = Presence::own(reply, owner.clone().into(), Some(from.clone().into()), &[]);
            self.inbound_step(from, owner, &answer, again).await?;
            if reply == PresenceType::Subscribed {
                self.show(owner, &viewer).await?;
            }
        }
        if let Some(hidden) = hidden {
            self.hide_newer(owner, &viewer, hidden).await?;
        }
        Ok(())
    }

    /// §4.3.2: the user believes to be subscribed to a contact that knows nothing of it, as it had blocked the user's words
    /// or was erased: the rosters agree again.
    pub(crate) async fn agree(&self, contact: &BareJid, user: &BareJid) -> Result<()> {
        let kind = PresenceType::Unsubscribed;
        let stanza = Presence::own(kind, contact.clone().into(), Some(user.clone().into()), &[]);
        self.inbound_step(user, contact, &stanza, false).await.map(drop)
    }

    /// Whether the account exists, and lets the contact see its presence.
    async fn shows_to(&self, owner: &BareJid, contact: &BareJid) -> Result<bool> {
        let exists = self.stores.sessions.view(owner).await?.exists;
        Ok(exists && self.allowed(owner).await?.allows(contact))
    }

    async fn is_subscribed(&self, user: &BareJid, contact: &BareJid) -> Result<bool> {
        let roster = self.stores.rosters.get(user).await?;
        Ok(roster.contact(contact).is_some_and(|contact| contact.state.to))
    }

    async fn inbound_step(
        &self,
        owner: &BareJid,
        from: &BareJid,
        stanza: &Presence,
        again: bool,
    ) -> Result<Option<(Subscription, Inbound)>> {
        let (kind, sender) = (stanza.presence_type(), Jid::from(from.clone()));
        let view = self.stores.sessions.view(owner).await?;
        if !view.exists || rules::is_blocked(&view, &sender) {
            return Ok(None);
        }
        let request = stanza.wire().as_bytes().clone();
        let limit = most(self.config.max_roster_items);
        let change = self.write_roster(owner, from, again, |roster, mut entry| {
            let old = entry.state;
            let Some(inbound) = rules::presence::inbound(old, kind) else {
                return (RosterChange::Keep, None);
            };
            let strangers = || roster.contacts.len() - roster.listed();
            if entry.state == Subscription::default() && !entry.listed && strangers() >= limit {
                return (RosterChange::Keep, None); // requests of strangers do not fill a store
            }
            if inbound.state.pending_in && !old.pending_in {
                entry.request = Some(request.clone());
            }
            (changed(entry, inbound.state), Some((old, inbound)))
        });
        let (done, written) = change.await?;
        let is_delivered = |(old, inbound): (Subscription, Inbound)| {
            inbound.delivered || again && rules::presence::inbound_again(old, kind)
        };
        if done.is_some_and(is_delivered) {
            self.deliver_subscription(owner, stanza).await?; // §3.1.6: before the push
        }
        self.push_roster(owner, from, written).await?;
        Ok(done)
    }

    /// A request goes to whoever is there and waits for who is not; the rest goes to who knows the roster.
    async fn deliver_subscription(&self, owner: &BareJid, stanza: &Presence) -> Result<()> {
        let takes = |session: &SessionView| match stanza.presence_type() {
            PresenceType::Subscribe => session.available.is_some(),
            _ => session.flags.interested,
        };
        let items = [Item::bytes(stanza.wire())];
        let decide = |view: &View, _: &Item| {
            Plan::to(view.sessions.iter().filter(|session| takes(session)).map(|session| session.id))
        };
        self.router.route(owner, &items, &decide).await.map(drop)
    }
}

/// The contact in its new state. What is left of a stranger goes.
fn changed(mut contact: Contact, state: Subscription) -> RosterChange {
    contact.state = state;
    contact.listed |= state.to || state.from || state.pending_out || state.approved;
    if !state.pending_in {
        contact.request = None;
    }
    match contact.listed || state != Subscription::default() {
        true => RosterChange::Put(contact),
        false => RosterChange::Remove,
    }
}

fn full() -> StanzaError {
    StanzaError::modify(Condition::NotAllowed).with_text("the roster is full")
}
