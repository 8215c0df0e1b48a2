//! What is going on: one line that changes on a terminal, plain lines now and then elsewhere.

use crate::clock::Clock;
use crate::recorder::{Point, Recorder};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the series gets a point and a terminal a line.
const TICK: Duration = Duration::from_secs(1);
/// Of so many ticks one is told where lines stay.
const PLAIN: u64 = 5;
/// A line that a terminal breaks cannot be written over, and no terminal is narrower.
const WIDTH: usize = 79;

/// Tells until it is ended.
pub(super) async fn tell(recorder: Arc<Recorder>, clock: Arc<Clock>, length: Duration, quiet: bool) {
    let (is_live, mut ticks) = (std::io::stderr().is_terminal(), interval(TICK));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut count) = (Instant::now(), 0_u64);
    loop {
        ticks.tick().await;
        let (now, began) = (Instant::now(), clock.began());
        let at = began.map_or(0.0, |began| now.saturating_duration_since(began).as_secs_f64());
        let points = recorder.tick(at, now - last);
        last = now;
        let errors: u64 = recorder.errors().values().sum();
        let left = began.map(|began| (began + length).saturating_duration_since(now));
        let line = line(recorder.clients(), &points, errors, left);
        count += 1;
        if quiet || !(is_live || count % PLAIN == 1) {
            continue;
        }
        let (mut out, short) = (std::io::stderr().lock(), line.chars().take(WIDTH).collect::<String>());
        let _ = if is_live { write!(out, "\r\x1b[K{short}") } else { writeln!(out, "{line}") }; // nobody may be reading
        let _ = out.flush();
    }
}

fn line(connected: i64, points: &[(&'static str, Point)], errors: u64, left: Option<Duration>) -> String {
    let mut line = match left {
        None => format!("making ready: {connected} connected"),
        Some(left) if left.is_zero() => format!("finishing: {connected} connected"),
        Some(left) => format!("{} s left: {connected} connected", left.as_secs()),
    };
    line.push_str(&format!(", {errors} errors"));
    for (operation, point) in points {
        line.push_str(&format!(
            ", {operation} {:.0}/s p50 {:.1} p99 {:.1} ms",
            point.per_second,
            point.p50_us as f64 / 1000.0,
            point.p99_us as f64 / 1000.0
        ));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_is_there_what_it_takes_and_how_long_it_lasts() {
        let point = Point { at: 1.0, per_second: 1234.4, p50_us: 1500, p99_us: 20_000 };
        assert_eq!(
            line(10, &[("delivery", point)], 2, Some(Duration::from_secs(7))),
            "7 s left: 10 connected, 2 errors, delivery 1234/s p50 1.5 p99 20.0 ms"
        );
        assert_eq!(line(3, &[], 0, None), "making ready: 3 connected, 0 errors");
    }
}
