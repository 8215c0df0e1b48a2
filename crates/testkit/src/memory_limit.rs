//! So much memory and no more for one process, as a container gives it: a control group (version 1 or 2). Wants root.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where such groups are made, and which of their files says how much they may have.
const HIERARCHIES: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A control group, until it is dropped: behind its processes.
#[derive(Debug)]
pub struct MemoryLimit {
    group: PathBuf,
}

impl MemoryLimit {
    /// Whether this process may make one.
    pub fn is_possible() -> bool {
        MemoryLimit::of_mib(&format!("starling-{}-probe", std::process::id()), 64).is_ok()
    }

    /// One of that name, of so many MiB.
    pub fn of_mib(name: &str, size: u64) -> Result<MemoryLimit> {
        let mut failed = None;
        for (root, file) in HIERARCHIES {
            let limit = MemoryLimit { group: Path::new(root).join(name) };
            let made = fs::create_dir(&limit.group)
                .and_then(|()| fs::write(limit.group.join(file), (size << 20).to_string()));
            match made {
                Ok(()) => return Ok(limit),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.context("no hierarchy")?).context("no control group for memory")
    }

    /// A script in `directory` that becomes `binary` within the limit.
    pub fn wrap(&self, binary: &Path, directory: &Path) -> Result<PathBuf> {
        let name = self.group.file_name().context("it has a name")?;
        let script = directory.join(name);
        let (procs, binary) = (self.group.join("cgroup.procs"), binary.display());
        let text = format!("#!/bin/sh\necho $$ > '{}' || exit\nexec '{binary}' \"$@\"\n", procs.display());
        let mut file = fs::File::options().write(true).create_new(true).mode(0o700).open(&script)?;
        file.write_all(text.as_bytes())?;
        Ok(script)
    }

    /// How many processes were killed because there was no memory left.
    pub fn kills(&self) -> Result<u64> {
        let files = ["memory.oom_control", "memory.events"].map(|file| self.group.join(file));
        let file = files.iter().find(|file| file.exists()).context("who counts them")?;
        let text = fs::read_to_string(file)?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.context("no oom_kill")?.trim().parse().context("a number")
    }
}

impl Drop for MemoryLimit {
    /// Its processes have been waited for, but the kernel may be a moment behind.
    fn drop(&mut self) {
        for _ in 0..100 {
            match fs::remove_dir(&self.group) {
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}
