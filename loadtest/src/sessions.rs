//! Loads about connections themselves: making accounts, logging in, staying idle.

use crate::client::{self, Client};
use crate::options::Options;
use crate::stats::Tally;
use crate::{process, scan};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// What a load reports: a JSON line and a line to read.
pub(crate) type Report = (Value, String);

/// The TLS connector, if TLS is wanted.
pub(crate) fn tls(options: &Options) -> Result<Option<TlsConnector>> {
    options.tls.then(client::connector).transpose()
}

/// Logs accounts `0..count` in, `concurrency` at a time; the clients come in the order of their numbers.
pub(crate) async fn log_in(options: &Arc<Options>, count: usize) -> Result<Vec<Client>> {
    let tls = tls(options)?;
    let (mut tasks, mut clients) = (JoinSet::new(), Vec::with_capacity(count));
    for index in 0..count {
        if tasks.len() >= options.concurrency
            && let Some(done) = tasks.join_next().await
        {
            clients.push(done??);
        }
        let (options, tls) = (options.of_client(index), tls.clone());
        tasks.spawn(async move {
            let client = Client::login(&options, tls.as_ref(), &options.user(index)).await?;
            anyhow::Ok((index, client))
        });
    }
    while let Some(done) = tasks.join_next().await {
        clients.push(done??);
    }
    clients.sort_by_key(|(index, _)| *index);
    Ok(clients.into_iter().map(|(_, client)| client).collect())
}

/// Makes the accounts in-band (XEP-0077 §3.1).
pub(crate) async fn register(options: Arc<Options>, count: usize) -> Result<Report> {
    let (tls, began) = (tls(&options)?, Instant::now());
    let mut tasks: JoinSet<Result<bool>> = JoinSet::new();
    let mut made = 0_usize;
    for index in 0..count {
        if tasks.len() >= options.concurrency
            && let Some(done) = tasks.join_next().await
        {
            made += usize::from(done??);
        }
        let (options, tls) = (options.clone(), tls.clone());
        tasks.spawn(async move {
            let mut client = Client::connect(&options, tls.as_ref()).await?;
            let (user, password) = (format!("{}{index}", options.accounts), &options.password);
            let request = format!(
                "<iq type='set' id='reg'><query xmlns='jabber:iq:register'><username>{user}</username>\
                 <password>{password}</password></query></iq>"
            );
            client.send(request.as_bytes()).await?;
            let answer = client.answer("reg").await?;
            client.close().await;
            let is_new = scan::attribute(&answer, "type") == Some(b"result");
            ensure!(is_new || scan::holds(&answer, "<conflict"), "{}", String::from_utf8_lossy(&answer));
            Ok(is_new)
        });
    }
    while let Some(done) = tasks.join_next().await {
        made += usize::from(done??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let json = json!({ "load": "register", "count": count, "made": made, "seconds": seconds });
    Ok((json, format!("register: {made} of {count} accounts made, the others were there, {seconds:.1} s")))
}

/// Logs in and out `count` times.
pub(crate) async fn login(options: Arc<Options>, count: usize) -> Result<Report> {
    let tls = tls(&options)?;
    let before = process::read(&options.server_pid)?;
    let (mut tally, began) = (Tally::new()?, Instant::now());
    let mut tasks: JoinSet<Result<u64>> = JoinSet::new();
    let mut done = 0;
    for index in 0..count + options.concurrency {
        if (tasks.len() >= options.concurrency || index >= count)
            && let Some(micros) = tasks.join_next().await
        {
            tally.took(micros??);
            done += 1;
        }
        if index < count {
            let (options, tls) = (options.clone(), tls.clone());
            tasks.spawn(async move {
                let began = Instant::now();
                let client = Client::login(&options, tls.as_ref(), &options.user(index)).await?;
                let micros = micros(began.elapsed());
                client.close().await;
                Ok(micros)
            });
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let after = process::read(&options.server_pid)?;
    let cpu = after.cpu_us_since(&before) / count.max(1) as f64;
    let rate = count as f64 / seconds;
    let json = json!({
        "load": "login", "count": done, "tls": options.tls, "mechanism": format!("{:?}", options.mechanism),
        "seconds": seconds, "per_second": rate, "server_cpu_us_per_login": cpu, "latency": tally.latency(),
        "server": after.since(&before),
    });
    Ok((json, format!("login: {done} in {seconds:.1} s, {rate:.0}/s, {cpu:.0} us of server CPU each")))
}

/// Holds `connections` open and silent.
pub(crate) async fn idle(options: Arc<Options>, connections: usize, seconds: u64) -> Result<Report> {
    let before = process::read(&options.server_pid)?;
    let clients = log_in(&options, connections).await?;
    tokio::time::sleep(Duration::from_secs(2)).await; // what the logins left behind is settled
    let settled = process::read(&options.server_pid)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = process::read(&options.server_pid)?;
    let bytes = after.rss_since(&before) / i64::try_from(connections.max(1))?;
    let cpu = after.cpu_us_since(&settled) / seconds.max(1) as f64;
    let held = clients.len();
    drop(clients);
    let json = json!({
        "load": "idle", "connections": held, "tls": options.tls, "bytes_per_connection": bytes,
        "pss_per_connection": after.pss_since(&before) / i64::try_from(connections.max(1))?,
        "server_cpu_us_per_second": cpu, "server": after.since(&before),
    });
    Ok((json, format!("idle: {held} connections, {bytes} bytes each, {cpu:.0} us of server CPU a second")))
}

/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
