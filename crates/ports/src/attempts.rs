//! How often it was tried to sign in, and failed: who guesses passwords is slowed down by it, whichever router he comes to.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use starling_jid::BareJid;

use crate::Result;

/// When nothing was tried for so long, what was before is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// How many attempts have not succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tried {
    /// Of this address at this account, with the one that begins.
    pub pair: u32,
    /// Of any address at this account, with the one that begins.
    pub account: u32,
    /// Of this address at any account, as far as they have ended.
    pub address: u32,
}

/// Counts attempts. It knows accounts by name only: one that does not exist is counted like any other. What is known is
/// bounded: when too many names and addresses are tried, some are forgotten.
#[async_trait]
pub trait Attempts: Send + Sync + 'static {
    /// One begins. It counts as failed until `succeeded`, so that many at once count as those one after the other.
    async fn begin(&self, account: &BareJid, peer: IpAddr) -> Result<Tried>;

    /// It has failed: that counts for the address, too.
    async fn failed(&self, peer: IpAddr) -> Result<()>;

    /// It was right: what was before is forgiven, but for the address, from which others may be attacked.
    async fn succeeded(&self, account: &BareJid, peer: IpAddr) -> Result<()>;
}

/// As whom an address counts: one customer has a whole /64 of IPv6; a mapped IPv4 address is that address.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}
