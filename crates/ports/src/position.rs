//! How far an account's devices have acknowledged what came in.

use async_trait::async_trait;
use starling_jid::BareJid;

use crate::Result;
use crate::ids::ArchiveId;

/// Below `low` nothing is pending; above it, `acknowledged` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Everything up to and including it is done.
    pub low: Option<ArchiveId>,
    /// What is done above it, in order. Bounded: what is forgotten here only comes twice, with a delay.
    pub acknowledged: Vec<ArchiveId>,
}

/// One small row an account, saved at a low rate: an older one only repeats, it never loses.
#[async_trait]
pub trait Positions: Send + Sync + 'static {
    /// The last one saved; the default for an account that never had one.
    async fn get(&self, owner: &BareJid) -> Result<Position>;
    /// Saves it, some time soon.
    async fn save(&self, owner: &BareJid, position: Position) -> Result<()>;
}
