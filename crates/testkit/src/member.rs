//! One process of a cluster under test: its role, and where it finds the others.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::ServerOptions;
use crate::process::{Process, merged};

/// How it is started, as often as it is.
#[derive(Debug)]
pub(crate) struct Member {
    binary: PathBuf,
    role: &'static str,
    options: ServerOptions,
}

impl Member {
    /// A session router on these stores, which listens there.
    pub(crate) fn router(
        binary: &Path,
        number: usize,
        listen: SocketAddr,
        stores: &str,
        options: ServerOptions,
    ) -> Member {
        let listens = format!("name = \"router-{number}\"\nlisten = \"{listen}\"\n");
        let member = Member::new(binary, "session-router", &listens, options);
        let options = ServerOptions { config: merged(&member.options.config, stores), ..member.options };
        Member { options, ..member }
    }

    /// A connection manager of these session routers.
    pub(crate) fn manager(
        binary: &Path,
        number: usize,
        routers: &[SocketAddr],
        options: ServerOptions,
    ) -> Member {
        let routers: Vec<String> = routers.iter().map(|at| format!("\"{at}\"")).collect();
        let dials = format!("name = \"manager-{number}\"\nrouters = [{}]\n", routers.join(", "));
        Member::new(binary, "connection-manager", &dials, options)
    }

    fn new(binary: &Path, role: &'static str, more: &str, options: ServerOptions) -> Member {
        let config = merged(&options.config, &format!("[cluster]\nplaintext = true\n{more}"));
        Member { binary: binary.to_owned(), role, options: ServerOptions { config, ..options } }
    }

    /// The next time it is another program.
    pub(crate) fn becomes(&mut self, binary: &Path) {
        self.binary = binary.to_owned();
    }

    pub(crate) async fn start(&self) -> Result<Process> {
        Process::start(&self.binary, &["--roles", self.role], &self.options).await
    }
}
