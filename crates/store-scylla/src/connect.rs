//! The connection to the servers: how long is waited, who is asked, and which server answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileBuilder};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::{Consistency, SerialConsistency};

use crate::error::ConnectError;
use crate::schema::{Preparing, Statements};
use crate::{Config, tls};

/// How long a change of the tables may take.
pub(crate) const CHANGE: Duration = Duration::from_secs(120);
/// A server that is silent for so long, twice, is taken for gone: a lost network sends no reset.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// A read that has not been answered by then is sent to a second server as well. High, because under load it doubles it.
const SLOW: Duration = Duration::from_millis(500);

/// Connects, and learns of the other servers. Fails within seconds if none answers.
pub(crate) async fn session(config: &Config) -> Result<Session, ConnectError> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.nodes)
        .default_execution_profile_handle(profile(config).build().into_handle())
        .keyspaces_to_fetch([&config.keyspace])
        .fetch_full_schema_metadata(false)
        .schema_agreement_timeout(CHANGE)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .tcp_nodelay(true);
    if !config.user.is_empty() {
        builder = builder.user(&config.user, tls::password(config)?);
    }
    if let Some(tls) = tls::client(&config.tls)? {
        builder = builder.tls_context(Some(tls));
    }
    builder.build().await.map_err(|error| ConnectError::Unreachable {
        nodes: config.nodes.join(", "),
        cause: error.to_string(),
    })
}

fn profile(config: &Config) -> ExecutionProfileBuilder {
    let mut nearest = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
    if !config.datacenter.is_empty() {
        nearest = nearest.prefer_datacenter(config.datacenter.clone());
    }
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(config.request_timeout))
        .load_balancing_policy(nearest.build())
}

/// Prepares all statements.
pub(crate) async fn statements(session: &Session, config: &Config) -> Result<Statements, ConnectError> {
    let slow = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: SLOW };
    let reading = profile(config).speculative_execution_policy(Some(Arc::new(slow)));
    let deciding = profile(config).retry_policy(Arc::new(FallthroughRetryPolicy::new()));
    let preparing = Preparing {
        session,
        keyspace: &config.keyspace,
        reading: reading.build().into_handle(),
        deciding: deciding.build().into_handle(),
    };
    Box::pin(preparing.all()).await.map_err(|error| ConnectError::refused("preparing the statements", error))
}

/// The server that answers.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// What it is, with its version.
    pub(crate) version: Version,
    /// Where it is.
    pub(crate) datacenter: String,
}

/// Which of the two, and how new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    Cassandra(String),
    ScyllaDb(String),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Cassandra(version) => write!(f, "Apache Cassandra {version}"),
            Version::ScyllaDb(version) => write!(f, "ScyllaDB {version}"),
        }
    }
}

impl Server {
    /// ScyllaDB decides (IF …) on tables in tablets from 2025.4 only; before 6.0 it has no tablets, and no word for them.
    pub(crate) fn needs_tablets_off(&self) -> bool {
        let Version::ScyllaDb(version) = &self.version else { return false };
        let mut numbers = version.split(['.', '-', '~']).map(|part| part.parse::<u32>().unwrap_or(0));
        let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        match release {
            (6..2000, _) => true,
            (2024, minor) => minor >= 2,
            (2025, minor) => minor < 4,
            _ => false,
        }
    }
}

/// Asks who is there.
pub(crate) async fn server(session: &Session) -> Result<Server, ConnectError> {
    let ask = async |cql: &str| -> Result<Option<String>, ConnectError> {
        let failed =
            |error: starling_ports::BoxError| ConnectError::refused("asking for the server's version", error);
        let rows = session.query_unpaged(cql, ()).await.map_err(|error| failed(error.into()))?;
        let rows = rows.into_rows_result().map_err(|error| failed(error.into()))?;
        let row = rows.maybe_first_row::<(String,)>().map_err(|error| failed(error.into()))?;
        Ok(row.map(|(text,)| text))
    };
    // A table that only ScyllaDB has; its `release_version` is that of the Cassandra which it resembles.
    let version = match ask("SELECT version FROM system.versions LIMIT 1").await {
        Ok(Some(version)) => Version::ScyllaDb(version),
        _ => Version::Cassandra(ask("SELECT release_version FROM system.local").await?.unwrap_or_default()),
    };
    let datacenter = ask("SELECT data_center FROM system.local").await?.unwrap_or_default();
    Ok(Server { version, datacenter })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tablets_are_off_where_decisions_need_it() {
        let off = |version| Server { version, datacenter: String::new() }.needs_tablets_off();
        for version in ["6.0.0", "6.2.3-0.20250101.abc", "2024.2.1", "2025.1.0~rc1", "2025.3.9"] {
            assert!(off(Version::ScyllaDb(version.to_owned())), "{version}");
        }
        for version in ["5.4.9", "2023.1.1", "2024.1.7", "2025.4.0", "2026.1.0-dev"] {
            assert!(!off(Version::ScyllaDb(version.to_owned())), "{version}");
        }
        assert!(!off(Version::Cassandra("5.0.9".to_owned())));
    }
}
