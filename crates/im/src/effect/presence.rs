//! RFC 6121 §4: presence to everybody who may see it, and what an account's new session gets to see itself.

use std::sync::Arc;

use starling_jid::{BareJid, FullJid, Jid};
use starling_ports::Result;
use starling_ports::ingress::SessionRef;
use starling_ports::last_activity::LastActivity;
use starling_ports::sessions::{Availability, Change, Farewell, SessionView, View};
use starling_session_router::{Item, Plan};
use starling_stanza::{Presence, PresenceType, Wire};
use starling_xml::{Element, ns};

use super::ended::{Behind, Left};
use super::seen::{self, Allowed, Seen};
use crate::Context;
use crate::context::addressed;
use crate::rules;

/// What a probe finds.
enum Probed {
    /// Those sessions that are available.
    Sees(Vec<Seen>),
    /// The contact lets nobody of that name see it.
    Stranger,
    /// One blocks the other: nothing is answered (XEP-0191 §3.3).
    Blocked,
}

impl Context {
    /// §4.2, §4.4, §4.5: presence without `to`. With `again` it may have been handled before, up to any step: the session may have
    /// come or left by it, and nobody heard of that.
    pub(crate) async fn broadcast(
        &self,
        session: &SessionRef,
        presence: &Presence,
        again: bool,
    ) -> Result<()> {
        let account = session.jid.bare();
        let view = self.stores.sessions.view(&account).await?;
        let Some(before) = view.sessions.iter().find(|one| one.id == session.id) else { return Ok(()) };
        let was_available = before.available.is_some();
        let from = Jid::from(session.jid.clone());
        if presence.presence_type() == PresenceType::Unavailable {
            let Some(farewell) = self.leave(session).await? else { return Ok(()) };
            let status = presence.payload(ns::CLIENT, "status").map(|status| status.text().into());
            if farewell.to_all {
                let own = Jid::from(account);
                self.show_session(session, vec![presence.to_other(own).wire()]).await?; // §4.5.2: to itself too
            }
            let wire = |to: &Jid| presence.to_other(to.clone()).wire();
            return self.say_goodbye(&farewell, &Left::default(), status, wire).await;
        }
        let available = Arc::new(Availability { priority: presence.priority(), presence: presence.wire() });
        self.change(session, Change::Presence(Some(available.clone()))).await?;
        let told =
            self.tell_contacts(&account, &from, |to| presence.to_other(to.clone().into()).wire()).await?;
        self.take_back(&from, told).await?;
        let now = self.available(&session.jid).await?;
        if now.as_ref() != Some(&available) {
            let gone = |to: &BareJid| Context::unavailable(&from, &to.clone().into());
            self.tell_what_is(&session.jid, now, gone).await?;
        }
        if !was_available || again {
            self.welcome(session).await?;
        }
        Ok(())
    }

    /// The session is there for nobody any more, though its connection stays.
    pub(crate) async fn depart(&self, session: &SessionRef) -> Result<()> {
        match self.leave(session).await? {
            Some(farewell) => self.say_farewell(&farewell, &Left::default()).await,
            None => Ok(()),
        }
    }

    /// To all contacts that see the account's presence, and to its own available sessions.
    pub(crate) async fn tell_contacts(
        &self,
        account: &BareJid,
        from: &Jid,
        wire: impl Fn(&BareJid) -> Wire + Send + Sync,
    ) -> Result<Allowed> {
        self.present(account, from, vec![wire(account)]).await?;
        let allowed = self.allowed(account).await?;
        for contact in allowed.contacts() {
            self.present(contact, from, vec![wire(contact)]).await?;
        }
        Ok(allowed)
    }

    /// §4.2.2, §4.3: a newly available session sees who is there, and who has asked to subscribe (§3.1.3).
    async fn welcome(&self, session: &SessionRef) -> Result<()> {
        let account = session.jid.bare();
        let to = Jid::from(account.clone());
        let own = self.stores.sessions.view(&account).await?;
        let (mut shown, mut requests) = (seen::of(&own), Vec::new());
        shown.retain(|seen| seen.from != session.jid);
        let roster = self.stores.rosters.get(&account).await?;
        for contact in &roster.contacts {
            if contact.state.to && self.may_be_there(&contact.jid).await? {
                match self.probe(&account, &contact.jid, &own).await? {
                    Probed::Sees(seen) => shown.extend(seen),
                    Probed::Stranger => self.agree(&contact.jid, &account).await?,
                    Probed::Blocked => {}
                }
            }
            let is_heard = !own.blocked.blocks(&contact.jid.clone().into());
            let request = contact.request.as_ref().filter(|_| contact.state.pending_in && is_heard);
            requests.extend(request.and_then(|request| Wire::from_bytes(request.clone())));
        }
        let wires = shown.iter().map(|seen| seen.wire(&to)).chain(requests).collect();
        self.show_session(session, wires).await?;
        self.catch_up(session, shown).await
    }

    /// Shows again whatever has changed since it was read, until nothing has (session-log rule 22).
    async fn catch_up(&self, session: &SessionRef, mut shown: Vec<Seen>) -> Result<()> {
        let account = session.jid.bare();
        while !shown.is_empty() {
            let own = self.stores.sessions.view(&account).await?;
            let mut now = Vec::new();
            for contact in shown.chunk_by(|one, other| one.from.bare() == other.from.bare()) {
                let Some(contact) = contact.first().map(|seen| seen.from.bare()) else { continue };
                if let Probed::Sees(seen) = self.probe(&account, &contact, &own).await? {
                    now.extend(seen);
                }
            }
            let (wires, newer) = seen::changes(shown, &now, &account.clone().into());
            self.show_session(session, wires.into_iter().map(|(_, wire)| wire).collect()).await?;
            shown = newer;
        }
        Ok(())
    }

    /// To one session of an account.
    pub(super) async fn show_session(&self, session: &SessionRef, wires: Vec<Wire>) -> Result<()> {
        let items: Vec<Item> = wires.into_iter().map(Item::bytes).collect();
        let decide = |view: &View, _: &Item| {
            Plan::to(view.sessions.iter().filter(|one| one.id == session.id).map(|one| one.id))
        };
        self.router.route(&session.jid.bare(), &items, &decide).await.map(drop)
    }

    /// Asked before a contact's roster is read: most contacts are away.
    async fn may_be_there(&self, contact: &BareJid) -> Result<bool> {
        if !self.domains.serves(contact.domain()) {
            return Ok(false);
        }
        let view = self.stores.sessions.view(contact).await?;
        Ok(!view.exists || view.available().next().is_some())
    }

    /// §4.3: a client need not probe, as its server does it, but it may.
    pub(crate) async fn answer_probe(
        &self,
        session: &SessionRef,
        probe: &Presence,
        to: &Jid,
        own: &View,
    ) -> Result<()> {
        let (account, contact) = (session.jid.bare(), to.bare());
        if contact.is_domain() {
            return Ok(());
        }
        let probed = self.probe(&account, &contact, own).await?;
        let there = match to.resource() {
            Some(resource) => {
                let view = self.stores.sessions.view(&contact).await?;
                view.session(resource).filter(|one| may_know(one, &probed, &session.jid)).is_some()
            }
            None => false,
        };
        let asker = Jid::from(account.clone());
        let mere = |kind| Presence::own(kind, to.clone(), Some(asker.clone()), &[]).with_id(probe.id());
        let wires = match probed {
            Probed::Blocked => return Ok(()),
            // Only that it is there, no more (§4.3.2, §4.6.6).
            _ if there => vec![mere(PresenceType::Available).wire()],
            Probed::Stranger => return self.agree(&contact, &account).await,
            Probed::Sees(seen) if to.resource().is_none() && !seen.is_empty() => {
                let wires = seen.iter().map(|seen| seen.wire(&asker)).collect();
                self.show_session(session, wires).await?;
                return self.catch_up(session, seen).await;
            }
            Probed::Sees(_) => {
                // A definite answer (§4.3.2), under the id of the question (§4.3.2.1).
                let since = self.stores.last_activities.get(&contact).await?;
                let since = since.filter(|_| to.resource().is_none()).map(|last| delay(&last));
                let gone =
                    Presence::own(PresenceType::Unavailable, to.clone(), Some(asker), since.as_slice());
                vec![gone.with_id(probe.id()).wire()]
            }
        };
        self.show_session(session, wires).await
    }

    /// Whether a session of another account shares its presence with `asker`, by a subscription or by having sent it.
    pub(crate) async fn shares_presence(&self, session: &Jid, asker: &FullJid) -> Result<bool> {
        let (owner, account) = (session.bare(), asker.bare());
        let roster = self.stores.rosters.get(&owner).await?;
        if roster.contact(&account).is_some_and(|contact| contact.state.from) {
            return Ok(true);
        }
        let view = self.stores.sessions.view(&owner).await?;
        let named = session.resource().and_then(|resource| view.session(resource));
        Ok(named.is_some_and(|named| rules::presence::is_told(named, asker)))
    }

    /// §4.3.2: what `contact` lets `account` see.
    async fn probe(&self, account: &BareJid, contact: &BareJid, own: &View) -> Result<Probed> {
        let asker = Jid::from(account.clone());
        let view = self.stores.sessions.view(contact).await?;
        if own.blocked.blocks(&contact.clone().into()) || rules::is_blocked(&view, &asker) {
            return Ok(Probed::Blocked);
        }
        if contact != account {
            let roster = self.stores.rosters.get(contact).await?;
            if !roster.contact(account).is_some_and(|entry| entry.state.from) {
                return Ok(Probed::Stranger);
            }
        }
        Ok(Probed::Sees(seen::of(&view)))
    }

    /// §4.5.2, §4.6.3: everybody who believes a session to be there hears `unavailable`; or, if somebody else is available under its
    /// address by now, what those say.
    pub(super) async fn say_goodbye(
        &self,
        farewell: &Farewell,
        left: &Left,
        status: Option<Box<str>>,
        wire: impl Fn(&Jid) -> Wire + Send + Sync,
    ) -> Result<()> {
        let (account, from) = (farewell.jid.bare(), Jid::from(farewell.jid.clone()));
        let mut directed: Vec<&Jid> = farewell.directed.iter().collect();
        if farewell.to_all {
            let behind = self.left(&account, left).await?;
            self.note_last(left, behind, status).await?; // before anybody can ask
            self.tell_of_end(farewell, behind, |to| wire(&to.clone().into())).await?;
            directed.retain(|to| !behind.allowed.lists(&to.bare()));
        }
        if !directed.is_empty() {
            let view = self.stores.sessions.view(&account).await?;
            let tells_itself =
                |to: &Jid| view.session(from.resource()?).map(|there| there.directed.contains(to));
            directed.retain(|to| tells_itself(to) != Some(true));
        }
        for to in directed {
            self.present_to(to, &from, wire(to)).await?;
        }
        self.stores.sessions.settle_farewell(farewell).await
    }

    /// To all who may see the presence of the account: that a session of it has gone, or what is so by now under its address.
    async fn tell_of_end(
        &self,
        farewell: &Farewell,
        behind: &Behind,
        gone: impl Fn(&BareJid) -> Wire + Send + Sync,
    ) -> Result<()> {
        let jid = &farewell.jid;
        let (account, from) = (jid.bare(), Jid::from(jid.clone()));
        let own = behind.view.available().next().map(|_| &account);
        let told: Vec<&BareJid> = own.into_iter().chain(behind.allowed.contacts()).collect();
        if told.is_empty() {
            return Ok(()); // who comes from now on is shown what is there then
        }
        let there = self.available(jid).await?; // it may have come back since all was read
        if there.is_some() {
            // If nobody has told it before, whoever is there again was not away in anybody's eyes.
            return if farewell.turn > 0 { self.tell_what_is(jid, there, gone).await } else { Ok(()) };
        }
        for to in told {
            self.present(to, &from, vec![gone(to)]).await?;
        }
        match self.available(jid).await? {
            None => Ok(()),
            there => self.tell_what_is(jid, there, gone).await,
        }
    }

    async fn available(&self, jid: &FullJid) -> Result<Option<Arc<Availability>>> {
        let view = self.stores.sessions.view(&jid.bare()).await?;
        Ok(view.session(jid.resource()).and_then(|there| there.available.clone()))
    }

    /// To all who may see the presence of the account: that this is so under the address, `now`, and whatever is so instead behind the
    /// telling, until nothing has changed. `gone` makes an `unavailable`.
    async fn tell_what_is(
        &self,
        jid: &FullJid,
        mut now: Option<Arc<Availability>>,
        gone: impl Fn(&BareJid) -> Wire + Send + Sync,
    ) -> Result<()> {
        let (account, from) = (jid.bare(), Jid::from(jid.clone()));
        loop {
            match &now {
                Some(there) => {
                    let shown = |to: &BareJid| addressed(&there.presence, &to.clone().into());
                    let told = self.tell_contacts(&account, &from, shown).await?;
                    self.take_back(&from, told).await?;
                }
                None => drop(self.tell_contacts(&account, &from, &gone).await?),
            }
            let next = self.available(jid).await?;
            if next == now {
                return Ok(());
            }
            now = next;
        }
    }

    /// §4.6.3: who is told when the session leaves, contact or not: it may never have been available to all.
    pub(crate) async fn remember_directed(
        &self,
        session: &SessionRef,
        to: &Jid,
        available: bool,
        view: &View,
    ) -> Result<()> {
        let contact = to.bare();
        if contact == view.account {
            return Ok(());
        }
        self.change(session, Change::Directed { to: to.clone(), available }).await.map(drop)
    }
}

/// Whether who probes a session by its full JID hears that it is there: it sees the presence of the account, or was told
/// by that session itself (§4.6.6).
fn may_know(session: &SessionView, probed: &Probed, asker: &FullJid) -> bool {
    match probed {
        Probed::Sees(_) => session.available.is_some(),
        Probed::Stranger => rules::presence::is_told(session, asker),
        Probed::Blocked => false,
    }
}

fn delay(last: &LastActivity) -> Element {
    Element::new(ns::DELAY, "delay").with_attr("stamp", last.at.to_xep_0082())
}
