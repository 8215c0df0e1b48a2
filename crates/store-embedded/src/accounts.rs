//! Accounts, and their removal from every table.

use std::ops::Bound;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::accounts::{Account, Accounts, Created, Credentials, ScramKeys};
use starling_ports::ids::Timestamp;

use crate::Store;
use crate::codec::{self, In};
use crate::disk::{Op, Space, pair};
use crate::row;

const WHAT: &str = "an account";
/// How many rows one step of a removal deletes.
const BATCH: usize = 1000;

fn encode(key: &[u8], account: &Account) -> Vec<u8> {
    let mut out = codec::out();
    out.number(account.created);
    out.bool(account.suspended);
    for keys in [&account.credentials.sha1, &account.credentials.sha256] {
        let keys = keys.as_ref(); // missing ones are kept as keys of no iterations
        out.number(keys.map_or(0, |keys| keys.iterations.into()));
        for part in
            [keys.map(|keys| &keys.salt), keys.map(|keys| &keys.stored), keys.map(|keys| &keys.server)]
        {
            out.bytes(part.map_or(&[], Vec::as_slice));
        }
    }
    codec::seal(out, key)
}

pub(crate) fn decode(key: &[u8], stored: &[u8]) -> Result<Account> {
    fn keys(value: &mut In<'_>) -> Result<Option<ScramKeys>> {
        let iterations = u32::try_from(value.number()?).map_err(|_| value.corrupt())?;
        let (salt, stored) = (value.bytes()?.to_vec(), value.bytes()?.to_vec());
        let keys = ScramKeys { iterations, salt, stored, server: value.bytes()?.to_vec() };
        Ok((keys.iterations > 0).then_some(keys))
    }
    let mut value = codec::unseal(key, stored, WHAT)?;
    let (created, suspended) = (value.number()?, value.bool()?);
    let credentials = Credentials { sha1: keys(&mut value)?, sha256: keys(&mut value)? };
    Ok(Account { credentials, created, suspended })
}

impl Store {
    pub(crate) fn account_now(&self, jid: &BareJid) -> Result<Option<Account>> {
        let key = jid.as_str().as_bytes();
        let stored = self.disk.read()?.get(Space::Accounts, key)?;
        stored.map(|stored| decode(key, &stored)).transpose()
    }

    async fn put_account(&self, jid: &BareJid, account: &Account) -> Result<()> {
        let key = jid.as_str().as_bytes();
        self.writer.write(vec![Op::Put(Space::Accounts, key.to_vec(), encode(key, account))]).await
    }

    /// At most `BATCH` keys of `space` that belong to `owner`.
    fn keys_of(&self, space: Space, owner: &BareJid) -> Result<Vec<Op>> {
        let tables = self.disk.read()?;
        let found = tables.space(space).prefix(row::prefix(owner)).take(BATCH);
        found.map(|guard| pair(guard).map(|(key, _)| Op::Remove(space, key.to_vec()))).collect()
    }

    async fn change_account(&self, jid: &BareJid, change: impl FnOnce(&mut Account) + Send) -> Result<bool> {
        let _turn = self.turns.of(jid).await;
        let Some(mut account) = self.account_now(jid)? else { return Ok(false) };
        change(&mut account);
        self.put_account(jid, &account).await?;
        Ok(true)
    }
}

#[async_trait]
impl Accounts for Store {
    async fn get(&self, jid: &BareJid) -> Result<Option<Account>> {
        self.account_now(jid)
    }

    async fn create(&self, jid: &BareJid, credentials: Credentials, now: Timestamp) -> Result<Created> {
        let _turn = self.turns.of(jid).await;
        if self.account_now(jid)?.is_some() {
            return Ok(Created::Exists);
        }
        // What a removal that was killed half-way has left must not come to the new owner of the name.
        self.erase_data(jid).await?;
        self.put_account(jid, &Account { credentials, created: now.0, suspended: false }).await?;
        self.forget(jid);
        Ok(Created::Yes)
    }

    async fn set_credentials(&self, jid: &BareJid, credentials: Credentials) -> Result<bool> {
        self.change_account(jid, |account| account.credentials = credentials).await
    }

    async fn set_suspended(&self, jid: &BareJid, suspended: bool) -> Result<bool> {
        self.change_account(jid, |account| account.suspended = suspended).await
    }

    async fn remove(&self, jid: &BareJid) -> Result<bool> {
        let _turn = self.turns.of(jid).await;
        if self.account_now(jid)?.is_none() {
            self.erase_data(jid).await?;
            return Ok(false);
        }
        // The account first: after it nobody signs in, and whoever removes or makes it again finishes what a kill interrupts here.
        self.writer.write(vec![Op::Remove(Space::Accounts, jid.as_str().as_bytes().to_vec())]).await?;
        self.forget(jid);
        let last = self.slot(jid)?.lock().last();
        self.removed.add(jid, last).await;
        self.writer.probe().await?; // what was to be written later is, and is erased now
        self.erase_data(jid).await?;
        Ok(true)
    }

    async fn list(&self, after: Option<&BareJid>, limit: usize) -> Result<Vec<BareJid>> {
        let low = match after {
            Some(after) => Bound::Excluded(after.as_str().as_bytes().to_vec()),
            None => Bound::Unbounded,
        };
        let tables = self.disk.read()?;
        let found = tables.space(Space::Accounts).range((low, Bound::Unbounded)).take(limit);
        let name = |key: fjall::UserKey| {
            std::str::from_utf8(&key)
                .ok()
                .and_then(|text| BareJid::new(text).ok())
                .ok_or(crate::error::corrupt(WHAT))
        };
        found.map(|guard| name(pair(guard)?.0)).collect()
    }
}

impl Store {
    /// Deletes by range, in bounded batches.
    async fn erase_data(&self, jid: &BareJid) -> Result<()> {
        for space in [Space::Archive, Space::With, Space::Spool, Space::Data] {
            loop {
                let removals = self.keys_of(space, jid)?;
                if removals.is_empty() {
                    break;
                }
                self.writer.write(removals).await?;
            }
        }
        self.rosters.forget(jid);
        Ok(())
    }
}
