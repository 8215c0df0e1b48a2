//! Two workers play one run: what they measure is merged, what either sees is judged, and one that dies is named.

use super::server::{Fault, Server};
use super::{PAIR, play_on};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A worker that ends with the test.
pub(crate) struct Worker {
    child: Child,
    pub(crate) address: String,
}

impl Worker {
    pub(crate) fn start() -> Self {
        Self::start_with("127.0.0.1:0", &[])
    }

    pub(crate) fn start_with(listen: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling-loadtest"));
        command.args(["worker", "--listen", listen]).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().strip_prefix("worker on ").unwrap().to_owned() }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be dead already
        let _ = self.child.wait();
    }
}

pub(crate) fn pairs() -> String {
    PAIR.replace("count = 2", "count = 4").replace("operations = 20", "operations = 40")
}

#[test]
fn two_workers_make_one_result() {
    let (server, one, two) = (Server::start(&[]), Worker::start(), Worker::start());
    let workers = format!("{},{}", one.address, two.address);
    for scenario in [pairs(), format!("{}sm = true\n", pairs())] {
        let seen = play_on(&server, &scenario, &["--workers", &workers]);
        seen.counts(&[]);
        assert_eq!(seen.code, Some(0), "{}", seen.words);
        assert_eq!(seen.result["figures"]["received"], 40.0, "{}", seen.words);
        assert_eq!(seen.result["figures"]["delivery.count"], 40.0, "all are in one histogram");
        assert_eq!(seen.result["target"]["server"], "Bad 1");
    }
}

#[test]
fn what_either_worker_sees_is_named() {
    let (server, one, two) = (Server::start(&[Fault::Lose(7)]), Worker::start(), Worker::start());
    let workers = format!("{},{}", one.address, two.address);
    let seen = play_on(&server, &pairs(), &["--workers", &workers]);
    seen.counts(&[("lost", 2)]);
    let mut named = seen.named();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "lost: load0@localhost to load1@localhost, number 7",
            "lost: load2@localhost to load3@localhost, number 7"
        ]
    );
    assert_eq!(seen.code, Some(99));
}

#[test]
fn a_worker_that_dies_is_named_and_fails_the_run() {
    let (server, one, mut two) = (Server::start(&[]), Worker::start(), Worker::start());
    let (workers, dead) = (format!("{},{}", one.address, two.address), two.address.clone());
    let long = pairs().replace("seconds = 20\noperations = 40", "seconds = 60");
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            server.wait_for(100);
            two.kill();
        });
        play_on(&server, &long, &["--workers", &workers])
    });
    assert_eq!(seen.code, Some(1), "{}", seen.words);
    assert!(seen.words.contains(&format!("worker {dead} broke the run")), "{}", seen.words);
    // The other one is free again.
    let next = play_on(&server, &pairs(), &["--workers", &one.address]);
    assert_eq!((next.code, &next.result["figures"]["received"]), (Some(0), &40.0.into()), "{}", next.words);
}

#[test]
fn a_worker_goes_to_no_foreign_address_unless_it_was_started_for_that() {
    let (server, one) = (Server::start(&[]), Worker::start());
    let foreign = ["--workers", &one.address, "--i-own-this-target", "--target", "192.0.2.1:5222"];
    let seen = play_on(&server, &pairs(), &foreign);
    assert!(seen.code == Some(1) && seen.words.contains("only with --i-own-this-target"), "{}", seen.words);
}

#[test]
fn what_the_server_spends_is_read_by_the_controller_alone() {
    let (server, one, page) =
        (Server::start(&[]), Worker::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (url, reads) =
        (format!("http://{}/metrics", page.local_addr().unwrap()), Arc::<AtomicU64>::default());
    let counted = reads.clone();
    std::thread::spawn(move || {
        for socket in page.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            let (mut socket, mut line) = (socket.unwrap(), String::new());
            let mut asked = BufReader::new(socket.try_clone().unwrap());
            while asked.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let page =
                "HTTP/1.0 200 OK\r\n\r\nprocess_cpu_seconds_total 1\nprocess_resident_memory_bytes 1\n";
            socket.write_all(page.as_bytes()).unwrap();
        }
    });
    let seen = play_on(&server, &pairs(), &["--workers", &one.address, "--server-metrics", &url]);
    assert_eq!(seen.code, Some(0), "{}", seen.words);
    assert_eq!(reads.load(Ordering::Relaxed), 3, "with the accounts there, before and after");
}
