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

/// The statements on the list of partitions.
pub(crate) struct BucketStatements {
    pub(crate) list: PreparedStatement,
    pub(crate) add: PreparedStatement,
    pub(crate) erase: PreparedStatement,
}

/// The statements on accounts.
pub(crate) struct AccountStatements {
    pub(crate) get: PreparedStatement,
    /// The same as a serial read: it ends whatever decision is still under way.
    pub(crate) decided: PreparedStatement,
    pub(crate) create: PreparedStatement,
    pub(crate) again: PreparedStatement,
    pub(crate) keys: PreparedStatement,
    pub(crate) suspend: PreparedStatement,
    pub(crate) removing: PreparedStatement,
    pub(crate) removed: PreparedStatement,
    pub(crate) named: PreparedStatement,
}

/// The statements on the list of names.
pub(crate) struct NameStatements {
    pub(crate) after: PreparedStatement,
    pub(crate) add: PreparedStatement,
    pub(crate) remove: PreparedStatement,
}

/// The statements on rosters.
pub(crate) struct RosterStatements {
    pub(crate) get: PreparedStatement,
    /// The same as a serial read.
    pub(crate) decided: PreparedStatement,
    pub(crate) first: PreparedStatement,
    pub(crate) next: PreparedStatement,
    pub(crate) put: PreparedStatement,
    pub(crate) forget: PreparedStatement,
}

/// The statements on documents.
pub(crate) struct DocumentStatements {
    pub(crate) get: PreparedStatement,
    pub(crate) all: PreparedStatement,
    pub(crate) put: PreparedStatement,
    pub(crate) sizes: PreparedStatement,
}

/// The statements on a table with one row an account.
pub(crate) struct RowOfOwner {
    pub(crate) get: PreparedStatement,
    pub(crate) put: PreparedStatement,
}

/// All statements.
pub(crate) struct Statements {
    pub(crate) archive: RowStatements,
    pub(crate) spool: RowStatements,
    pub(crate) buckets: BucketStatements,
    pub(crate) accounts: AccountStatements,
    pub(crate) names: NameStatements,
    pub(crate) rosters: RosterStatements,
    pub(crate) documents: DocumentStatements,
    pub(crate) positions: RowOfOwner,
    pub(crate) block_lists: RowOfOwner,
    pub(crate) preferences: RowOfOwner,
    pub(crate) last_activities: RowOfOwner,
    /// Of the tables with one partition an owner and no decisions.
    pub(crate) erase_owner: Vec<PreparedStatement>,
}

/// Tables whose partition of an owner is deleted by a stamp.
const OWNED: [&str; 5] = ["positions", "block_lists", "preferences", "documents", "last_activities"];

const ROW: &str = "id, at, flags, with_jid, resource, origin, born, wire";
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
                "INSERT INTO @{table} (owner, bucket, who, id, at, flags, with_jid, resource, origin, born, size, wire) \
                 VALUES (?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
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

    async fn buckets(&self) -> Result<BucketStatements, PrepareError> {
        Ok(BucketStatements {
            list: self.get(Kind::Read, "SELECT kind, bucket FROM @archive_buckets WHERE owner = ?").await?,
            add: self
                .get(
                    Kind::Write,
                    "INSERT INTO @archive_buckets (owner, kind, bucket) VALUES (?, ?, ?) USING TIMESTAMP ?",
                )
                .await?,
            erase: self
                .get(Kind::Write, "DELETE FROM @archive_buckets USING TIMESTAMP ? WHERE owner = ?")
                .await?,
        })
    }

    async fn accounts(&self) -> Result<AccountStatements, PrepareError> {
        let decide = async |cql: &str| self.get(Kind::Decision, cql).await;
        let get = self.get(Kind::Read, &format!("SELECT {ACCOUNT} FROM @accounts WHERE name = ?")).await?;
        Ok(AccountStatements {
            decided: serial(&get),
            get,
            create: decide(&format!(
                "INSERT INTO @accounts (name, {ACCOUNT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
            ))
            .await?,
            again: decide(&format!(
                "UPDATE @accounts SET state = ?, nonce = ?, created = ?, suspended = false, {KEYS} \
                 WHERE name = ? IF state = ? AND removed_at = ?"
            ))
            .await?,
            keys: decide(&format!("UPDATE @accounts SET {KEYS} WHERE name = ? IF state = ?")).await?,
            suspend: decide("UPDATE @accounts SET suspended = ? WHERE name = ? IF state = ?").await?,
            removing: decide(
                "UPDATE @accounts SET state = ?, removed_at = ?, removed_id = ?, sha1_salt = null, sha1_stored = null, \
                 sha1_server = null, sha256_salt = null, sha256_stored = null, sha256_server = null \
                 WHERE name = ? IF state = ?",
            )
            .await?,
            removed: decide("UPDATE @accounts SET state = ? WHERE name = ? IF state = ? AND removed_at = ?")
                .await?,
            named: self.get(Kind::Read, "SELECT name, state FROM @accounts WHERE name IN ?").await?,
        })
    }

    async fn names(&self) -> Result<NameStatements, PrepareError> {
        let write = async |cql: &str| self.get(Kind::Write, cql).await;
        let after = "SELECT name FROM @account_names WHERE shard = ? AND name > ? LIMIT ?";
        Ok(NameStatements {
            after: self.get(Kind::Read, after).await?,
            add: write("INSERT INTO @account_names (shard, name) VALUES (?, ?) USING TIMESTAMP ?").await?,
            remove: write("DELETE FROM @account_names USING TIMESTAMP ? WHERE shard = ? AND name = ?")
                .await?,
        })
    }

    async fn rosters(&self) -> Result<RosterStatements, PrepareError> {
        let decide = async |cql: &str| self.get(Kind::Decision, cql).await;
        let get = self.get(Kind::Read, &format!("SELECT {CONTACT} FROM @rosters WHERE owner = ?")).await?;
        Ok(RosterStatements {
            decided: serial(&get),
            get,
            first: decide(
                "INSERT INTO @rosters (owner, contact, version, since, nonce) VALUES (?, '', ?, ?, ?) IF NOT EXISTS",
            )
            .await?,
            next: decide(
                "UPDATE @rosters SET version = ?, since = ?, nonce = ? WHERE owner = ? AND contact = '' IF version = ?",
            )
            .await?,
            put: decide(
                "INSERT INTO @rosters (owner, contact, version, removed, flags, name, groups, request) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            forget: decide("DELETE FROM @rosters WHERE owner = ? AND contact = ?").await?,
        })
    }

    async fn documents(&self) -> Result<DocumentStatements, PrepareError> {
        let get = "SELECT xml FROM @documents WHERE owner = ? AND kind = ? AND namespace = ? AND name = ?";
        let put = "INSERT INTO @documents (owner, kind, namespace, name, xml, size) \
            VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        Ok(DocumentStatements {
            get: self.get(Kind::Read, get).await?,
            all: self
                .get(Kind::Read, "SELECT kind, namespace, name, xml FROM @documents WHERE owner = ?")
                .await?,
            put: self.get(Kind::Write, put).await?,
            sizes: self.get(Kind::Read, "SELECT size FROM @documents WHERE owner = ?").await?,
        })
    }

    /// All columns of the owner's row, read and replaced at once.
    async fn row_of_owner(&self, table: &str, columns: &str) -> Result<RowOfOwner, PrepareError> {
        let places = columns.split(',').map(|_| "?").collect::<Vec<_>>().join(", ");
        let get = format!("SELECT {columns} FROM @{table} WHERE owner = ?");
        let put = format!("INSERT INTO @{table} (owner, {columns}) VALUES (?, {places}) USING TIMESTAMP ?");
        Ok(RowOfOwner { get: self.get(Kind::Read, &get).await?, put: self.get(Kind::Write, &put).await? })
    }

    pub(crate) async fn all(&self) -> Result<Statements, PrepareError> {
        let mut erase_owner = Vec::with_capacity(OWNED.len());
        for table in OWNED {
            let cql = format!("DELETE FROM @{table} USING TIMESTAMP ? WHERE owner = ?");
            erase_owner.push(self.get(Kind::Write, &cql).await?);
        }
        Ok(Statements {
            archive: self.rows("archive").await?,
            spool: self.rows("spool").await?,
            buckets: self.buckets().await?,
            accounts: self.accounts().await?,
            names: self.names().await?,
            rosters: self.rosters().await?,
            documents: self.documents().await?,
            positions: self.row_of_owner("positions", "low, acknowledged").await?,
            block_lists: self.row_of_owner("block_lists", "items").await?,
            preferences: self.row_of_owner("preferences", "otherwise, always, never").await?,
            last_activities: self.row_of_owner("last_activities", "at, status").await?,
            erase_owner,
        })
    }
}

/// After a decision of unknown outcome: a serial read ends whatever is still under way.
fn serial(statement: &PreparedStatement) -> PreparedStatement {
    let mut statement = statement.clone();
    statement.set_consistency(Consistency::LocalSerial);
    statement
}
