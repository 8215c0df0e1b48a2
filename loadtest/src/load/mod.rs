//! The loads: each makes its clients ready, waits for the others, measures until the clock ends it, and tells what it found.

mod archive;
mod attempts;
mod chat;
mod hold;
mod login;
mod offline;
mod pace;
mod presence;
mod reconnect;
mod stay;
mod steadfast;

use crate::check::Findings;
use crate::client::Client;
use crate::clock::Clock;
use crate::recorder::Recorder;
use crate::scenario::Load;
use crate::target::{Account, Target};
use anyhow::{Context as _, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What a load has to work with.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) target: Arc<Target>,
    pub(crate) accounts: Vec<Arc<Account>>,
    /// The place of the first of them among all accounts of the run.
    pub(crate) first: usize,
    /// What marks the messages of this run.
    pub(crate) run: u32,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) concurrency: usize,
    /// How long what is on its way may take after the last message was sent.
    pub(crate) drain: Duration,
}

/// What a load tells at its end.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) findings: Findings,
    pub(crate) figures: Vec<(&'static str, f64)>,
}

/// Runs one load.
pub(crate) async fn run(stage: Stage, load: Load) -> Result<Outcome> {
    let stage = Arc::new(stage);
    match load {
        Load::Hold(hold) => hold::run(stage, hold).await,
        Load::Login(login) => login::run(stage, login).await,
        Load::Chat(chat) => chat::run(stage, chat).await,
        Load::Offline(offline) => offline::run(stage, offline).await,
        Load::Presence(presence) => presence::run(stage, presence).await,
        Load::Archive(archive) => archive::run(stage, archive).await,
        Load::Reconnect(reconnect) => reconnect::run(stage, reconnect).await,
        Load::Resume(resume) => steadfast::resume(stage, resume).await,
        Load::Slow(slow) => steadfast::slow(stage, slow).await,
        Load::Stay(stay) => stay::run(stage, stay).await,
    }
}

/// How far a client goes when it comes in.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    sm: bool,
    presence: bool,
}

impl Stage {
    /// The number of an account among all of the run.
    fn number(&self, index: usize) -> usize {
        self.first + index % self.accounts.len().max(1)
    }

    /// An account; more clients than accounts share them.
    fn account(&self, index: usize) -> Result<&Arc<Account>> {
        self.accounts.get(index % self.accounts.len().max(1)).context("a load without accounts")
    }

    /// The bare JID of an account.
    fn jid(&self, index: usize) -> Result<String> {
        Ok(format!("{}@{}", self.account(index)?.user, self.target.domain))
    }

    /// Client `index` comes in.
    async fn enter(&self, index: usize, entry: Entry) -> Result<Client> {
        let account = self.account(index)?;
        let mut client = Client::login(&self.target, self.number(index), account).await?;
        if entry.sm {
            client.enable_sm().await?;
        }
        if entry.presence {
            client.appear(&self.target.domain).await?;
        }
        self.recorder.connected(1);
        Ok(client)
    }

    /// Clients `from..to` come in, `concurrency` at a time; they come back in their order.
    async fn enter_all(self: &Arc<Self>, from: usize, to: usize, entry: Entry) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(to - from);
        let enter = |stage: Arc<Self>, index| async move { Ok((index, stage.enter(index, entry).await?)) };
        self.enter_each(from, to, enter, |client| clients.push(client)).await?;
        clients.sort_by_key(|(index, _): &(usize, Client)| *index);
        Ok(clients.into_iter().map(|(_, client)| client).collect())
    }

    /// Each of `from..to` comes in by `enter`, `concurrency` at a time, and is handed to `taken` at once. The first that fails ends it.
    async fn enter_each<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        self: &Arc<Self>,
        from: usize,
        to: usize,
        enter: impl Fn(Arc<Self>, usize) -> F,
        mut taken: impl FnMut(T),
    ) -> Result<()> {
        let mut tasks = JoinSet::new();
        for index in from..to {
            if tasks.len() >= self.concurrency
                && let Some(done) = tasks.join_next().await
            {
                taken(done??);
            }
            tasks.spawn(enter(self.clone(), index));
        }
        while let Some(done) = tasks.join_next().await {
            taken(done??);
        }
        Ok(())
    }

    /// A client leaves in order.
    async fn leave(&self, client: Client) {
        self.recorder.connected(-1);
        client.close().await;
    }

    /// What went wrong with one client does not end the run: it is counted.
    fn count<T>(&self, done: Result<T>) -> Option<T> {
        done.inspect_err(|error| self.recorder.error(&format!("{error:#}"))).ok()
    }
}
