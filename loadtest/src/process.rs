//! What the server's processes cost: CPU time from `/proc/PID/stat`, memory from `/proc/PID/smaps_rollup` (proc(5)); of
//! processes elsewhere, what their pages of metrics say.

use crate::callgrind::Counter;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a page of metrics may take.
const PAGE: Duration = Duration::from_secs(5);
/// More of it is not read.
const LONGEST: u64 = 16 << 20;

/// One reading, summed over all processes named.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    cpu: Duration,
    rss: i64,
    pss: i64,
}

/// What one process has taken until now, and has: CPU time, and resident memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct One {
    pub(crate) cpu: Duration,
    pub(crate) rss: i64,
}

/// CPU time of one process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let ticks = ticks(&stat).context("/proc/PID/stat cannot be read")?;
    Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// The processes that are paid for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Servers {
    /// On this machine.
    pub(crate) pids: Vec<u32>,
    /// Pages of metrics: `http://HOST:PORT/metrics`.
    pub(crate) pages: Vec<String>,
    /// What the server needs and is not: databases, shown by name beside it.
    pub(crate) beside: Vec<(String, u32)>,
    /// Those whose instructions are counted.
    pub(crate) counters: Vec<Arc<Counter>>,
}

impl One {
    /// Of a process on this machine.
    fn of(pid: u32, rollup: &str) -> Result<Self> {
        Ok(Self { cpu: cpu(pid)?, rss: kibibytes(rollup, "Rss:").unwrap_or(0) * 1024 })
    }
}

fn rollup(pid: u32) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).with_context(|| format!("process {pid}"))
}

impl Servers {
    /// What is beside them now, by name. Another user's process has its CPU time alone.
    pub(crate) fn beside(&self) -> Result<Vec<(String, One)>> {
        let one = |pid| One::of(pid, &rollup(pid).unwrap_or_default());
        self.beside.iter().map(|(name, pid)| Ok((name.clone(), one(*pid)?))).collect()
    }

    /// All of them now, and each, in their order.
    pub(crate) async fn read(&self) -> Result<(Reading, Vec<One>)> {
        let (mut sum, mut each) = (Reading::default(), Vec::new());
        for pid in &self.pids {
            let rollup = rollup(*pid)?;
            let one = One::of(*pid, &rollup)?;
            each.push(one);
            sum.cpu += one.cpu;
            sum.rss += one.rss;
            sum.pss += kibibytes(&rollup, "Pss:").unwrap_or(0) * 1024;
        }
        for url in &self.pages {
            let read = timeout(PAGE, page(url)).await.context("it takes too long").flatten();
            let one = read.and_then(|page| of_page(&page)).with_context(|| format!("metrics at {url}"))?;
            each.push(one);
            sum.cpu += one.cpu;
            sum.rss += one.rss;
        }
        Ok((sum, each))
    }
}

/// HTTP/1.0, because nothing of it is needed but the end of the page.
async fn page(url: &str) -> Result<String> {
    let rest = url.strip_prefix("http://").context("only http:// is read")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, "metrics"));
    let mut socket = TcpStream::connect(host).await?;
    socket.write_all(format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    socket.take(LONGEST).read_to_string(&mut answer).await?;
    let (head, page) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the answer is {status:?}");
    Ok(page.to_owned())
}

/// CPU time and memory, as Prometheus's own clients name them.
fn of_page(page: &str) -> Result<One> {
    let value = |name: &'static str| {
        let is_named = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let line = page.lines().find(is_named).with_context(|| format!("no {name}"))?;
        let value =
            line.rsplit('}').next().unwrap_or(line).trim_start_matches(name).split_whitespace().next();
        value.and_then(|value| value.parse::<f64>().ok()).with_context(|| format!("{line:?} has no number"))
    };
    let cpu = Duration::try_from_secs_f64(value("process_cpu_seconds_total")?)?;
    Ok(One { cpu, rss: value("process_resident_memory_bytes")? as i64 })
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
    fn metrics_are_read_with_labels_and_without() {
        let plain = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12.5\n\
            process_resident_memory_bytes 1.5e7\nprocess_resident_memory_bytes_x 1\n";
        let one = |millis, rss| One { cpu: Duration::from_millis(millis), rss };
        assert_eq!(of_page(plain).unwrap(), one(12_500, 15_000_000));
        let labelled =
            "process_cpu_seconds_total{node=\"a\"} 3 1700000000\nprocess_resident_memory_bytes{} 7\n";
        assert_eq!(of_page(labelled).unwrap(), one(3000, 7));
        let none = format!("{:#}", of_page("process_cpu_seconds_total 1\n").unwrap_err());
        assert_eq!(none, "no process_resident_memory_bytes");
    }

    #[tokio::test]
    async fn a_page_is_fetched_and_another_status_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let servers = Servers { pids: Vec::new(), pages: vec![url], ..Servers::default() };
        let serve = async |answer: &str| {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                socket.read_buf(&mut asked).await.unwrap(); // all of it: what is left unread resets the connection
            }
            assert!(asked.starts_with(b"GET /metrics "));
            socket.write_all(answer.as_bytes()).await.unwrap();
        };
        let good = "HTTP/1.1 200 OK\r\n\r\nprocess_cpu_seconds_total 2\nprocess_resident_memory_bytes 9\n";
        let (read, ()) = tokio::join!(servers.read(), serve(good));
        assert_eq!(read.unwrap().1, [One { cpu: Duration::from_secs(2), rss: 9 }]);
        let (read, ()) = tokio::join!(servers.read(), serve("HTTP/1.1 404 Not Found\r\n\r\n"));
        assert!(format!("{:#}", read.unwrap_err()).contains("404"));
    }

    #[test]
    fn memory_is_read_by_its_key() {
        assert_eq!(
            kibibytes("00-ff ---p [rollup]\nRss:     120 kB\nPss:      90 kB\nPss_Dirty: 3 kB\n", "Pss:"),
            Some(90)
        );
    }
}
