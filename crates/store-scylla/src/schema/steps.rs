//! The tables, and the steps by which they came to be. Steps only add: programs of the version before go on working.

use std::time::Duration;

use crate::Config;

/// The version that this program needs.
pub const VERSION: i32 = 2;
/// What the rows of `schema_versions` are about.
pub(crate) const NAME: &str = "starling";

/// One version of the tables.
pub(crate) struct Step {
    /// Which.
    pub(crate) version: i32,
    /// The oldest program that can use tables of this version.
    pub(crate) oldest: i32,
    /// In order; each may be made again.
    pub(crate) changes: Vec<Change>,
}

/// One change of the tables.
pub(crate) enum Change {
    /// A statement that does nothing where it was made before.
    Statement(String),
    /// One that the servers refuse where it was made before: ScyllaDB knows no IF NOT EXISTS of a column.
    Column(Column),
}

/// A column that a table gets. Rows that were written without it are read with a null.
pub(crate) struct Column {
    pub(crate) table: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
}

/// All steps, from nothing.
pub(crate) fn steps(config: &Config) -> Vec<Step> {
    let first = first(config).into_iter().map(Change::Statement).collect();
    vec![Step { version: 1, oldest: 1, changes: first }, Step { version: 2, oldest: 1, changes: second() }]
}

/// The place of the versions comes before all steps.
pub(crate) fn versions_table(keyspace: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.schema_versions (name text, version int, oldest int, bucket_micros bigint, \
         PRIMARY KEY ((name), version)) WITH CLUSTERING ORDER BY (version DESC)"
    )
}

/// LOCAL_* needs the data center by its name, and so does NetworkTopologyStrategy, the only one that tablets allow.
pub(crate) fn keyspace(name: &str, datacenter: &str, factor: u32, without_tablets: bool) -> String {
    let tablets = if without_tablets { " AND tablets = {'enabled': false}" } else { "" };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = \
         {{'class': 'NetworkTopologyStrategy', '{datacenter}': {factor}}} AND durable_writes = true{tablets}"
    )
}

fn first(config: &Config) -> Vec<String> {
    let ks = &config.keyspace;
    let rows = |table: &str, kept: Duration| {
        // `who` is '' in a message's row, and the correspondent in a row that only leads to it: one partition, one write.
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.{table} (owner text, bucket bigint, who text, id blob, at bigint, flags tinyint, \
             with_jid text, resource text, origin blob, size int, wire blob, PRIMARY KEY ((owner, bucket), who, id)) \
             WITH CLUSTERING ORDER BY (who ASC, id DESC) AND {}",
            options(kept)
        )
    };
    vec![
        rows("archive", config.archive_kept),
        rows("spool", config.spool_kept),
        // Which partitions an owner has; `kind` is one of archive, spool, and the removal of an account.
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.archive_buckets (owner text, kind tinyint, bucket bigint, \
             PRIMARY KEY ((owner), kind, bucket)) WITH {}",
            index_option(config)
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.positions (owner text PRIMARY KEY, low blob, acknowledged frozen<list<blob>>)"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.accounts (name text PRIMARY KEY, state tinyint, nonce bigint, created bigint, \
             suspended boolean, sha1_iterations int, sha1_salt blob, sha1_stored blob, sha1_server blob, \
             sha256_iterations int, sha256_salt blob, sha256_stored blob, sha256_server blob, \
             removed_at bigint, removed_id bigint)"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.account_names (shard int, name text, PRIMARY KEY ((shard), name))"
        ),
        // The row whose contact is '' has the version of the whole; each change of a roster is decided on it.
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.rosters (owner text, contact text, version bigint, since bigint, nonce bigint, \
             removed boolean, flags tinyint, name text, groups frozen<list<text>>, request blob, \
             PRIMARY KEY ((owner), contact))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.block_lists (owner text PRIMARY KEY, items frozen<list<text>>)"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.preferences (owner text PRIMARY KEY, otherwise tinyint, \
             always frozen<list<text>>, never frozen<list<text>>)"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.documents (owner text, kind tinyint, namespace text, name text, xml blob, \
             size int, PRIMARY KEY ((owner), kind, namespace, name))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {ks}.last_activities (owner text PRIMARY KEY, at bigint, status text)"
        ),
    ]
}

/// Of which stanza a row is, and under which life of Redis its id was given (ADR 14).
fn second() -> Vec<Change> {
    let born = |table| Change::Column(Column { table, name: "born", kind: "blob" });
    vec![born("archive"), born("spool")]
}

/// A table whose rows are written once, in the order of time, and expire together: dropped by the file.
pub(crate) fn options(kept: Duration) -> String {
    format!("default_time_to_live = {} AND {}", kept.as_secs(), compaction(kept))
}

/// ScyllaDB refuses more than 50 windows; 30 are plenty, and leave room for a longer time to live.
pub(crate) fn compaction(kept: Duration) -> String {
    let days = kept.as_secs().div_ceil(24 * 3600).div_ceil(30).max(1);
    format!(
        "compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', \
         'compaction_window_size': '{days}'}}"
    )
}

/// A row about a partition is written at its first message and must be there as long as its last one.
pub(crate) fn index_kept(config: &Config) -> Duration {
    let longest = config.archive_kept.max(config.spool_kept);
    longest.saturating_add(config.bucket * 2).min(Duration::from_secs(630_720_000))
}

pub(crate) fn index_option(config: &Config) -> String {
    format!("default_time_to_live = {}", index_kept(config).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one of the two servers refuses, or does otherwise.
    const NOT_PORTABLE: [&str; 12] = [
        "using timeout",
        "bypass cache",
        "materialized",
        "create index",
        "custom index",
        "counter",
        "cdc",
        "compression",
        "read_repair",
        "allow filtering",
        "simplestrategy",
        "static",
    ];

    #[test]
    fn statements_are_portable_and_only_add() {
        for step in steps(&Config::default()) {
            for change in step.changes {
                let Change::Statement(statement) = change else { continue };
                let lower = statement.to_lowercase();
                assert!(lower.starts_with("create table if not exists "), "{statement}");
                for word in NOT_PORTABLE {
                    assert!(!lower.contains(word), "{word}: {statement}");
                }
            }
        }
    }

    #[test]
    fn windows_are_few_for_any_time_to_live() {
        for days in [1, 29, 30, 31, 90, 365, 366, 3650, 7300] {
            let text = compaction(Duration::from_secs(days * 24 * 3600));
            let window: u64 = text.rsplit('\'').nth(1).unwrap().parse().unwrap();
            assert!(days.div_ceil(window) <= 30, "{days}: {text}");
        }
    }

    #[test]
    fn versions_are_numbered_from_one_to_ours() {
        let versions: Vec<i32> = steps(&Config::default()).iter().map(|step| step.version).collect();
        assert_eq!(versions, (1..=VERSION).collect::<Vec<_>>());
    }
}
