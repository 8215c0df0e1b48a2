//! What a user wants archived (XEP-0441).

use async_trait::async_trait;
use starling_jid::{BareJid, Jid};

use crate::Result;

/// What is archived when neither list names the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultPreference {
    /// Everything.
    #[default]
    Always,
    /// Nothing.
    Never,
    /// With contacts only.
    Roster,
}

/// XEP-0441 §2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preferences {
    /// Otherwise.
    pub default: DefaultPreference,
    /// Always with these.
    pub always: Vec<Jid>,
    /// Never with these; wins over `always`.
    pub never: Vec<Jid>,
}

/// The preferences. What returned `Ok` outlives the process.
#[async_trait]
pub trait PreferenceStore: Send + Sync + 'static {
    /// The preferences; `None` for who never set any: the server's default holds.
    async fn get(&self, owner: &BareJid) -> Result<Option<Preferences>>;
    /// Replaces them.
    async fn put(&self, owner: &BareJid, preferences: Preferences) -> Result<()>;
}
