//! Changes of a roster: written, then pushed to the sessions that asked for it (RFC 6121 §2.1.6).

use std::sync::Arc;

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::roster::{Contact, Edit, Roster, Subscription, Written};
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

impl Context {
    /// Changes one contact. `change` runs again if the roster was changed meanwhile; what it returned beside the change
    /// the last time is returned.
    pub(crate) async fn edit_roster<T: Send>(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        change: impl Fn(&Roster, Contact) -> (Change, T) + Send + Sync,
    ) -> Result<T> {
        let mut now = self.stores.rosters.get(owner).await?;
        loop {
            let before = now.contact(contact).cloned();
            let shown = before.as_ref().filter(|contact| contact.listed).map(roster::item);
            let (changed, returned) = change(&now, before.clone().unwrap_or_else(|| stranger(contact)));
            let edit = match changed {
                Change::Keep => return Ok(returned),
                Change::Put(contact) if before.as_ref() == Some(&contact) => return Ok(returned),
                Change::Put(contact) => Edit::Put(contact),
                Change::Remove => Edit::Remove(contact.clone()),
            };
            match self.stores.rosters.write(owner, now.version, vec![edit]).await? {
                Written::Done(roster) => {
                    self.push_roster(owner, contact, shown, &roster).await?;
                    return Ok(returned);
                }
                Written::Stale(newer) => now = newer,
            }
        }
    }

    async fn push_roster(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        before: Option<Element>,
        roster: &Arc<Roster>,
    ) -> Result<()> {
        let item = match roster.contact(contact).filter(|contact| contact.listed) {
            Some(contact) => roster::item(contact),
            None if before.is_some() => roster::removed(contact),
            None => return Ok(()), // a mere request is not in what the user sees
        };
        if before.as_ref() == Some(&item) {
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
