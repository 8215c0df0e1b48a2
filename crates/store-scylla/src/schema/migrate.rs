//! `starling store migrate`: makes the tables, or brings them to the version of this program.

use std::sync::Arc;

use scylla::client::session::Session;
use scylla::cluster::Node;
use scylla::policies::load_balancing::{
    LoadBalancingPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy,
};
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};

use super::steps::{self, Change, Column, NAME, VERSION};
use super::version::{self, Found};
use crate::error::ConnectError;
use crate::{Config, connect};

/// What it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; `None` if there were no tables.
    pub from: Option<i32>,
    /// The version now.
    pub to: i32,
    /// Which server was asked, in its own words.
    pub server: String,
    /// What was set anew because the configuration has changed: one line each.
    pub changed: Vec<String>,
}

/// Safe to run twice, at the same time, and while programs of the version before are running.
pub async fn migrate(config: &Config) -> Result<Migrated, ConnectError> {
    config.check()?;
    let session = connect::session(config).await?;
    let run = Run { config, session: &session, target: first_node(&session) };
    let server = connect::server(&session).await?;
    let found = version::read(&session, &config.keyspace).await?;
    if let Some(Found { version, oldest, .. }) = found
        && oldest > VERSION
    {
        let keyspace = config.keyspace.clone();
        return Err(ConnectError::Newer { keyspace, found: version, oldest, ours: VERSION });
    }
    let before = found.map_or(0, |found| found.version);
    if found.is_none() {
        run.make_keyspace(&server).await?;
    }
    for step in steps::steps(config).into_iter().filter(|step| step.version > before) {
        run.step(&step).await?;
    }
    let changed = if found.is_some() { run.keep_as_configured().await? } else { Vec::new() };
    let to = before.max(VERSION);
    Ok(Migrated { from: found.map(|found| found.version), to, server: server.to_string(), changed })
}

/// All statements go through one server, the same for everybody: two that change tables at the same time on two servers
/// of Cassandra can make one table twice.
fn first_node(session: &Session) -> Option<Arc<dyn LoadBalancingPolicy>> {
    let state = session.get_cluster_state();
    let connected = state.get_nodes_info().iter().filter(|node| node.is_connected());
    let first: &Arc<Node> = connected.min_by_key(|node| node.host_id)?;
    Some(SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(first.clone()), None))
}

struct Run<'a> {
    config: &'a Config,
    session: &'a Session,
    target: Option<Arc<dyn LoadBalancingPolicy>>,
}

impl Run<'_> {
    async fn ask(
        &self,
        cql: impl Into<String>,
    ) -> Result<scylla::response::query_result::QueryResult, ConnectError> {
        let mut statement = Statement::new(cql);
        statement.set_load_balancing_policy(self.target.clone());
        statement.set_consistency(Consistency::LocalQuorum);
        statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        // Tables are made slowly: the servers agree on each.
        statement.set_request_timeout(Some(connect::CHANGE));
        let text = statement.contents.clone();
        let done = self.session.query_unpaged(statement, ()).await;
        done.map_err(|error| ConnectError::refused(format!("`{text}`"), error))
    }

    async fn make_keyspace(&self, server: &connect::Server) -> Result<(), ConnectError> {
        let Config { keyspace, replication_factor, .. } = self.config;
        let here = match self.config.datacenter.as_str() {
            "" => server.datacenter.as_str(),
            given => given,
        };
        self.ask(steps::keyspace(keyspace, here, *replication_factor, server.needs_tablets_off())).await?;
        self.ask(steps::versions_table(keyspace)).await.map(drop)
    }

    async fn step(&self, step: &steps::Step) -> Result<(), ConnectError> {
        for change in &step.changes {
            match change {
                Change::Statement(statement) => drop(self.ask(statement.as_str()).await?),
                Change::Column(column) => self.add(column).await?,
            }
        }
        let (keyspace, bucket) = (&self.config.keyspace, self.config.bucket.as_micros());
        // Whoever makes the step first decides on the bucket; a second one at the same time changes nothing.
        let row = format!(
            "INSERT INTO {keyspace}.schema_versions (name, version, oldest, bucket_micros) \
             VALUES ('{NAME}', {}, {}, {bucket}) IF NOT EXISTS",
            step.version, step.oldest
        );
        self.ask(row).await.map(drop)
    }

    /// A second one at the same time is refused, and finds that it is there.
    async fn add(&self, column: &Column) -> Result<(), ConnectError> {
        if self.has(column).await? {
            return Ok(());
        }
        let Column { table, name, kind } = column;
        let added = self.ask(format!("ALTER TABLE {}.{table} ADD {name} {kind}", self.config.keyspace)).await;
        match added {
            Err(_) if self.has(column).await? => Ok(()),
            other => other.map(drop),
        }
    }

    async fn has(&self, Column { table, name, .. }: &Column) -> Result<bool, ConnectError> {
        let what = "reading which columns there are";
        let cql = format!(
            "SELECT column_name FROM system_schema.columns WHERE keyspace_name = '{}' AND table_name = '{table}' \
             AND column_name = '{name}'",
            self.config.keyspace
        );
        let rows =
            self.ask(cql).await?.into_rows_result().map_err(|error| ConnectError::refused(what, error))?;
        Ok(rows.rows_num() > 0)
    }

    /// Times to live follow the configuration. Compaction first: ScyllaDB refuses a time to live of too many windows.
    async fn keep_as_configured(&self) -> Result<Vec<String>, ConnectError> {
        let Config { keyspace, archive_kept, spool_kept, .. } = self.config;
        let index = steps::index_kept(self.config);
        let mut changed = Vec::new();
        for (table, kept, has_windows) in [
            ("archive", *archive_kept, true),
            ("spool", *spool_kept, true),
            ("archive_buckets", index, false),
        ] {
            let now = self.kept(table).await?;
            // What leads to messages must not go before them: it is only ever made to stay longer.
            let is_right = if has_windows { now == kept.as_secs() } else { now >= kept.as_secs() };
            if is_right {
                continue;
            }
            let alter = format!("ALTER TABLE {keyspace}.{table} WITH");
            if has_windows {
                self.ask(format!("{alter} {}", steps::compaction(kept))).await?;
            }
            self.ask(format!("{alter} default_time_to_live = {}", kept.as_secs())).await?;
            changed.push(format!("{table}: new rows are kept {} s, before {now} s", kept.as_secs()));
        }
        Ok(changed)
    }

    async fn kept(&self, table: &str) -> Result<u64, ConnectError> {
        let what = "reading how long rows are kept";
        let cql = format!(
            "SELECT default_time_to_live FROM system_schema.tables WHERE keyspace_name = '{}' AND table_name = '{table}'",
            self.config.keyspace
        );
        let rows =
            self.ask(cql).await?.into_rows_result().map_err(|error| ConnectError::refused(what, error))?;
        let (seconds,) = rows.single_row::<(i32,)>().map_err(|error| ConnectError::refused(what, error))?;
        Ok(u64::from(seconds.unsigned_abs()))
    }
}
