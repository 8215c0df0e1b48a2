//! A wall clock for a program that libfaketime does not get along with, as Redis's allocator; a test moves it while it runs. Wants a C
//! compiler, which is there where Rust links.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The wall clock of whatever is started with its environment; the monotonic one is the machine's.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// One that is right, whose files lie in `directory`.
    pub fn make(directory: &Path) -> Result<WallClock> {
        let source = directory.join("wall_clock.c");
        let clock =
            WallClock { library: directory.join("wall_clock.so"), file: directory.join("wall_clock") };
        fs::write(&source, include_str!("wall_clock.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&clock.library).arg(&source);
        let done = compiler.output().context("cc, a C compiler")?;
        ensure!(done.status.success(), "cc: {}", String::from_utf8_lossy(&done.stderr));
        fs::write(&clock.file, 0_i64.to_ne_bytes())?;
        Ok(clock)
    }

    /// For the program.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("WALL_CLOCK_FILE", self.file.display().to_string()),
        ]
    }

    /// From now on it is so many seconds ahead of that of the machine; less than none: behind.
    pub fn set(&self, ahead: i64) -> Result<()> {
        // In place: the program has this very file in its memory.
        File::options().write(true).open(&self.file)?.write_all_at(&ahead.to_ne_bytes(), 0)?;
        Ok(())
    }
}
