//! What must hold for any input: called by the fuzzing engine, and by an ordinary test over the corpus.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "what must hold and does not is a panic, which is what the engine looks for"
)]

#[path = "../../crates/xml/tests/oracle/compare.rs"]
mod compare;
mod stream;

use starling_jid::{BareJid, FullJid, Jid, escape, prepare_password, prepare_username};
use starling_ports::accounts::ScramKeys;
use starling_stream::sasl::plain::Credentials;
use starling_stream::sasl::scram::{ClientFinal, ClientFirst, Hash, encode, server_first};

pub use stream::stream;

/// Our reader takes no more than rxml does, understands the same, and its canonical form is its own canonical form.
pub fn xml(data: &[u8]) {
    compare::compare(data);
}

/// An address is its own canonical form, within limits, and each part of it is one.
pub fn jid(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (bare, full) = (BareJid::new(text), FullJid::new(text));
    match Jid::new(text) {
        Err(_) => assert!(bare.is_err() && full.is_err(), "no address, and yet one of a kind"),
        Ok(jid) => {
            assert!(bare.is_ok() != full.is_ok(), "either bare or full");
            assert_eq!(jid.is_bare(), bare.is_ok());
            let again = Jid::new(jid.as_str()).expect("the canonical form is an address");
            assert_eq!(again.as_str(), jid.as_str());
            let parts = [jid.local(), Some(jid.domain()), jid.resource()];
            assert!(parts.iter().flatten().all(|part| (1..=1023).contains(&part.len())), "RFC 7622 §3");
            let written = BareJid::from_parts(jid.local(), jid.domain()).expect("the parts are parts");
            assert_eq!(written, jid.bare());
            if let Some(resource) = jid.resource() {
                let full = written.with_resource(resource).expect("the resource is one");
                assert_eq!(full.as_str(), jid.as_str());
            }
        }
    }
    assert_eq!(escape::unescape(&escape::escape(text)), text, "XEP-0106");
    if let Ok(name) = prepare_username(text) {
        assert_eq!(prepare_username(&name).as_deref(), Ok(name.as_str()));
    }
    if let Ok(password) = prepare_password(text) {
        assert_eq!(prepare_password(&password).as_deref(), Ok(password.as_str()));
    }
}

/// SASL messages are taken apart without loss, and no proof fits keys that nobody knows.
pub fn sasl(data: &[u8]) {
    if let Ok(message) = starling_stream::sasl::decode(data) {
        let written =
            if message.is_empty() { String::from_utf8_lossy(data).into_owned() } else { encode(&message) };
        assert_eq!(written.as_bytes(), data, "base64 in one way only");
        assert!(!message.is_empty() || matches!(data, b"" | b"="));
        sasl_message(&message);
    }
    sasl_message(data);
}

fn sasl_message(data: &[u8]) {
    if let Ok(Credentials { authzid, authcid, password }) = Credentials::parse(data) {
        let written = format!("{}\0{authcid}\0{password}", authzid.unwrap_or_default());
        assert_eq!(written.as_bytes(), data);
    }
    // Both messages of an exchange, the second behind a line feed, which neither can hold.
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (first, last) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    for plus in [false, true] {
        let Ok(first_message) = ClientFirst::parse(first, plus) else { continue };
        let written = format!("{}{}", first_message.gs2_header, first_message.bare);
        assert_eq!(written.as_bytes(), first);
        assert!(!(plus && first_message.gs2_header.starts_with('y')), "a downgrade");
        let Ok(last_message) = ClientFinal::parse(last) else { continue };
        let fits = last_message.check(&first_message, "server", Some(b"channel")).is_ok();
        assert!(!fits || last_message.nonce == format!("{}server", first_message.nonce));
        let keys =
            ScramKeys { iterations: 4096, salt: vec![1; 16], stored: vec![2; 32], server: vec![3; 32] };
        let signed = last_message
            .auth_message(&first_message, &server_first(&first_message.nonce, "server", &keys.salt, 4096));
        assert!(last_message.verify(&keys, Hash::Sha256, &signed, &()).is_err());
    }
}
