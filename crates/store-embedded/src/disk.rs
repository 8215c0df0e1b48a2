//! The database under all ports: its tables, its format, its opening and reopening.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use parking_lot::{RwLock, RwLockReadGuard};
use starling_ports::Result;

use crate::error::{OpenError, failed, unavailable};
use crate::format::{migrate, read_format};
use crate::journal::{Ends, Journalled};
use crate::private;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Meta,
    Accounts,
    Archive,
    /// The archive by correspondent.
    With,
    Spool,
    /// Everything small that belongs to one account.
    Data,
    /// Sessions saved by a clean stop.
    Sessions,
}

impl Space {
    pub(crate) const ALL: [Space; 7] = [
        Space::Meta,
        Space::Accounts,
        Space::Archive,
        Space::With,
        Space::Spool,
        Space::Data,
        Space::Sessions,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Space::Meta => "meta",
            Space::Accounts => "accounts",
            Space::Archive => "archive",
            Space::With => "archive-with",
            Space::Spool => "spool",
            Space::Data => "data",
            Space::Sessions => "sessions",
        }
    }
}

/// The open database.
pub(crate) struct Tables {
    db: Database,
    spaces: [Keyspace; 7],
}

impl Tables {
    fn open(path: &Path, files: usize) -> fjall::Result<Tables> {
        // One worker: with several, 3.1 can stall when journals rotate under load.
        let db = Database::builder(path).worker_threads(1).max_cached_files(Some(files)).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(16 * 1024 * 1024);
        let open = |space: Space| db.keyspace(space.name(), options);
        let [meta, accounts, archive, with, spool, data, sessions] = Space::ALL.map(open);
        Ok(Tables { spaces: [meta?, accounts?, archive?, with?, spool?, data?, sessions?], db })
    }

    pub(crate) fn space(&self, space: Space) -> &Keyspace {
        let [meta, accounts, archive, with, spool, data, sessions] = &self.spaces;
        match space {
            Space::Meta => meta,
            Space::Accounts => accounts,
            Space::Archive => archive,
            Space::With => with,
            Space::Spool => spool,
            Space::Data => data,
            Space::Sessions => sessions,
        }
    }

    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<fjall::UserValue>> {
        self.space(space).get(key).map_err(failed)
    }

    pub(crate) fn db(&self) -> &Database {
        &self.db
    }
}

/// A key and what lies under it.
pub(crate) fn pair(guard: Guard) -> Result<(fjall::UserKey, fjall::UserValue)> {
    guard.into_inner().map_err(failed)
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Put(Space, Vec<u8>, Vec<u8>),
    Remove(Space, Vec<u8>),
}

impl Op {
    pub(crate) fn size(&self) -> usize {
        match self {
            Op::Put(_, key, value) => key.len() + value.len(),
            Op::Remove(_, key) => key.len(),
        }
    }
}

/// The database, which may be closed for a moment: a failed write makes fjall refuse all later ones, until it is
/// opened again.
pub(crate) struct Disk {
    root: PathBuf,
    files: usize, // that are kept open at once
    tables: RwLock<Option<Tables>>,
}

impl Disk {
    /// Opens the store in `data_dir`, or makes one; keeps at most so many `files` open. Also returns the number of its last group,
    /// for the writer.
    pub(crate) fn open(data_dir: &Path, files: usize) -> Result<(Disk, Journalled), OpenError> {
        let root = data_dir.join("store");
        make_private(&root)
            .map_err(|error| OpenError::new(&root, error, "check that the directory can be made"))?;
        let format = read_format(&root)?;
        if format.is_none() {
            clear_unfinished(&root)
                .map_err(|error| OpenError::new(&root, error, "check that its files can be removed"))?;
        }
        let db = root.join("db");
        let ends = Ends::of(&db)
            .map_err(|error| OpenError::new(&root, error, "check that its files can be read"))?;
        let tables = Tables::open(&db, files).map_err(|error| OpenError::of(&root, &error))?;
        let journalled = Journalled::open(&root, &tables)?;
        let torn = ends.torn();
        if torn > 0 {
            tracing::warn!(
                bytes = torn,
                "dropped the end of the journal, which a crash has torn: nothing of it was acknowledged"
            );
        }
        migrate(&root, &tables, format)?;
        Ok((Disk { root, files, tables: RwLock::new(Some(tables)) }, journalled))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// For one short read; never held across an await.
    pub(crate) fn read(&self) -> Result<Reading<'_>> {
        let guard = self.tables.read();
        RwLockReadGuard::try_map(guard, Option::as_ref).map_err(|_| unavailable("the store is closed"))
    }

    /// One atomic step; with `sync` it is on the disk when this returns.
    pub(crate) fn write(&self, ops: Vec<Op>, sync: bool) -> Result<()> {
        let tables = self.read()?;
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = OwnedWriteBatch::with_capacity(tables.db.clone(), ops.len()).durability(Some(mode));
        for op in ops {
            match op {
                Op::Put(space, key, value) => batch.insert(tables.space(space), key, value),
                Op::Remove(space, key) => batch.remove(tables.space(space), key),
            }
        }
        batch.commit().map_err(unavailable)
    }

    /// After a failed write. Waits for the reads under way.
    pub(crate) fn reopen(&self) -> Result<()> {
        let mut tables = self.tables.write();
        drop(tables.take());
        *tables = Some(Tables::open(&self.root.join("db"), self.files).map_err(unavailable)?);
        Ok(())
    }

    pub(crate) fn close(&self) {
        drop(self.tables.write().take());
    }
}

/// Made if it is missing. One that others may read, as older versions made it, is theirs no more.
fn make_private(root: &Path) -> std::io::Result<()> {
    private::make_dir(root)?;
    if !private::is_open(root)? {
        return Ok(());
    }
    match private::tighten(root) {
        Ok(()) => {
            tracing::warn!(path = %root.display(), "others could read the store: now its owner alone can")
        }
        Err(error) => {
            tracing::error!(path = %root.display(), %error, "others can read the store, and that cannot be changed")
        }
    }
    Ok(())
}

/// The tables, for a moment.
pub(crate) type Reading<'a> = parking_lot::MappedRwLockReadGuard<'a, Tables>;

/// Removes a database whose making was interrupted: fjall cannot open one without its journal and its marker complete.
/// `format` is written when all is made, and `sequence` with the first group, so without either nothing was kept in it.
fn clear_unfinished(root: &Path) -> std::io::Result<()> {
    let db = root.join("db");
    let has_groups = fs::metadata(root.join("sequence")).is_ok_and(|file| file.len() > 0);
    if has_groups || !db.try_exists()? {
        return Ok(());
    }
    let lock = File::options().read(true).write(true).open(db.join("lock"));
    if lock.as_ref().is_ok_and(|lock| lock.try_lock().is_err()) {
        return Ok(()); // another process is making it right now; opening it says so
    }
    fs::remove_dir_all(&db)
}
