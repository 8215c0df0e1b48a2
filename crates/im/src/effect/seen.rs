//! Presence that was read at one account and is shown at another: what was shown holds in the end (session-log rule 22).
//!
//! Between the read and the commit at the receiver something newer may have been committed there. So whoever shows what it
//! has read looks again behind its commit: what changed before that look it shows again, and what changes after it is
//! committed after it too.

use std::sync::Arc;

use starling_jid::{BareJid, FullJid, Jid};
use starling_ports::Result;
use starling_ports::blocklist::BlockList;
use starling_ports::roster::Roster;
use starling_ports::sessions::{Availability, View};
use starling_stanza::Wire;

use crate::Context;
use crate::context::addressed;

/// A session as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(super) from: FullJid,
    available: Arc<Availability>,
}

impl Seen {
    /// Its presence, addressed.
    pub(super) fn wire(&self, to: &Jid) -> Wire {
        addressed(&self.available.presence, to)
    }
}

/// The available sessions of an account.
pub(super) fn of(view: &View) -> Vec<Seen> {
    let seen = |session: &starling_ports::sessions::SessionView| {
        Some(Seen { from: session.jid.clone(), available: session.available.clone()? })
    };
    view.sessions.iter().filter_map(seen).collect()
}

/// What is to be shown of sessions that were shown as `before` and are seen as `now`, by whom; and what of it may change
/// again. Who was not shown speaks for itself.
pub(super) fn changes(before: Vec<Seen>, now: &[Seen], to: &Jid) -> (Vec<(Jid, Wire)>, Vec<Seen>) {
    let (mut wires, mut newer) = (Vec::new(), Vec::new());
    for Seen { from, available } in before {
        match now.iter().find(|seen| seen.from == from) {
            Some(seen) if seen.available == available => {}
            Some(seen) => {
                wires.push((from.into(), seen.wire(to)));
                newer.push(seen.clone());
            }
            None => {
                let from = Jid::from(from);
                let gone = Context::unavailable(&from, to);
                wires.push((from, gone));
            }
        }
    }
    (wires, newer)
}

/// Who may see an account's presence.
pub(crate) struct Allowed {
    roster: Arc<Roster>,
    blocked: Arc<BlockList>,
}

impl Allowed {
    /// All of them.
    pub(super) fn contacts(&self) -> impl Iterator<Item = &BareJid> {
        let contacts = self.roster.contacts.iter().filter(|contact| contact.state.from);
        contacts.map(|contact| &contact.jid).filter(|jid| !self.blocked.blocks(&(*jid).clone().into()))
    }
    /// Whether it is one of them, blocked or not.
    pub(super) fn lists(&self, contact: &BareJid) -> bool {
        self.roster.contact(contact).is_some_and(|contact| contact.state.from)
    }
    fn is_same(&self, other: &Allowed) -> bool {
        self.roster.version == other.roster.version && *self.blocked == *other.blocked
    }
    pub(super) fn allows(&self, contact: &BareJid) -> bool {
        self.lists(contact) && !self.blocked.blocks(&contact.clone().into())
    }
}

impl Context {
    /// As it is now.
    pub(super) async fn allowed(&self, account: &BareJid) -> Result<Allowed> {
        let roster = self.stores.rosters.get(account).await?;
        let blocked = self.stores.sessions.view(account).await?.blocked.clone();
        Ok(Allowed { roster, blocked })
    }

    /// As it is now, or was when the view was read.
    pub(super) async fn allowed_in(&self, view: &View) -> Result<Allowed> {
        let roster = self.stores.rosters.get(&view.account).await?;
        Ok(Allowed { roster, blocked: view.blocked.clone() })
    }

    /// `from` has just told `told` that it is there. Whoever may no longer see it may have heard of that before.
    pub(super) async fn take_back(&self, from: &Jid, told: Allowed) -> Result<()> {
        let now = self.allowed(&from.bare()).await?;
        if now.is_same(&told) {
            return Ok(());
        }
        for contact in told.contacts().filter(|to| !now.allows(to)) {
            let to = Jid::from(contact.clone());
            self.present_to(&to, from, Context::unavailable(from, &to)).await?;
        }
        Ok(())
    }

    /// `to`, an account or one device of it, now sees all available sessions of `owner`.
    pub(crate) async fn show(&self, owner: &BareJid, to: &Jid) -> Result<()> {
        let mut shown = of(&*self.stores.sessions.view(owner).await?);
        for seen in &shown {
            self.present_to(to, &seen.from.clone().into(), seen.wire(to)).await?;
        }
        while !shown.is_empty() {
            let allowed = self.allowed(owner).await?;
            let may_see = allowed.allows(&to.bare()) && !allowed.blocked.blocks(to);
            let view = self.stores.sessions.view(owner).await?;
            let (wires, newer) = changes(shown, &if may_see { of(&view) } else { Vec::new() }, to);
            for (from, wire) in wires {
                self.present_to(to, &from, wire).await?;
            }
            shown = newer;
        }
        Ok(())
    }

    /// `to` no longer sees any session of `owner`. Returns which.
    pub(crate) async fn hide(&self, owner: &BareJid, to: &Jid) -> Result<Vec<Seen>> {
        let shown = of(&*self.stores.sessions.view(owner).await?);
        for Seen { from, .. } in &shown {
            let from = Jid::from(from.clone());
            self.present_to(to, &from, Context::unavailable(&from, to)).await?;
        }
        Ok(shown)
    }

    /// The same for whoever was hidden from while it could still see: what was shown meanwhile goes as well.
    pub(crate) async fn hide_newer(&self, owner: &BareJid, to: &Jid, hidden: Vec<Seen>) -> Result<()> {
        if of(&*self.stores.sessions.view(owner).await?) != hidden {
            self.hide(owner, to).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep::tests::view;

    fn shown(wires: &[(Jid, Wire)]) -> Vec<(&str, bool)> {
        let is_gone = |wire: &Wire| wire.has_attribute("type", "unavailable");
        wires.iter().map(|(from, wire)| (from.resource().unwrap(), is_gone(wire))).collect()
    }

    #[test]
    fn what_has_changed_is_shown_again_until_nothing_has() {
        let to = Jid::new("alice@a.example").unwrap();
        let before = of(&view(&[("desk", Some(0)), ("phone", Some(0)), ("tab", Some(0)), ("quiet", None)]));
        assert_eq!(before.len(), 3);
        let now = of(&view(&[("phone", Some(5)), ("tab", Some(0)), ("new", Some(0))]));

        let (wires, newer) = changes(before, &now, &to);

        assert_eq!(shown(&wires), [("desk", true), ("phone", false)]);
        assert_eq!(newer.len(), 1);
        let (wires, newer) = changes(newer, &now, &to);
        assert!(wires.is_empty() && newer.is_empty());
    }
}
