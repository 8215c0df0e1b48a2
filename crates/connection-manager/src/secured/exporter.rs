//! The exporter of TLS 1.3 (RFC 8446 §7.5), which logins are bound to (RFC 9266). A connection without buffers has none of its own: the
//! secret that it is derived from is handed out during the handshake only, as to a key log.

use std::sync::OnceLock;

use rustls::crypto::tls13::OkmBlock;
use rustls::server::UnbufferedServerConnection;
use rustls::{KeyLog, SupportedCipherSuite};

use crate::tls::EXPORTER_LABEL;

/// How the key log calls it.
const EXPORTER_SECRET: &str = "EXPORTER_SECRET";

/// The exporter secret of one connection. It is overwritten when it is dropped, and never written anywhere.
#[derive(Default)]
pub(super) struct Secret(OnceLock<OkmBlock>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl KeyLog for Secret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == EXPORTER_SECRET && secret.len() <= OkmBlock::MAX_LEN {
            let _ = self.0.set(OkmBlock::new(secret));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == EXPORTER_SECRET
    }
}

impl Secret {
    /// RFC 9266 §4.2: defined for TLS 1.3 only; with 1.2 it would need the extended master secret.
    pub(super) fn exporter(&self, connection: &UnbufferedServerConnection) -> Option<[u8; 32]> {
        let (Some(secret), Some(SupportedCipherSuite::Tls13(suite))) =
            (self.0.get(), connection.negotiated_cipher_suite())
        else {
            return None;
        };
        let nothing = suite.common.hash_provider.hash(&[]);
        let nothing = nothing.as_ref();
        let expander = suite.hkdf_provider.expander_for_okm(secret);
        let derived = labelled(EXPORTER_LABEL, nothing, nothing.len(), |info| expander.expand_block(info))?;
        let expander = suite.hkdf_provider.expander_for_okm(&derived);
        let mut exporter = [0; 32];
        let length = exporter.len();
        labelled(b"exporter", nothing, length, |info| expander.expand_slice(info, &mut exporter))?.ok()?;
        Some(exporter)
    }
}

/// What HKDF-Expand-Label (RFC 8446 §7.1) expands to `length` bytes. `None`: something of it is too long.
fn labelled<T>(label: &[u8], context: &[u8], length: usize, expand: impl FnOnce(&[&[u8]]) -> T) -> Option<T> {
    const PREFIX: &[u8] = b"tls13 ";
    let byte = |length: usize| u8::try_from(length).ok();
    let length = u16::try_from(length).ok()?.to_be_bytes();
    let (label_length, context_length) = ([byte(PREFIX.len() + label.len())?], [byte(context.len())?]);
    Some(expand(&[&length, &label_length, PREFIX, label, &context_length, context]))
}
