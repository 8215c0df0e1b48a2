//! What is asked of the tables: every statement but those that make them, prepared once a process.
//!
//! A stamp is bound wherever a row can be overwritten or deleted: see `stamps`.

use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};

use crate::client::Kind;

/// The statements on one of the two tables of rows.
pub(crate) struct RowStatements {
    pub(crate) put: PreparedStatement,
    pub(crate) put_who: PreparedStatement,
    pub(crate) forwards: PreparedStatement,
    pub(crate) backwards: PreparedStatement,
    pub(crate) ids_forwards: PreparedStatement,
    pub(crate) ids_backwards: PreparedStatement,
    pub(crate) some: PreparedStatement,
    pub(crate) sizes: PreparedStatement,
    pub(crate) last: PreparedStatement,
    pub(crate) delete: PreparedStatement,
    pub(crate) erase: PreparedStatement,
}

/// All statements.
pub(crate) struct Statements {
    pub(crate) archive: RowStatements,
    pub(crate) spool: RowStatements,
    pub(crate) buckets: PreparedStatement,
    pub(crate) bucket_add: PreparedStatement,
    pub(crate) buckets_erase: PreparedStatement,
    pub(crate) position: PreparedStatement,
    pub(crate) position_put: PreparedStatement,
    pub(crate) account: PreparedStatement,
    pub(crate) account_decided: PreparedStatement,
    pub(crate) account_create: PreparedStatement,
    pub(crate) account_again: PreparedStatement,
    pub(crate) account_keys: PreparedStatement,
    pub(crate) account_suspend: PreparedStatement,
    pub(crate) account_removing: PreparedStatement,
    pub(crate) account_removed: PreparedStatement,
    pub(crate) accounts_named: PreparedStatement,
    pub(crate) names: PreparedStatement,
    pub(crate) name_add: PreparedStatement,
    pub(crate) name_remove: PreparedStatement,
    pub(crate) roster: PreparedStatement,
    pub(crate) roster_decided: PreparedStatement,
    pub(crate) roster_first: PreparedStatement,
    pub(crate) roster_next: PreparedStatement,
    pub(crate) roster_put: PreparedStatement,
    pub(crate) roster_forget: PreparedStatement,
    pub(crate) block_list: PreparedStatement,
    pub(crate) block_list_put: PreparedStatement,
    pub(crate) preferences: PreparedStatement,
    pub(crate) preferences_put: PreparedStatement,
    pub(crate) document: PreparedStatement,
    pub(crate) document_put: PreparedStatement,
    pub(crate) document_sizes: PreparedStatement,
    pub(crate) last_activity: PreparedStatement,
    pub(crate) last_activity_put: PreparedStatement,
    /// Of the tables with one partition an owner and no decisions.
    pub(crate) erase_owner: Vec<PreparedStatement>,
}

/// Tables whose partition of an owner is deleted by a stamp.
const OWNED: [&str; 5] = ["positions", "block_lists", "preferences", "documents", "last_activities"];

const ROW: &str = "id, at, flags, with_jid, resource, origin, wire";
const ACCOUNT: &str = "state, nonce, created, suspended, sha1_iterations, sha1_salt, sha1_stored, sha1_server, \
    sha256_iterations, sha256_salt, sha256_stored, sha256_server, removed_at, removed_id";
const KEYS: &str = "sha1_iterations = ?, sha1_salt = ?, sha1_stored = ?, sha1_server = ?, \
    sha256_iterations = ?, sha256_salt = ?, sha256_stored = ?, sha256_server = ?";
const CONTACT: &str = "contact, version, since, nonce, removed, flags, name, groups, request";

/// Prepares them, as each kind is to be run.
pub(crate) struct Preparing<'a> {
    pub(crate) session: &'a Session,
    pub(crate) keyspace: &'a str,
    /// Reads are tried on another server when the first is slow.
    pub(crate) reading: ExecutionProfileHandle,
    /// Decisions are never repeated by the driver: their outcome is read.
    pub(crate) deciding: ExecutionProfileHandle,
}

impl Preparing<'_> {
    /// `cql` with the keyspace before each `@`.
    async fn get(&self, kind: Kind, cql: &str) -> Result<PreparedStatement, PrepareError> {
        let cql = cql.replace('@', &format!("{}.", self.keyspace));
        let mut statement = self.session.prepare(cql).await?;
        statement.set_consistency(Consistency::LocalQuorum);
        match kind {
            Kind::Read => {
                statement.set_is_idempotent(true);
                statement.set_execution_profile_handle(Some(self.reading.clone()));
            }
            Kind::Write => statement.set_is_idempotent(true),
            Kind::Decision => {
                statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
                statement.set_execution_profile_handle(Some(self.deciding.clone()));
            }
        }
        Ok(statement)
    }

    async fn rows(&self, table: &str) -> Result<RowStatements, PrepareError> {
        let key = "owner = ? AND bucket = ?";
        let read = async |cql: String| self.get(Kind::Read, &cql).await;
        let write = async |cql: String| self.get(Kind::Write, &cql).await;
        let select = |what: &str, who: &str, rest: &str| {
            format!("SELECT {what} FROM @{table} WHERE {key} AND who = {who} AND {rest}")
        };
        const FORWARDS: &str = "id >= ? AND id <= ? ORDER BY who DESC, id ASC LIMIT ?";
        const BACKWARDS: &str = "id >= ? AND id <= ? LIMIT ?";
        Ok(RowStatements {
            put: write(format!(
                "INSERT INTO @{table} (owner, bucket, who, id, at, flags, with_jid, resource, origin, size, wire) \
                 VALUES (?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
            ))
            .await?,
            put_who: write(format!(
                "INSERT INTO @{table} (owner, bucket, who, id) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
            ))
            .await?,
            forwards: read(select(ROW, "''", FORWARDS)).await?,
            backwards: read(select(ROW, "''", BACKWARDS)).await?,
            ids_forwards: read(select("id", "?", FORWARDS)).await?,
            ids_backwards: read(select("id", "?", BACKWARDS)).await?,
            some: read(select(ROW, "''", "id IN ?")).await?,
            sizes: read(select("id, flags, size", "''", FORWARDS)).await?,
            last: read(format!("SELECT id FROM @{table} WHERE {key} AND who = '' LIMIT 1")).await?,
            delete: write(format!(
                "DELETE FROM @{table} USING TIMESTAMP ? WHERE {key} AND who = ? AND id = ?"
            ))
            .await?,
            erase: write(format!("DELETE FROM @{table} USING TIMESTAMP ? WHERE {key}")).await?,
        })
    }

    pub(crate) async fn all(&self) -> Result<Statements, PrepareError> {
        let read = async |cql: &str| self.get(Kind::Read, cql).await;
        let write = async |cql: &str| self.get(Kind::Write, cql).await;
        let decide = async |cql: &str| self.get(Kind::Decision, cql).await;
        // After a decision of unknown outcome: a serial read ends whatever is still under way.
        let decided = |statement: &PreparedStatement| {
            let mut statement = statement.clone();
            statement.set_consistency(Consistency::LocalSerial);
            statement
        };
        let account = read(&format!("SELECT {ACCOUNT} FROM @accounts WHERE name = ?")).await?;
        let roster = read(&format!("SELECT {CONTACT} FROM @rosters WHERE owner = ?")).await?;
        let mut erase_owner = Vec::with_capacity(OWNED.len());
        for table in OWNED {
            erase_owner
                .push(write(&format!("DELETE FROM @{table} USING TIMESTAMP ? WHERE owner = ?")).await?);
        }
        Ok(Statements {
            archive: self.rows("archive").await?,
            spool: self.rows("spool").await?,
            buckets: read("SELECT kind, bucket FROM @archive_buckets WHERE owner = ?").await?,
            bucket_add: write(
                "INSERT INTO @archive_buckets (owner, kind, bucket) VALUES (?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            buckets_erase: write("DELETE FROM @archive_buckets USING TIMESTAMP ? WHERE owner = ?").await?,
            position: read("SELECT low, acknowledged FROM @positions WHERE owner = ?").await?,
            position_put: write(
                "INSERT INTO @positions (owner, low, acknowledged) VALUES (?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            account_decided: decided(&account),
            account,
            account_create: decide(&format!(
                "INSERT INTO @accounts (name, {ACCOUNT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
            ))
            .await?,
            account_again: decide(&format!(
                "UPDATE @accounts SET state = ?, nonce = ?, created = ?, suspended = false, {KEYS} \
                 WHERE name = ? IF state = ? AND removed_at = ?"
            ))
            .await?,
            account_keys: decide(&format!("UPDATE @accounts SET {KEYS} WHERE name = ? IF state = ?")).await?,
            account_suspend: decide("UPDATE @accounts SET suspended = ? WHERE name = ? IF state = ?").await?,
            account_removing: decide(
                "UPDATE @accounts SET state = ?, removed_at = ?, removed_id = ?, sha1_salt = null, sha1_stored = null, \
                 sha1_server = null, sha256_salt = null, sha256_stored = null, sha256_server = null \
                 WHERE name = ? IF state = ?",
            )
            .await?,
            account_removed: decide(
                "UPDATE @accounts SET state = ? WHERE name = ? IF state = ? AND removed_at = ?",
            )
            .await?,
            accounts_named: read("SELECT name, state FROM @accounts WHERE name IN ?").await?,
            names: read("SELECT name FROM @account_names WHERE shard = ? AND name > ? LIMIT ?").await?,
            name_add: write("INSERT INTO @account_names (shard, name) VALUES (?, ?) USING TIMESTAMP ?")
                .await?,
            name_remove: write("DELETE FROM @account_names USING TIMESTAMP ? WHERE shard = ? AND name = ?")
                .await?,
            roster_decided: decided(&roster),
            roster,
            roster_first: decide(
                "INSERT INTO @rosters (owner, contact, version, since, nonce) VALUES (?, '', ?, ?, ?) IF NOT EXISTS",
            )
            .await?,
            roster_next: decide(
                "UPDATE @rosters SET version = ?, since = ?, nonce = ? WHERE owner = ? AND contact = '' IF version = ?",
            )
            .await?,
            roster_put: decide(
                "INSERT INTO @rosters (owner, contact, version, removed, flags, name, groups, request) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            roster_forget: decide("DELETE FROM @rosters WHERE owner = ? AND contact = ?").await?,
            block_list: read("SELECT items FROM @block_lists WHERE owner = ?").await?,
            block_list_put: write("INSERT INTO @block_lists (owner, items) VALUES (?, ?) USING TIMESTAMP ?")
                .await?,
            preferences: read("SELECT otherwise, always, never FROM @preferences WHERE owner = ?").await?,
            preferences_put: write(
                "INSERT INTO @preferences (owner, otherwise, always, never) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            document: read(
                "SELECT xml FROM @documents WHERE owner = ? AND kind = ? AND namespace = ? AND name = ?",
            )
            .await?,
            document_put: write(
                "INSERT INTO @documents (owner, kind, namespace, name, xml, size) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            document_sizes: read("SELECT size FROM @documents WHERE owner = ?").await?,
            last_activity: read("SELECT at, status FROM @last_activities WHERE owner = ?").await?,
            last_activity_put: write(
                "INSERT INTO @last_activities (owner, at, status) VALUES (?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            erase_owner,
        })
    }
}
