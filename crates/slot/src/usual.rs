//! What most accounts and sessions have: one for all of them, which takes no room in a slot of its own.

use std::sync::{Arc, LazyLock};

use starling_jid::Jid;
use starling_ports::blocklist::BlockList;
use starling_ports::preferences::Preferences;

static NOBODY_BLOCKED: LazyLock<Arc<BlockList>> = LazyLock::new(Arc::default);
static NO_PREFERENCES: LazyLock<Arc<Preferences>> = LazyLock::new(Arc::default);
static NOBODY: LazyLock<Arc<Vec<Jid>>> = LazyLock::new(Arc::default);

/// Whom an account blocks.
pub(crate) fn blocked(list: BlockList) -> Arc<BlockList> {
    if list == **NOBODY_BLOCKED { NOBODY_BLOCKED.clone() } else { Arc::new(list) }
}

/// What an account wants archived.
pub(crate) fn preferences(preferences: Preferences) -> Arc<Preferences> {
    if preferences == **NO_PREFERENCES { NO_PREFERENCES.clone() } else { Arc::new(preferences) }
}

/// Whom a session has sent directed presence that has sent none yet.
pub(crate) fn nobody() -> Arc<Vec<Jid>> {
    NOBODY.clone()
}
