//! Rosters: all contacts of an owner in one partition, with the version in a row of its own; a write is decided on it.

use std::sync::Arc;

use async_trait::async_trait;
use scylla::DeserializeRow;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::roster::{Contact, Edit, Roster, Rosters, Subscription, Written};

use crate::accounts::Removal;
use crate::client::Changes;
use crate::error::{corrupt, unavailable};
use crate::lwt::{Decision, Tries};
use crate::store::Store;
use crate::values::{bare, bit, bits, signed, unsigned};

const WHAT: &str = "a roster";
/// So many contacts are deleted in one decision.
const DELETED: usize = 500;
/// So many are adopted in one: Cassandra refuses a batch of 50 KB.
const ADOPTED: usize = 50;

#[derive(Debug, DeserializeRow)]
struct Stored {
    contact: String,
    version: Option<i64>,
    since: Option<i64>,
    nonce: Option<i64>,
    removed: Option<bool>,
    flags: Option<i8>,
    name: Option<String>,
    groups: Option<Vec<String>>,
    request: Option<Vec<u8>>,
}

/// A roster, and what was written with its version.
struct Found {
    roster: Roster,
    /// Whose write made this version; `None` if there is no row of the version yet.
    nonce: Option<i64>,
}

fn contact(row: Stored) -> Result<Contact> {
    let (Some(version), Some(flags)) = (row.version, row.flags) else { return Err(corrupt(WHAT)) };
    Ok(Contact {
        jid: bare(&row.contact, WHAT)?,
        name: row.name.map(Into::into),
        groups: row.groups.unwrap_or_default().into_iter().map(Into::into).collect(),
        state: Subscription {
            to: bit(flags, 0),
            from: bit(flags, 1),
            pending_out: bit(flags, 2),
            pending_in: bit(flags, 3),
            approved: bit(flags, 4),
        },
        version: unsigned(version, WHAT)?,
        request: row.request.map(Into::into),
        listed: bit(flags, 5),
    })
}

fn gather(rows: impl Iterator<Item = Option<Stored>>) -> Result<Found> {
    let mut found = Found { roster: Roster::default(), nonce: None };
    for row in rows {
        let row = row.ok_or(corrupt(WHAT))?;
        if row.contact.is_empty() {
            found.roster.version = unsigned(row.version.ok_or(corrupt(WHAT))?, WHAT)?;
            found.roster.since = unsigned(row.since.ok_or(corrupt(WHAT))?, WHAT)?;
            found.nonce = row.nonce;
        } else if row.removed == Some(true) {
            let version = unsigned(row.version.ok_or(corrupt(WHAT))?, WHAT)?;
            found.roster.removed.push((bare(&row.contact, WHAT)?, version));
        } else {
            found.roster.contacts.push(contact(row)?);
        }
    }
    found.roster.contacts.sort_unstable_by(|a, b| a.jid.cmp(&b.jid));
    found.roster.removed.sort_unstable_by_key(|(_, version)| *version);
    Ok(found)
}

/// The row of a contact, and the values that a removed one has no more.
fn put<'a>(changes: &mut Changes<'a>, store: &Store, owner: &'a BareJid, contact: &'a Contact) {
    let state = contact.state;
    let flags =
        bits([state.to, state.from, state.pending_out, state.pending_in, state.approved, contact.listed]);
    let groups: Vec<&str> = contact.groups.iter().map(|group| &**group).collect();
    let values = (
        owner.as_str(),
        contact.jid.as_str(),
        signed(contact.version),
        false,
        flags,
        contact.name.as_deref(),
        groups,
        contact.request.as_deref(),
    );
    changes.add(&store.client.statements.rosters.put, values);
}

fn put_removed<'a>(
    changes: &mut Changes<'a>,
    store: &Store,
    owner: &'a BareJid,
    jid: &'a BareJid,
    version: u64,
) {
    let none: Option<&str> = None;
    let values = (
        owner.as_str(),
        jid.as_str(),
        signed(version),
        true,
        None::<i8>,
        none,
        None::<Vec<&str>>,
        None::<&[u8]>,
    );
    changes.add(&store.client.statements.rosters.put, values);
}

impl Store {
    async fn roster_found(&self, owner: &BareJid, is_settled: bool) -> Result<Found> {
        let statements = &self.client.statements;
        let statement = if is_settled { &statements.rosters.get } else { &statements.rosters.decided };
        let found = self.client.read(statement, (owner.as_str(),)).await?;
        gather(found.rows()).map_err(|_| self.client.corrupt(WHAT, found.place()))
    }

    /// After all decisions that are under way.
    async fn roster_settled(&self, owner: &BareJid, tries: &mut Tries) -> Result<Found> {
        loop {
            if let Some(found) = tries.read(self.roster_found(owner, false).await).await? {
                return Ok(found);
            }
        }
    }

    /// The condition of a change: nobody else has made this version.
    fn condition<'a>(
        &self,
        owner: &'a BareJid,
        now: &Found,
        version: u64,
        since: u64,
        nonce: i64,
    ) -> Changes<'a> {
        let mut changes = Changes::default();
        let (owner, version, since) = (owner.as_str(), signed(version), signed(since));
        let statements = &self.client.statements;
        match now.nonce {
            None => changes.add(&statements.rosters.first, (owner, version, since, nonce)),
            Some(_) => {
                let before = signed(now.roster.version);
                changes.add(&statements.rosters.next, (version, since, nonce, owner, before));
            }
        }
        changes
    }

    /// One step from what is there to `next`, if that is still there.
    async fn step(&self, owner: &BareJid, now: &Found, next: &Roster, nonce: i64) -> Decision {
        let mut changes = self.condition(owner, now, next.version, next.since, nonce);
        for contact in next.contacts.iter().filter(|contact| contact.version == next.version) {
            put(&mut changes, self, owner, contact);
        }
        for (jid, version) in next.removed.iter().filter(|(_, version)| *version == next.version) {
            put_removed(&mut changes, self, owner, jid, *version);
        }
        // What is neither a contact nor remembered as removed any more.
        for (jid, _) in now.roster.removed.iter().filter(|(_, version)| *version <= next.since) {
            if next.contact(jid).is_none() && next.removed.iter().all(|(kept, _)| kept != jid) {
                changes.add(&self.client.statements.rosters.forget, (owner.as_str(), jid.as_str()));
            }
        }
        self.client.decide_all(changes).await
    }

    /// For a copy of another store: the roster as it is, versions and all, so that what clients keep of it still holds. `false`:
    /// there is a later one, which was left alone. May be done again.
    pub async fn adopt_roster(&self, owner: &BareJid, roster: &Roster) -> Result<bool> {
        let contacts = roster.contacts.chunks(ADOPTED).map(|some| (some, &[][..]));
        let removed = roster.removed.chunks(ADOPTED).map(|some| (&[][..], some));
        for (contacts, removed) in contacts.chain(removed).chain([(&[][..], &[][..])]) {
            if !self.adopt(owner, roster, contacts, removed).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn adopt(
        &self,
        owner: &BareJid,
        roster: &Roster,
        contacts: &[Contact],
        removed: &[(BareJid, u64)],
    ) -> Result<bool> {
        let mut tries = Tries::new();
        loop {
            let now = self.roster_settled(owner, &mut tries).await?;
            if now.roster.version > roster.version {
                return Ok(false);
            }
            let mut changes = self.condition(owner, &now, roster.version, roster.since, nonce()?);
            contacts.iter().for_each(|contact| put(&mut changes, self, owner, contact));
            removed.iter().for_each(|(jid, version)| put_removed(&mut changes, self, owner, jid, *version));
            match self.client.decide_all(changes).await {
                Decision::Made => return Ok(true),
                Decision::Refused | Decision::Unknown(_) if tries.again().await => {}
                Decision::Unknown(error) => return Err(error),
                Decision::Refused => return Err(unavailable("a roster is written to, again and again")),
            }
        }
    }

    /// Deletes all contacts. The version stays: whoever gets this name next goes on from it, and no client that kept the old
    /// roster takes the new one for it.
    pub(crate) async fn empty_roster(&self, owner: &BareJid, removal: Removal) -> Result<()> {
        let mut tries = Tries::new();
        loop {
            let now = self.roster_settled(owner, &mut tries).await?;
            // After what is to be deleted was read: another may have finished this removal, and the roster be a successor's.
            if !self.is_being_removed(owner, removal, &mut tries).await? {
                return Ok(());
            }
            let contacts = now.roster.contacts.iter().map(|contact| &contact.jid);
            let all: Vec<&BareJid> =
                contacts.chain(now.roster.removed.iter().map(|(jid, _)| jid)).take(DELETED).collect();
            if all.is_empty() {
                return Ok(());
            }
            let version = now.roster.version + 1;
            let mut changes = self.condition(owner, &now, version, version, nonce()?);
            for jid in all {
                changes.add(&self.client.statements.rosters.forget, (owner.as_str(), jid.as_str()));
            }
            match self.client.decide_all(changes).await {
                Decision::Made => tries = Tries::new(), // the next part of it
                Decision::Refused | Decision::Unknown(_) if tries.again().await => {}
                Decision::Unknown(error) => return Err(error), // the removal goes on when it is asked for again
                Decision::Refused => {
                    return Err(unavailable(
                        "the roster of a removed account is written to, again and again",
                    ));
                }
            }
        }
    }
}

fn nonce() -> Result<i64> {
    getrandom::u64().map(u64::cast_signed).map_err(unavailable)
}

#[async_trait]
impl Rosters for Store {
    async fn get(&self, owner: &BareJid) -> Result<Arc<Roster>> {
        Ok(Arc::new(self.roster_found(owner, true).await?.roster))
    }

    async fn write(&self, owner: &BareJid, version: u64, edits: Vec<Edit>) -> Result<Written> {
        let (nonce, mut tries) = (nonce()?, Tries::new());
        let mut now = self.roster_found(owner, true).await?;
        loop {
            if now.nonce == Some(nonce) {
                return Ok(Written::Done(Arc::new(now.roster))); // ours, though its outcome was not told
            }
            if now.roster.version != version {
                return Ok(Written::Stale(Arc::new(now.roster)));
            }
            let next = now.roster.after(edits.clone());
            match self.step(owner, &now, &next, nonce).await {
                Decision::Made => return Ok(Written::Done(Arc::new(next))),
                Decision::Refused => tries.next()?,
                Decision::Unknown(error) if !tries.again().await => return Err(error),
                Decision::Unknown(_) => {}
            }
            now = self.roster_settled(owner, &mut tries).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(contact: &str, version: Option<i64>) -> Stored {
        Stored {
            contact: contact.to_owned(),
            version,
            since: Some(0),
            nonce: Some(1),
            removed: None,
            flags: Some(1),
            name: None,
            groups: None,
            request: None,
        }
    }

    #[test]
    fn rows_that_make_no_roster_are_not_served() {
        let read = |rows: Vec<Option<Stored>>| gather(rows.into_iter()).map(|found| found.roster.version);
        assert_eq!(read(vec![Some(row("", Some(3))), Some(row("a@example.org", Some(2)))]).unwrap(), 3);
        assert!(read(vec![None]).is_err());
        assert!(read(vec![Some(row("", None))]).is_err());
        assert!(read(vec![Some(row("", Some(-1)))]).is_err());
        assert!(read(vec![Some(row("a@b@c", Some(1)))]).is_err());
        assert!(read(vec![Some(Stored { flags: None, ..row("a@example.org", Some(1)) })]).is_err());
    }
}
