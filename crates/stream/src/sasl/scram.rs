//! The mechanisms SCRAM-SHA-1 and SCRAM-SHA-256, with and without -PLUS (RFC 5802, RFC 7677).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use starling_ports::accounts::ScramKeys;
use subtle::ConstantTimeEq;

use super::SaslFailure;
use super::SaslFailure::{MalformedRequest, NotAuthorized};

/// The hash function of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Hash {
    /// RFC 5802.
    Sha1,
    /// RFC 7677.
    Sha256,
}

/// Counts the costly steps, so that a test sees the same work for known and unknown users; `()` counts nothing.
pub trait Meter {
    /// One key was stretched.
    fn pbkdf2(&self) {}
    /// One HMAC was made.
    fn hmac(&self) {}
}

impl Meter for () {}

impl Hash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(data).to_vec(),
            Hash::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8], meter: &dyn Meter) -> Vec<u8> {
        meter.hmac();
        match self {
            Hash::Sha1 => mac::<Hmac<Sha1>>(key, data),
            Hash::Sha256 => mac::<Hmac<Sha256>>(key, data),
        }
    }

    fn stretch(self, password: &str, salt: &[u8], iterations: u32, meter: &dyn Meter) -> Vec<u8> {
        meter.pbkdf2();
        match self {
            Hash::Sha1 => {
                let mut out = vec![0; 20];
                pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), salt, iterations, &mut out);
                out
            }
            Hash::Sha256 => {
                let mut out = vec![0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut out);
                out
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "RFC 2104: HMAC takes a key of any length")]
fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// What is stored instead of a password that is already prepared.
pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32, meter: &dyn Meter) -> ScramKeys {
    let salted = hash.stretch(password, salt, iterations, meter);
    let stored = hash.digest(&hash.hmac(&salted, b"Client Key", meter));
    let server = hash.hmac(&salted, b"Server Key", meter);
    ScramKeys { iterations, salt: salt.to_vec(), stored, server }
}

/// Keys for a user who does not exist: always the same salt for the same prepared name, and no password fits.
pub fn fake_keys(secret: &[u8], username: &str, hash: Hash, iterations: u32) -> ScramKeys {
    let part = |label: &str| hash.hmac(secret, format!("{label}\0{username}").as_bytes(), &());
    let mut salt = part("salt");
    salt.truncate(16);
    ScramKeys { iterations, salt, stored: part("stored"), server: part("server") }
}

/// Whether two sets of keys come from one password, in constant time.
pub fn are_same(one: &ScramKeys, other: &ScramKeys) -> bool {
    bool::from(one.stored.ct_eq(&other.stored) & one.server.ct_eq(&other.server))
}

/// Base64, as SCRAM writes it.
pub fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// The client's first message (RFC 5802 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// As sent, to be compared with `c=` later.
    pub gs2_header: String,
    /// `tls-exporter`, if the client binds to the channel.
    pub binding: Option<String>,
    /// Whom it wants to act as.
    pub authzid: Option<String>,
    /// Unescaped, not yet prepared.
    pub username: String,
    /// The client's nonce.
    pub nonce: String,
    /// The message without the gs2 header.
    pub bare: String,
}

impl ClientFirst {
    /// `offered_plus`: whether a -PLUS mechanism stood in the features; then a `y` shows that somebody took it out.
    pub fn parse(message: &[u8], offered_plus: bool) -> Result<ClientFirst, SaslFailure> {
        let text = std::str::from_utf8(message).map_err(|_| MalformedRequest)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(MalformedRequest);
        };
        let binding = match flag {
            "n" => None,
            "y" if offered_plus => return Err(NotAuthorized), // RFC 5802 §6: a downgrade
            "y" => None,
            _ => match flag.strip_prefix("p=") {
                Some("tls-exporter") if offered_plus => Some("tls-exporter".to_owned()), // RFC 9266
                Some(_) => return Err(NotAuthorized),
                None => return Err(MalformedRequest),
            },
        };
        let authzid = match authzid.strip_prefix("a=") {
            Some(name) => Some(unescape(name)?),
            None if authzid.is_empty() => None,
            None => return Err(MalformedRequest),
        };
        let header = text.len() - bare.len();
        // `m=` would stand first: an extension that we do not know must fail (§5.1).
        let mut fields = bare.split(',');
        let username = fields.next().and_then(|field| field.strip_prefix("n=")).ok_or(MalformedRequest)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(MalformedRequest)?;
        check_nonce(nonce)?;
        check_extensions(fields)?;
        Ok(ClientFirst {
            gs2_header: text.get(..header).unwrap_or_default().to_owned(),
            binding,
            authzid,
            username: unescape(username)?,
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
        })
    }
}

/// The server's first message.
pub fn server_first(client_nonce: &str, server_nonce: &str, salt: &[u8], iterations: u32) -> String {
    format!("r={client_nonce}{server_nonce},s={},i={iterations}", STANDARD.encode(salt))
}

/// The client's last message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFinal {
    /// gs2 header and channel binding data.
    pub channel: Vec<u8>,
    /// Both nonces.
    pub nonce: String,
    proof: Vec<u8>,
    without_proof: String,
}

impl ClientFinal {
    /// The proof stands last (RFC 5802 §7).
    pub fn parse(message: &[u8]) -> Result<ClientFinal, SaslFailure> {
        let text = std::str::from_utf8(message).map_err(|_| MalformedRequest)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(MalformedRequest)?;
        let mut fields = without_proof.split(',');
        let channel = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(MalformedRequest)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(MalformedRequest)?;
        check_nonce(nonce)?;
        check_extensions(fields)?;
        Ok(ClientFinal {
            channel: STANDARD.decode(channel).map_err(|_| MalformedRequest)?,
            nonce: nonce.to_owned(),
            proof: STANDARD.decode(proof).map_err(|_| MalformedRequest)?,
            without_proof: without_proof.to_owned(),
        })
    }

    /// What both sides sign (RFC 5802 §3).
    pub fn auth_message(&self, first: &ClientFirst, server_first: &str) -> String {
        format!("{},{server_first},{}", first.bare, self.without_proof)
    }

    /// Whether header, binding and nonce are those of this exchange.
    pub fn check(
        &self,
        first: &ClientFirst,
        server_nonce: &str,
        binding: Option<&[u8]>,
    ) -> Result<(), SaslFailure> {
        let mut channel = first.gs2_header.as_bytes().to_vec();
        if first.binding.is_some() {
            channel.extend_from_slice(binding.ok_or(NotAuthorized)?);
        }
        let nonce = format!("{}{server_nonce}", first.nonce);
        let same = self.channel.ct_eq(&channel) & self.nonce.as_bytes().ct_eq(nonce.as_bytes());
        if bool::from(same) { Ok(()) } else { Err(NotAuthorized) }
    }

    /// The server's signature, if the proof fits the keys.
    pub fn verify(
        &self,
        keys: &ScramKeys,
        hash: Hash,
        message: &str,
        meter: &dyn Meter,
    ) -> Result<Vec<u8>, SaslFailure> {
        let signature = hash.hmac(&keys.stored, message.as_bytes(), meter);
        let server = hash.hmac(&keys.server, message.as_bytes(), meter);
        let key: Vec<u8> = signature.iter().zip(&self.proof).map(|(left, right)| left ^ right).collect();
        let fits = hash.digest(&key).ct_eq(&keys.stored);
        if self.proof.len() == signature.len() && bool::from(fits) { Ok(server) } else { Err(NotAuthorized) }
    }
}

fn check_nonce(nonce: &str) -> Result<(), SaslFailure> {
    let good = !nonce.is_empty() && nonce.len() <= 1024 && nonce.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(()) } else { Err(MalformedRequest) }
}

fn check_extensions<'a>(mut fields: impl Iterator<Item = &'a str>) -> Result<(), SaslFailure> {
    let known = |field: &str| {
        let mut bytes = field.bytes();
        bytes.next().is_some_and(|name| name.is_ascii_alphabetic() && name != b'm')
            && bytes.next() == Some(b'=')
    };
    if fields.all(known) { Ok(()) } else { Err(MalformedRequest) }
}

/// RFC 5802 §5.1: `=2C` and `=3D`, and no other `=`.
fn unescape(name: &str) -> Result<String, SaslFailure> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (plain, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(MalformedRequest),
        };
        out.push(plain);
        out.push_str(rest);
    }
    if out.is_empty() || out.contains('\0') { Err(MalformedRequest) } else { Ok(out) }
}

#[cfg(test)]
mod tests;
