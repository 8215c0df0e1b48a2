//! Where the time of a test went.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What a test does by itself: its fault, and what it waits for.
pub(crate) const FAULT: &str = "faults";

/// How long each phase took, in the order in which they came first.
pub(crate) struct Took(Mutex<Phases>);

struct Phases {
    begun: Instant,
    since: Instant,
    all: Vec<(&'static str, Duration)>,
}

impl Took {
    pub(crate) fn begin() -> Took {
        let now = Instant::now();
        Took(Mutex::new(Phases { begun: now, since: now, all: Vec::new() }))
    }

    /// What has passed since it was asked last was `phase`.
    pub(crate) fn was(&self, phase: &'static str) {
        let mut phases = self.0.lock();
        let (now, since) = (Instant::now(), phases.since);
        phases.since = now;
        match phases.all.iter_mut().find(|(name, _)| *name == phase) {
            Some((_, took)) => *took += now - since,
            None => phases.all.push((phase, now - since)),
        }
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phases = self.0.lock();
        write!(f, "took {:.1} s", phases.begun.elapsed().as_secs_f64())?;
        for (number, (name, took)) in phases.all.iter().enumerate() {
            write!(f, "{} {name} {:.1}", if number == 0 { ":" } else { "," }, took.as_secs_f64())?;
        }
        Ok(())
    }
}
