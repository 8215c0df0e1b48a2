//! Verifies SASL exchanges (RFC 6120 §6, RFC 5802, RFC 4616): the keys never leave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use starling_jid::{BareJid, Jid, prepare_password, prepare_username};
use starling_ports::StoreError;
use starling_ports::accounts::{Accounts, Credentials, ScramKeys};
use starling_ports::attempts::Attempts;
use starling_ports::authentication::{Authentication, Mechanism, Reply, SaslFailure, Step};
use starling_stream::sasl::plain;
use starling_stream::sasl::scram::{self, ClientFinal, ClientFirst, Hash, Meter};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::exchanges::Exchanges;
use crate::metrics;

/// Rounds of PBKDF2 for new keys: XEP-0438 §4 wants 10,000 at least.
pub const ITERATIONS: u32 = 10_000;
/// Passwords that wait for a core; one more is told to come back.
const MAX_STRETCHING: usize = 1000;

type Counted = dyn Meter + Send + Sync;

/// The one place that sees keys.
pub struct Login {
    accounts: Arc<dyn Accounts>,
    /// From it come the salts of users who do not exist.
    secret: [u8; 32],
    meter: Arc<Counted>,
    exchanges: Mutex<Exchanges<Exchange>>,
    /// `None`: failed logins are not slowed down.
    backoff: Option<Backoff>,
    pool: Semaphore,
    stretching: AtomicUsize,
    tasks: TaskTracker,
}

/// A SCRAM exchange whose first challenge is out.
struct Exchange {
    first: ClientFirst,
    nonce: String,
    challenge: String,
    keys: ScramKeys,
    claim: Claim,
}

/// Whom a client says it is. One who does not exist is carried along like any other.
struct Claim {
    /// For the back-off: the name in its canonical form, or as it was given if it has none.
    account: BareJid,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    Suspended,
    Unknown,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

impl Login {
    /// Verifies against `accounts`, and slows down by `attempts`. `secret` stays the same for the life of the installation: a user who does not exist
    /// is told the same salt each time. Passwords are stretched in `tasks`, on as many cores as there are.
    pub fn new(
        accounts: Arc<dyn Accounts>,
        attempts: Arc<dyn Attempts>,
        secret: [u8; 32],
        tasks: TaskTracker,
    ) -> Login {
        metrics::describe_logins();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Login {
            accounts,
            secret,
            meter: Arc::new(()),
            exchanges: Mutex::default(),
            backoff: Some(Backoff::new(attempts)),
            pool: Semaphore::new(cores),
            stretching: AtomicUsize::new(0),
            tasks,
        }
    }

    /// Failed logins are not slowed down: for benchmarks.
    #[must_use]
    pub fn without_back_off(self) -> Login {
        Login { backoff: None, ..self }
    }

    /// What is kept of a password. `NotAuthorized` if it is none (RFC 8265 §4), `TemporaryAuthFailure` if too many wait.
    pub async fn credentials(&self, password: &str) -> Result<Credentials, SaslFailure> {
        let password = prepare_password(password).map_err(|_| SaslFailure::NotAuthorized)?;
        self.stretch(move |meter| {
            let salts: ([u8; 16], [u8; 16]) = (random()?, random()?);
            let sha1 = scram::derive(Hash::Sha1, &password, &salts.0, ITERATIONS, meter);
            let sha256 = scram::derive(Hash::Sha256, &password, &salts.1, ITERATIONS, meter);
            Ok(Credentials { sha1: Some(sha1), sha256: Some(sha256) })
        })
        .await
    }

    /// Off the threads that move bytes, and no more at once than there are cores.
    async fn stretch<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Counted) -> Result<T, SaslFailure> + Send + 'static,
    ) -> Result<T, SaslFailure> {
        let _waiting = Waiting::enter(&self.stretching).ok_or(SaslFailure::TemporaryAuthFailure)?;
        let _core = self.pool.acquire().await.map_err(|_| SaslFailure::TemporaryAuthFailure)?;
        let meter = self.meter.clone();
        let done = self.tasks.spawn_blocking(move || work(&*meter)).await;
        done.unwrap_or(Err(SaslFailure::TemporaryAuthFailure))
    }

    async fn first(&self, step: &Step, hash: Hash, message: &[u8]) -> Result<Reply, SaslFailure> {
        let first = ClientFirst::parse(message, step.plus_offered)?;
        if first.binding.is_some() != step.mechanism.is_plus() {
            return Err(SaslFailure::MalformedRequest); // RFC 5802 §6: the mechanism says what the flag says
        }
        let (claim, (_, keys)) = self.look_up(&step.domain, &first.username, &[hash]).await?;
        check_authzid(first.authzid.as_deref(), &claim.account)?;
        let nonce = format!("{:032x}", u128::from_le_bytes(random()?));
        let challenge = scram::server_first(&first.nonce, &nonce, &keys.salt, keys.iterations);
        let reply = Reply::Challenge(challenge.clone().into_bytes());
        let exchange = Exchange { first, nonce, challenge, keys, claim };
        if !self.exchanges.lock().begin(step.exchange, exchange) {
            return Err(SaslFailure::TemporaryAuthFailure);
        }
        Ok(reply)
    }

    async fn last(
        &self,
        step: &Step,
        hash: Hash,
        exchange: Exchange,
        message: &[u8],
    ) -> Result<Reply, SaslFailure> {
        let Exchange { first, nonce, challenge, keys, claim } = exchange;
        let last = ClientFinal::parse(message)?;
        self.slow_down(&claim, step).await?;
        let signed = last.auth_message(&first, &challenge);
        let verified = last.verify(&keys, hash, &signed, &*self.meter);
        let proved = last.check(&first, &nonce, step.channel_binding.as_deref()).and(verified);
        let additional = self.judge(&claim, step, proved).await?;
        let additional = format!("v={}", scram::encode(&additional));
        Ok(Reply::Success { account: claim.account, additional: Some(additional.into_bytes()) })
    }

    async fn plain(&self, step: &Step, message: &[u8]) -> Result<Reply, SaslFailure> {
        let plain::Credentials { authzid, authcid, password } = plain::Credentials::parse(message)?;
        let (claim, (hash, keys)) = self.look_up(&step.domain, &authcid, &[Hash::Sha256, Hash::Sha1]).await?;
        check_authzid(authzid.as_deref(), &claim.account)?;
        self.slow_down(&claim, step).await?;
        let proved = match prepare_password(&password) {
            Ok(password) => {
                self.stretch(move |meter| {
                    let given = scram::derive(hash, &password, &keys.salt, keys.iterations, meter);
                    if scram::are_same(&given, &keys) { Ok(()) } else { Err(SaslFailure::NotAuthorized) }
                })
                .await
            }
            Err(_) => Err(SaslFailure::NotAuthorized),
        };
        self.judge(&claim, step, proved).await?;
        Ok(Reply::Success { account: claim.account, additional: None })
    }

    /// The account and its keys for the first of `hashes` that it has any for; for one who does not exist or has none, keys that
    /// nobody's password fits.
    async fn look_up(
        &self,
        domain: &BareJid,
        username: &str,
        hashes: &[Hash],
    ) -> Result<(Claim, (Hash, ScramKeys)), SaslFailure> {
        let prepared = prepare_username(username).ok();
        let account =
            prepared.as_deref().and_then(|local| BareJid::from_parts(Some(local), domain.as_str()).ok());
        let asked = account.clone().unwrap_or_else(|| domain.clone());
        let found = self.accounts.get(&asked).await.map_err(|error| {
            tracing::warn!(%error, "accounts cannot be read");
            SaslFailure::TemporaryAuthFailure
        })?;
        let keys = found.as_ref().and_then(|found| keys_of(&found.credentials, hashes));
        let keys = keys.unwrap_or_else(|| {
            let name = prepared.as_deref().unwrap_or(username);
            let hash = hashes.first().copied().unwrap_or(Hash::Sha256);
            (hash, scram::fake_keys(&self.secret, name, hash, ITERATIONS))
        });
        let standing = match found {
            Some(found) if found.suspended => Standing::Suspended,
            Some(_) => Standing::Good,
            None => Standing::Unknown,
        };
        Ok((Claim { account: asked, standing }, keys))
    }

    /// Whoever cannot be counted is not let in: else a store that does not answer would leave passwords open to guessing.
    async fn slow_down(&self, claim: &Claim, step: &Step) -> Result<(), SaslFailure> {
        let Some(backoff) = &self.backoff else { return Ok(()) };
        let wait = backoff.begin(&claim.account, step.peer).await.map_err(uncounted)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Wrong passwords and unknown users are one and the same; only who has proved itself hears that it is suspended.
    async fn judge<T>(
        &self,
        claim: &Claim,
        step: &Step,
        proved: Result<T, SaslFailure>,
    ) -> Result<T, SaslFailure> {
        let judged = match (proved, claim.standing) {
            (Ok(proved), Standing::Good) => Ok(proved),
            (Ok(_), Standing::Suspended) => Err(SaslFailure::AccountDisabled),
            (Ok(_), Standing::Unknown) => Err(SaslFailure::NotAuthorized),
            (Err(failure), _) => Err(failure),
        };
        tracing::debug!(account = %claim.account, passed = judged.is_ok(), "an account was claimed");
        match (&judged, &self.backoff) {
            (Ok(_), Some(backoff)) => {
                // It has proved itself: that it counts as one who failed slows down its next login, no more.
                let forgiven = backoff.succeeded(&claim.account, step.peer).await;
                forgiven.unwrap_or_else(|error| tracing::warn!(%error, "a login counts as a failed one"));
            }
            (Err(_), Some(backoff)) => backoff.failed(step.peer).await.map_err(uncounted)?,
            (_, None) => {}
        }
        judged
    }

    async fn answer(&self, step: &Step) -> Result<Reply, SaslFailure> {
        let known = self.exchanges.lock().end(step.exchange);
        let Some(message) = &step.message else {
            return Ok(Reply::Challenge(Vec::new())); // RFC 6120 §6.3.10: the client's first message is asked for
        };
        match (step.mechanism, known) {
            (Mechanism::Plain, _) => self.plain(step, message).await,
            (mechanism, None) => self.first(step, hash_of(mechanism), message).await,
            (mechanism, Some(exchange)) => self.last(step, hash_of(mechanism), exchange, message).await,
        }
    }
}

#[async_trait]
impl Authentication for Login {
    async fn step(&self, step: Step) -> Reply {
        let reply = self.answer(&step).await.unwrap_or_else(|failure| {
            let mechanism = step.mechanism.as_str();
            tracing::info!(event = "login_refused", %failure, mechanism, peer = %step.peer, "a login was refused");
            Reply::Failure(failure)
        });
        metrics::login(step.mechanism, &reply);
        reply
    }
    fn abort(&self, exchange: u128) {
        self.exchanges.lock().end(exchange);
    }
}

/// One of those who wait for a core.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn enter(count: &AtomicUsize) -> Option<Waiting<'_>> {
        let waiting = Waiting(count);
        (count.fetch_add(1, Ordering::Relaxed) < MAX_STRETCHING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hash_of(mechanism: Mechanism) -> Hash {
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => Hash::Sha1,
        Mechanism::ScramSha256 | Mechanism::ScramSha256Plus | Mechanism::Plain => Hash::Sha256,
    }
}

fn keys_of(credentials: &Credentials, hashes: &[Hash]) -> Option<(Hash, ScramKeys)> {
    let keys = |hash: &Hash| {
        let keys = if *hash == Hash::Sha1 { &credentials.sha1 } else { &credentials.sha256 };
        keys.clone().map(|keys| (*hash, keys))
    };
    hashes.iter().find_map(keys)
}

/// RFC 6120 §6.3.8: a client may name itself, and nobody else.
fn check_authzid(authzid: Option<&str>, account: &BareJid) -> Result<(), SaslFailure> {
    match authzid {
        None => Ok(()),
        Some(name) if Jid::new(name).is_ok_and(|jid| jid.is_bare() && jid.bare() == *account) => Ok(()),
        Some(_) => Err(SaslFailure::InvalidAuthzid),
    }
}

fn uncounted(error: StoreError) -> SaslFailure {
    tracing::warn!(%error, "an attempt to sign in cannot be counted");
    SaslFailure::TemporaryAuthFailure
}

fn random<const N: usize>() -> Result<[u8; N], SaslFailure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SaslFailure::TemporaryAuthFailure)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
