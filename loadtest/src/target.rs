//! Whom the load aims at, how its clients come in, and as whom.

use crate::scram::Salted;
use crate::tls;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio_rustls::TlsConnector;

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    /// TCP, unencrypted.
    #[default]
    Plain,
    /// STARTTLS (RFC 6120 §5).
    Starttls,
    /// TLS from the first byte (XEP-0368).
    DirectTls,
    /// A WebSocket (RFC 7395).
    Ws,
    /// A WebSocket in TLS.
    Wss,
}

impl Transport {
    /// Whether each element is a message of its own.
    pub(crate) fn is_framed(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Starttls | Self::DirectTls | Self::Wss)
    }
}

/// How clients log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// SCRAM-SHA-1 (RFC 5802).
    #[serde(rename = "scram-sha-1")]
    #[value(name = "scram-sha-1")]
    ScramSha1,
    /// SCRAM-SHA-256 (RFC 7677).
    #[serde(rename = "scram-sha-256")]
    #[value(name = "scram-sha-256")]
    ScramSha256,
}

/// A service, as its clients see it.
#[derive(Clone)]
pub(crate) struct Target {
    addresses: Vec<SocketAddr>,
    sources: Vec<IpAddr>,
    /// Where the WebSocket is.
    pub(crate) path: String,
    pub(crate) domain: String,
    pub(crate) transport: Transport,
    /// Without one: the strongest that is offered.
    pub(crate) mechanism: Option<Mechanism>,
    pub(crate) tls: Option<TlsConnector>,
}

impl Target {
    /// Clients take the addresses in turn. One that is not loopback needs its owner's word.
    pub(crate) fn new(
        addresses: Vec<SocketAddr>,
        domain: &str,
        transport: Transport,
        mechanism: Option<Mechanism>,
        is_owned: bool,
    ) -> Result<Self> {
        ensure!(!addresses.is_empty(), "no address to aim at");
        if let Some(foreign) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            ensure!(
                is_owned,
                "{foreign} is not a loopback address: load goes there only with --i-own-this-target"
            );
        }
        let tls = transport.is_encrypted().then(|| tls::connector(transport)).transpose()?;
        let (sources, path) = (Vec::new(), "/ws".to_owned());
        Ok(Self { addresses, sources, path, domain: domain.to_owned(), transport, mechanism, tls })
    }

    /// Clients come from these addresses of this machine in turn: each has ports of its own for them.
    pub(crate) fn from(self, sources: Vec<IpAddr>) -> Self {
        Self { sources, ..self }
    }

    /// With the WebSocket there.
    pub(crate) fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// From where client `index` connects to `to`, if that is said: every address is used towards every one of the target.
    pub(crate) fn source(&self, index: usize, to: &SocketAddr) -> Option<IpAddr> {
        let of_family = self.sources.iter().filter(|source| source.is_ipv4() == to.is_ipv4());
        let place = (index / self.addresses.len().max(1)).checked_rem(of_family.clone().count())?;
        of_family.copied().nth(place)
    }

    /// Where client `index` connects.
    pub(crate) fn address(&self, index: usize) -> Result<SocketAddr> {
        self.addresses.get(index % self.addresses.len().max(1)).copied().context("no address")
    }
}

/// The addresses of `HOST:PORT`.
#[expect(
    clippy::disallowed_methods,
    reason = "it shares no code with the server, and asks once, before the load"
)]
pub(crate) fn resolve(text: &str) -> Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> =
        text.to_socket_addrs().with_context(|| format!("{text:?} is no HOST:PORT that is known"))?.collect();
    Ok(found.into_iter().take(1).collect())
}

/// So many addresses a range may have.
const MOST_SOURCES: u32 = 4096;

/// The addresses of `127.0.0.2`, or of `127.0.0.2-127.0.0.9`.
pub(crate) fn sources(text: &str) -> Result<Vec<IpAddr>> {
    let form = || format!("{text:?} is no address, and no range such as 127.0.0.2-127.0.0.9");
    let Some((first, last)) = text.split_once('-') else {
        return Ok(vec![text.trim().parse().with_context(form)?]);
    };
    let number = |text: &str| text.trim().parse::<Ipv4Addr>().map(u32::from).with_context(form);
    let (first, last) = (number(first)?, number(last)?);
    ensure!(first <= last && last - first < MOST_SOURCES, "{}, of {MOST_SOURCES} at most", form());
    Ok((first..=last).map(|number| IpAddr::V4(Ipv4Addr::from(number))).collect())
}

/// One user.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) password: String,
    /// What SCRAM derived from the password at the first login, kept as clients keep it (RFC 5802 §3).
    pub(crate) salted: Mutex<Option<Salted>>,
}

impl Account {
    /// A user who has not logged in yet.
    pub(crate) fn new(user: &str, password: &str) -> Arc<Self> {
        Arc::new(Self { user: user.to_owned(), password: password.to_owned(), salted: Mutex::new(None) })
    }
}

/// `count` accounts named by `prefix` and a number, from 0.
pub(crate) fn numbered(prefix: &str, password: &str, count: usize) -> Vec<Arc<Account>> {
    (0..count).map(|number| Account::new(&format!("{prefix}{number}"), password)).collect()
}

/// The accounts of a file: a line each, `user,password`; empty lines and those that begin with `#` are skipped.
pub(crate) fn listed(file: &Path, count: usize) -> Result<Vec<Arc<Account>>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    parsed(&file.display().to_string(), &text, count)
}

/// The same of its text.
pub(crate) fn parsed(name: &str, text: &str, count: usize) -> Result<Vec<Arc<Account>>> {
    let mut accounts = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = || format!("{name}:{}: a line is `user,password`", at + 1);
        let (user, password) = line.split_once(',').with_context(place)?;
        accounts.push(Account::new(user.trim(), password.trim()));
    }
    ensure!(accounts.len() >= count, "{name} holds {} accounts, not {count}", accounts.len());
    accounts.truncate(count);
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_loopback_is_a_target_only_for_its_owner() {
        let aim = |address: &str, is_owned| {
            Target::new(vec![address.parse().unwrap()], "localhost", Transport::Plain, None, is_owned).is_ok()
        };
        assert!(aim("127.0.0.1:5222", false) && aim("[::1]:5222", false) && aim("127.8.9.1:1", false));
        assert!(!aim("192.0.2.1:5222", false) && !aim("10.0.0.1:5222", false) && !aim("0.0.0.0:5222", false));
        assert!(aim("192.0.2.1:5222", true));
    }

    #[test]
    fn clients_come_from_all_addresses_towards_each_of_the_target() {
        let aimed = ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        let target = Target::new(aimed.to_vec(), "localhost", Transport::Plain, None, false).unwrap();
        assert_eq!(target.source(0, &aimed[0]), None);
        let target = target.from(sources("127.0.0.8-127.0.0.9").unwrap());
        let way = |index| {
            let to = target.address(index).unwrap();
            format!("{} {}", target.source(index, &to).unwrap(), to.port())
        };
        assert_eq!(
            [way(0), way(1), way(2), way(3)],
            ["127.0.0.8 1", "127.0.0.8 2", "127.0.0.9 1", "127.0.0.9 2"]
        );
        assert_eq!(way(4), way(0));
        assert!(sources("127.0.0.9-127.0.0.8").is_err() && sources("here").is_err());
    }

    #[test]
    fn a_list_of_accounts_has_a_user_and_a_password_in_each_line() {
        let file = std::env::temp_dir().join(format!("starling-accounts-{}", std::process::id()));
        std::fs::write(&file, "# users\nalice, a,b\n\nbob,secret\n").unwrap();
        let accounts = listed(&file, 2).unwrap();
        let too_many = listed(&file, 3).unwrap_err().to_string();
        std::fs::write(&file, "alice\n").unwrap();
        let broken = listed(&file, 1).unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();

        assert_eq!((accounts[0].user.as_str(), accounts[0].password.as_str()), ("alice", "a,b"));
        assert_eq!((accounts[1].user.as_str(), accounts[1].password.as_str()), ("bob", "secret"));
        assert!(too_many.ends_with("holds 2 accounts, not 3"), "{too_many}");
        assert!(broken.contains(":1: a line is `user,password`"), "{broken}");
    }
}
