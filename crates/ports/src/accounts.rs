//! Who has an account, and what proves it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use starling_jid::BareJid;

use crate::Result;
use crate::ids::Timestamp;

/// What SCRAM keeps instead of a password (RFC 5802 §3), for one hash function.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramKeys {
    /// How often PBKDF2 iterates.
    pub iterations: u32,
    /// Random, per account and hash.
    pub salt: Vec<u8>,
    /// `H(ClientKey)`.
    pub stored: Vec<u8>,
    /// `ServerKey`.
    pub server: Vec<u8>,
}

impl std::fmt::Debug for ScramKeys {
    /// Without the keys: they do not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The keys of an account: one set for each SCRAM hash. A password set here makes both; an account that another server has made
/// may have one of them or, if its password must be set first, none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// For SCRAM-SHA-1 and SCRAM-SHA-1-PLUS.
    pub sha1: Option<ScramKeys>,
    /// For SCRAM-SHA-256 and SCRAM-SHA-256-PLUS; PLAIN is checked against it, or else against the other.
    pub sha256: Option<ScramKeys>,
}

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What proves it.
    pub credentials: Credentials,
    /// When it was made.
    pub created: u64,
    /// Nobody signs in while it is suspended; messages to it wait.
    pub suspended: bool,
}

/// Whether `create` made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    Yes,
    /// Somebody has it already; nothing was changed.
    Exists,
}

/// The accounts of all domains. What returned `Ok` outlives the process.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// The account, if there is one.
    async fn get(&self, jid: &BareJid) -> Result<Option<Account>>;
    /// Makes it, unless it exists: atomic.
    async fn create(&self, jid: &BareJid, credentials: Credentials, now: Timestamp) -> Result<Created>;
    /// New keys; `false` if there is no such account.
    async fn set_credentials(&self, jid: &BareJid, credentials: Credentials) -> Result<bool>;
    /// Suspends it, or lets it in again; `false` if there is no such account.
    async fn set_suspended(&self, jid: &BareJid, suspended: bool) -> Result<bool>;
    /// Erases it and everything that any port keeps under its name: archive, spool, position, roster, block list,
    /// preferences, documents, last activity. `false` if there was none; what somebody who died over it has left goes all the same.
    async fn remove(&self, jid: &BareJid) -> Result<bool>;
    /// At most `limit` names after `after`, in their order.
    async fn list(&self, after: Option<&BareJid>, limit: usize) -> Result<Vec<BareJid>>;
}
