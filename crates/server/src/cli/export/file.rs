//! A file that is there when it is whole, and not before.

use std::fs::{File, OpenOptions, remove_file, rename};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

/// What is written goes to a file beside it, which is removed if it does not become whole.
pub(super) struct Whole {
    out: BufWriter<File>,
    beside: PathBuf,
    to: PathBuf,
    is_whole: bool,
}

impl Whole {
    /// Nobody else may read it, and nothing is overwritten but what was left behind by one that was broken off.
    pub(super) fn create(to: &Path) -> Result<Whole> {
        ensure!(to.symlink_metadata().is_err(), "{} is there already: nothing is overwritten", to.display());
        let name = to.file_name().ok_or_else(|| anyhow!("{} names no file", to.display()))?;
        let beside = to.with_file_name([name, ".unfinished".as_ref()].join("".as_ref()));
        match remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| beside.display().to_string());
            }
            _ => {}
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let out = BufWriter::new(opened.with_context(|| beside.display().to_string())?);
        Ok(Whole { out, beside, to: to.to_owned(), is_whole: false })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).with_context(|| self.beside.display().to_string())
    }

    /// It is on the disk, and has its name.
    pub(super) fn finish(mut self) -> Result<()> {
        let whole = |this: &mut Whole| {
            this.out.flush()?;
            this.out.get_ref().sync_all()?;
            rename(&this.beside, &this.to)?;
            this.is_whole = true;
            let directory = this.to.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        let done: std::io::Result<()> = whole(&mut self);
        done.with_context(|| self.to.display().to_string())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = remove_file(&self.beside); // or the next one does it
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_there_when_it_is_whole_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (to, beside) = (directory.path().join("all.xml"), directory.path().join("all.xml.unfinished"));
        let mut broken_off = Whole::create(&to).unwrap();
        broken_off.write(b"half").unwrap();
        assert!(beside.exists() && !to.exists());
        drop(broken_off);
        assert!(!beside.exists() && !to.exists());

        std::fs::write(&beside, "left by one that was killed").unwrap();
        let mut whole = Whole::create(&to).unwrap();
        whole.write(b"all").unwrap();
        whole.finish().unwrap();
        assert_eq!((std::fs::read(&to).unwrap(), beside.exists()), (b"all".to_vec(), false));
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Whole::create(&to).is_err(), "nothing is overwritten");
    }
}
