//! A copy of the running store, and its way back.

use std::fs;
use std::path::Path;

use fjall::Readable;
use starling_ports::Result;

use crate::Store;
use crate::codec;
use crate::disk::{Disk, Op, Space, pair};
use crate::error::{OpenError, unavailable};

/// How many bytes are copied in one step.
const STEP: usize = 1024 * 1024;

impl Store {
    /// Copies the store as it is at one moment into `dir`, which must be empty or missing. Others go on working.
    /// Every value is verified on its way: a damaged store gives no backup.
    pub fn backup(&self, dir: &Path) -> Result<()> {
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(unavailable(format!("{} is not empty", dir.display())));
        }
        let snapshot = self.disk.read()?.db().snapshot();
        let (copy, mut journalled) = Disk::open(dir).map_err(|error| unavailable(error.to_string()))?;
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
        Ok(())
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
    // Under another name until it is whole: half a store must not be taken for one.
    let half = data_dir.join("store.restoring");
    let copied = remove(&half).and_then(|()| copy_tree(&from, &half)).and_then(|()| fs::rename(&half, &to));
    copied.map_err(|error| OpenError::new(&to, error, "check that the disk has space"))?;
    // Opened once, so that a backup that cannot be opened is noticed now.
    Disk::open(data_dir).map(|(disk, _)| disk.close())
}

fn remove(dir: &Path) -> std::io::Result<()> {
    if dir.try_exists()? { fs::remove_dir_all(dir) } else { Ok(()) }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}
