//! A Redis of a test's own: started on a free port in a directory of its own, killed at the end.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use starling_store_redis::RIGHTS;

pub(crate) struct Server {
    child: Option<Child>,
    dir: tempfile::TempDir,
    /// The password; it stays where it is when the data are exchanged.
    secrets: tempfile::TempDir,
    pub(crate) port: u16,
    /// 0: it speaks no TLS.
    pub(crate) tls_port: u16,
    tls: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::start_with(false, &[])
    }

    /// It also speaks TLS, to whoever has a certificate of the same authority.
    pub(crate) fn start_tls(certificates: &Path) -> Server {
        let files = [
            ("--tls-ca-cert-file", "ca.pem"),
            ("--tls-cert-file", "certificate.pem"),
            ("--tls-key-file", "key.pem"),
        ];
        let named =
            |(option, file): (&str, &str)| [option.to_owned(), certificates.join(file).display().to_string()];
        Server::start_with(true, &files.map(named).concat())
    }

    fn start_with(is_tls: bool, tls: &[String]) -> Server {
        loop {
            let (port, tls_port) = (free_port(), if is_tls { free_port() } else { 0 });
            let (dir, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let mut server = Server { child: None, dir, secrets, port, tls_port, tls: tls.to_vec() };
            std::fs::write(server.password_file(), "secret\n").unwrap();
            if server.run() {
                return server; // otherwise somebody else took the port
            }
        }
    }

    /// For a user that has the least rights.
    pub(crate) fn url(&self) -> String {
        format!("redis://starling@127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.secrets.path().join("password")
    }

    /// Who may do everything.
    fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}/0", self.port)).unwrap()
    }

    /// Whether it answers, after it has read what it had kept.
    pub(crate) fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let settings = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"];
        let mut child = Command::new("redis-server")
            .args(settings)
            .args(["--appendfsync", "everysec", "--maxmemory-policy", "noeviction"])
            .args(["--user", "starling", "on", ">secret"])
            .args(RIGHTS.split(' '))
            .args(["--tls-port", &self.tls_port.to_string()])
            .args(&self.tls)
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
            let answer =
                self.client().get_connection().and_then(|mut to| redis::cmd("PING").query::<String>(&mut to));
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
        let mut connection = self.client().get_connection().unwrap();
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut connection).unwrap()
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
