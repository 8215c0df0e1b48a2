//! What is done once before a run: making accounts, and asking what the server is.

use crate::client::Client;
use crate::sasl::told;
use crate::scan;
use crate::target::{Account, Target};
use anyhow::{Result, bail, ensure};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A server need not say what it is; it is not waited for longer.
const VERSION: Duration = Duration::from_secs(5);

/// Makes the accounts in-band (XEP-0077 §3.1); those that exist stay.
pub(crate) async fn all(target: &Arc<Target>, accounts: &[Arc<Account>], concurrency: usize) -> Result<()> {
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for (index, account) in accounts.iter().enumerate() {
        if tasks.len() >= concurrency
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        let (target, account) = (target.clone(), account.clone());
        tasks.spawn(async move { one(&target, index, &account).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

async fn one(target: &Target, index: usize, account: &Account) -> Result<()> {
    let (mut client, _) = Client::connect(target, index).await?;
    let request = format!(
        "<iq type='set' id='reg' to='{}'><query xmlns='jabber:iq:register'><username>{}</username>\
         <password>{}</password></query></iq>",
        target.domain, account.user, account.password
    );
    client.send(request.as_bytes()).await?;
    let answer = client.answer("reg").await?;
    client.close().await;
    let is_there = scan::attribute(&answer, "type") == Some(b"result") || scan::holds(&answer, "<conflict");
    ensure!(is_there, "registering {}: {}", account.user, told(&answer));
    Ok(())
}

/// What the server calls itself (XEP-0092), if it does.
pub(crate) async fn version(target: &Target, accounts: &[Arc<Account>]) -> Option<String> {
    timeout(VERSION, ask(target, accounts)).await.ok()?.ok()
}

async fn ask(target: &Target, accounts: &[Arc<Account>]) -> Result<String> {
    let Some(account) = accounts.first() else { bail!("no account") };
    let mut client = Client::login(target, 0, account).await?;
    let question =
        format!("<iq type='get' id='version' to='{}'><query xmlns='jabber:iq:version'/></iq>", target.domain);
    client.send(question.as_bytes()).await?;
    let answer = client.answer("version").await?;
    let text = |name| String::from_utf8_lossy(scan::text(&answer, name).unwrap_or_default()).into_owned();
    client.close().await;
    Ok(format!("{} {}", text("name"), text("version")).trim().to_owned())
}
