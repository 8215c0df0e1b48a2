//! The tool against a server that loses, doubles, reorders, misplaces and acknowledges in vain: each is counted and named.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it fails")]

mod encrypted;
mod hold;
mod report;
mod server;
mod workers;

use serde_json::Value;
use server::{Fault, Server};
use std::process::Command;

/// One pair, 20 messages, four on their way at once: number 7 is the one that something happens to.
const PAIR: &str = "about = \"one pair\"\nseconds = 20\noperations = 20\ndrain-seconds = 1\n\
    [accounts]\ncount = 2\nregister = false\n[chat]\nin-flight = 4\n";
const FLOW: &str = "load0@localhost to load1@localhost, number 7";

/// What the program made of it.
struct Seen {
    code: Option<i32>,
    result: Value,
    words: String,
}

impl Seen {
    /// Whether of all that may go wrong with messages just these were counted.
    fn counts(&self, wanted: &[(&str, u64)]) {
        for name in ["lost", "acked-lost", "doubled", "reordered", "misplaced", "unacked"] {
            let count = wanted.iter().find(|(wanted, _)| *wanted == name).map_or(0, |(_, count)| *count);
            assert_eq!(self.result["figures"][name].as_f64(), Some(count as f64), "{name}: {}", self.words);
        }
    }

    fn named(&self) -> Vec<&str> {
        self.result["correctness"]["named"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    }
}

fn play(faults: &[Fault], scenario: &str) -> Seen {
    play_on(&Server::start(faults), scenario, &[])
}

fn play_on(server: &Server, scenario: &str, more: &[&str]) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let (file, json) = (folder.path().join("bad.toml"), folder.path().join("result.json"));
    std::fs::write(&file, scenario).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-loadtest"));
    command
        .arg("run")
        .arg(&file)
        .args(["--target", &server.address, "--quiet", "--json"])
        .arg(&json)
        .args(more);
    let output = command.output().unwrap();
    let words =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let result =
        std::fs::read_to_string(&json).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    Seen { code: output.status.code(), result, words }
}

fn with_sm() -> String {
    format!("{PAIR}sm = true\n")
}

#[test]
fn an_honest_server_is_found_good() {
    for scenario in [PAIR, &with_sm()] {
        let seen = play(&[], scenario);
        seen.counts(&[]);
        assert_eq!((seen.code, seen.named()), (Some(0), Vec::new()), "{}", seen.words);
        assert_eq!(seen.result["figures"]["received"], 20.0);
        assert_eq!(seen.result["target"]["server"], "Bad 1");
    }
}

#[test]
fn a_lost_message_is_counted_and_named() {
    let seen = play(&[Fault::Lose(7)], PAIR);
    seen.counts(&[("lost", 1)]);
    assert_eq!((seen.code, seen.named()), (Some(99), vec![format!("lost: {FLOW}").as_str()]));
    assert!(seen.words.contains("THRESHOLD: lost == 0 does not hold"), "{}", seen.words);
}

#[test]
fn a_doubled_message_is_counted_and_named() {
    let seen = play(&[Fault::Double(7)], PAIR);
    seen.counts(&[("doubled", 1)]);
    assert_eq!((seen.code, seen.named()), (Some(99), vec![format!("doubled: {FLOW}").as_str()]));
}

#[test]
fn a_message_that_others_overtook_is_counted_and_named() {
    let seen = play(&[Fault::Delay(7)], PAIR);
    seen.counts(&[("reordered", 1)]);
    assert_eq!((seen.code, seen.named()), (Some(99), vec![format!("reordered: {FLOW}").as_str()]));
}

#[test]
fn a_message_that_was_acknowledged_and_lost_is_counted_and_named_apart() {
    let seen = play(&[Fault::Lose(7)], &with_sm());
    seen.counts(&[("lost", 1), ("acked-lost", 1)]);
    let named = format!("acknowledged and lost: {FLOW}");
    assert_eq!((seen.code, seen.named()), (Some(99), vec![named.as_str()]));
}

#[test]
fn a_message_that_comes_to_somebody_else_is_counted_and_named() {
    // Two seconds of messages, not twenty of them: both pairs get to number 7 while the other one still reads.
    let pairs =
        PAIR.replace("seconds = 20\noperations = 20", "seconds = 2").replace("count = 2", "count = 4");
    let seen = play(&[Fault::Misplace(7)], &pairs);
    let of = |name: &str| seen.result["figures"][name].as_f64().unwrap();
    assert!(of("misplaced") >= 1.0 && of("misplaced") <= of("lost"), "{}", seen.words);
    let lost = |line: &&str| line.starts_with("lost:") && line.ends_with("number 7");
    assert!(seen.named().iter().any(|line| line.starts_with("misplaced:") && line.ends_with("number 7")));
    assert!(seen.code == Some(99) && seen.named().iter().any(lost), "{}", seen.words);
}

#[test]
fn messages_that_are_never_acknowledged_are_counted() {
    let seen = play(&[Fault::AckNothing], &with_sm());
    seen.counts(&[("unacked", 20)]);
    assert!(seen.code == Some(99) && seen.words.contains("messages were not acknowledged"), "{}", seen.words);
}

#[test]
fn all_faults_of_one_run_are_told_apart() {
    let seen = play(&[Fault::Lose(3), Fault::Double(7), Fault::Delay(11), Fault::Lose(15)], &with_sm());
    seen.counts(&[("lost", 2), ("acked-lost", 2), ("doubled", 1), ("reordered", 1)]);
    assert_eq!((seen.code, seen.named().len()), (Some(99), 4), "{}", seen.words);
}

#[test]
fn what_a_threshold_allows_is_good() {
    let allowed = format!("thresholds = [\"lost <= 1\"]\n{PAIR}");
    let seen = play(&[Fault::Lose(7)], &allowed);
    seen.counts(&[("lost", 1)]);
    assert_eq!(seen.code, Some(0), "{}", seen.words);
}
