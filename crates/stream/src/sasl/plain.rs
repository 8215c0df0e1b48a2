//! The mechanism PLAIN (RFC 4616).

use std::fmt;

use super::SaslFailure;

/// What a client says of itself; the caller refuses a foreign `authzid`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whom it wants to act as, if it says so.
    pub authzid: Option<String>,
    /// Whose password it is.
    pub authcid: String,
    /// The password, not yet prepared.
    pub password: String,
}

impl Credentials {
    /// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`, the last two not empty, no further NUL.
    pub fn parse(message: &[u8]) -> Result<Credentials, SaslFailure> {
        let text = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(authcid), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslFailure::MalformedRequest);
        };
        if authcid.is_empty() || password.is_empty() {
            return Err(SaslFailure::MalformedRequest);
        }
        let authzid = (!authzid.is_empty()).then(|| authzid.to_owned());
        Ok(Credentials { authzid, authcid: authcid.to_owned(), password: password.to_owned() })
    }
}

/// A password is never printed.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_are_read_and_anything_else_is_malformed() {
        let read = Credentials::parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((read.authzid, read.authcid.as_str()), (None, "tim"));
        assert_eq!(Credentials::parse(b"bob\0tim\0x").unwrap().authzid.as_deref(), Some("bob"));
        for bad in [&b""[..], b"\0", b"\0\0", b"\0tim\0", b"\0\0x", b"\0tim\0x\0", b"tim\0x", b"\0\xff\0x"] {
            assert_eq!(Credentials::parse(bad), Err(SaslFailure::MalformedRequest));
        }
    }
}
