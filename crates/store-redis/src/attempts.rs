//! Attempts to sign in, counted for all routers together.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use redis::RedisError;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::attempts::{Attempts, FORGOTTEN_AFTER, Tried};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::Sessions;
use crate::error::{Failure, unavailable};
use crate::keys;

/// How many names and addresses one key knows: some 100 bytes each.
const MAX_KNOWN: usize = 1000;
/// What is waited before Redis is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Who is counted: a digest, so that a name takes no more room than an address.
type Who = [u8; 16];

/// What one client tries at one account; what all try there; what it tries anywhere.
fn pair(account: &BareJid, peer: IpAddr) -> Who {
    digest(b'p', &format!("{account} {peer}")) // no name has a space in it
}

fn of_account(account: &BareJid) -> Who {
    digest(b'a', account.as_str())
}

fn of_address(peer: IpAddr) -> Who {
    digest(b'i', &peer.to_string())
}

fn digest(kind: u8, name: &str) -> Who {
    xxh3_128(&[&[kind], name.as_bytes()].concat()).to_be_bytes()
}

/// Spread by what they belong to, so that one call has one key.
fn key(name: &str) -> String {
    keys::attempts(xxh3_64(name.as_bytes()))
}

impl Sessions {
    /// So many more of each; how many they are now. A call whose reply was lost may have counted, and is made again all the
    /// same: one too many slows somebody down a little, one too few helps whoever can cut connections.
    async fn count<const N: usize>(&self, key: &str, more: [(Who, u8); N]) -> Result<[u32; N]> {
        let counting = async {
            loop {
                let live = match self.link.live(key).await {
                    Ok(live) => live,
                    Err(failure) => {
                        pause(failure).await?;
                        continue;
                    }
                };
                let mut connection = live.connection.clone();
                let mut call = self.scripts.count.key(key);
                call.arg(FORGOTTEN_AFTER.as_secs()).arg(MAX_KNOWN);
                for (who, more) in &more {
                    call.arg(&who[..]).arg(*more);
                }
                match self.link.call(&live, "count-attempts", call.invoke_async(&mut connection)).await {
                    Ok(counts) => return Ok(counts),
                    Err(failure) => pause(failure).await?,
                }
            }
        };
        let counted = tokio::time::timeout(self.config.deadline, counting).await;
        counted.unwrap_or_else(|_| Err(unavailable(late())))
    }
}

/// Before another try; an error where there is to be none.
async fn pause(failure: Failure) -> Result<()> {
    match failure {
        Failure::Again(_) => tokio::time::sleep(AGAIN).await,
        Failure::Final(error) => return Err(error),
    }
    Ok(())
}

fn late() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

#[async_trait]
impl Attempts for Sessions {
    async fn begin(&self, account: &BareJid, peer: IpAddr) -> Result<Tried> {
        let (theirs, its) = (key(account.as_str()), key(&peer.to_string()));
        let (counted, [address]) = tokio::try_join!(
            self.count(&theirs, [(pair(account, peer), 1), (of_account(account), 1)]),
            self.count(&its, [(of_address(peer), 0)]),
        )?;
        let [pair, account] = counted;
        Ok(Tried { pair, account, address })
    }

    async fn failed(&self, peer: IpAddr) -> Result<()> {
        self.count(&key(&peer.to_string()), [(of_address(peer), 1)]).await.map(drop)
    }

    async fn succeeded(&self, account: &BareJid, peer: IpAddr) -> Result<()> {
        let mut forgive = redis::cmd("HDEL");
        forgive.arg(key(account.as_str())).arg(&pair(account, peer)[..]).arg(&of_account(account)[..]);
        let forgiven = self.link.command::<()>("forgive-attempts", &forgive).await;
        forgiven.map_err(Failure::into_error)
    }
}
