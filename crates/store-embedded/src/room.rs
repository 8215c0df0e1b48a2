//! How much room the disk has: that it is nearly full is said before a write fails, which senders would have to wait out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{StatVfsMountFlags, statvfs};

/// How often the disk is looked at, at most.
const OFTEN: Duration = Duration::from_millis(100);

/// Looked at by whoever wants to write, so that an idle store costs nothing.
pub(crate) struct Room {
    root: PathBuf,
    least: u64,
    begun: Instant,
    /// When it was looked at, in milliseconds since `begun`.
    looked: AtomicU64,
    is_short: AtomicBool,
}

impl Room {
    /// Below `least` free bytes it is short.
    pub(crate) fn new(root: &Path, least: u64) -> Room {
        let room = Room {
            root: root.to_owned(),
            least,
            begun: Instant::now(),
            looked: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
        };
        room.look();
        room
    }

    /// Whether nothing new is to be taken.
    pub(crate) fn is_short(&self) -> bool {
        let (now, looked) = (self.begun.elapsed().as_millis() as u64, self.looked.load(Ordering::Relaxed));
        let is_due = now.saturating_sub(looked) >= OFTEN.as_millis() as u64;
        if is_due && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.look();
        }
        self.is_short.load(Ordering::Relaxed)
    }

    fn look(&self) {
        if self.least == 0 {
            return;
        }
        let Ok(disk) = statvfs(&self.root) else { return }; // a write will tell
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // Some file systems do not say how large they are.
        let is_full = disk.f_blocks > 0 && free < self.least;
        let is_short = is_full || disk.f_flag.contains(StatVfsMountFlags::RDONLY);
        match (self.is_short.swap(is_short, Ordering::Relaxed), is_short) {
            (false, true) => tracing::error!(
                free,
                least = self.least,
                "the disk is full or read-only: nothing new is taken"
            ),
            (true, false) => tracing::info!(free, "the disk has room again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_short_of_what_it_cannot_have() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!Room::new(directory.path(), 1).is_short());
        assert!(Room::new(directory.path(), u64::MAX).is_short());
        assert!(!Room::new(directory.path(), 0).is_short(), "0 is no limit");
    }
}
