//! The vectors of RFC 5802 §5 and RFC 7677 §3, and what an attacker would send.

use super::*;

fn exchange(hash: Hash, first: &str, nonce: &str, salt: &str, last: &str) -> Result<String, SaslFailure> {
    let keys = derive(hash, "pencil", &STANDARD.decode(salt).unwrap(), 4096, &());
    let first = ClientFirst::parse(first.as_bytes(), false)?;
    let challenge = server_first(&first.nonce, nonce, &keys.salt, keys.iterations);
    let last = ClientFinal::parse(last.as_bytes())?;
    last.check(&first, nonce, None)?;
    last.verify(&keys, hash, &last.auth_message(&first, &challenge), &()).map(|done| STANDARD.encode(done))
}

fn sha1(last: &str) -> Result<String, SaslFailure> {
    let first = "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL";
    exchange(Hash::Sha1, first, "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92", last)
}

const LAST: &str = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";

#[test]
fn the_vectors_of_both_rfcs_pass() {
    assert_eq!(sha1(LAST).unwrap(), "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let last = format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let signature = exchange(Hash::Sha256, first, nonce, "W22ZaJ0SNY7soEsUEjb6gQ==", &last).unwrap();
    assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn another_header_nonce_or_proof_is_not_authorized() {
    for (from, to) in [("biws", "eSws"), ("7j,", "7k,"), ("p=v0X8", "p=w0X8"), ("4Ts=", "4Q==")] {
        assert_eq!(sha1(&LAST.replace(from, to)), Err(NotAuthorized), "{to}");
    }
}

#[test]
fn loose_base64_and_mandatory_extensions_are_malformed() {
    for (from, to) in [("biws", "bi ws"), ("4Ts=", "4Ts"), ("4Ts=", "4Tt="), (",p=", ",m=x,p="), ("c=", "d=")]
    {
        assert_eq!(sha1(&LAST.replace(from, to)), Err(MalformedRequest), "{to}");
    }
}

#[test]
fn a_first_message_is_refused_for_what_is_wrong_with_it() {
    let parse = |text: &str, plus| ClientFirst::parse(text.as_bytes(), plus);
    assert_eq!(parse("y,,n=user,r=x", true), Err(NotAuthorized));
    assert!(parse("y,,n=user,r=x", false).is_ok());
    assert_eq!(parse("p=tls-unique,,n=user,r=x", true), Err(NotAuthorized));
    assert_eq!(parse("p=tls-exporter,,n=user,r=x", false), Err(NotAuthorized));
    for bad in ["", "n", "n,,", "n,,m=x,n=u,r=x", "n,,n=,r=x", "n,,n=a=b,r=x", "n,,n=u,r=", "n,b,n=u,r=x"] {
        assert_eq!(parse(bad, false), Err(MalformedRequest), "{bad}");
    }
    let first = parse("n,a=bob,n=a=2Cb=3Dc,r=x", false).unwrap();
    assert_eq!((first.username.as_str(), first.gs2_header.as_str()), ("a,b=c", "n,a=bob,"));
}

#[test]
fn an_unknown_user_has_always_the_same_salt() {
    let keys = |name| fake_keys(b"secret", name, Hash::Sha256, 4096);
    assert!(keys("nobody") == keys("nobody") && keys("nobody").salt != keys("noone").salt);
}
