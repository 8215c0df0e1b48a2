//! The data directory: that it is there, ours, and nobody else's to read.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::Access;

/// What a server leaves in it, and what an empty volume may hold. `quickstart` adds files that end with `.password`.
const KEPT: [&str; 7] =
    ["store", "store.restoring", "tls", "secret", "control.sock", "control.new", "lost+found"];

/// Of a directory in which everybody may make files, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// Only its owner reads what is kept: others lose what rights they had in the data directory and those below it. One that
/// holds other things is not ours to close: it is left as it is. What is written there is for its owner alone anyhow.
pub(super) fn make_private(directory: &Path) -> Result<()> {
    let shown = directory.display();
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        let mend = match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => "a file is there: name a directory",
            _ => "make it and give it to the server's user, or name another one",
        };
        anyhow::Error::new(error).context(format!("cannot make the data directory {shown}; {mend}"))
    })?;
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).with_context(|| {
        format!("cannot write the data directory {shown}; give it to the server's user, or name another one")
    })?;
    for private in [directory.to_owned(), directory.join("store"), directory.join("tls")] {
        let Ok(found) = fs::metadata(&private) else { continue };
        let mode = found.permissions().mode();
        if mode & 0o077 == 0 {
            continue;
        }
        let path = private.display();
        if mode & STICKY != 0 || (private == directory && holds_other_things(directory)) {
            tracing::error!(%path, "others can read the data directory, which is shared with them; name another one");
            continue;
        }
        match fs::set_permissions(&private, Permissions::from_mode(0o700)) {
            Ok(()) => tracing::warn!(%path, "others could read the data directory: now its owner alone can"),
            Err(error) => {
                tracing::error!(%path, %error, "others can read the data directory, and that cannot be changed");
            }
        }
    }
    Ok(())
}

/// Whether something is in it that no server has left there.
fn holds_other_things(directory: &Path) -> bool {
    let is_kept = |name: &OsStr| {
        KEPT.iter().any(|kept| name == *kept)
            || Path::new(name).extension().is_some_and(|end| end == "password")
    };
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).any(|name| !is_kept(&name))
}
