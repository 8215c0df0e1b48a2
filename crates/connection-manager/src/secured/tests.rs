//! Our side of TLS against that of another implementation of the same records: the client of rustls, which has buffers and an exporter.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion, version,
};

use super::*;
use crate::tls::EXPORTER_LABEL;

/// A client and a server whose bytes are carried by the test.
struct Pair {
    client: ClientConnection,
    server: Secured,
    exporter: Option<Option<[u8; 32]>>,
}

impl Pair {
    fn new(suite: SupportedCipherSuite, version: &'static SupportedProtocolVersion) -> Pair {
        let provider = Arc::new(rustls::crypto::CryptoProvider {
            cipher_suites: vec![suite],
            ..aws_lc_rs::default_provider()
        });
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        server.send_tls13_tickets = 1;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(client), "a.example".try_into().unwrap()).unwrap();
        client.set_buffer_limit(None);
        Pair { client, server: Secured::new(&server).unwrap(), exporter: None }
    }

    /// What the client has to say reaches the server `at_once` bytes at a time, and the other way; returns the plaintext.
    fn carry(&mut self, at_once: usize) -> Vec<u8> {
        let (mut wire, mut plain) = (Vec::new(), Vec::new());
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        let mut back = Vec::new();
        for part in wire.chunks_mut(at_once) {
            let came = self.server.read(part, &mut plain, &mut back).unwrap();
            self.exporter = self.exporter.or(came.secured);
        }
        self.hear(&back);
        plain
    }

    /// The client reads it; returns the plaintext.
    fn hear(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        while !wire.is_empty() {
            self.client.read_tls(&mut wire).unwrap();
            let waiting = self.client.process_new_packets().unwrap().plaintext_bytes_to_read();
            let start = heard.len();
            heard.resize(start + waiting, 0);
            io::Read::read_exact(&mut self.client.reader(), &mut heard[start..]).unwrap();
        }
        heard
    }

    fn shake_hands(&mut self, at_once: usize) {
        for _ in 0..4 {
            self.carry(at_once);
        }
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
    }

    /// What the client reads of it.
    fn said(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        self.server.write(bytes, &mut wire).unwrap();
        self.hear(&wire)
    }
}

const SUITES: [(SupportedCipherSuite, &SupportedProtocolVersion); 4] = [
    (cipher_suite::TLS13_AES_128_GCM_SHA256, &version::TLS13),
    (cipher_suite::TLS13_AES_256_GCM_SHA384, &version::TLS13),
    (cipher_suite::TLS13_CHACHA20_POLY1305_SHA256, &version::TLS13),
    (cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, &version::TLS12),
];

#[test]
fn both_sides_export_the_same() {
    for (suite, version) in SUITES {
        let mut pair = Pair::new(suite, version);
        pair.shake_hands(usize::MAX);
        let theirs = pair.client.export_keying_material([0; 32], EXPORTER_LABEL, Some(b"")).unwrap();
        let expected = (version == &version::TLS13).then_some(theirs);
        assert_eq!(pair.exporter, Some(expected), "{suite:?}");
    }
}

#[test]
fn records_may_come_in_any_pieces() {
    for (suite, version) in SUITES {
        for at_once in [1, 7, 1000] {
            let mut pair = Pair::new(suite, version);
            pair.shake_hands(at_once);
            for length in [1, 100, 16 * 1024, 100_000] {
                let sent: Vec<u8> = (0..length).map(|at| at as u8).collect();
                io::Write::write_all(&mut pair.client.writer(), &sent).unwrap();
                assert_eq!(pair.carry(at_once), sent, "{suite:?}, {at_once} at once");
                assert_eq!(pair.said(&sent), sent, "{suite:?}, {at_once} at once");
            }
            assert_eq!(pair.server.held.capacity(), 0, "an idle connection holds nothing");
        }
    }
}

#[test]
fn keys_may_be_changed_by_the_client() {
    let (suite, version) = SUITES[0];
    let mut pair = Pair::new(suite, version);
    pair.shake_hands(usize::MAX);
    for _ in 0..3 {
        pair.client.refresh_traffic_keys().unwrap();
        io::Write::write_all(&mut pair.client.writer(), b"with new keys").unwrap();
        assert_eq!(pair.carry(9), b"with new keys");
        assert_eq!(pair.said(b"heard"), b"heard");
    }
}

#[test]
fn the_end_of_either_side_is_told() {
    for (suite, version) in SUITES {
        let mut pair = Pair::new(suite, version);
        pair.shake_hands(usize::MAX);
        let mut wire = Vec::new();
        pair.server.close(&mut wire);
        pair.client.read_tls(&mut wire.as_slice()).unwrap();
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());

        pair.client.send_close_notify();
        let (mut wire, mut plain, mut back) = (Vec::new(), Vec::new(), Vec::new());
        pair.client.write_tls(&mut wire).unwrap();
        assert!(pair.server.read(&mut wire, &mut plain, &mut back).unwrap().closed);
    }
}

#[test]
fn what_is_no_tls_gets_an_alert() {
    let (suite, version) = SUITES[0];
    let mut server = Pair::new(suite, version).server;
    let mut nonsense = *b"<stream:stream xmlns='jabber:client'";
    let (mut plain, mut alert) = (Vec::new(), Vec::new());
    let error = server.read(&mut nonsense, &mut plain, &mut alert).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(alert.first(), Some(&21), "RFC 8446 §5.1: the type of an alert");
}

#[test]
fn a_message_without_end_is_refused() {
    let (suite, version) = SUITES[0];
    let mut server = Pair::new(suite, version).server;
    let (mut plain, mut back) = (Vec::new(), Vec::new());
    // A ClientHello of 60,000 bytes, one in each record: what lies around them is more than what is held.
    let header = [1, 0, 0xea, 0x60].into_iter();
    let refused = header.chain(std::iter::repeat(0)).take(60_000).enumerate().find_map(|(at, byte)| {
        let mut record = [22, 3, 1, 0, 1, byte];
        server.read(&mut record, &mut plain, &mut back).err().map(|error| (at, error))
    });
    let (at, error) = refused.expect("it was taken");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(at < 20_000, "{at}");
}
