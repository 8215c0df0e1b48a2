//! Preparation of the parts: one canonical form for everything that is the same address (RFC 7622 §3, RFC 8265).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use crate::JidError;

/// RFC 7622 §3.2: at most this many bytes a part.
const MAX_PART: usize = 1023;

/// RFC 7622 §3.3.1: what the UsernameCaseMapped profile allows and a localpart does not.
const EXCLUDED: [char; 8] = ['"', '&', '\'', '/', ':', '<', '>', '@'];

pub(crate) fn localpart(text: &str) -> Result<Cow<'_, str>, JidError> {
    check_length(text)?;
    // XEP-0106 §4.2: an escaped space neither begins nor ends a localpart.
    if text.starts_with("\\20") || text.ends_with("\\20") {
        return Err(JidError::Localpart);
    }
    let simple =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    if !text.is_empty() && text.bytes().all(simple) {
        return Ok(Cow::Borrowed(text));
    }
    let prepared = UsernameCaseMapped::enforce(text).map_err(|_| JidError::Localpart)?;
    let prepared = stable(prepared, |text| UsernameCaseMapped::enforce(text).ok(), JidError::Localpart)?;
    if prepared.is_empty() || prepared.contains(EXCLUDED) {
        return Err(JidError::Localpart);
    }
    check_length(&prepared)?;
    Ok(prepared)
}

/// Lower case, without a final dot; an IP literal, or labels of letters, digits and hyphens in any script.
pub(crate) fn domainpart(text: &str) -> Result<Cow<'_, str>, JidError> {
    check_length(text)?;
    let text = text.strip_suffix('.').unwrap_or(text); // RFC 7622 §3.2
    if text.is_empty() {
        return Err(JidError::Domainpart);
    }
    let simple = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let prepared = if text.bytes().all(simple) {
        Cow::Borrowed(text)
    } else if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = literal.parse().map_err(|_| JidError::Domainpart)?;
        return Ok(Cow::Owned(format!("[{address}]")));
    } else if text.is_ascii() {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        // The same folding and normalisation as for localparts makes one form of what IDNA 2008 has as one U-label.
        let labels: Result<Vec<Cow<'_, str>>, JidError> =
            text.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']).map(label).collect();
        Cow::Owned(labels?.join("."))
    };
    if !prepared.split('.').all(is_label) {
        return Err(JidError::Domainpart);
    }
    check_length(&prepared)?;
    Ok(prepared)
}

fn label(text: &str) -> Result<Cow<'_, str>, JidError> {
    let prepared = UsernameCaseMapped::enforce(text).map_err(|_| JidError::Domainpart)?;
    stable(prepared, |text| UsernameCaseMapped::enforce(text).ok(), JidError::Domainpart)
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte == b'-' || byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let edges = !label.starts_with('-') && !label.ends_with('-');
    !label.is_empty() && label.len() <= 255 && edges && label.bytes().all(allowed)
}

pub(crate) fn resourcepart(text: &str) -> Result<Cow<'_, str>, JidError> {
    check_length(text)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(Cow::Borrowed(text));
    }
    let prepared = OpaqueString::enforce(text).map_err(|_| JidError::Resourcepart)?;
    let prepared = stable(prepared, |text| OpaqueString::enforce(text).ok(), JidError::Resourcepart)?;
    if prepared.is_empty() {
        return Err(JidError::Resourcepart);
    }
    check_length(&prepared)?;
    Ok(prepared)
}

/// RFC 8265 §3.4.2 wants rules applied until nothing changes; what never settles is refused.
fn stable<'a>(
    first: Cow<'a, str>,
    again: impl Fn(&str) -> Option<Cow<'_, str>>,
    error: JidError,
) -> Result<Cow<'a, str>, JidError> {
    let mut text = first;
    for _ in 0..4 {
        let next = again(&text).ok_or(error)?.into_owned();
        if next == *text {
            return Ok(text);
        }
        text = Cow::Owned(next);
    }
    Err(error)
}

fn check_length(text: &str) -> Result<(), JidError> {
    if text.len() > MAX_PART { Err(JidError::TooLong) } else { Ok(()) }
}

/// The user name of a SASL exchange, as the localpart that it names (RFC 7622 §3.3).
pub fn prepare_username(text: &str) -> Result<String, JidError> {
    localpart(text).map(Cow::into_owned)
}

/// A password by the profile OpaqueString (RFC 8265 §4).
pub fn prepare_password(text: &str) -> Result<String, JidError> {
    if text.len() > MAX_PART {
        return Err(JidError::TooLong);
    }
    let prepared = OpaqueString::enforce(text).map_err(|_| JidError::Password)?;
    let prepared = stable(prepared, |text| OpaqueString::enforce(text).ok(), JidError::Password)?;
    if prepared.is_empty() { Err(JidError::Password) } else { Ok(prepared.into_owned()) }
}
