//! SCRAM from the client's side (RFC 5802), by code and primitives of its own: what a story bends is a field.

use std::num::NonZeroU32;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The hash function of the mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SCRAM-SHA-1
    Sha1,
    /// SCRAM-SHA-256
    Sha256,
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scram {
    /// The hash function.
    pub hash: Hash,
    /// Whether the mechanism ends in -PLUS.
    pub plus: bool,
    /// What stands before the message: `n,,`, `y,,`, `p=tls-exporter,,`.
    pub gs2_header: String,
    /// What follows the header in `c=`.
    pub binding: Vec<u8>,
    /// What `c=` claims instead of `gs2_header`.
    pub claimed_header: Option<String>,
    /// As it stands in `n=`.
    pub username: String,
    /// The password.
    pub password: String,
    /// The client's nonce.
    pub nonce: String,
}

impl Scram {
    /// An exchange without channel binding.
    pub fn new(hash: Hash, username: &str, password: &str) -> Scram {
        Scram {
            hash,
            plus: false,
            gs2_header: "n,,".to_owned(),
            binding: Vec::new(),
            claimed_header: None,
            username: username.to_owned(),
            password: password.to_owned(),
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
        }
    }

    /// The same with -PLUS, bound to this exporter data.
    pub fn bound_to(self, exporter: &[u8]) -> Scram {
        Scram { plus: true, gs2_header: "p=tls-exporter,,".to_owned(), binding: exporter.to_vec(), ..self }
    }

    /// The registered name.
    pub fn mechanism(&self) -> String {
        let name = match self.hash {
            Hash::Sha1 => "SCRAM-SHA-1",
            Hash::Sha256 => "SCRAM-SHA-256",
        };
        format!("{name}{}", if self.plus { "-PLUS" } else { "" })
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}", self.username, self.nonce)
    }

    /// The first message.
    pub fn first(&self) -> String {
        format!("{}{}", self.gs2_header, self.first_bare())
    }

    /// The last message, and the signature by which the server proves that it knows the keys.
    pub fn last(&self, challenge: &str) -> Result<(String, String)> {
        let field = |name: &str| {
            let found = challenge.split(',').find_map(|field| field.strip_prefix(name));
            found.with_context(|| format!("no {name} in {challenge}"))
        };
        let nonce = field("r=")?;
        ensure!(nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len(), "the nonce is not ours");
        let salt = BASE64_STANDARD.decode(field("s=")?)?;
        let rounds: NonZeroU32 = field("i=")?.parse()?;

        let mut channel = self.claimed_header.as_ref().unwrap_or(&self.gs2_header).clone().into_bytes();
        channel.extend_from_slice(&self.binding);
        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(channel));
        let message = format!("{},{challenge},{without_proof}", self.first_bare());

        let mut salted = vec![0; self.digest().output_len()];
        pbkdf2::derive(self.stretch(), rounds, &salt, self.password.as_bytes(), &mut salted);
        let client = self.hmac(&salted, b"Client Key");
        let stored = digest::digest(self.digest(), &client);
        let signature = self.hmac(stored.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client.iter().zip(&signature).map(|(key, mask)| key ^ mask).collect();
        let server = self.hmac(&self.hmac(&salted, b"Server Key"), message.as_bytes());
        Ok((format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)), BASE64_STANDARD.encode(server)))
    }

    fn digest(&self) -> &'static digest::Algorithm {
        match self.hash {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
        }
    }

    fn stretch(&self) -> pbkdf2::Algorithm {
        match self.hash {
            Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self.hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    #[test]
    fn the_vector_of_the_rfc_comes_out() {
        let scram = Scram::new(Hash::Sha256, "user", "pencil");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, signature) = scram.last(challenge).unwrap();
        assert!(last.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{last}");
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
