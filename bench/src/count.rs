//! How many instructions one of something takes: callgrind counts many of them, and nothing before.

use std::ffi::OsString;
use std::path::{Path as File, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::path::Path;

/// The client's own work, which is left out: a function that calls none of its name.
const NOT_COUNTED: &str = "starling_bench::client::prove";
/// Between these two is counted: nothing of the start, all that was still to be written at the end.
const FROM: &str = "starling_bench::path::begin";
const TO: &str = "starling_bench::path::end";

/// What plays a path: a program like this one, and at which level it keeps a log, if it does.
pub(crate) struct Player {
    pub(crate) program: PathBuf,
    pub(crate) log: Option<&'static str>,
}

impl Player {
    /// This program, without a log.
    pub(crate) fn this() -> Result<Player> {
        Ok(Player { program: std::env::current_exe()?, log: None })
    }
}

/// Instructions of one message, login or presence.
pub(crate) fn of_one(player: &Player, path: Path, output: &File) -> Result<u64> {
    std::fs::create_dir_all(output)?;
    let file = output.join(format!("{path}.out"));
    let counted = file_of(path.name(), output);
    let _ = std::fs::remove_file(&counted); // of the last time, if there was one
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(flag("--callgrind-out-file=", &file));
    // In this order: what is said of the first is undone by the second.
    command.args([&format!("--toggle-collect={NOT_COUNTED}"), "--collect-atstart=yes"]);
    command.args([format!("--zero-before={FROM}"), format!("--dump-before={TO}")]);
    command.arg(&player.program).args(["play", path.name(), &path.times().to_string()]);
    command.args(player.log.iter().flat_map(|level| ["--log", level]));
    // What the allocator gives back to the system depends on the time that has gone by, its arenas on the machine.
    command.env("_RJEM_MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1,narenas:2");
    let ended = command.stdin(Stdio::null()).output().context("starting valgrind")?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{path} under callgrind: {}\n{said}", ended.status);
    let text = std::fs::read_to_string(&counted).with_context(|| format!("reading {}", counted.display()))?;
    let total = total(&text).with_context(|| format!("{} has no total", counted.display()))?;
    Ok(total / u64::try_from(path.times())?)
}

fn flag(name: &str, value: &File) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(value);
    flag
}

/// Where callgrind leaves what it has counted between the two.
pub(crate) fn file_of(path: &str, output: &File) -> PathBuf {
    output.join(format!("{path}.out.1"))
}

/// The instructions of all threads.
fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals: ")).and_then(|count| count.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_file_is_found() {
        let text = "version: 1\nevents: Ir\nsummary: 12\n\nfn=(1)\n3 4\n\ntotals: 1234\n";
        assert_eq!(total(text), Some(1234));
        assert_eq!(total("events: Ir\n"), None);
    }
}
