//! A copy of the running store, and its way back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fjall::Readable;
use starling_ports::StoreError;

use crate::codec;
use crate::disk::{Disk, Op, Space, pair};
use crate::error::OpenError;
use crate::{Store, private};

/// How many bytes are copied in one step.
const STEP: usize = 1024 * 1024;
/// Files of a copy that are open at once: it is made beside a server that needs its descriptors.
const FEW_FILES: usize = 32;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("{} is not empty; name an empty directory, or one that is not there yet", .0.display())]
    NotEmpty(PathBuf),
    /// It would be part of what it is a copy of.
    #[error("{} is in the store itself; name a directory outside of it", .0.display())]
    Inside(PathBuf),
    /// Where it should go nothing can be written.
    #[error("cannot write the copy: {0}; the user of the server must be able to write there")]
    Target(OpenError),
    /// The copy cannot be made private.
    #[error("cannot make the copy readable by its owner alone: {0}")]
    Private(std::io::Error),
    /// The store itself cannot be read, or the copy not be written to its end.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Copies the store as it is at one moment into `dir`, which must be empty or missing. Others go on working.
    /// Every value is verified on its way: a damaged store gives no backup.
    pub fn backup(&self, dir: &Path) -> Result<(), BackupError> {
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(BackupError::NotEmpty(dir.to_owned()));
        }
        if is_inside(dir, &self.config.data_dir) {
            return Err(BackupError::Inside(dir.to_owned()));
        }
        let snapshot = self.disk.read()?.db().snapshot();
        let (copy, mut journalled) = Disk::open(dir, FEW_FILES).map_err(BackupError::Target)?;
        let mut number = journalled.last;
        for space in Space::ALL.into_iter().filter(|space| *space != Space::Meta) {
            let mut rows = {
                let tables = self.disk.read()?;
                snapshot.iter(tables.space(space)).map(pair)
            };
            loop {
                let (mut ops, mut bytes) = (Vec::new(), 0);
                for row in rows.by_ref() {
                    let (key, value) = row?;
                    codec::unseal(&key, &value, space.name())?;
                    bytes += key.len() + value.len();
                    ops.push(Op::Put(space, key.to_vec(), value.to_vec()));
                    if bytes >= STEP {
                        break;
                    }
                }
                if ops.is_empty() {
                    break;
                }
                copy.write(ops, false)?;
            }
        }
        number += 1;
        copy.write(vec![crate::journal::Journalled::op(number)], true)?;
        journalled.written(number);
        copy.close();
        private::tighten(copy.root()).map_err(BackupError::Private)
    }
}

/// Makes `data_dir` of a backup; there must be no store in it yet.
pub fn restore(backup: &Path, data_dir: &Path) -> Result<(), OpenError> {
    let (from, to) = (backup.join("store"), data_dir.join("store"));
    if !from.join("format").is_file() {
        return Err(OpenError::new(
            &from,
            "there is no backup",
            "name the directory that `starling store backup` was given",
        ));
    }
    if to.exists() {
        return Err(OpenError::new(&to, "there is a store already", "move it away first"));
    }
    // Under another name until it is whole and was read: half a store, or a damaged one, must not be taken for one.
    let half = data_dir.join("store.restoring");
    let missing: Vec<&Path> = data_dir.ancestors().take_while(|one| !one.exists()).collect();
    let space = |error: std::io::Error| OpenError::new(&to, error, "check that the disk has space");
    remove(&half).and_then(|()| private::make_dir(&half)).map_err(space)?;
    let copied = copy_tree(&from, &half.join("store")).map_err(space);
    let restored = copied
        .and_then(|()| verify(&half, &from))
        .and_then(|()| fs::rename(half.join("store"), &to).map_err(space))
        .and_then(|()| fs::File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(space));
    let removed = remove(&half).map_err(space);
    if restored.is_err() {
        for made in missing {
            let _is_gone = fs::remove_dir(made); // what was put there meanwhile stays
        }
    }
    restored.and(removed)
}

/// Reads every value of the copy in `half`.
fn verify(half: &Path, from: &Path) -> Result<(), OpenError> {
    let bad =
        |reason: String| OpenError::new(from, reason, "restore a backup that is whole; nothing was changed");
    let (disk, _) = Disk::open(half, FEW_FILES).map_err(|error| bad(error.reason))?;
    let report = disk.check();
    disk.close();
    let report = report.map_err(|error| bad(error.to_string()))?;
    match report.places.first() {
        None => Ok(()),
        Some(place) => Err(bad(format!("{} of its values cannot be read, such as {place}", report.damaged))),
    }
}

/// Whether `dir`, which need not be there yet, is `place` or below it, whatever links lead there.
fn is_inside(dir: &Path, place: &Path) -> bool {
    let Ok(place) = place.canonicalize() else { return false };
    let there = dir.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(place))
}

fn remove(dir: &Path) -> std::io::Result<()> {
    if dir.try_exists()? { fs::remove_dir_all(dir) } else { Ok(()) }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    private::make_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600))?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}
