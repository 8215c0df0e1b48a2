//! Log lines are written by a thread of their own: nobody who logs waits for somebody who does not read.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines wait to be written at most, and how many bytes they have; what comes then is lost, and counted.
const LINES: usize = 8192;
const BYTES: usize = 4 * 1024 * 1024;

enum Order {
    Line(Vec<u8>),
    /// Everything before it is written.
    Tell(SyncSender<()>),
}

/// What waits, and what was lost.
#[derive(Debug, Default)]
struct Count {
    lines: AtomicUsize,
    bytes: AtomicUsize,
    lost: AtomicU64,
}

impl Count {
    fn written(&self, line: &[u8]) {
        self.lines.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
    }
}

/// The way to the thread.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    queue: SyncSender<Order>,
    count: Arc<Count>,
}

impl Lines {
    /// To standard error, past its lock: a panic must not wait behind a line that nobody reads.
    pub(crate) fn to_stderr() -> io::Result<Lines> {
        Lines::to(File::from(io::stderr().as_fd().try_clone_to_owned()?))
    }

    fn to(out: impl Write + Send + 'static) -> io::Result<Lines> {
        let (queue, orders) = sync_channel(LINES);
        let count = Arc::new(Count::default());
        let counted = count.clone();
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || write(out, &orders, &counted))?;
        Ok(Lines { queue, count })
    }

    fn send(&self, line: &[u8]) {
        self.count.lines.fetch_add(1, Ordering::Relaxed);
        let waiting = self.count.bytes.fetch_add(line.len(), Ordering::Relaxed);
        let is_sent = waiting < BYTES && self.queue.try_send(Order::Line(line.to_vec())).is_ok();
        if !is_sent {
            self.count.written(line);
            self.count.lost.fetch_add(1, Ordering::Relaxed);
            crate::metrics::lost_line();
        }
    }

    /// Waits until what was logged is written, but not longer.
    pub(crate) fn flush(&self, within: Duration) {
        let (begun, (tell, told)) = (Instant::now(), sync_channel(1));
        let mut order = Order::Tell(tell);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(order) {
            if begun.elapsed() >= within {
                return;
            }
            order = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = told.recv_timeout(within.saturating_sub(begun.elapsed())); // nobody reads: then it is lost
    }
}

fn write(mut out: impl Write, orders: &Receiver<Order>, count: &Count) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Line(line) => {
                let _ = out.write_all(&line); // there is no other place to complain
                count.written(&line);
            }
            Order::Tell(tell) => drop(tell.try_send(())),
        }
        let has_room = count.lines.load(Ordering::Relaxed) < LINES / 2; // or this line would be lost, too
        let lost = if has_room { count.lost.swap(0, Ordering::Relaxed) } else { 0 };
        if lost > 0 {
            tracing::warn!(lost, "log lines were lost: they were not read as fast as they came");
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Each write is a whole line, as `tracing_subscriber` hands it over.
#[derive(Debug)]
pub(crate) struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_read_is_written_in_order() {
        let (mut read, write) = io::pipe().unwrap();
        let lines = Lines::to(write).unwrap();
        for n in 0..100 {
            writeln!(lines.make_writer(), "{n}").unwrap();
        }
        lines.flush(Duration::from_secs(20));
        drop(lines);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 100);
        assert!(text.lines().enumerate().all(|(at, line)| line == at.to_string()));
    }

    #[test]
    fn what_nobody_reads_is_waited_for_by_nobody() {
        let (read, write) = io::pipe().unwrap();
        let lines = Lines::to(write).unwrap();
        let line = [b'x'; 1000];
        for _ in 0..3 * LINES {
            lines.make_writer().write_all(&line).unwrap();
        }
        let (begun, lost) = (Instant::now(), lines.count.lost.load(Ordering::Relaxed));
        assert!(lost as usize > LINES, "{lost}");
        assert!(lines.count.bytes.load(Ordering::Relaxed) <= BYTES + line.len());
        lines.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(20));
        drop(read);
    }
}
