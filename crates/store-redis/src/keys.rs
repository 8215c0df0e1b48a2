//! The names of all keys. What belongs to one account has its digest as hash tag, so that it lies in one slot of a cluster.

use starling_jid::BareJid;
use starling_ports::ids::NodeId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Indexes over all accounts are spread over so many keys.
pub(crate) const SHARDS: u64 = 16;

/// An account's record, and the bytes of its stanzas.
#[derive(Debug, Clone)]
pub(crate) struct AccountKeys {
    pub(crate) record: String,
    pub(crate) bodies: String,
    /// The deadlines among which its own stands.
    pub(crate) deadlines: String,
}

impl AccountKeys {
    /// A digest, because a name may hold what a hash tag must not (`}`).
    pub(crate) fn of(account: &BareJid) -> AccountKeys {
        let digest = xxh3_128(account.as_str().as_bytes());
        let shard = xxh3_64(account.as_str().as_bytes()) % SHARDS;
        AccountKeys {
            record: format!("s:{{{digest:032x}}}"),
            bodies: format!("b:{{{digest:032x}}}"),
            deadlines: deadlines(shard),
        }
    }
}

/// When accounts have a session that may no longer be resumed; sorted by time.
pub(crate) fn deadlines(shard: u64) -> String {
    format!("d:{shard}")
}

/// The leases of all nodes, by their end.
pub(crate) const NODES: &str = "nodes";
/// The leases of all routers, by their end.
pub(crate) const ROUTERS: &str = "routers";

/// What each process says of itself, by its name.
pub(crate) const REPORTS: &str = "reports";

/// A node as a member of `NODES`.
pub(crate) fn node(node: NodeId) -> String {
    format!("{:016x}{:016x}", node.name, node.incarnation)
}

/// How many attempts to sign in failed: names and addresses are spread over so many keys.
const ATTEMPTS: u64 = 256;

/// That of a name or an address with this digest.
pub(crate) fn attempts(digest: u64) -> String {
    format!("t:{}", digest % ATTEMPTS)
}

/// The other way round.
pub(crate) fn read_node(text: &str) -> Option<NodeId> {
    let (name, incarnation) = text.split_at_checked(16)?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(NodeId { name: number(name)?, incarnation: number(incarnation)? })
}

/// The accounts with sessions on a node; it may name too many.
pub(crate) fn accounts_of(node: &str) -> String {
    format!("n:{{{node}}}")
}

/// A router as a member of `ROUTERS`.
pub(crate) fn router(router: u64) -> String {
    format!("{router:016x}")
}

/// The accounts at which a router may owe rows; it may name too many.
pub(crate) fn owed_by(router: &str) -> String {
    format!("o:{{{router}}}")
}
