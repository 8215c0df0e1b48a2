//! Accounts: every change is decided by the servers on the row's state (IF …), so that two routers cannot both make one.
//!
//! A removed account leaves its name with the time of its removal, so that what still comes for it finds it gone.

use async_trait::async_trait;
use scylla::DeserializeRow;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::accounts::{Account, Accounts, Created, Credentials, ScramKeys};
use starling_ports::ids::Timestamp;

use crate::client::Place;
use crate::error::{corrupt, unavailable};
use crate::lwt::{Decision, Tries};
use crate::store::Store;
use crate::values::{signed, unsigned};

const WHAT: &str = "an account";

/// Values of `state`.
const ALIVE: i8 = 1;
/// Its data is being erased; whoever meets it goes on with that.
const REMOVING: i8 = 2;
const REMOVED: i8 = 3;

/// The row as it lies there.
#[derive(Debug, DeserializeRow)]
struct Stored {
    state: Option<i8>,
    nonce: Option<i64>,
    created: Option<i64>,
    suspended: Option<bool>,
    sha1_iterations: Option<i32>,
    sha1_salt: Option<Vec<u8>>,
    sha1_stored: Option<Vec<u8>>,
    sha1_server: Option<Vec<u8>>,
    sha256_iterations: Option<i32>,
    sha256_salt: Option<Vec<u8>>,
    sha256_stored: Option<Vec<u8>>,
    sha256_server: Option<Vec<u8>>,
    removed_at: Option<i64>,
    removed_id: Option<i64>,
}

impl Stored {
    fn account(&self) -> Result<Account> {
        type Parts<'a> = (&'a Option<Vec<u8>>, &'a Option<Vec<u8>>, &'a Option<Vec<u8>>);
        let keys = |iterations: Option<i32>, parts: Parts<'_>| match (iterations, parts) {
            (None, (None, None, None)) => Ok(None),
            (Some(iterations), (Some(salt), Some(stored), Some(server))) => Ok(Some(ScramKeys {
                iterations: u32::try_from(iterations).map_err(|_| corrupt(WHAT))?,
                salt: salt.clone(),
                stored: stored.clone(),
                server: server.clone(),
            })),
            _ => Err(corrupt(WHAT)),
        };
        let sha1 = (&self.sha1_salt, &self.sha1_stored, &self.sha1_server);
        let sha256 = (&self.sha256_salt, &self.sha256_stored, &self.sha256_server);
        let (sha1, sha256) = (keys(self.sha1_iterations, sha1)?, keys(self.sha256_iterations, sha256)?);
        Ok(Account {
            credentials: Credentials { sha1, sha256 },
            created: unsigned(self.created.ok_or(corrupt(WHAT))?, WHAT)?,
            suspended: self.suspended.unwrap_or(false),
        })
    }

    fn removal(&self) -> Result<Removal> {
        let (Some(at), Some(id)) = (self.removed_at, self.removed_id) else { return Err(corrupt(WHAT)) };
        Ok(Removal { at, id: unsigned(id, WHAT)? })
    }
}

/// An account's end: what was written before it is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removal {
    /// By the clock, for what is stamped by it.
    pub(crate) at: i64,
    /// The highest id that is erased: none lower comes to light again.
    pub(crate) id: u64,
}

/// The row, by what can be done with it.
enum Found {
    None,
    Alive(Box<Stored>),
    Removing(Removal),
    Removed(Removal),
}

type Part<'a> = Option<&'a [u8]>;
type Keys<'a> = (Option<i32>, Part<'a>, Part<'a>, Part<'a>);

fn keys(keys: &Option<ScramKeys>) -> Keys<'_> {
    let Some(ScramKeys { iterations, salt, stored, server }) = keys else { return Keys::default() };
    (Some(i32::try_from(*iterations).unwrap_or(i32::MAX)), Some(salt), Some(stored), Some(server))
}

/// No two attempts have the same: so one whose outcome is unknown is recognised.
fn nonce() -> Result<i64> {
    getrandom::u64().map(u64::cast_signed).map_err(unavailable)
}

impl Store {
    async fn account_found(&self, jid: &BareJid, is_settled: bool) -> Result<Found> {
        let statements = &self.client.statements;
        let statement = if is_settled { &statements.accounts.get } else { &statements.accounts.decided };
        let found = self.client.read(statement, (jid.as_str(),)).await?;
        let Some(row) = found.first::<Stored>() else { return Ok(Found::None) };
        let row = row.ok_or(()).map_err(|()| self.client.corrupt(WHAT, found.place()))?;
        let read = match row.state {
            Some(ALIVE) => Ok(Found::Alive(Box::new(row))),
            Some(REMOVING) => row.removal().map(Found::Removing),
            Some(REMOVED) => row.removal().map(Found::Removed),
            _ => Err(corrupt(WHAT)),
        };
        read.map_err(|_| self.client.corrupt(WHAT, found.place()))
    }

    /// After all decisions that are under way.
    async fn account_settled(&self, jid: &BareJid, tries: &mut Tries) -> Result<Found> {
        loop {
            if let Some(found) = tries.read(self.account_found(jid, false).await).await? {
                return Ok(found);
            }
        }
    }

    async fn decide_new(
        &self,
        jid: &BareJid,
        nonce: i64,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Decision {
        let (a, b) = (keys(&credentials.sha1), keys(&credentials.sha256));
        let none: Option<i64> = None;
        let values = (
            jid.as_str(),
            ALIVE,
            nonce,
            signed(now.0),
            false,
            a.0,
            a.1,
            a.2,
            a.3,
            b.0,
            b.1,
            b.2,
            b.3,
            none,
            none,
        );
        self.client.decide(&self.client.statements.accounts.create, values).await
    }

    async fn decide_again(
        &self,
        jid: &BareJid,
        nonce: i64,
        credentials: &Credentials,
        now: Timestamp,
        former: Removal,
    ) -> Decision {
        let (a, b) = (keys(&credentials.sha1), keys(&credentials.sha256));
        let name = jid.as_str();
        let values =
            (ALIVE, nonce, signed(now.0), a.0, a.1, a.2, a.3, b.0, b.1, b.2, b.3, name, REMOVED, former.at);
        self.client.decide(&self.client.statements.accounts.again, values).await
    }

    /// Whether that removal is still under way.
    pub(crate) async fn is_being_removed(
        &self,
        jid: &BareJid,
        removal: Removal,
        tries: &mut Tries,
    ) -> Result<bool> {
        let found = self.account_settled(jid, tries).await?;
        Ok(matches!(found, Found::Removing(current) if current == removal))
    }

    /// Erases what is left, then says so: an end that was broken off goes on here.
    async fn finish_removal(&self, jid: &BareJid, removal: Removal) -> Result<()> {
        self.erase(jid, removal).await?;
        let mut tries = Tries::new();
        loop {
            let values = (REMOVED, jid.as_str(), REMOVING, removal.at);
            match self.client.decide(&self.client.statements.accounts.removed, values).await {
                Decision::Made | Decision::Refused => return Ok(()), // refused: another has finished it
                Decision::Unknown(error) if !tries.again().await => return Err(error),
                Decision::Unknown(_) => {}
            }
        }
    }

    /// Changes an account that is there. `is_so` says whether it is as it was to become: for an unknown outcome.
    async fn change(
        &self,
        jid: &BareJid,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
        is_so: impl Fn(&Account) -> bool,
    ) -> Result<bool> {
        let mut tries = Tries::new();
        loop {
            let error = match self.client.decide(statement, values).await {
                Decision::Made => return Ok(true),
                Decision::Refused => return Ok(false),
                Decision::Unknown(error) => error,
            };
            match self.account_settled(jid, &mut tries).await? {
                Found::Alive(row) if is_so(&row.account()?) => return Ok(true),
                Found::Alive(_) if tries.again().await => {}
                Found::Alive(_) => return Err(error),
                _ => return Ok(false),
            }
        }
    }
}

#[async_trait]
impl Accounts for Store {
    async fn get(&self, jid: &BareJid) -> Result<Option<Account>> {
        match self.account_found(jid, true).await? {
            Found::Alive(row) => row.account().map(Some).map_err(|_| {
                let statement = &self.client.statements.accounts.get;
                self.client.corrupt(WHAT, Place::of(statement, &(jid.as_str(),)))
            }),
            _ => Ok(None),
        }
    }

    async fn create(&self, jid: &BareJid, credentials: Credentials, now: Timestamp) -> Result<Created> {
        let nonce = nonce()?;
        let mut tries = Tries::new();
        loop {
            let found = self.account_settled(jid, &mut tries).await?;
            let decision = match found {
                Found::Alive(row) if row.nonce == Some(nonce) => return Ok(Created::Yes),
                Found::Alive(_) => return Ok(Created::Exists),
                Found::Removing(removal) => {
                    self.finish_removal(jid, removal).await?;
                    continue;
                }
                // The list first: a name in it without an account is passed over, an account not in it would be lost to view.
                Found::None => {
                    self.add_name(jid, self.stamps.next()).await?;
                    self.decide_new(jid, nonce, &credentials, now).await
                }
                Found::Removed(removal) => {
                    self.add_name(jid, self.stamps.next().max(removal.at.saturating_add(1))).await?;
                    self.decide_again(jid, nonce, &credentials, now, removal).await
                }
            };
            match decision {
                Decision::Made => return Ok(Created::Yes),
                Decision::Refused => tries.next()?,
                Decision::Unknown(error) if !tries.again().await => return Err(error),
                Decision::Unknown(_) => {}
            }
        }
    }

    async fn set_credentials(&self, jid: &BareJid, credentials: Credentials) -> Result<bool> {
        let (a, b) = (keys(&credentials.sha1), keys(&credentials.sha256));
        let values = (a.0, a.1, a.2, a.3, b.0, b.1, b.2, b.3, jid.as_str(), ALIVE);
        let statement = &self.client.statements.accounts.keys;
        self.change(jid, statement, &values, |account| account.credentials == credentials).await
    }

    async fn set_suspended(&self, jid: &BareJid, suspended: bool) -> Result<bool> {
        let values = (suspended, jid.as_str(), ALIVE);
        let statement = &self.client.statements.accounts.suspend;
        self.change(jid, statement, &values, |account| account.suspended == suspended).await
    }

    async fn remove(&self, jid: &BareJid) -> Result<bool> {
        let (mut tries, mut has_tried) = (Tries::new(), false);
        loop {
            match self.account_settled(jid, &mut tries).await? {
                Found::None | Found::Removed(_) => return Ok(has_tried), // then ours, or another's that finished it
                Found::Removing(removal) => {
                    self.finish_removal(jid, removal).await?;
                    return Ok(true);
                }
                Found::Alive(_) => {}
            }
            let removal = self.removal(jid).await?;
            let values = (REMOVING, removal.at, signed(removal.id), jid.as_str(), ALIVE);
            match self.client.decide(&self.client.statements.accounts.removing, values).await {
                Decision::Made | Decision::Refused => tries.next()?,
                Decision::Unknown(error) if !tries.again().await => return Err(error),
                Decision::Unknown(_) => has_tried = true,
            }
        }
    }

    async fn list(&self, after: Option<&BareJid>, limit: usize) -> Result<Vec<BareJid>> {
        self.names_after(after, limit).await
    }
}

impl Store {
    /// Which of `names` have an account.
    pub(crate) async fn alive(&self, names: &[String]) -> Result<std::collections::HashSet<String>> {
        let found = self.client.read(&self.client.statements.accounts.named, (names,)).await?;
        let mut alive = std::collections::HashSet::new();
        for row in found.rows::<(String, Option<i8>)>() {
            let (name, state) = row.ok_or(()).map_err(|()| self.client.corrupt(WHAT, found.place()))?;
            if state == Some(ALIVE) {
                alive.insert(name);
            }
        }
        Ok(alive)
    }
}
