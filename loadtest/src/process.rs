//! What the server's processes cost: CPU time from `/proc/PID/stat`, memory from `/proc/PID/smaps_rollup` (proc(5)).

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::time::Duration;

/// One reading, summed over all processes named.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    cpu: Duration,
    rss: i64,
    pss: i64,
}

/// CPU time of one process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let ticks = ticks(&stat).context("/proc/PID/stat cannot be read")?;
    Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// Reads all `pids` now.
pub(crate) fn read(pids: &[u32]) -> Result<Reading> {
    let mut sum = Reading::default();
    for pid in pids {
        sum.cpu += cpu(*pid)?;
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        sum.rss += kibibytes(&rollup, "Rss:").unwrap_or(0) * 1024;
        sum.pss += kibibytes(&rollup, "Pss:").unwrap_or(0) * 1024;
    }
    Ok(sum)
}

impl Reading {
    /// CPU time since `before`, in microseconds.
    pub(crate) fn cpu_us_since(&self, before: &Self) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
    }

    /// RSS gained since `before`, in bytes.
    pub(crate) fn rss_since(&self, before: &Self) -> i64 {
        self.rss - before.rss
    }

    /// The difference to `before`, for the report.
    pub(crate) fn since(&self, before: &Self) -> Value {
        json!({
            "cpu_us": self.cpu_us_since(before),
            "rss_bytes": self.rss,
            "rss_gained_bytes": self.rss - before.rss,
            "pss_gained_bytes": self.pss - before.pss,
        })
    }
}

/// utime + stime: the 14th and 15th field; the 2nd may hold spaces, so they are counted from its `)`.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn kibibytes(rollup: &str, key: &str) -> Option<i64> {
    rollup.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_a_name_with_spaces() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(ticks(stat), Some(300));
    }

    #[test]
    fn memory_is_read_by_its_key() {
        assert_eq!(
            kibibytes("00-ff ---p [rollup]\nRss:     120 kB\nPss:      90 kB\nPss_Dirty: 3 kB\n", "Pss:"),
            Some(90)
        );
    }
}
