//! Key sequences (XEP-0124 §15): each request proves that it comes from whoever sent the one before.

use std::collections::VecDeque;

use sha1::{Digest, Sha1};

use super::body::Request;

/// So many requests that had their turn are remembered: more than answers are kept for.
const MAX_SEEN: usize = 16;

/// The sequence of one session; a client that sends no `newkey` has none.
#[derive(Debug, Default)]
pub(super) struct Keys {
    expected: Option<String>, // what the next key is hashed to
    seen: VecDeque<(u64, Option<String>)>,
}

impl Keys {
    /// A request has its turn: whether it may. Then it says what the next one must prove.
    pub(super) fn turn(&mut self, request: &Request) -> bool {
        let key = request.key.as_ref();
        let holds = self.expected.as_ref().is_none_or(|expected| {
            key.is_some_and(|key| hex(&Sha1::digest(key)).eq_ignore_ascii_case(expected))
        });
        let is_on = self.expected.is_some() || request.new_key.is_some();
        if holds && is_on {
            self.expected = request.new_key.as_ref().or(key).cloned();
            self.seen.push_back((request.rid, key.cloned()));
            while self.seen.len() > MAX_SEEN {
                self.seen.pop_front();
            }
        }
        holds
    }

    /// Whether a request that had its turn may come again: who has not seen its key does not get its answer.
    pub(super) fn again(&self, request: &Request) -> bool {
        self.seen.iter().all(|(rid, key)| *rid != request.rid || *key == request.key)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use starling_xml::Limits;

    use super::*;

    /// `K(n)` of a seed.
    fn key(seed: &str, n: usize) -> String {
        (0..n).fold(seed.to_owned(), |key, _| hex(&Sha1::digest(key)))
    }

    fn request(rid: u64, attributes: &str) -> Request {
        let text = format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='{rid}' {attributes}/>");
        Request::read(text.as_bytes(), Limits::BEFORE_LOGIN).unwrap()
    }

    fn begun(seed: &str, n: usize) -> Keys {
        let mut keys = Keys::default();
        assert!(keys.turn(&request(1, &format!("newkey='{}'", key(seed, n)))));
        keys
    }

    #[test]
    fn sha_1_is_that_of_the_rfc() {
        assert_eq!(key("abc", 1), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn each_key_is_hashed_to_the_one_before() {
        let mut keys = begun("seed", 4);
        assert!(keys.turn(&request(2, &format!("key='{}'", key("seed", 3)))));
        assert!(keys.turn(&request(3, &format!("key='{}'", key("seed", 2)))));
        assert!(!keys.turn(&request(4, &format!("key='{}'", key("seed", 2)))), "the same again");
        assert!(!keys.turn(&request(4, "")), "none");
        assert!(!keys.turn(&request(4, &format!("newkey='{}'", key("other", 3)))), "another sequence");
        assert!(keys.turn(&request(4, &format!("key='{}'", key("seed", 1)))));
    }

    #[test]
    fn case_does_not_matter() {
        let mut keys = Keys::default();
        assert!(keys.turn(&request(1, &format!("newkey='{}'", key("seed", 2).to_uppercase()))));
        assert!(keys.turn(&request(2, &format!("key='{}'", key("seed", 1)))));
    }

    #[test]
    fn a_sequence_that_ends_is_followed_by_another() {
        let mut keys = begun("seed", 2);
        let change = format!("key='{}' newkey='{}'", key("seed", 1), key("other", 2));
        assert!(keys.turn(&request(2, &change)));
        assert!(keys.turn(&request(3, &format!("key='{}'", key("other", 1)))));
    }

    #[test]
    fn without_a_sequence_nothing_is_asked() {
        let mut keys = Keys::default();
        assert!(
            keys.turn(&request(1, "")) && keys.turn(&request(2, "key='x'")) && keys.turn(&request(3, ""))
        );
        assert!(keys.again(&request(2, "")));
    }

    #[test]
    fn what_comes_again_has_the_same_key() {
        let mut keys = begun("seed", 40);
        let with_key = |rid: u64| request(rid, &format!("key='{}'", key("seed", 41 - rid as usize)));
        (2..=30).for_each(|rid| assert!(keys.turn(&with_key(rid))));
        assert!(keys.again(&with_key(30)) && !keys.again(&request(30, "")));
        assert!(!keys.again(&request(30, "key='x'")) && keys.seen.len() == MAX_SEEN);
    }
}
