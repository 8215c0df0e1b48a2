//! SASL as pure functions: what a client's message says, and whether it proves a password (RFC 6120 §6).

pub mod plain;
pub mod scram;

pub use starling_ports::authentication::SaslFailure;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The content of `<auth/>` or `<response/>`: strict base64, and `=` for an empty message (RFC 6120 §6.4.2).
pub fn decode(text: &[u8]) -> Result<Vec<u8>, SaslFailure> {
    match text {
        b"=" => Ok(Vec::new()),
        text => STANDARD.decode(text).map_err(|_| SaslFailure::IncorrectEncoding),
    }
}
