//! SCRAM-SHA-1 from the client's side (RFC 5802 §3).

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use std::num::NonZeroU32;

/// One exchange.
pub(crate) struct Scram {
    bare: String,
}

impl Scram {
    /// A new exchange with a fresh nonce. Names of load accounts need no escape.
    pub(crate) fn new(user: &str) -> Result<Self> {
        let mut nonce = [0; 18];
        rand::fill(&mut nonce)?;
        Ok(Self { bare: format!("n={user},r={}", BASE64.encode(nonce)) })
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The client's last message, and what the server must answer.
    pub(crate) fn answer(&self, password: &str, challenge: &[u8]) -> Result<(String, String)> {
        let challenge = std::str::from_utf8(challenge)?;
        let field = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key));
        let nonce = field("r=").context("no nonce")?;
        let salt = BASE64.decode(field("s=").context("no salt")?)?;
        let rounds: NonZeroU32 = field("i=").context("no rounds")?.parse()?;
        ensure!(rounds.get() <= 1_000_000, "too many rounds");
        let ours = self.bare.rsplit_once("r=").map_or("", |(_, nonce)| nonce);
        ensure!(nonce.starts_with(ours), "a foreign nonce");

        let mut salted = [0; 20];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, rounds, &salt, password.as_bytes(), &mut salted);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.bare);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, client_key.as_ref());
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, mask)| key ^ mask).collect();
        let server_key = sign(&salted, b"Server Key");
        let verifier = BASE64.encode(sign(server_key.as_ref(), message.as_bytes()));
        Ok((format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={verifier}")))
    }
}

fn sign(key: &[u8], data: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_5802_section_5_comes_out() {
        let scram = Scram { bare: "n=user,r=fyko+d2lbbFgONRv9qkxdawL".to_owned() };
        let challenge = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let (last, expected) = scram.answer("pencil", challenge).unwrap();
        assert!(last.ends_with(",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="), "{last}");
        assert_eq!(expected, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }
}
