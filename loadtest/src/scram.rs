//! SCRAM from the client's side (RFC 5802 §3), with SHA-1 or SHA-256 (RFC 7677).

use crate::target::Account;
use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use std::num::NonZeroU32;
use std::sync::PoisonError;

/// Which digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

/// `SaltedPassword`, with what it was made of.
#[derive(Debug, Clone)]
pub(crate) struct Salted {
    hash: Hash,
    salt: Vec<u8>,
    rounds: NonZeroU32,
    key: Vec<u8>,
}

/// One exchange.
pub(crate) struct Scram {
    hash: Hash,
    bare: String,
}

impl Scram {
    /// A new exchange with a fresh nonce.
    pub(crate) fn new(user: &str, hash: Hash) -> Result<Self> {
        let mut nonce = [0; 18];
        rand::fill(&mut nonce)?;
        let user = user.replace('=', "=3D").replace(',', "=2C"); // RFC 5802 §5.1
        Ok(Self { hash, bare: format!("n={user},r={}", BASE64.encode(nonce)) })
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The client's last message, and what the server must answer.
    pub(crate) fn answer(&self, account: &Account, challenge: &[u8]) -> Result<(String, String)> {
        let challenge = std::str::from_utf8(challenge)?;
        let field = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key));
        let nonce = field("r=").context("no nonce")?;
        let salt = BASE64.decode(field("s=").context("no salt")?)?;
        let rounds: NonZeroU32 = field("i=").context("no rounds")?.parse()?;
        ensure!(rounds.get() <= 1_000_000, "too many rounds");
        let ours = self.bare.rsplit_once(",r=").map_or("", |(_, nonce)| nonce);
        ensure!(nonce.starts_with(ours), "a foreign nonce");

        let salted = salted(account, self.hash, &salt, rounds);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.bare);
        let client_key = self.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let signature = self.sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, mask)| key ^ mask).collect();
        let server_key = self.sign(&salted, b"Server Key");
        let verifier = BASE64.encode(self.sign(server_key.as_ref(), message.as_bytes()));
        Ok((format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={verifier}")))
    }

    fn sign(&self, key: &[u8], data: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hash.hmac(), key), data)
    }
}

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }
}

/// Derived anew only if the server's salt or rounds changed.
fn salted(account: &Account, hash: Hash, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
    let mut kept = account.salted.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.as_ref()
        && (known.hash, known.salt.as_slice(), known.rounds) == (hash, salt, rounds)
    {
        return known.key.clone();
    }
    let mut key = vec![0; hash.digest().output_len()];
    pbkdf2::derive(hash.pbkdf2(), rounds, salt, account.password.as_bytes(), &mut key);
    *kept = Some(Salted { hash, salt: salt.to_vec(), rounds, key: key.clone() });
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(hash: Hash, nonce: &str, challenge: &[u8]) -> (String, String) {
        let scram = Scram { hash, bare: format!("n=user,r={nonce}") };
        let account = Account::new("user", "pencil");
        let first = scram.answer(&account, challenge).unwrap();
        assert_eq!(scram.answer(&account, challenge).unwrap(), first, "the kept key gives the same");
        first
    }

    #[test]
    fn the_example_of_rfc_5802_section_5_comes_out() {
        let challenge = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let (last, expected) = example(Hash::Sha1, "fyko+d2lbbFgONRv9qkxdawL", challenge);
        assert!(last.ends_with(",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), "{last}");
        assert_eq!(expected, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    #[test]
    fn the_example_of_rfc_7677_section_3_comes_out() {
        let challenge =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, expected) = example(Hash::Sha256, "rOprNGfwEbeRWgbNEkqO", challenge);
        assert!(last.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{last}");
        assert_eq!(expected, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
