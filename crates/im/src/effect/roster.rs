//! Changes of a roster: written, then pushed to the sessions that asked for it (RFC 6121 §2.1.6).

use std::sync::Arc;

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::roster::{Contact, Edit, Roster, Subscription, Written as Outcome};
use starling_session_router::Item;
use starling_stanza::{Iq, IqType, Stanza};
use starling_xml::Element;

use crate::Context;
use crate::context::random_id;
use crate::rules::roster;

/// What a change makes of a contact.
pub(crate) enum Change {
    /// It becomes this.
    Put(Contact),
    /// It is gone.
    Remove,
    /// Nothing changes.
    Keep,
}

/// A change that was written and is still to be pushed.
pub(crate) struct Written {
    /// What the user saw of the contact before.
    shown: Option<Element>,
    roster: Arc<Roster>,
}

impl Context {
    /// Changes one contact and pushes it. `change` runs again if the roster was changed meanwhile; what it returned beside
    /// the change the last time is returned. With `again` a contact is pushed that is as it should be already: who wrote it may
    /// have died behind that.
    pub(crate) async fn edit_roster<T: Send>(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        again: bool,
        change: impl Fn(&Roster, Contact) -> (Change, T) + Send + Sync,
    ) -> Result<T> {
        let (returned, written) = self.write_roster(owner, contact, again, change).await?;
        self.push_roster(owner, contact, written).await?;
        Ok(returned)
    }

    /// The same without the push, for whoever has something to say before it.
    pub(crate) async fn write_roster<T: Send>(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        again: bool,
        change: impl Fn(&Roster, Contact) -> (Change, T) + Send + Sync,
    ) -> Result<(T, Option<Written>)> {
        let mut now = self.stores.rosters.get(owner).await?;
        loop {
            let before = now.contact(contact).cloned();
            let shown = before.as_ref().filter(|contact| contact.listed).map(roster::item);
            let (changed, returned) = change(&now, before.clone().unwrap_or_else(|| stranger(contact)));
            let edit = match changed {
                Change::Keep => return Ok((returned, None)),
                Change::Put(contact) if before.as_ref() == Some(&contact) => {
                    return Ok((returned, again.then_some(Written { shown: None, roster: now })));
                }
                Change::Remove if before.is_none() => {
                    let shown = Some(roster::item(&stranger(contact))); // whatever it was
                    return Ok((returned, again.then_some(Written { shown, roster: now })));
                }
                Change::Put(contact) => Edit::Put(contact),
                Change::Remove => Edit::Remove(contact.clone()),
            };
            match self.stores.rosters.write(owner, now.version, vec![edit]).await? {
                Outcome::Done(roster) => return Ok((returned, Some(Written { shown, roster }))),
                Outcome::Stale(newer) => now = newer,
            }
        }
    }

    pub(crate) async fn push_roster(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        written: Option<Written>,
    ) -> Result<()> {
        let Some(Written { shown, roster }) = written else { return Ok(()) };
        let item = match roster.contact(contact).filter(|contact| contact.listed) {
            Some(contact) => roster::item(contact),
            None if shown.is_some() => roster::removed(contact),
            None => return Ok(()), // a mere request is not in what the user sees
        };
        if shown.as_ref() == Some(&item) {
            return Ok(()); // nor does it change it
        }
        let query = roster::query(roster.version, [item]);
        let push = Iq::own(IqType::Set, owner.clone().into(), None, &random_id(), query);
        self.push(owner, &[Item::own(&Stanza::Iq(push))], &|session| session.flags.interested).await
    }
}

fn stranger(jid: &BareJid) -> Contact {
    Contact {
        jid: jid.clone(),
        name: None,
        groups: Vec::new(),
        state: Subscription::default(),
        version: 0,
        request: None,
        listed: false,
    }
}
