//! A Redis of a test's own: started on a free port in a directory of its own, killed at the end.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    child: Option<Child>,
    dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start() -> Server {
        loop {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let dir = tempfile::tempdir().unwrap();
            let mut server = Server { child: None, dir, port };
            if server.run() {
                return server; // otherwise somebody else took the port
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Whether it answers, after it has read what it had kept.
    pub(crate) fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let settings = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"];
        let mut child = Command::new("redis-server")
            .args(settings)
            .args(["--appendfsync", "everysec", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(self.dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: scripts/test.sh stores installs it");
        let begun = Instant::now();
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("redis-server does not answer");
            }
            let client = redis::Client::open(self.url()).unwrap();
            let answer =
                client.get_connection().and_then(|mut to| redis::cmd("PING").query::<String>(&mut to));
            if answer.is_ok() {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What it has kept so far, as a crash would leave it.
    pub(crate) fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        let done = Command::new("cp").arg("-a").arg(self.dir.path().join(".")).arg(copy.path()).status();
        assert!(done.unwrap().success());
        copy
    }

    /// Killed, and run again with what it had kept then.
    pub(crate) fn come_back_as(&mut self, copy: tempfile::TempDir) {
        self.kill();
        self.dir = copy;
        assert!(self.run(), "it starts on its port again");
    }

    /// One command, for looking behind the curtain.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut connection).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
