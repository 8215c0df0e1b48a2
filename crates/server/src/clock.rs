//! Whether the clock of this machine can be right, as far as one machine can tell.

use std::path::Path;
use std::time::{Duration, SystemTime};

use starling_store_embedded::{ClockGap, Store};
use tracing::warn;

/// A clock before this program was written is wrong: 2026-09-21.
const WRITTEN: Duration = Duration::from_secs(1_790_000_000);
/// How far ahead of the clock a file may be that this machine wrote.
const AHEAD: Duration = Duration::from_secs(60);

/// What the operator can do.
pub(crate) const MEND: &str = "set the clock, and run an NTP client";

/// Why it cannot be right, by the program and by the files of the data directory.
pub(crate) fn trouble(data_dir: &Path, now: SystemTime) -> Option<String> {
    if now < SystemTime::UNIX_EPOCH + WRITTEN {
        return Some("it is before this program was written".to_owned());
    }
    let newest = newest(data_dir).filter(|newest| *newest > now + AHEAD)?;
    let ahead = newest.duration_since(now).unwrap_or_default().as_secs();
    Some(format!("a file of the data directory is {ahead} s ahead of it: it was set back"))
}

/// Why it cannot be right, by what the store has seen.
pub(crate) fn trouble_of_store(store: &Store) -> Option<String> {
    Some(match store.clock_gap()? {
        ClockGap::Behind(gap) => {
            format!(
                "it is {} s behind the newest time that the store has seen: it was set back",
                gap.as_secs()
            )
        }
        ClockGap::Beyond(gap) => format!(
            "it is {} days beyond the newest time that the store has seen: if it is right, `store.accept-clock` says so for one start",
            gap.as_secs() / (24 * 3600)
        ),
    })
}

/// Says so in the log. It is served all the same: what is stored keeps its order, whatever the clock says.
pub(crate) fn warn_of(trouble: Option<String>) {
    if let Some(why) = trouble {
        warn!(event = "clock_wrong", why, mend = MEND, "the clock of this machine is wrong");
    }
}

fn newest(data_dir: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(data_dir).ok()?;
    entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok()).max()
}
