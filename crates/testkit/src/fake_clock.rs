//! A wall clock for one program, which a test moves while it runs; its monotonic one goes on. Wants Debian's libfaketime.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The clock of whatever is started with its environment.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    file: PathBuf,
}

impl FakeClock {
    /// One that is right, whose file lies in `directory`.
    pub fn make(directory: &Path) -> Result<FakeClock> {
        let mut places = std::fs::read_dir("/usr/lib")?.filter_map(|place| Some(place.ok()?.path()));
        let library = places
            .find_map(|place| Some(place.join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists()));
        let library = library.context("no libfaketimeMT.so.1, of Debian's package libfaketime")?;
        let clock = FakeClock { library, file: directory.join("clock") };
        clock.set(0)?;
        Ok(clock)
    }

    /// For `wrapped`.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DISABLE_SHM", "1".to_owned()), // nothing is shared, and nothing stays behind
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ]
    }

    /// From the next second on it is so many seconds ahead of that of the machine; less than none: behind.
    pub fn set(&self, ahead: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{ahead:+}\n"))?;
        std::fs::rename(new, &self.file).context("moving a clock")
    }
}
