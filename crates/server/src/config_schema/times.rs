//! Patterns of times within bounds, for a reader that knows patterns alone.
//!
//! A time may be a sum, `1h 30m`. The upper bound is asked of each part of it, the lower one of a time of one part; what a sum comes to
//! the program looks at.

use std::time::Duration;

/// As `humantime` reads a time.
pub(super) const TIME: &str = r"^\s*(0|(\d[\d\s]*(\.\d+)?\s*(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)\s*)+)$";

/// Its units, and the nanoseconds that one has there.
const UNITS: [(&str, u128); 10] = [
    ("nanos|nsec|ns", 1),
    ("usec|us|µs", 1_000),
    ("millis|msec|ms", 1_000_000),
    ("seconds?|secs?|s", SECOND),
    ("minutes?|mins?|m", 60 * SECOND),
    ("hours?|hrs?|h", 3_600 * SECOND),
    ("days?|d", 86_400 * SECOND),
    ("weeks?|wks?|w", 604_800 * SECOND),
    ("months?|M", 2_630_016 * SECOND),
    ("years?|yrs?|y", 31_557_600 * SECOND),
];
const SECOND: u128 = 1_000_000_000;

/// What a key takes: nothing outside of these.
pub(super) struct Bounds {
    pub(super) key: &'static str,
    /// Zero means that there is none.
    pub(super) may_be_zero: bool,
    pub(super) least: Duration,
    pub(super) most: Duration,
}

const fn bounds(key: &'static str, least: Duration, most: Duration) -> Bounds {
    Bounds { key, may_be_zero: false, least, most }
}

const fn zero_or(key: &'static str, least: Duration, most: Duration) -> Bounds {
    Bounds { key, may_be_zero: true, least, most }
}

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(31_557_600);

/// As the crates that read them look at them.
pub(super) const BOUNDS: [Bounds; 12] = [
    zero_or("im.resume-within", Duration::ZERO, DAY),
    bounds("limits.ping-within", Duration::from_secs(1), Duration::MAX),
    zero_or("otlp.metrics-every", Duration::from_secs(1), Duration::MAX),
    bounds("redis.call-timeout", Duration::from_nanos(1), Duration::MAX),
    bounds("redis.deadline", Duration::from_nanos(1), Duration::MAX),
    bounds("redis.lease", Duration::from_secs(1), Duration::MAX),
    bounds("scylla.archive-kept", DAY, Duration::from_secs(7_300 * 86_400)),
    bounds("scylla.request-timeout", Duration::from_millis(100), Duration::from_secs(60)),
    bounds("scylla.spool-kept", DAY, Duration::from_secs(7_300 * 86_400)),
    zero_or("store.archive-ttl", DAY, YEAR.saturating_mul(1000)),
    zero_or("store.commit-delay", Duration::ZERO, Duration::from_secs(10)),
    zero_or("store.spool-ttl", DAY, YEAR.saturating_mul(1000)),
];

impl Bounds {
    /// All of them hold for a time within the bounds.
    pub(super) fn patterns(&self) -> Vec<String> {
        let mut patterns = vec![TIME.to_owned()];
        if self.most < Duration::MAX {
            let part = each(|nanos| up_to(self.most.as_nanos() / nanos));
            patterns.push(format!(r"^\s*(0|(({part})\s*)+)$"));
        }
        if !self.least.is_zero() {
            let part = each(|nanos| from(self.least.as_nanos().div_ceil(nanos)));
            let zero = if self.may_be_zero { r"|^\s*0+(\.0+)?\s*\D*$" } else { "" };
            patterns.push(format!(r"^\s*({part})\s*$|\d\D+\d{zero}"));
        }
        patterns
    }
}

/// One part of a time, in any unit.
fn each(number: impl Fn(u128) -> String) -> String {
    UNITS.map(|(unit, nanos)| format!(r"0*({})(\.\d+)?\s*({unit})", number(nanos))).join("|")
}

/// The digits of whole numbers up to `most`.
fn up_to(most: u128) -> String {
    let digits = most.to_string();
    let mut ways = vec![digits.clone()];
    for (at, digit) in digits.char_indices() {
        let (before, behind) = (&digits[..at], digits.len() - at - 1);
        match digit {
            '0' => {}
            // Shorter ones as well.
            _ if at == 0 => ways.push(format!(r"[0-{}]?\d{{0,{behind}}}", next_to(digit, -1))),
            _ => ways.push(format!(r"{before}[0-{}]\d{{{behind}}}", next_to(digit, -1))),
        }
    }
    ways.join("|")
}

/// The digits of whole numbers from `least`, which is above 0.
fn from(least: u128) -> String {
    let digits = least.to_string();
    let mut ways = vec![digits.clone(), format!(r"[1-9]\d{{{},}}", digits.len())];
    for (at, digit) in digits.char_indices().filter(|(_, digit)| *digit != '9') {
        let (before, behind) = (&digits[..at], digits.len() - at - 1);
        ways.push(format!(r"{before}[{}-9]\d{{{behind}}}", next_to(digit, 1)));
    }
    ways.join("|")
}

fn next_to(digit: char, by: i8) -> char {
    char::from((digit as u8).saturating_add_signed(by))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::config::Config;

    const TIMES: [&str; 34] = [
        "0",
        "0s",
        "00 days",
        "1ns",
        "1us",
        "99ms",
        "100ms",
        "101ms",
        "999ms",
        "1s",
        "5s",
        "9s",
        "10s",
        "11s",
        "59s",
        "60s",
        "61s",
        "100s",
        "86399s",
        "86400s",
        "86401s",
        "1m",
        "1440m",
        "1441m",
        "23h",
        "24h",
        "25h",
        "1day",
        "2days",
        "1week",
        "7300d",
        "7301d",
        "1000years",
        "1001years",
    ];

    /// What the program says of it, if anything.
    fn refusal(key: &str, time: &str) -> Option<String> {
        let (section, key) = key.split_once('.').unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("[{section}]\n{key} = \"{time}\"\n")).unwrap();
        Config::load(Some(file.path()), std::iter::empty()).err().map(|error| error.to_string())
    }

    fn takes(bounds: &Bounds) -> impl Fn(&str) -> bool {
        let patterns: Vec<Regex> =
            bounds.patterns().iter().map(|pattern| Regex::new(pattern).unwrap()).collect();
        move |time| patterns.iter().all(|pattern| pattern.is_match(time))
    }

    #[test]
    fn a_time_of_one_part_is_taken_where_the_program_takes_it() {
        for bounds in &BOUNDS {
            let takes = takes(bounds);
            // Of two keys the program looks at how they relate as well.
            let is_related = ["redis.call-timeout", "redis.deadline"].contains(&bounds.key);
            for time in TIMES {
                let refusal = refusal(bounds.key, time);
                let is_taken = takes(time);
                assert!(
                    is_taken == refusal.is_none() || is_taken && is_related,
                    "{} = {time}: {refusal:?}",
                    bounds.key
                );
            }
        }
    }

    #[test]
    fn a_sum_is_refused_only_for_a_part_that_is_too_long() {
        let of = |key: &str| takes(BOUNDS.iter().find(|bounds| bounds.key == key).unwrap());
        let at_most_a_day = of("im.resume-within");
        for (time, is_taken) in [
            ("1h 30m", true),
            ("0.5h", true),
            ("23h 59m 59s 999ms", true),
            ("1h 1month", false),
            ("1h 25h", false),
        ] {
            assert_eq!(at_most_a_day(time), is_taken, "{time}");
        }
        assert!(of("scylla.archive-kept")("23h 60m"));
    }

    #[test]
    fn keys_that_have_bounds_are_times() {
        for bounds in &BOUNDS {
            assert!(refusal(bounds.key, "soon").unwrap().contains("a time in quotes"), "{}", bounds.key);
        }
    }
}
