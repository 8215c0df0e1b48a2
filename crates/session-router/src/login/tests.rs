//! Who gets in, who does not, and that the two cost the same.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicU32;

use starling_ports::clock::{Clock, SystemClock};
use starling_ports::ids::NodeId;
use starling_store_embedded::{Config, Store};

use super::*;
use crate::exchanges::{EXCHANGE_WITHIN, MAX_EXCHANGES};

#[derive(Debug, Default)]
struct Counter {
    pbkdf2: AtomicU32,
    hmac: AtomicU32,
}

impl Meter for Counter {
    fn pbkdf2(&self) {
        self.pbkdf2.fetch_add(1, Ordering::Relaxed);
    }
    fn hmac(&self) {
        self.hmac.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    fn take(&self) -> (u32, u32) {
        (self.pbkdf2.swap(0, Ordering::Relaxed), self.hmac.swap(0, Ordering::Relaxed))
    }
}

/// A login at a store with the account `alice@a.example`, whose password is `pencil`.
async fn login() -> (Login, Arc<Counter>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { data_dir: directory.path().to_owned(), ..Config::default() };
    let store = Store::open(&config, Arc::new(SystemClock), NodeId::default()).unwrap();
    let counter = Arc::new(Counter::default());
    let mut login = Login::new(store.clone(), store.clone(), [7; 32], TaskTracker::new());
    login.meter = counter.clone();
    let credentials = login.credentials("pencil").await.unwrap();
    store.create(&BareJid::new("alice@a.example").unwrap(), credentials, SystemClock.now()).await.unwrap();
    counter.take();
    (login, counter, directory)
}

fn step(mechanism: Mechanism, message: &str) -> Step {
    Step {
        exchange: 1,
        mechanism,
        domain: BareJid::new("a.example").unwrap(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        plus_offered: false,
        channel_binding: None,
        message: Some(message.as_bytes().to_vec()),
    }
}

/// A whole SCRAM-SHA-256 exchange; the salt that was told, and what came of it.
async fn scram(login: &Login, user: &str, password: &str, authzid: &str) -> (String, Reply) {
    let first = format!("n={user},r=abc");
    let challenge = match login.step(step(Mechanism::ScramSha256, &format!("n,{authzid},{first}"))).await {
        Reply::Challenge(challenge) => String::from_utf8(challenge).unwrap(),
        other => return (String::new(), other),
    };
    let field =
        |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
    let salt = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, field("s=")).unwrap();
    let channel = scram::encode(format!("n,{authzid},").as_bytes());
    let bare = format!("c={channel},r={}", field("r="));
    let proof =
        client_proof(password, &salt, field("i=").parse().unwrap(), &format!("{first},{challenge},{bare}"));
    let last = format!("{bare},p={}", scram::encode(&proof));
    (field("s="), login.step(step(Mechanism::ScramSha256, &last)).await)
}

/// RFC 5802 §3, as a client does it.
fn client_proof(password: &str, salt: &[u8], iterations: u32, message: &str) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest, Sha256};
    let mac = |key: &[u8], data: &[u8]| {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
        mac.update(data);
        mac.finalize().into_bytes().to_vec()
    };
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
    let key = mac(&salted, b"Client Key");
    let signature = mac(&Sha256::digest(&key), message.as_bytes());
    key.iter().zip(&signature).map(|(left, right)| left ^ right).collect()
}

fn is_success(reply: &Reply) -> bool {
    matches!(reply, Reply::Success { account, .. } if account.as_str() == "alice@a.example")
}

#[tokio::test]
async fn the_right_password_gets_in_by_either_mechanism() {
    let (login, ..) = login().await;
    assert!(is_success(&scram(&login, "alice", "pencil", "").await.1));
    assert!(is_success(&scram(&login, "ALICE", "pencil", "a=alice@a.example").await.1));
    assert!(is_success(&login.step(step(Mechanism::Plain, "\0alice\0pencil")).await));
    assert_eq!(login.exchanges.lock().len(), 0);
}

#[tokio::test]
async fn an_unknown_user_costs_and_looks_like_a_wrong_password() {
    let (login, counter, _directory) = login().await;
    let (salt, wrong) = scram(&login, "alice", "pen", "").await;
    let cost = counter.take();
    let (other_salt, unknown) = scram(&login, "nobody", "pencil", "").await;
    assert_eq!(unknown, Reply::Failure(SaslFailure::NotAuthorized));
    assert_eq!(wrong, unknown);
    // Making up keys is one HMAC for each of the three: what a stored account does not need.
    assert_eq!((cost, counter.take()), ((0, 2), (0, 2)));
    assert_eq!(salt.len(), other_salt.len());
    assert_eq!(other_salt, scram(&login, "nobody", "pencil", "").await.0, "the same each time");
    counter.take();
    assert_eq!(login.step(step(Mechanism::Plain, "\0alice\0pen")).await, unknown);
    let cost = counter.take();
    assert_eq!(login.step(step(Mechanism::Plain, "\0nobody\0pencil")).await, unknown);
    assert_eq!((cost, counter.take()), ((1, 2), (1, 2)));
}

#[tokio::test]
async fn nobody_acts_as_somebody_else() {
    let (login, ..) = login().await;
    let refused = Reply::Failure(SaslFailure::InvalidAuthzid);
    assert_eq!(scram(&login, "alice", "pencil", "a=bob@a.example").await.1, refused);
    assert_eq!(login.step(step(Mechanism::Plain, "bob@a.example\0alice\0pencil")).await, refused);
    assert!(is_success(&login.step(step(Mechanism::Plain, "alice@a.example\0alice\0pencil")).await));
}

#[tokio::test]
async fn only_who_has_the_password_hears_that_it_is_suspended() {
    let (login, ..) = login().await;
    login.accounts.set_suspended(&BareJid::new("alice@a.example").unwrap(), true).await.unwrap();
    assert_eq!(scram(&login, "alice", "pencil", "").await.1, Reply::Failure(SaslFailure::AccountDisabled));
    assert_eq!(scram(&login, "alice", "pen", "").await.1, Reply::Failure(SaslFailure::NotAuthorized));
}

#[tokio::test]
async fn a_flag_that_lies_about_the_channel_is_refused() {
    let (login, ..) = login().await;
    let offered = |mechanism, message| Step {
        plus_offered: true,
        channel_binding: Some(vec![1; 32]),
        ..step(mechanism, message)
    };
    let downgraded = login.step(offered(Mechanism::ScramSha256, "y,,n=alice,r=abc")).await;
    assert_eq!(downgraded, Reply::Failure(SaslFailure::NotAuthorized));
    let plus_without = login.step(offered(Mechanism::ScramSha256Plus, "n,,n=alice,r=abc")).await;
    assert_eq!(plus_without, Reply::Failure(SaslFailure::MalformedRequest));
    let bound_without = login.step(offered(Mechanism::ScramSha256, "p=tls-exporter,,n=alice,r=abc")).await;
    assert_eq!(bound_without, Reply::Failure(SaslFailure::MalformedRequest));
}

#[tokio::test]
async fn a_client_that_says_nothing_first_is_asked() {
    let (login, ..) = login().await;
    let silent = Step { message: None, ..step(Mechanism::Plain, "") };
    assert_eq!(login.step(silent).await, Reply::Challenge(Vec::new()));
    assert!(is_success(&login.step(step(Mechanism::Plain, "\0alice\0pencil")).await));
}

#[tokio::test(start_paused = true)]
async fn guessing_takes_longer_and_longer() {
    let (login, ..) = login().await;
    let begun = tokio::time::Instant::now();
    for _ in 0..8 {
        login.step(step(Mechanism::Plain, "\0alice\0pen")).await;
    }
    assert!(begun.elapsed() > std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(is_success(&login.step(step(Mechanism::Plain, "\0alice\0pencil")).await), "never a lockout");
}

/// As another server has left it: keys for one hash, or none.
#[tokio::test]
async fn an_account_signs_in_by_the_keys_that_it_has() {
    let (login, ..) = login().await;
    let alice = BareJid::new("alice@a.example").unwrap();
    let whole = login.accounts.get(&alice).await.unwrap().unwrap().credentials;
    for (kept, by_plain) in
        [(Credentials { sha256: None, ..whole.clone() }, true), (Credentials::default(), false)]
    {
        login.accounts.set_credentials(&alice, kept).await.unwrap();
        assert_eq!(scram(&login, "alice", "pencil", "").await.1, Reply::Failure(SaslFailure::NotAuthorized));
        assert_eq!(is_success(&login.step(step(Mechanism::Plain, "\0alice\0pencil")).await), by_plain);
        let wrong = login.step(step(Mechanism::Plain, "\0alice\0pen")).await;
        assert_eq!(wrong, Reply::Failure(SaslFailure::NotAuthorized));
    }
}

#[tokio::test(start_paused = true)]
async fn exchanges_that_nobody_breaks_off_keep_nobody_out_for_ever() {
    let (login, ..) = login().await;
    let begin = async |exchange: usize| {
        let first = step(Mechanism::ScramSha256, "n,,n=alice,r=abc");
        login.step(Step { exchange: exchange as u128, ..first }).await
    };
    for exchange in 0..MAX_EXCHANGES {
        assert!(matches!(begin(exchange).await, Reply::Challenge(_)), "{exchange}");
    }
    let full = Reply::Failure(SaslFailure::TemporaryAuthFailure);
    assert_eq!(begin(MAX_EXCHANGES).await, full);
    tokio::time::advance(EXCHANGE_WITHIN).await;
    assert!(matches!(begin(MAX_EXCHANGES).await, Reply::Challenge(_)));
    assert_eq!(login.exchanges.lock().len(), 1);
}
