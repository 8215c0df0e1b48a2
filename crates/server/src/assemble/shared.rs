//! Deciding on stores that all session routers share: sessions on Redis, everything durable on CQL.

use std::sync::Arc;

use anyhow::{Context, Result};
use starling_im::Stores;
use starling_ports::archive::Archive;
use starling_ports::delivery::Delivery;
use starling_store_redis as store_redis;
use starling_store_scylla as store_scylla;

use super::embedded::{self, Backing};
use super::patience::wait_for;
use super::{Base, Routing, Unfit};
use crate::config::Config;

/// What a start would say of this Redis (session-log rule 10).
pub(super) async fn check(config: &Config) -> Result<(), Unfit> {
    store_redis::check(&config.redis()).await.map_err(|error| match error {
        store_redis::ConnectError::Unreachable { .. } => Unfit::Away(error.to_string()),
        store_redis::ConnectError::Unsafe { .. } => Unfit::Unsafe(error.to_string()),
    })
}

/// Connects to both stores, and builds on them what decides. One that does not answer is waited for.
pub(super) async fn open(config: &Config, base: &Base, delivery: Arc<dyn Delivery>) -> Result<Routing> {
    let is_away =
        |error: &store_scylla::ConnectError| matches!(error, store_scylla::ConnectError::Unreachable { .. });
    let connect = async || store_scylla::Store::connect(&config.scylla).await;
    let cql = wait_for(&base.health, "the CQL store is not reached", is_away, connect);
    let cql = cql.await.context("the CQL store")?;
    let archive: Arc<dyn Archive> = cql.clone();
    #[cfg(feature = "broken")]
    let archive = super::broken::keep_badly(archive, base.services.clone());
    let ports = || store_redis::Ports {
        accounts: cql.clone(),
        blocklists: cql.clone(),
        preferences: cql.clone(),
        archive: archive.clone(),
        positions: cql.clone(),
        clock: base.clock.clone(),
    };
    let is_away =
        |error: &store_redis::ConnectError| matches!(error, store_redis::ConnectError::Unreachable { .. });
    let connect = async || {
        let (services, stop) = (base.services.clone(), base.stop.clone());
        store_redis::Sessions::connect(config.redis(), ports(), services, stop).await
    };
    let sessions = wait_for(&base.health, "Redis is not reached", is_away, connect);
    let sessions = sessions.await.context("Redis")?;
    cql.keep_time(sessions.clock());
    let nodes = sessions.clone();
    let stores = Stores {
        accounts: cql.clone(),
        archive,
        positions: cql.clone(),
        rosters: cql.clone(),
        blocklists: cql.clone(),
        preferences: cql.clone(),
        documents: cql.clone(),
        last_activities: cql,
        sessions: sessions.clone(),
    };
    let backing = Backing { stores, nodes, attempts: sessions, secret: config.cluster.secret.clone() };
    embedded::routing(config, base, delivery, backing)
}
