//! What benchmarks that start servers have around them: a directory, an end by a signal, and a page for the table.

use super::{page, say};
use anyhow::{Result, anyhow};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Does the work of the benchmark `name` in a directory of its own, which is removed. SIGINT and SIGTERM end it; what it had
/// started ends with what is dropped.
pub(super) async fn guarded<T>(name: &str, work: impl AsyncFnOnce(&Path) -> Result<T>) -> Result<T> {
    let directory = std::env::temp_dir().join(format!("starling-{name}-{}", std::process::id()));
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let signalled = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let done = tokio::select! {
        done = work(&directory) => done,
        () = signalled => Err(anyhow!("interrupted")),
    };
    let _ = std::fs::remove_dir_all(&directory); // what is left there is temporary by its place
    done
}

/// Writes the table of `make NAME` to its page, if there is one, and prints it.
pub(super) fn publish(name: &str, page: Option<&Path>, table: &str) -> Result<()> {
    if let Some(page) = page {
        page::write(page, table, &format!("make {name}"))?;
    }
    say(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::process::Command;

    #[tokio::test]
    async fn what_was_started_ends_with_a_benchmark_that_is_interrupted_and_its_directory_is_gone() {
        for signal in [Signal::INT, Signal::TERM] {
            let mut started = None;
            let work = async |directory: &Path| -> Result<()> {
                std::fs::create_dir_all(directory)?;
                let child = Command::new("sleep").arg("600").kill_on_drop(true).spawn()?;
                started = Some((child.id().unwrap(), directory.to_owned()));
                kill_process(getpid(), signal)?;
                std::future::pending().await
            };
            let ended = guarded(&format!("{signal:?}"), work).await.unwrap_err();
            let (pid, directory) = started.unwrap();
            assert_eq!(ended.to_string(), "interrupted");
            assert!(!directory.exists());
            let is_gone = || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                stat.map_or(true, |stat| stat.contains(") Z "))
            };
            for _ in 0..500 {
                if is_gone() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert!(is_gone());
        }
    }
}
