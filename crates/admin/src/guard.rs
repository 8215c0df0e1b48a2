//! Who may come in: whoever has a token. Wrong ones are answered slowly and few at a time; nobody with a right one waits for that.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::config::{Config, Invalid};
use crate::doors::Caller;
use crate::refused::Refused;
use crate::token::{Known, find};
use crate::{audit, hosts};

/// So many wrong tokens are answered at once, each so late. More hear at once that it is too much.
const WRONG_AT_ONCE: usize = 4;
const WRONG_AFTER: Duration = Duration::from_millis(250);
/// No token is longer.
const LONGEST: usize = 256;

/// Knows the tokens, and under which names browsers may come.
#[derive(Debug)]
pub struct Guard {
    present: RwLock<Arc<Present>>,
    wrong: Semaphore,
}

#[derive(Debug)]
struct Present {
    tokens: Vec<Known>,
    hosts: Vec<String>,
    is_tls: bool,
}

impl Present {
    fn new(config: &Config, domains: &[String]) -> Result<Arc<Present>, Invalid> {
        let hosts = config.hosts.iter().chain(domains).cloned().collect();
        Ok(Arc::new(Present { tokens: config.known()?, hosts, is_tls: config.tls }))
    }
}

impl Guard {
    /// Reads the tokens.
    pub fn open(config: &Config, domains: &[String]) -> Result<Guard, Invalid> {
        let present = RwLock::new(Present::new(config, domains)?);
        Ok(Guard { present, wrong: Semaphore::new(WRONG_AT_ONCE) })
    }

    /// Reads them again; on an error the former ones hold.
    pub fn reload(&self, config: &Config, domains: &[String]) -> Result<(), Invalid> {
        let mut present = Present::new(config, domains)?;
        if let Some(present) = Arc::get_mut(&mut present) {
            present.is_tls = self.present.read().is_tls; // that takes a restart
        }
        *self.present.write() = present;
        Ok(())
    }

    /// No page of another site is behind it.
    pub(crate) async fn invites(&self, uri: &Uri, headers: &HeaderMap, from: IpAddr) -> Result<(), Refused> {
        let present = self.present.read().clone();
        let is_invited = hosts::is_ours(uri, headers, &present.hosts)
            && hosts::is_same_origin(uri, headers, present.is_tls);
        if is_invited { Ok(()) } else { Err(self.foreign(headers, from).await) }
    }

    /// Whose token it is.
    pub(crate) async fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Result<Caller, Refused> {
        if !hosts::is_own_fetch(headers) {
            return Err(self.foreign(headers, from).await);
        }
        if bearer(headers).is_none() {
            return Err(Refused::Unauthenticated);
        }
        match self.known(headers, from) {
            Some(caller) => Ok(caller),
            None => Err(self.unknown(from).await),
        }
    }

    fn known(&self, headers: &HeaderMap, from: IpAddr) -> Option<Caller> {
        let present = self.present.read().clone();
        let known = find(&present.tokens, bearer(headers)?)?;
        Some(Caller { name: known.name.clone(), role: known.role, from: Some(from) })
    }

    /// Each that has a token is a line of the audit log; of the others no more than of wrong tokens, for anybody can send them.
    async fn foreign(&self, headers: &HeaderMap, from: IpAddr) -> Refused {
        match (self.known(headers, from), self.wrong.try_acquire()) {
            (Some(caller), _) => audit::foreign(Some(&caller), from),
            (None, Err(_)) => audit::foreign_too(),
            (None, Ok(_place)) => {
                audit::foreign(None, from);
                tokio::time::sleep(WRONG_AFTER).await;
            }
        }
        Refused::Forbidden
    }

    async fn unknown(&self, from: IpAddr) -> Refused {
        let Ok(_place) = self.wrong.try_acquire() else { return Refused::TooMany };
        audit::unknown(from);
        tokio::time::sleep(WRONG_AFTER).await;
        Refused::Unauthenticated
    }
}

/// RFC 6750 §2.1: in the header and nowhere else.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (given.next()?.to_str().ok()?, given.next());
    let (scheme, token) = first.split_once(' ')?;
    let token = token.trim();
    let is_bearer = second.is_none() && scheme.eq_ignore_ascii_case("bearer");
    (is_bearer && !token.is_empty() && token.len() <= LONGEST).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::TokenConfig;
    use crate::token::{Role, hash};

    fn config(token: &str) -> Config {
        let token = TokenConfig { role: Role::Read, hash: hash(token) };
        Config { tokens: BTreeMap::from([("one".to_owned(), token)]), ..Config::default() }
    }

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    async fn admitted(guard: &Guard, values: &[&str]) -> Result<String, Refused> {
        guard.admit(&with(values), Ipv4Addr::LOCALHOST.into()).await.map(|caller| caller.name)
    }

    #[tokio::test(start_paused = true)]
    async fn the_token_comes_as_a_bearer_and_no_other_way() {
        let guard = Guard::open(&config("right"), &[]).unwrap();
        assert_eq!(admitted(&guard, &["Bearer right"]).await, Ok("one".to_owned()));
        assert_eq!(admitted(&guard, &["bearer  right"]).await, Ok("one".to_owned()));
        let long = format!("Bearer {}", "x".repeat(300));
        for wrong in ["right", "Basic right", "Bearer", "Bearer ", "Bearer wrong", "Bearer right x", &long] {
            assert_eq!(admitted(&guard, &[wrong]).await, Err(Refused::Unauthenticated), "{wrong}");
        }
        assert_eq!(admitted(&guard, &[]).await, Err(Refused::Unauthenticated));
        assert_eq!(admitted(&guard, &["Bearer right", "Bearer right"]).await, Err(Refused::Unauthenticated));
    }

    #[tokio::test(start_paused = true)]
    async fn many_wrong_tokens_are_refused_at_once_and_the_right_one_is_not() {
        let guard = Arc::new(Guard::open(&config("right"), &[]).unwrap());
        let (mut few, mut many) = (0, 0);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let guard = guard.clone();
            tasks.spawn(async move { admitted(&guard, &["Bearer wrong"]).await });
        }
        tokio::task::yield_now().await;
        assert_eq!(admitted(&guard, &["Bearer right"]).await, Ok("one".to_owned()));
        while let Some(refused) = tasks.join_next().await {
            match refused.unwrap() {
                Err(Refused::Unauthenticated) => few += 1,
                Err(Refused::TooMany) => many += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((few, many), (WRONG_AT_ONCE, 20 - WRONG_AT_ONCE));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_change_without_a_restart_or_stay_as_they_were() {
        let guard = Guard::open(&config("old"), &[]).unwrap();
        let mut wrong = config("new");
        wrong.tokens.values_mut().for_each(|token| token.hash.clear());
        guard.reload(&wrong, &[]).unwrap_err();
        assert!(admitted(&guard, &["Bearer old"]).await.is_ok());
        guard.reload(&config("new"), &[]).unwrap();
        assert!(admitted(&guard, &["Bearer old"]).await.is_err());
        assert!(admitted(&guard, &["Bearer new"]).await.is_ok());
    }
}
