//! Attempts to sign in, in memory: nobody else counts them, and a restart forgives them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use async_trait::async_trait;
use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::attempts::{Attempts, FORGOTTEN_AFTER, Tried};
use starling_ports::ids::Timestamp;

use crate::Store;

/// What is remembered of how many accounts and addresses.
const MAX_KNOWN: usize = 100_000;

/// What is known of former attempts.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pairs: Mutex<HashMap<(BareJid, IpAddr), Failures>>,
    accounts: Mutex<HashMap<BareJid, Failures>>,
    addresses: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.last) >= FORGOTTEN_AFTER
    }
}

#[async_trait]
impl Attempts for Store {
    async fn begin(&self, account: &BareJid, peer: IpAddr) -> Result<Tried> {
        let (known, now) = (&self.attempts, self.clock.now());
        let pair = count(&known.pairs, (account.clone(), peer), now);
        let account = count(&known.accounts, account.clone(), now);
        let addresses = known.addresses.lock();
        let failures = addresses.get(&peer).filter(|failures| !failures.is_old(now));
        Ok(Tried { pair, account, address: failures.map_or(0, |failures| failures.count) })
    }

    async fn failed(&self, peer: IpAddr) -> Result<()> {
        count(&self.attempts.addresses, peer, self.clock.now());
        Ok(())
    }

    async fn succeeded(&self, account: &BareJid, peer: IpAddr) -> Result<()> {
        self.attempts.pairs.lock().remove(&(account.clone(), peer));
        self.attempts.accounts.lock().remove(account);
        Ok(())
    }
}

/// One more; how many they are now.
fn count<K: Hash + Eq>(known: &Mutex<HashMap<K, Failures>>, key: K, now: Timestamp) -> u32 {
    let mut known = known.lock();
    if known.len() >= MAX_KNOWN {
        known.retain(|_, failures| !failures.is_old(now));
        if known.len() >= MAX_KNOWN {
            known.clear(); // somebody has many addresses: memory is worth more than what is known of them
        }
    }
    let failures = known.entry(key).or_insert(Failures { count: 0, last: now });
    if failures.is_old(now) {
        failures.count = 0;
    }
    *failures = Failures { count: failures.count.saturating_add(1), last: now };
    failures.count
}
