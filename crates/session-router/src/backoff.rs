//! Failed logins are slowed down, per account and per address; nobody is ever locked out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::ids::Timestamp;

/// What is remembered of how many accounts and addresses.
const MAX_KNOWN: usize = 100_000;
/// Without a failure for so long, what was before is forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
/// What the first attempt that is too many waits.
const STEP: Duration = Duration::from_millis(250);

/// How many failures go unpunished, and how long a later attempt waits at most.
struct Rule {
    free: u32,
    most: Duration,
}

/// One client at one account: whoever guesses a password.
const PAIR: Rule = Rule { free: 3, most: Duration::from_secs(8) };
/// One account from anywhere: kept short, because its owner waits too.
const ACCOUNT: Rule = Rule { free: 20, most: Duration::from_secs(2) };
/// One address at any account: whoever tries one password on many.
const ADDRESS: Rule = Rule { free: 30, most: Duration::from_secs(4) };

/// What is known of former attempts.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    pairs: Mutex<HashMap<(BareJid, IpAddr), Failures>>,
    accounts: Mutex<HashMap<BareJid, Failures>>,
    addresses: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Backoff {
    /// An attempt begins: how long it waits before it is answered. It counts as failed until `succeeded`, so that many
    /// at once wait as long as one after the other.
    pub(crate) fn begin(&self, account: &BareJid, peer: IpAddr, now: Timestamp) -> Duration {
        let pair = count(&self.pairs, (account.clone(), peer), now);
        let account = count(&self.accounts, account.clone(), now);
        let address = self.addresses.lock().get(&peer).map_or(0, |failures| failures.count);
        PAIR.wait(pair).max(ACCOUNT.wait(account)).max(ADDRESS.wait(address))
    }

    /// The attempt has failed.
    pub(crate) fn failed(&self, peer: IpAddr, now: Timestamp) {
        count(&self.addresses, peer, now);
    }

    /// It was right: what was before is forgiven, but for the address, from which others may be attacked.
    pub(crate) fn succeeded(&self, account: &BareJid, peer: IpAddr) {
        self.pairs.lock().remove(&(account.clone(), peer));
        self.accounts.lock().remove(account);
    }
}

impl Rule {
    fn wait(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(beyond) => STEP.saturating_mul(1 << beyond.min(16)).min(self.most),
        }
    }
}

/// One more; how many they are now.
fn count<K: Hash + Eq>(known: &Mutex<HashMap<K, Failures>>, key: K, now: Timestamp) -> u32 {
    let mut known = known.lock();
    if known.len() >= MAX_KNOWN {
        known.retain(|_, failures| now.since(failures.last) < FORGIVEN_AFTER);
        if known.len() >= MAX_KNOWN {
            known.clear(); // somebody has many addresses: memory is worth more than what is known of them
        }
    }
    let failures = known.entry(key).or_insert(Failures { count: 0, last: now });
    if now.since(failures.last) >= FORGIVEN_AFTER {
        failures.count = 0;
    }
    *failures = Failures { count: failures.count.saturating_add(1), last: now };
    failures.count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> BareJid {
        BareJid::new(name).unwrap()
    }

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn guessing_gets_slower_and_is_never_locked_out() {
        let backoff = Backoff::default();
        let alice = account("alice@a.example");
        let waits: Vec<Duration> = (0..12).map(|_| backoff.begin(&alice, PEER, Timestamp(0))).collect();
        assert!(waits.iter().take(3).all(Duration::is_zero), "{waits:?}");
        assert!(waits.is_sorted(), "{waits:?}");
        assert_eq!(waits.last(), Some(&PAIR.most));
    }

    #[test]
    fn a_right_password_forgives_and_so_does_time() {
        let backoff = Backoff::default();
        let alice = account("alice@a.example");
        for _ in 0..10 {
            backoff.begin(&alice, PEER, Timestamp(0));
        }
        backoff.succeeded(&alice, PEER);
        assert_eq!(backoff.begin(&alice, PEER, Timestamp(0)), Duration::ZERO);
        for _ in 0..10 {
            backoff.begin(&alice, PEER, Timestamp(0));
        }
        let later = Timestamp(0).after(FORGIVEN_AFTER);
        assert_eq!(backoff.begin(&alice, PEER, later), Duration::ZERO);
    }

    #[test]
    fn one_password_at_many_accounts_is_slowed_by_its_address() {
        let backoff = Backoff::default();
        for n in 0..=ADDRESS.free {
            backoff.begin(&account(&format!("u{n}@a.example")), PEER, Timestamp(0));
            backoff.failed(PEER, Timestamp(0));
        }
        assert!(backoff.begin(&account("new@a.example"), PEER, Timestamp(0)) > Duration::ZERO);
        let other = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(backoff.begin(&account("new@a.example"), other, Timestamp(0)), Duration::ZERO);
    }
}
