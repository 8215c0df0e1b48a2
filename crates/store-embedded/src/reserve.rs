//! Room that the journal has ahead: whatever was taken can be written, though the disk has filled up since.
//!
//! A message is refused before its commit or not at all (session-log rule 13), and between the look at the disk and the write
//! somebody else may take the last of it. Without the reserve the sender would wait for room, unanswered.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use crate::disk::Op;

/// What is held at least: more than one group, and than what is taken between two looks at the disk.
const LEAST: u64 = 8 * 1024 * 1024;
/// Held anew when half of it is used.
const FULL: u64 = 2 * LEAST;
/// Of each change and each group in the journal, at most, beside key and value.
const FRAME: u64 = 64;

pub(crate) struct Reserve {
    db: PathBuf,
    /// The journal that follows the one that is written to.
    next: PathBuf,
    /// How much of it may be used.
    used: u64,
    stands: bool,
}

impl Reserve {
    /// In the database that lies in `root` and is open.
    pub(crate) fn hold(root: &Path) -> Reserve {
        let mut reserve = Reserve { db: root.join("db"), next: PathBuf::new(), used: 0, stands: false };
        reserve.renew();
        reserve
    }

    /// Whether what is taken now can be written.
    pub(crate) fn stands(&self) -> bool {
        self.stands
    }

    /// After a group of `bytes`: holds more when it is time.
    pub(crate) fn used(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
        let is_sealed = || self.next.exists();
        if !self.stands || self.used >= FULL - LEAST || is_sealed() {
            self.renew();
        }
    }

    /// In the newest journal, from where it ends now.
    pub(crate) fn renew(&mut self) {
        match self.allocate() {
            Ok(()) => self.stands = true,
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOSPC | Errno::DQUOT)) => {
                if std::mem::take(&mut self.stands) {
                    tracing::error!("the disk is full: nothing new is taken");
                }
            }
            // Not every file system can: there a sender may wait until a full disk has room again.
            Err(error) => {
                tracing::debug!(%error, "no room is reserved for the journal");
                self.stands = true;
            }
        }
    }

    fn allocate(&mut self) -> io::Result<()> {
        let journal = newest(&self.db)?;
        self.next = self.path(journal + 1);
        let file = File::options().write(true).open(self.path(journal))?;
        // It is written without gaps. Where the file system knows of none, this is its whole length: too much, never too little.
        let end = seek(&file, SeekFrom::Hole(0))?;
        fallocate(&file, FallocateFlags::KEEP_SIZE, 0, end.saturating_add(FULL))?;
        self.used = 0;
        Ok(())
    }

    fn path(&self, journal: u64) -> PathBuf {
        self.db.join(format!("{journal}.jnl"))
    }
}

/// How much of the journal `ops` take in one group, at most.
pub(crate) fn size(ops: &[Op]) -> u64 {
    let each = |op: &Op| op.size() as u64 + FRAME;
    ops.iter().map(each).sum::<u64>() + FRAME
}

/// fjall numbers its journals, and writes to the highest.
fn newest(db: &Path) -> io::Result<u64> {
    let mut newest = None;
    for entry in std::fs::read_dir(db)? {
        let path = entry?.path();
        let stem = path.file_stem().filter(|_| path.extension().is_some_and(|extension| extension == "jnl"));
        newest = newest.max(stem.and_then(|stem| stem.to_str()?.parse().ok()));
    }
    newest.ok_or_else(|| io::ErrorKind::NotFound.into())
}
