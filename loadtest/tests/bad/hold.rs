//! Idle clients: they answer while others still log in, come again where they are refused for now, and who was closed is counted.

use super::server::{Fault, Server};
use super::workers::Worker;
use super::{Seen, play, play_on};

/// The login with number 0 asks for the version, the next four are those of the load.
const HOLD: &str = "about = \"four\"\nseconds = 1\n[accounts]\ncount = 4\nregister = false\n[target]\nconcurrency = 1\n[hold]\n";

impl Seen {
    fn has(&self, figures: &[(&str, u64)]) {
        for (name, count) in figures {
            assert_eq!(self.result["figures"][name].as_f64(), Some(*count as f64), "{name}: {}", self.words);
        }
    }
}

#[test]
fn who_is_in_answers_while_others_log_in() {
    let seen = play(&[Fault::Ask], &format!("{HOLD}sm = true\n"));
    seen.has(&[("held", 4), ("closed", 0), ("hold-login.count", 4), ("ping.count", 4)]);
    assert_eq!(seen.code, Some(0), "{}", seen.words);
}

#[test]
fn who_is_refused_for_now_or_closed_comes_again_and_is_counted() {
    let seen =
        play(&[Fault::Refuse(1), Fault::HangUp(2), Fault::Refuse(5)], &format!("{HOLD}attempts = 3\n"));
    seen.has(&[("held", 4), ("retries-refused", 2), ("retries-closed", 1), ("retries-unanswered", 0)]);
    assert_eq!(seen.code, Some(0), "{}", seen.words);
}

#[test]
fn attempts_that_run_out_are_named() {
    let seen = play(&[Fault::Refuse(1), Fault::Refuse(2)], &format!("{HOLD}attempts = 2\n"));
    assert_eq!(seen.code, Some(1), "{}", seen.words);
    let named = "load0 did not get in at 2 attempts: login: <failure";
    assert!(seen.words.contains(named), "{}", seen.words);
}

#[test]
fn who_was_closed_while_it_was_idle_is_counted_and_the_reason_is_said() {
    let seen = play(&[Fault::End(2)], HOLD);
    seen.has(&[("held", 3), ("closed", 1), ("errors", 1)]);
    let named =
        "1 times: closed while it was idle: the server closed the stream: <stream:error><policy-violation";
    assert!(seen.code == Some(99) && seen.words.contains(named), "{}", seen.words);
}

#[test]
fn what_workers_hold_and_try_again_is_added_up() {
    // Each of the workers asks for the version.
    let (server, one, two) = (Server::start(&[Fault::Refuse(3)]), Worker::start(), Worker::start());
    let seen = play_on(&server, HOLD, &["--workers", &format!("{},{}", one.address, two.address)]);
    seen.has(&[("held", 4), ("closed", 0), ("hold-login.count", 4), ("retries-refused", 1)]);
    assert_eq!(seen.code, Some(0), "{}", seen.words);
}
