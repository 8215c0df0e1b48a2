//! What is one address, and what is none.

use proptest::prelude::*;
use starling_jid::{BareJid, FullJid, Jid, JidError};

#[test]
fn an_address_has_parts() {
    let jid = Jid::new("Juliet@Example.COM/Balcony one").unwrap();
    assert_eq!(jid.as_str(), "juliet@example.com/Balcony one");
    assert_eq!(
        (jid.local(), jid.domain(), jid.resource()),
        (Some("juliet"), "example.com", Some("Balcony one"))
    );
    assert_eq!(jid.bare().as_str(), "juliet@example.com");
    assert_eq!(Jid::from(jid.bare()).as_str(), "juliet@example.com");
    assert!(Jid::from(jid.bare()).is_bare());
    assert_eq!(jid.to_full().unwrap().bare(), BareJid::new("juliet@example.com").unwrap());
    assert_eq!(Jid::new("example.com").unwrap().local(), None);
    assert_eq!(Jid::new("a@example.com/x@y/z").unwrap().resource(), Some("x@y/z"));
}

/// RFC 7622 §3.5, table 1 and 2, and the traps of folding: the same account, or none.
#[test]
fn what_looks_the_same_is_the_same_or_refused() {
    let same = [
        ("JULIET@example.com", "juliet@example.com"),
        ("fussball@example.com", "fussball@example.com"),
        ("fu\u{df}ball@example.com", "fu\u{df}ball@example.com"),
        ("\u{3c0}@example.com", "\u{3c0}@example.com"),
        ("\u{3a0}@example.com", "\u{3c0}@example.com"),
        ("\u{ff41}lice@example.com", "alice@example.com"), // full width
        ("\u{c9}ve@example.com", "\u{e9}ve@example.com"),
        ("e\u{301}ve@example.com", "\u{e9}ve@example.com"), // combining accent
        ("alice@EXAMPLE.com.", "alice@example.com"),
        ("alice@[::0:1]", "alice@[::1]"),
        ("foo\\20bar@example.com", "foo\\20bar@example.com"),
    ];
    for (given, canonical) in same {
        assert_eq!(BareJid::new(given).unwrap().as_str(), canonical, "{given}");
    }
    let refused = [
        "",
        "@example.com",
        "alice@",
        "alice@/x",
        "/x",
        "alice@example.com/",
        "\"juliet\"@example.com",
        "foo bar@example.com",
        "henry\u{2163}@example.com", // roman numeral four
        "\u{265a}@example.com",
        "a@b@c",
        "alice@exa mple.com",
        "alice@-example.com",
        "alice@example..com",
        "al:ice@example.com",
        "\\20alice@example.com",
        "alice\\20@example.com",
        "alice@example.com/\u{0}",
        "alice\u{200d}@example.com",
        "alice@[::g]",
        "<@example.com",
        "a&b@example.com",
        "a\u{202e}b@example.com",
        "\u{17f}\u{0}@example.com",
        "alice@exam_ple.com",
    ];
    for given in refused {
        assert!(Jid::new(given).is_err(), "{given:?} gave {:?}", Jid::new(given));
    }
    assert_eq!(BareJid::new("a@b/c"), Err(JidError::NotBare));
    assert_eq!(FullJid::new("a@b"), Err(JidError::NotFull));
}

/// U+017F, U+212A and U+0130 fold to ASCII letters: they may be refused, but must not be a second account.
#[test]
fn no_two_accounts_for_one_fold() {
    for (odd, plain) in
        [("\u{17f}am", "sam"), ("\u{212a}im", "kim"), ("\u{130}da", "ida"), ("\u{ff33}am", "sam")]
    {
        if let Ok(jid) = BareJid::from_parts(Some(odd), "example.com") {
            let again = BareJid::new(jid.as_str()).unwrap();
            assert_eq!(again, jid, "{odd}: not stable");
            let upper = BareJid::from_parts(Some(&odd.to_uppercase()), "example.com");
            assert!(
                upper.is_err() || upper == Ok(jid.clone()),
                "{odd}: two accounts, {jid}, {upper:?} (plain {plain})"
            );
        }
    }
}

#[test]
fn a_part_has_at_most_1023_bytes() {
    let long = "a".repeat(1023);
    assert!(Jid::new(&format!("{long}@example.com/{long}")).is_ok());
    assert_eq!(Jid::new(&format!("{long}a@example.com")), Err(JidError::TooLong));
    assert_eq!(Jid::new(&format!("a@example.com/{long}a")), Err(JidError::TooLong));
    assert!(Jid::new(&"é/".repeat(2000)).is_err());
}

proptest! {
    #[test]
    fn canonical_form_is_its_own(text in "\\PC{0,40}") {
        if let Ok(jid) = Jid::new(&text) {
            prop_assert_eq!(Jid::new(jid.as_str()).unwrap(), jid);
        }
    }

    #[test]
    fn addresses_survive_their_parts(local in "[a-zA-Z0-9.é_-]{1,10}", domain in "[a-z]{1,8}(\\.[a-zA-Z]{1,8}){0,2}", resource in "[ -~]{1,20}") {
        let jid = Jid::new(&format!("{local}@{domain}/{resource}")).unwrap();
        let built = BareJid::from_parts(jid.local(), jid.domain()).unwrap().with_resource(jid.resource().unwrap()).unwrap();
        prop_assert_eq!(jid, built);
    }
}
