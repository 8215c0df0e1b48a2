//! The version of what lies on the disk: older ones are migrated, newer ones refused.

use std::fs::{self, File};
use std::path::Path;

use fjall::PersistMode;

use crate::disk::Tables;
use crate::error::OpenError;

/// What this program writes.
pub(crate) const FORMAT: u32 = 3;
/// `MIGRATIONS[n]` makes format n + 2 of format n + 1. Each may be run again after it was interrupted.
const MIGRATIONS: &[fn(&Tables) -> fjall::Result<()>] = &[crate::with::build, crate::with::build_devices];

pub(crate) fn read_format(root: &Path) -> Result<Option<u32>, OpenError> {
    let path = root.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::new(root, error, "check that its files can be read")),
    };
    let Ok(format) = text.trim().parse() else {
        return Err(OpenError::new(
            root,
            "the file `format` holds no number",
            "restore a backup with `starling store restore`",
        ));
    };
    if format > FORMAT {
        let reason = format!("its format is {format}, this program knows only those up to {FORMAT}");
        return Err(OpenError::new(
            root,
            reason,
            "run the version of starling that wrote it, or a newer one",
        ));
    }
    Ok(Some(format))
}

/// Brings an older store to this format, step by step; killed in between it goes on where it was.
pub(crate) fn migrate(root: &Path, tables: &Tables, format: Option<u32>) -> Result<(), OpenError> {
    let Some(mut format) = format else { return write_format(root, FORMAT) };
    for step in MIGRATIONS.iter().skip(format.saturating_sub(1) as usize) {
        step(tables).map_err(|error| OpenError::of(root, &error))?;
        tables.db().persist(PersistMode::SyncAll).map_err(|error| OpenError::of(root, &error))?;
        format += 1;
        write_format(root, format)?;
    }
    if format < FORMAT { write_format(root, FORMAT) } else { Ok(()) }
}

fn write_format(root: &Path, format: u32) -> Result<(), OpenError> {
    let (path, new) = (root.join("format"), root.join("format.new"));
    let write = || {
        fs::write(&new, format!("{format}\n"))?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(root)?.sync_all()
    };
    write().map_err(|error| OpenError::new(root, error, "check that its files can be written"))
}
