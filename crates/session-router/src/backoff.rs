//! Failed logins are slowed down, per account and per address; nobody is ever locked out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::attempts::{Attempts, network};

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

/// How long attempts wait, by what is known of former ones.
pub(crate) struct Backoff(Arc<dyn Attempts>);

impl Backoff {
    pub(crate) fn new(attempts: Arc<dyn Attempts>) -> Backoff {
        Backoff(attempts)
    }

    /// An attempt begins: how long it waits before it is answered.
    pub(crate) async fn begin(&self, account: &BareJid, peer: IpAddr) -> Result<Duration> {
        let tried = self.0.begin(account, network(peer)).await?;
        Ok(PAIR.wait(tried.pair).max(ACCOUNT.wait(tried.account)).max(ADDRESS.wait(tried.address)))
    }

    /// The attempt has failed.
    pub(crate) async fn failed(&self, peer: IpAddr) -> Result<()> {
        self.0.failed(network(peer)).await
    }

    /// It was right.
    pub(crate) async fn succeeded(&self, account: &BareJid, peer: IpAddr) -> Result<()> {
        self.0.succeeded(account, network(peer)).await
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

#[cfg(test)]
mod tests {
    use starling_ports::clock::SystemClock;
    use starling_ports::ids::NodeId;
    use starling_store_embedded::{Config, Store};

    use super::*;

    fn backoff() -> (Backoff, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { data_dir: directory.path().to_owned(), ..Config::default() };
        let store = Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap();
        (Backoff::new(store), directory)
    }

    fn account(name: &str) -> BareJid {
        BareJid::new(name).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn guessing_gets_slower_and_is_never_locked_out() {
        let (backoff, _directory) = backoff();
        let (alice, peer) = (account("alice@a.example"), ip("192.0.2.1"));
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(backoff.begin(&alice, peer).await.unwrap());
        }
        assert!(waits.iter().take(3).all(Duration::is_zero), "{waits:?}");
        assert!(waits.is_sorted(), "{waits:?}");
        assert_eq!(waits.last(), Some(&PAIR.most));
        backoff.succeeded(&alice, peer).await.unwrap();
        assert_eq!(backoff.begin(&alice, peer).await.unwrap(), Duration::ZERO);
    }

    #[tokio::test]
    async fn one_password_at_many_accounts_is_slowed_by_its_address() {
        let (backoff, _directory) = backoff();
        for n in 0..=ADDRESS.free {
            // A customer of IPv6 has more addresses than anybody could count.
            let peer = ip(&format!("2001:db8::{n:x}"));
            backoff.begin(&account(&format!("u{n}@a.example")), peer).await.unwrap();
            backoff.failed(peer).await.unwrap();
        }
        let new = account("new@a.example");
        assert!(backoff.begin(&new, ip("2001:db8::ffff")).await.unwrap() > Duration::ZERO);
        assert_eq!(backoff.begin(&new, ip("2001:db8:0:1::1")).await.unwrap(), Duration::ZERO);
    }

    #[tokio::test]
    async fn guessing_from_everywhere_is_slowed_by_the_account() {
        let (backoff, _directory) = backoff();
        let alice = account("alice@a.example");
        for n in 0..ACCOUNT.free {
            assert!(backoff.begin(&alice, ip(&format!("192.0.2.{n}"))).await.unwrap().is_zero());
        }
        assert_eq!(backoff.begin(&alice, ip("192.0.2.200")).await.unwrap(), STEP);
    }
}
