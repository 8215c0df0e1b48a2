//! The processes of a cluster on loopback: so many connection managers and session routers, on stores that run.

use super::server::{CONFIG, Server};
use crate::callgrind::{self, Counter};
use crate::options::MadeOf;
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// What is to be started.
pub(super) struct Plan<'a> {
    pub(super) made_of: &'a MadeOf,
    /// Each process has a directory of its own below it.
    pub(super) directory: PathBuf,
    pub(super) managers: usize,
    pub(super) routers: usize,
    pub(super) archive: bool,
    /// Each process runs under callgrind.
    pub(super) is_counted: bool,
}

/// Connection managers and session routers.
pub(super) struct Cluster {
    pub(super) managers: Vec<Server>,
    pub(super) routers: Vec<Server>,
    /// Of the managers, then of the routers, if they are counted.
    pub(super) counters: Vec<Arc<Counter>>,
}

/// What a scenario says of accounts that were made before, and how they log in: a table, and the beginning of another.
pub(super) fn accounts(prefix: &str, count: usize) -> String {
    format!(
        "[accounts]\ncount = {count}\nprefix = \"{prefix}\"\nregister = false\n[target]\nmechanism = \"scram-sha-1\"\n"
    )
}

impl<'a> Plan<'a> {
    /// Without archives, and nothing is counted.
    pub(super) fn new(made_of: &'a MadeOf, directory: PathBuf, managers: usize, routers: usize) -> Self {
        Self { made_of, directory, managers, routers, archive: false, is_counted: false }
    }

    /// Starts one after the other, and waits until each is ready.
    pub(super) async fn start(&self) -> Result<Cluster> {
        let stores =
            std::fs::read_to_string(&self.made_of.stores).context("reading what names the stores")?;
        let base = format!("mode = \"cluster\"\n{CONFIG}[im]\narchive = {}\n", self.archive);
        let (mut managers, mut routers) = (Vec::new(), Vec::new());
        for number in 1..=self.routers {
            let own = format!(
                "[cluster]\nroles = [\"session-router\"]\nname = \"router-{number}\"\nlisten = \"127.0.0.1:0\"\nplaintext = true\n"
            );
            let config = format!("{base}{}", stores.replacen("[cluster]\n", &own, 1));
            routers.push(self.launch(&format!("router-{number}"), &config).await?);
        }
        let at = routers.iter().map(|(router, _)| Ok(format!("\"{}\"", router.address("link")?)));
        let at = at.collect::<Result<Vec<_>>>()?.join(", ");
        for number in 1..=self.managers {
            let own = format!(
                "[cluster]\nroles = [\"connection-manager\"]\nname = \"manager-{number}\"\nrouters = [{at}]\nplaintext = true\n"
            );
            managers.push(self.launch(&format!("manager-{number}"), &format!("{base}{own}")).await?);
        }
        let counters = managers.iter().chain(&routers).filter_map(|(_, counter)| counter.clone()).collect();
        let [managers, routers] =
            [managers, routers].map(|all| all.into_iter().map(|(one, _)| one).collect());
        Ok(Cluster { managers, routers, counters })
    }

    async fn launch(&self, part: &str, config: &str) -> Result<(Server, Option<Arc<Counter>>)> {
        let directory = self.directory.join(part);
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("callgrind.out");
        let command = if self.is_counted {
            callgrind::command(&self.made_of.server, &file)
        } else {
            Command::new(&self.made_of.server)
        };
        let server = Server::launch(command, &directory, config).await.with_context(|| part.to_owned())?;
        let counter = self.is_counted.then(|| Counter::new(server.pid(), file));
        Ok((server, counter))
    }
}

impl Cluster {
    pub(super) fn pids(&self) -> Vec<u32> {
        self.managers.iter().chain(&self.routers).map(Server::pid).collect()
    }

    /// The ports of the managers that take clients without TLS.
    pub(super) fn ports(&self) -> Result<Vec<u16>> {
        self.managers.iter().map(|manager| manager.port(false)).collect()
    }

    /// The first of them.
    pub(super) fn port(&self) -> Result<u16> {
        self.ports()?.first().copied().context("no manager")
    }

    /// Where clients connect.
    pub(super) fn targets(&self) -> Result<Vec<String>> {
        Ok(self.ports()?.iter().map(|port| format!("127.0.0.1:{port}")).collect())
    }

    pub(super) async fn stop(self) -> Result<()> {
        for server in self.managers.into_iter().chain(self.routers) {
            server.stop().await?;
        }
        Ok(())
    }
}
