//! Rule 10: what Redis is told must not be lost behind our backs. Looked at before the start, and by `starling config check`.

use redis::RedisError;

use crate::config::Config;
use crate::dial::{Dialler, Fresh, other};
use crate::error::ConnectError;
use crate::topology::{Address, Drawn};

/// What there is.
pub(crate) enum Found {
    /// One that takes writes, always the same or whichever the Sentinels name.
    One,
    /// A cluster, and where it was first asked.
    Cluster(Vec<Address>, Drawn),
}

/// Whether the Redis of this configuration keeps what it is told: nothing is written.
pub async fn check(config: &Config) -> Result<(), ConnectError> {
    survey(&Dialler::new(config.clone())).await.map(drop)
}

/// Finds every Redis that takes writes, and looks whether it keeps them.
pub(crate) async fn survey(dialler: &Dialler) -> Result<Found, ConnectError> {
    let config = &dialler.config;
    let unreachable = |source| ConnectError::Unreachable { at: named(config), source };
    if !config.sentinels.is_empty() {
        keeps(dialler, &named(config), &dialler.master(None).await.map_err(unreachable)?, true).await?;
        return Ok(Found::One);
    }
    let (seed, first) = first(dialler).await.map_err(unreachable)?;
    if !first.is_of_a_cluster() {
        let fresh = dialler.master(None).await.map_err(unreachable)?;
        keeps(dialler, &named(config), &fresh, false).await?;
        return Ok(Found::One);
    }
    if database(config) != 0 {
        return Err(unreachable(other("a Redis Cluster has database 0 only")));
    }
    let drawn = dialler.draw(&seed).await.map_err(unreachable)?;
    let drawn =
        drawn.ok_or_else(|| unreachable(other("the cluster is down: `redis-cli --cluster check`")))?;
    let masters: Vec<&Address> = drawn.ranges.iter().map(|range| &range.master).collect();
    for (at, master) in masters.iter().enumerate() {
        if !masters.iter().take(at).any(|other| other == master) {
            let reached = dialler.master(Some(master)).await;
            let fresh =
                reached.map_err(|source| ConnectError::Unreachable { at: master.to_string(), source })?;
            keeps(dialler, &master.to_string(), &fresh, true).await?;
        }
    }
    Ok(Found::Cluster(seeds(config), drawn))
}

/// The first that answers.
async fn first(dialler: &Dialler) -> Result<(Address, Fresh), RedisError> {
    let mut why = other("no address is named");
    for seed in seeds(&dialler.config) {
        match dialler.any(Some(&seed)).await {
            Ok(fresh) => return Ok((seed, fresh)),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn seeds(config: &Config) -> Vec<Address> {
    let more = config.cluster_nodes.iter().filter_map(|text| Address::read(text));
    config.address().into_iter().chain(more).collect()
}

fn database(config: &Config) -> i64 {
    config.info().map_or(0, |info| info.redis_settings().db())
}

/// What it is called when it is complained about.
fn named(config: &Config) -> String {
    if config.sentinels.is_empty() {
        config.shown_url()
    } else {
        format!("{:?} of the Sentinels", config.sentinel_master)
    }
}

/// `fails_over`: another one takes its place when it is lost, with what it was sent until then.
async fn keeps(dialler: &Dialler, at: &str, fresh: &Fresh, fails_over: bool) -> Result<(), ConnectError> {
    let config = &dialler.config;
    let wrong =
        |what, setting, accept| Err(ConnectError::Unsafe { at: at.to_owned(), what, setting, accept });
    if !config.accept_no_append_only_file {
        let accept = "accept-no-append-only-file";
        if fresh.field("aof_enabled") != Some("1") {
            return wrong(
                "keeps no append-only file, so its restart loses sessions",
                "appendonly yes",
                accept,
            );
        }
        if synced(dialler, fresh).await.as_deref() == Some("no") {
            let what = "leaves it to its system when the append-only file is written to disk";
            return wrong(what, "appendfsync everysec", accept);
        }
    }
    if fresh.field("maxmemory_policy") != Some("noeviction") && !config.accept_eviction {
        let what = "evicts keys when its memory is full, and sessions with them";
        return wrong(what, "maxmemory-policy noeviction", "accept-eviction");
    }
    // The line is there only where the setting is.
    let awaits_replicas = fresh.field("min_slaves_good_slaves").is_some();
    if fails_over && !awaits_replicas && !config.accept_no_replicas {
        let what = "takes writes that no replica has, so a replica in its place lacks them";
        return wrong(what, "min-replicas-to-write 1", "accept-no-replicas");
    }
    Ok(())
}

/// `always`, `everysec` or `no`; `None` where that may not be asked.
async fn synced(dialler: &Dialler, fresh: &Fresh) -> Option<String> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("appendfsync");
    let mut connection = fresh.connection.clone();
    match dialler.in_time(ask.query_async::<Vec<String>>(&mut connection)).await {
        Ok(said) => said.into_iter().nth(1),
        Err(error) => {
            tracing::info!(%error, "redis does not say how often its append-only file is written to disk");
            None
        }
    }
}
