//! RFC 6120 §6, RFC 5802, RFC 4616: who signs in, and what everybody else hears.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use starling_testkit::{Connection, Hash, Scram, Secured, TlsOptions, TlsVersion, Tree, World};

/// A connection from an address of the story's own: failed logins slow down everybody who shares one. All of them come to one
/// process, which counts strangers by itself.
pub(crate) async fn guest(world: &World, kind: &str, address: u8) -> Connection {
    let server = world.server().await;
    let listener = server.address(kind).unwrap();
    Connection::open_from(IpAddr::V4(Ipv4Addr::new(127, 0, 1, address)), listener).await.unwrap()
}

/// The same with an open stream; the features are the answer.
pub(crate) async fn stream(world: &World, address: u8) -> (Connection, Tree) {
    let mut connection = guest(world, "plain", address).await;
    connection.header("localhost").await.unwrap();
    let features = connection.element("features").await.unwrap();
    (connection, features)
}

/// The same behind STARTTLS.
async fn secured(world: &World, version: TlsVersion, address: u8) -> (Connection, Secured, Tree) {
    let mut connection = guest(world, "c2s", address).await;
    let options = TlsOptions { version, ..TlsOptions::new("localhost") };
    let secured = connection.start_tls(&options).await.unwrap();
    connection.header("localhost").await.unwrap();
    let features = connection.element("features").await.unwrap();
    (connection, secured, features)
}

fn mechanisms(features: &Tree) -> Vec<&str> {
    features.child("mechanisms").unwrap().children.iter().map(|mechanism| mechanism.text.as_str()).collect()
}

#[track_caller]
pub(crate) fn failed(answer: &Tree, condition: &str) {
    assert_eq!(answer.name, "failure", "{answer}");
    assert!(answer.child(condition).is_some(), "expected {condition}, got {answer}");
}

/// The localpart of a new account, whose password is `secret`.
pub(crate) async fn account(world: &World, name: &str) -> String {
    world.user(name).await.jid().split('@').next().unwrap().to_owned()
}

/// §6.5.10, and §6.4.4: the stream is still good for another try.
pub(crate) async fn a_wrong_password_is_refused(world: &World) {
    let alice = account(world, "alice").await;
    let (mut connection, _) = stream(world, 1).await;
    failed(&connection.scram(&Scram::new(Hash::Sha256, &alice, "wrong")).await.unwrap(), "not-authorized");
    let plain = format!("\0{alice}\0wrong");
    failed(&connection.auth("PLAIN", Some(plain.as_bytes())).await.unwrap(), "not-authorized");
    let right = connection.scram(&Scram::new(Hash::Sha1, &alice, "secret")).await.unwrap();
    assert_eq!(right.name, "success", "{right}");
}

/// §13.11: who does not exist has a salt, always the same one, and hears what a wrong password hears.
pub(crate) async fn an_unknown_user_looks_the_same(world: &World) {
    let alice = account(world, "alice").await;
    let mut seen = Vec::new();
    for name in [&alice, &alice, "nobody", "nobody", "no-one"] {
        let (mut connection, _) = stream(world, 2).await;
        let scram = Scram::new(Hash::Sha256, name, "wrong");
        let challenge = connection.auth("SCRAM-SHA-256", Some(scram.first().as_bytes())).await.unwrap();
        assert_eq!(challenge.name, "challenge", "{challenge}");
        let text = challenge.decoded().unwrap();
        let (last, _) = scram.last(&text).unwrap();
        failed(&connection.respond(last.as_bytes()).await.unwrap(), "not-authorized");
        let (_, salt) = text.split_once(",s=").unwrap();
        seen.push(salt.to_owned());
    }
    let [alice, alice_again, nobody, nobody_again, no_one] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((alice, nobody), (alice_again, nobody_again));
    assert!(alice != nobody && nobody != no_one, "{seen:?}");
    let shape = |salt: &String| (salt.len(), salt.split_once(",i=").map(|(_, rounds)| rounds.to_owned()));
    assert_eq!(shape(alice), shape(nobody), "{seen:?}");
}

/// §6.3.8: a client may say that it is itself, and nobody else.
pub(crate) async fn a_foreign_authzid_is_refused(world: &World) {
    let (alice, bob) = (account(world, "alice").await, account(world, "bob").await);
    let scram = |authzid: &str| Scram {
        gs2_header: format!("n,a={authzid},"),
        ..Scram::new(Hash::Sha256, &alice, "secret")
    };
    for foreign in
        [format!("{bob}@localhost"), bob.clone(), format!("{alice}@other.localhost"), "localhost".into()]
    {
        let (mut connection, _) = stream(world, 3).await;
        let plain = format!("{foreign}\0{alice}\0secret");
        failed(&connection.auth("PLAIN", Some(plain.as_bytes())).await.unwrap(), "invalid-authzid");
        failed(&connection.scram(&scram(&foreign)).await.unwrap(), "invalid-authzid");
    }
    let (own, (mut connection, _)) = (format!("{alice}@localhost"), stream(world, 3).await);
    assert_eq!(connection.scram(&scram(&own)).await.unwrap().name, "success");
    let (mut connection, _) = stream(world, 3).await;
    let plain = format!("{own}\0{alice}\0secret");
    assert_eq!(connection.auth("PLAIN", Some(plain.as_bytes())).await.unwrap().name, "success");
}

/// §6.5: whatever a client says in an exchange, it is answered, and the stream is still good.
pub(crate) async fn strange_messages_get_an_answer(world: &World) {
    let alice = account(world, "alice").await;
    let first: &[&[u8]] = &[
        b"",
        b"n",
        b"n,,",
        b",,n=a,r=b",
        b"n,,n=a",
        b"n,,r=b,n=a",
        b"n,,n=a,r=",
        b"n,,n=,r=b",
        b"n,,n=a=2,r=b",
        b"n,,n=a,r=b c",
        b"x,,n=a,r=b",
        b"n,b=c,n=a,r=b",
        b"n,,m=x,n=a,r=b",
        b"n,,n=a,r=b,m=x",
        b"n,,n=\xff,r=b",
        b"p=,,n=a,r=b",
        b"n,a=,n=a,r=b",
        b"\0\0\0",
    ];
    for message in first {
        let (mut connection, _) = stream(world, 4).await;
        let answer = connection.auth("SCRAM-SHA-256", Some(message)).await.unwrap();
        assert_eq!(answer.name, "failure", "{}: {answer}", String::from_utf8_lossy(message));
        let again = connection.scram(&Scram::new(Hash::Sha256, &alice, "secret")).await.unwrap();
        assert_eq!(again.name, "success", "{}", String::from_utf8_lossy(message));
    }
    for message in
        [&b""[..], b"c=biws", b"c=biws,r=x", b"c=biws,r=x,p=", b"p=AAAA", b"\xff", b"c=biws,r=x,p=AAAA,z=1"]
    {
        let (mut connection, _) = stream(world, 4).await;
        let scram = Scram::new(Hash::Sha256, &alice, "secret");
        connection.auth("SCRAM-SHA-256", Some(scram.first().as_bytes())).await.unwrap();
        let answer = connection.respond(message).await.unwrap();
        assert_eq!(answer.name, "failure", "{}: {answer}", String::from_utf8_lossy(message));
        assert_eq!(
            connection.scram(&scram).await.unwrap().name,
            "success",
            "{}",
            String::from_utf8_lossy(message)
        );
    }
    for message in
        [&b""[..], b"\0", b"\0\0", b"a\0b", b"\0alice\0", b"\0\0secret", b"\0a\0b\0c", b"\0\xff\0x"]
    {
        let (mut connection, _) = stream(world, 4).await;
        failed(&connection.auth("PLAIN", Some(message)).await.unwrap(), "malformed-request");
    }
}

/// §6.4: what is out of turn, and what has a name of its own.
pub(crate) async fn an_exchange_has_an_order(world: &World) {
    let alice = account(world, "alice").await;
    let scram = Scram::new(Hash::Sha256, &alice, "secret");

    let (mut connection, _) = stream(world, 5).await;
    failed(&connection.respond(b"x").await.unwrap(), "malformed-request");
    failed(&connection.auth("EXTERNAL", Some(b"")).await.unwrap(), "invalid-mechanism");
    connection.write("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await.unwrap();
    failed(&connection.sasl_answer().await.unwrap(), "aborted");

    let (mut connection, _) = stream(world, 5).await;
    connection.auth("SCRAM-SHA-256", Some(scram.first().as_bytes())).await.unwrap();
    connection.write("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await.unwrap();
    failed(&connection.sasl_answer().await.unwrap(), "aborted");
    connection.auth("SCRAM-SHA-256", Some(scram.first().as_bytes())).await.unwrap();
    let second = connection.auth("SCRAM-SHA-256", Some(scram.first().as_bytes())).await.unwrap();
    failed(&second, "malformed-request");
    assert_eq!(connection.scram(&scram).await.unwrap().name, "success");

    let (mut connection, _) = stream(world, 5).await;
    let asked = connection.auth("PLAIN", None).await.unwrap();
    assert_eq!((asked.name.as_str(), asked.decoded().unwrap().as_str()), ("challenge", ""), "{asked}");
    let answer = connection.respond(format!("\0{alice}\0secret").as_bytes()).await.unwrap();
    assert_eq!(answer.name, "success", "{answer}");
}

/// §6.4.2, §13.9.1: base64 in one way only.
pub(crate) async fn base64_is_strict(world: &World) {
    for text in
        ["AGEAYg", "AGEAYg=", "AGEAYg===", "AGEAYh==", " AGEAYg==", "AGEA\nYg==", "AGEA*g==", "==", "<x/>"]
    {
        let (mut connection, _) = stream(world, 6).await;
        let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>");
        connection.write(&auth).await.unwrap();
        failed(&connection.sasl_answer().await.unwrap(), "incorrect-encoding");
    }
}

/// RFC 5802 §5.1: `c=` is the header that was sent, byte for byte.
pub(crate) async fn the_header_cannot_be_changed_later(world: &World) {
    let alice = account(world, "alice").await;
    for claimed in ["y,,", "n,a=other,", ""] {
        let (mut connection, _) = stream(world, 7).await;
        let scram =
            Scram { claimed_header: Some(claimed.to_owned()), ..Scram::new(Hash::Sha256, &alice, "secret") };
        failed(&connection.scram(&scram).await.unwrap(), "not-authorized");
    }
}

/// XEP-0440, RFC 9266: over TLS 1.3 all mechanisms work, and only there a binding is offered.
pub(crate) async fn channel_binding_is_offered_where_it_works(world: &World) {
    let alice = account(world, "alice").await;
    let (_, _, features) = secured(world, TlsVersion::Tls13, 8).await;
    let all = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];
    assert_eq!(mechanisms(&features), all);
    let offered = features.find(&["sasl-channel-binding", "channel-binding"]).unwrap();
    assert_eq!((offered.ns.as_str(), offered.attr("type")), ("urn:xmpp:sasl-cb:0", Some("tls-exporter")));
    for hash in [Hash::Sha256, Hash::Sha1] {
        for plus in [true, false] {
            let (mut connection, secured, _) = secured(world, TlsVersion::Tls13, 8).await;
            let scram = Scram::new(hash, &alice, "secret");
            let scram = if plus { scram.bound_to(&secured.exporter) } else { scram };
            let answer = connection.scram(&scram).await.unwrap();
            assert_eq!(answer.name, "success", "{}: {answer}", scram.mechanism());
            connection.header("localhost").await.unwrap();
            assert!(connection.element("features").await.unwrap().child("bind").is_some());
        }
    }
    let (mut old, old_secured, features) = secured(world, TlsVersion::Tls12, 8).await;
    assert_eq!(mechanisms(&features), all[2..]);
    assert!(features.child("sasl-channel-binding").is_none(), "{features}");
    let scram = Scram::new(Hash::Sha256, &alice, "secret");
    let bound = scram.clone().bound_to(&old_secured.exporter);
    failed(&old.scram(&bound).await.unwrap(), "invalid-mechanism");
    assert_eq!(old.scram(&scram).await.unwrap().name, "success");
    let (_, features) = stream(world, 8).await;
    assert_eq!(mechanisms(&features), all[2..]);
    assert!(features.child("sasl-channel-binding").is_none(), "{features}");
}

/// RFC 5802 §6: the binding is that of this channel, and a client that saw no -PLUS was deceived.
pub(crate) async fn a_man_in_the_middle_is_noticed(world: &World) {
    let alice = account(world, "alice").await;
    let scram = Scram::new(Hash::Sha256, &alice, "secret");
    let (_, elsewhere, _) = secured(world, TlsVersion::Tls13, 9).await;

    let (mut connection, here, _) = secured(world, TlsVersion::Tls13, 9).await;
    assert_ne!(here.exporter, elsewhere.exporter);
    let bound = scram.clone().bound_to(&elsewhere.exporter);
    failed(&connection.scram(&bound).await.unwrap(), "not-authorized");
    let stripped = Scram { gs2_header: "y,,".to_owned(), ..scram.clone() };
    failed(&connection.scram(&stripped).await.unwrap(), "not-authorized");

    let (mut connection, here, _) = secured(world, TlsVersion::Tls13, 9).await;
    let other_type = Scram { gs2_header: "p=tls-unique,,".into(), ..scram.clone().bound_to(&here.exporter) };
    failed(&connection.scram(&other_type).await.unwrap(), "not-authorized");
    let unbound = Scram { plus: true, ..scram.clone() };
    assert_eq!(connection.scram(&unbound).await.unwrap().name, "failure");

    let (mut connection, _) = stream(world, 9).await; // nothing was offered here, so nothing was taken out
    assert_eq!(connection.scram(&stripped).await.unwrap().name, "success");
}

/// §13.8.3: a password in the open is not even looked at.
pub(crate) async fn plain_goes_only_under_tls(world: &World) {
    let alice = account(world, "alice").await;
    let plain = format!("\0{alice}\0secret");
    let mut connection = guest(world, "c2s", 10).await;
    connection.header("localhost").await.unwrap();
    let features = connection.element("features").await.unwrap();
    assert!(features.child("mechanisms").is_none(), "{features}");
    failed(&connection.auth("PLAIN", Some(plain.as_bytes())).await.unwrap(), "encryption-required");
    failed(&connection.auth("SCRAM-SHA-256", Some(b"n,,n=a,r=b")).await.unwrap(), "encryption-required");

    let (mut connection, _, _) = secured(world, TlsVersion::Tls13, 10).await;
    assert_eq!(connection.auth("PLAIN", Some(plain.as_bytes())).await.unwrap().name, "success");
}

/// §6.4.5: not for ever on one stream. Guessing gets slow, and the right password still works.
pub(crate) async fn guessing_is_slowed_and_nobody_locked_out(world: &World) {
    let alice = account(world, "alice").await;
    let wrong = Scram::new(Hash::Sha256, &alice, "wrong");
    let begun = Instant::now();
    let (mut connection, _) = stream(world, 11).await;
    for _ in 0..5 {
        failed(&connection.scram(&wrong).await.unwrap(), "not-authorized");
    }
    assert_eq!(connection.stream_error().await.unwrap(), "policy-violation");
    let (mut connection, _) = stream(world, 11).await; // a new stream is no new beginning
    failed(&connection.scram(&wrong).await.unwrap(), "not-authorized");
    // The fourth waits 250 ms, each further one twice as long.
    assert!(begun.elapsed() > Duration::from_millis(250 + 500 + 1000), "{:?}", begun.elapsed());
    let (mut connection, _) = stream(world, 11).await;
    let right = connection.scram(&Scram::new(Hash::Sha256, &alice, "secret")).await.unwrap();
    assert_eq!(right.name, "success", "{right}");
}
