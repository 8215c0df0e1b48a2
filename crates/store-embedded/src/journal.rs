//! What a crash or a fault of the disk did to the end of the journal, which fjall does not tell apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::codec;
use crate::disk::{Op, Space, Tables};
use crate::error::OpenError;

/// The group that was written last, in every group.
const SEQUENCE: &[u8] = b"sequence";
/// Zeros are looked for in steps of this size.
const STEP: usize = 64 * 1024;

/// Where each journal ends: what follows is zero, for they are made larger than they are.
#[derive(Debug)]
pub(crate) struct Ends(BTreeMap<PathBuf, u64>);

impl Ends {
    /// To be asked before the database is opened: that cuts off what it cannot read.
    pub(crate) fn of(db: &Path) -> io::Result<Ends> {
        let mut ends = BTreeMap::new();
        if !db.try_exists()? {
            return Ok(Ends(ends)); // it is made now
        }
        for entry in fs::read_dir(db)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                let end = end(&File::open(&path)?)?;
                ends.insert(path, end);
            }
        }
        Ok(Ends(ends))
    }

    /// How many bytes were cut off: a group that was being written when the process or the machine died. Nothing of it
    /// was acknowledged, or `Journalled` refuses the store.
    pub(crate) fn torn(&self) -> u64 {
        let lost = |(path, end): (&PathBuf, &u64)| {
            let left = fs::metadata(path).map(|file| file.len()); // one that is not needed any more is gone
            left.map_or(0, |left| end.saturating_sub(left))
        };
        self.0.iter().map(lost).sum()
    }
}

pub(crate) fn end(file: &File) -> io::Result<u64> {
    let (mut end, mut bytes, zeros) = (file.metadata()?.len(), vec![0; STEP], vec![0; STEP]);
    while end > 0 {
        let start = end.saturating_sub(STEP as u64);
        let step = bytes.get_mut(..(end - start) as usize).unwrap_or_default();
        file.read_exact_at(step, start)?;
        if !zeros.starts_with(step)
            && let Some(last) = step.iter().rposition(|byte| *byte != 0)
        {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Counts the groups on the disk, in the database and, after each is durable, in a file beside it. When a journal is
/// damaged fjall drops what follows the damage, as if it had been torn off by a crash; the file tells the two apart.
pub(crate) struct Journalled {
    file: File,
    pub(crate) last: u64,
}

impl Journalled {
    pub(crate) fn open(root: &Path, tables: &Tables) -> Result<Journalled, OpenError> {
        let bad =
            |reason: String| OpenError::new(root, reason, "restore a backup with `starling store restore`");
        let stored = tables.get(Space::Meta, SEQUENCE).map_err(|error| bad(error.to_string()))?;
        let found = match &stored {
            None => 0,
            Some(stored) => codec::unseal(SEQUENCE, stored, "the number of the last write")
                .and_then(|mut value| value.number())
                .map_err(|error| bad(error.to_string()))?,
        };
        let path = root.join("sequence");
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| bad(format!("{}: {error}", path.display())))?;
        let mut known = [0; 8];
        let known = file.read_exact_at(&mut known, 0).map_or(0, |()| u64::from_le_bytes(known));
        if found < known {
            let reason = format!(
                "the journal is damaged: write {known} was acknowledged, but only those up to {found} can be read"
            );
            let mend = "restore a backup with `starling store restore`, or delete the file `sequence` there to go on without them";
            return Err(OpenError::new(root, reason, mend));
        }
        Ok(Journalled { file, last: found })
    }

    /// To be part of the group `number`.
    pub(crate) fn op(number: u64) -> Op {
        let mut out = codec::out();
        out.number(number);
        Op::Put(Space::Meta, SEQUENCE.to_vec(), codec::seal(out, SEQUENCE))
    }

    /// The group `number` is written. Without fsync: the kernel keeps it when the process dies, and if the machine
    /// does, an older number here only asks for less.
    pub(crate) fn written(&mut self, number: u64) {
        self.last = number;
        if let Err(error) = self.file.write_all_at(&number.to_le_bytes(), 0) {
            tracing::warn!(%error, "cannot note the last write");
        }
    }
}
