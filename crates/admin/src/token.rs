//! Tokens: who may do what. The server knows their hashes only.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every token begins with, so that one that leaks is known for what it is.
const PREFIX: &str = "starling_";
/// What every hash begins with.
const ALGORITHM: &str = "sha256:";

/// What a token is for: each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// To look: nodes, sessions, accounts, figures.
    Read,
    /// To end sessions, to drain, to look for a message.
    Operate,
    /// To make and remove accounts, to set passwords, to read the configuration again.
    Admin,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(word: &str) -> Result<Role, String> {
        [Self::Read, Self::Operate, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| format!("{word:?} is not a role: read, operate, admin"))
    }
}

/// 256 random bits. No hash of such a secret can be turned by guessing, so a fast one does.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", hex(&bytes)))
}

/// What the configuration says of a token.
pub fn hash(token: &str) -> String {
    format!("{ALGORITHM}{}", hex(&Sha256::digest(token.as_bytes())))
}

/// A token as the server knows it.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) role: Role,
    digest: [u8; 32],
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.role.as_str())
    }
}

impl Known {
    pub(crate) fn new(name: &str, role: Role, hash: &str) -> Result<Known, String> {
        if !is_name(name) {
            return Err(format!("{name:?} is not the name of a token: letters, digits, `-`, `_` and `.`"));
        }
        let digest = hash.strip_prefix(ALGORITHM).and_then(unhex);
        let digest = digest.ok_or_else(|| {
            format!("the hash of {name:?} is not `{ALGORITHM}` and 64 hexadecimal digits: `starling token new` prints one")
        })?;
        Ok(Known { name: name.to_owned(), role, digest })
    }
}

/// Whether a token may be called so.
pub fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(is_plain)
}

/// Which of them it is. How long that takes does not depend on which, nor on how much of it is right.
pub(crate) fn find<'a>(known: &'a [Known], token: &str) -> Option<&'a Known> {
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut found = None;
    for one in known {
        if bool::from(one.digest.ct_eq(&digest)) {
            found = Some(one);
        }
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_no_other_is() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        let known = [
            Known::new("one", Role::Read, &hash(&one)).unwrap(),
            Known::new("other", Role::Admin, &hash(&other).to_uppercase().replace("SHA256", "sha256"))
                .unwrap(),
        ];
        assert_eq!(find(&known, &one).unwrap().name, "one");
        assert_eq!(find(&known, &other).unwrap().name, "other");
        for wrong in ["", "starling_", &one[1..], &format!("{one} "), &hash(&one), &new_token().unwrap()] {
            assert!(find(&known, wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{known:?}").contains(&hash(&one)[7..]));
    }

    #[test]
    fn roles_are_in_an_order() {
        assert!(Role::Read < Role::Operate && Role::Operate < Role::Admin);
        assert_eq!("operate".parse(), Ok(Role::Operate));
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let right = hash("x");
        for wrong in ["", "x", &right[7..], &right[..70], &format!("{right}0"), "sha256:é"] {
            assert!(Known::new("a", Role::Read, wrong).is_err(), "{wrong}");
        }
        for name in ["", "a b", "a\nb", "é", &"a".repeat(65)] {
            assert!(Known::new(name, Role::Read, &right).is_err(), "{name}");
        }
    }
}
