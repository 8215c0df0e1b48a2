//! Instructions of a process that runs under callgrind: it is told to write down what it has counted, and all of that is added up.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a process may take to write down what it has counted.
const DUMP: Duration = Duration::from_secs(60);

/// How long nothing has been said when it is read.
const SETTLE: Duration = Duration::from_millis(500);

/// One process, started as `command` says.
#[derive(Debug)]
pub(crate) struct Counter {
    pid: u32,
    file: PathBuf,
    read: Mutex<Read>,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Read {
    dumps: u64,
    instructions: u64,
}

/// Runs `program` under callgrind, which writes what it counts into `file` with a number behind it.
pub(crate) fn command(program: &Path, file: &Path) -> std::process::Command {
    let mut command = std::process::Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", "--fair-sched=try"]);
    command.arg(format!("--callgrind-out-file={}", file.display())).arg(program);
    // What the allocator gives back to the system depends on the time that has gone by, its arenas on the machine.
    command.env("_RJEM_MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1,narenas:2");
    command
}

impl Counter {
    /// Of the process `pid`, which writes into `file`.
    pub(crate) fn new(pid: u32, file: PathBuf) -> Arc<Self> {
        Arc::new(Self { pid, file, read: Mutex::default() })
    }

    /// The instructions since it began, of all its threads.
    async fn read(&self) -> Result<u64> {
        let mut read = self.read.lock().await;
        let mut vgdb = Command::new("vgdb");
        vgdb.arg(format!("--pid={}", self.pid)).arg("dump").stdin(Stdio::null()).kill_on_drop(true);
        let said = timeout(DUMP, vgdb.output()).await.context("callgrind does not answer")?;
        let said = said.context("starting vgdb, which comes with valgrind")?;
        ensure!(said.status.success(), "vgdb: {}", String::from_utf8_lossy(&said.stderr));
        let _ = std::fs::remove_file(self.dump(read.dumps)); // only the last one is of use to a reader; the first does not exist
        read.dumps += 1;
        let file = self.dump(read.dumps);
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        read.instructions += total(&text).with_context(|| format!("{} has no total", file.display()))?;
        Ok(read.instructions)
    }

    fn dump(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("{}.{number}", self.file.display()))
    }

    /// Keeps what was counted between the last two readings, for callgrind_annotate.
    pub(crate) async fn keep(&self, at: &Path) -> Result<()> {
        let last = self.dump(self.read.lock().await.dumps);
        std::fs::copy(&last, at).with_context(|| format!("copying {}", last.display()))?;
        Ok(())
    }
}

/// All of them at one time, in their order; first, what the last message has left to do is done.
pub(crate) async fn read(counters: &[Arc<Counter>]) -> Result<Vec<u64>> {
    if !counters.is_empty() {
        sleep(SETTLE).await;
    }
    let mut tasks = JoinSet::new();
    for (place, counter) in counters.iter().cloned().enumerate() {
        tasks.spawn(async move { anyhow::Ok((place, counter.read().await?)) });
    }
    let mut read = tasks.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    read.sort_by_key(|(place, _)| *place);
    Ok(read.into_iter().map(|(_, instructions)| instructions).collect())
}

fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals: ")).and_then(|count| count.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_dump_is_found() {
        assert_eq!(total("events: Ir\nsummary: 12\n\nfn=(1)\n3 4\n\ntotals: 1234\n"), Some(1234));
        assert_eq!(total("events: Ir\n"), None);
    }
}
