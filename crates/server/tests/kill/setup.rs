//! A server that is started again and again on one data directory, and the history of all that its clients saw.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::numbered::{Notes, PATIENCE};
use starling_testkit::{Server, ServerOptions};

/// What all of them run with: nothing but the promises limits these clients.
const CONFIG: &str =
    "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n[im.quotas]\noffline-messages = 0\n";

/// The program, or one that is broken on purpose.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("STARLING_BIN").map_or_else(|| env!("CARGO_BIN_EXE_starling").into(), PathBuf::from)
}

/// How often the tests with rounds kill.
pub(crate) fn rounds() -> usize {
    std::env::var("STARLING_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

/// The server and its directory.
pub(crate) struct Kit {
    pub(crate) server: Server,
    pub(crate) notes: Notes,
    options: ServerOptions,
    _directory: Option<tempfile::TempDir>,
}

impl Kit {
    pub(crate) async fn start(config: &str, accounts: &[&str]) -> Kit {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().to_owned();
        Kit { _directory: Some(directory), ..Kit::start_in(&data_dir, config, accounts).await }
    }

    pub(crate) async fn start_in(data_dir: &Path, config: &str, accounts: &[&str]) -> Kit {
        let config = format!("{CONFIG}{config}");
        let options = ServerOptions { config, data_dir: Some(data_dir.to_owned()) };
        let server = Server::start(&binary(), &options).await.unwrap();
        for name in accounts {
            let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
            server.control(add).await.unwrap();
        }
        Kit { server, notes: Notes::default(), options, _directory: None }
    }

    /// kill -9, and up again.
    pub(crate) async fn kill(&mut self) {
        self.server.kill().await.unwrap();
        self.start_again().await;
    }

    /// After it was killed or stopped.
    pub(crate) async fn start_again(&mut self) {
        self.server = Server::start(&binary(), &self.options).await.unwrap();
    }
}

/// Waits until `holds`, looking again and again.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
