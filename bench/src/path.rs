//! The ways through the server that are counted, each as a script without a choice.

use std::fmt;
use std::hint::black_box;
use std::sync::mpsc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::runtime::Builder;

use crate::client::{self, Client};
use crate::home::Home;

/// Contacts of whoever changes its presence.
const CONTACTS: usize = 18;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Path {
    /// One message, from one account to another, without archive
    Chat,
    /// The same, acknowledged at both ends by XEP-0198
    ChatSm,
    /// The same, in both archives
    ChatArchive,
    /// Log in with SCRAM-SHA-1, bind, leave
    Login,
    /// One change of presence that 18 contacts see
    Presence,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Path {
    pub(crate) const ALL: [Path; 5] =
        [Path::Chat, Path::ChatSm, Path::ChatArchive, Path::Login, Path::Presence];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Path::Chat => "chat",
            Path::ChatSm => "chat-sm",
            Path::ChatArchive => "chat-archive",
            Path::Login => "login",
            Path::Presence => "presence",
        }
    }

    /// What one of it is.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Path::Chat | Path::ChatSm | Path::ChatArchive => "a message",
            Path::Login => "a login",
            Path::Presence => "a change",
        }
    }

    /// How often it is gone.
    pub(crate) fn times(self) -> usize {
        match self {
            Path::Chat | Path::ChatSm | Path::ChatArchive => 640, // ten times what a ping confirms
            Path::Login | Path::Presence => 192,
        }
    }

    fn has_archive(self) -> bool {
        self == Path::ChatArchive
    }

    fn has_sm(self) -> bool {
        matches!(self, Path::ChatSm | Path::ChatArchive)
    }
}

/// Goes `path` so many times. One thread, beside those of the store, and a clock that stands still: no timer ever fires.
pub(crate) fn play(path: Path, times: usize) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let (done, over) = mpsc::channel::<()>();
    runtime.block_on(async {
        // While a thread is at work the runtime does not go on to the next timer by itself.
        let at_work = tokio::task::spawn_blocking(move || over.recv());
        let home = Home::open(path.has_archive())?;
        let played = script(&home, path, times).await;
        drop(done);
        let _ = at_work.await?; // it ends because nothing is sent
        home.close(); // what waits is written, and belongs to what was done
        end();
        played
    })
}

/// From here on is counted: callgrind looks for these two by their names. Were they alike, they might be made one.
#[inline(never)]
fn begin() {
    black_box("begin");
}

/// Up to here.
#[inline(never)]
fn end() {
    black_box("end");
}

async fn script(home: &Home, path: Path, times: usize) -> Result<()> {
    let keys = client::keys();
    home.account("alice", &keys).await?;
    match path {
        Path::Chat | Path::ChatSm | Path::ChatArchive => {
            home.account("bob", &keys).await?;
            chat(home, path, times).await
        }
        Path::Login => {
            begin();
            for _ in 0..times {
                Client::login(home, "alice").await?.leave().await?;
            }
            Ok(())
        }
        Path::Presence => {
            let names: Vec<String> = (0..CONTACTS).map(|number| format!("friend{number:02}")).collect();
            for name in &names {
                home.account(name, &keys).await?;
                home.befriend("alice", name).await?;
            }
            presence(home, &names, times).await
        }
    }
}

async fn enter(home: &Home, name: &str, path: Path) -> Result<Client> {
    let mut client = Client::login(home, name).await?;
    if path.has_sm() {
        client.enable_sm().await?;
    }
    client.appear().await?;
    Ok(client)
}

/// No message before the one before it is done with.
async fn chat(home: &Home, path: Path, times: usize) -> Result<()> {
    let mut alice = enter(home, "alice", path).await?;
    let mut bob = enter(home, "bob", path).await?;
    let asks = if path.has_sm() { "<r xmlns='urn:xmpp:sm:3'/>" } else { "" };
    begin();
    for number in 0..times {
        let word = format!("m{number:07}");
        alice.send(&format!(
            "<message to='bob@localhost' type='chat' id='{word}'><body>{number:064}</body></message>{asks}"
        ));
        let read = bob.until(&word).await.with_context(|| word.clone())?;
        bob.reuse(read);
        if path.has_sm() {
            bob.acknowledge();
            let read = alice.until("<a ").await?;
            alice.reuse(read);
        }
    }
    Ok(())
}

async fn presence(home: &Home, names: &[String], times: usize) -> Result<()> {
    let mut contacts = Vec::new();
    for name in names {
        contacts.push(enter(home, name, Path::Presence).await?);
    }
    let mut alice = enter(home, "alice", Path::Presence).await?;
    begin();
    for number in 0..times {
        let word = format!("p{number:07}");
        alice.send(&format!("<presence><show>away</show><status>{word}</status></presence>"));
        for client in contacts.iter_mut().chain([&mut alice]) {
            let read = client.until(&word).await?;
            client.reuse(read);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_leads_to_its_end() {
        for path in Path::ALL {
            play(path, 70).unwrap_or_else(|error| panic!("{path}: {error:#}")); // more than a ping confirms
        }
    }
}
