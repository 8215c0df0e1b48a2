//! Which version the tables are at, and whether this program can use them.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

use super::steps::{NAME, VERSION};
use crate::error::ConnectError;

/// What the tables say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The last step that was made.
    pub(crate) version: i32,
    /// The oldest program that can use them.
    pub(crate) oldest: i32,
    /// How much time a partition covers: chosen by whoever made the tables, and fixed since.
    pub(crate) bucket: Duration,
}

/// `None` if there is no keyspace, no table, or no row yet.
pub(crate) async fn read(session: &Session, keyspace: &str) -> Result<Option<Found>, ConnectError> {
    let cql = format!(
        "SELECT version, oldest, bucket_micros FROM {keyspace}.schema_versions WHERE name = '{NAME}' LIMIT 1"
    );
    let failed = |error: scylla::errors::ExecutionError| {
        ConnectError::refused("reading the version of the tables", error)
    };
    let result = match session.query_unpaged(cql, ()).await {
        Ok(result) => result,
        Err(error) if is_unknown(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let unreadable =
        |error: starling_ports::BoxError| ConnectError::refused("reading the version of the tables", error);
    let rows = result.into_rows_result().map_err(|error| unreadable(error.into()))?;
    let row = rows.maybe_first_row::<(i32, i32, i64)>().map_err(|error| unreadable(error.into()))?;
    Ok(row.map(|(version, oldest, micros)| Found {
        version,
        oldest,
        bucket: Duration::from_micros(micros.unsigned_abs().max(1)),
    }))
}

/// The server knows no such keyspace or table: `Invalid` on both servers.
fn is_unknown(error: &ExecutionError) -> bool {
    let attempt = match error {
        ExecutionError::LastAttemptError(attempt) => attempt,
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => first_attempt,
        _ => return false,
    };
    matches!(attempt, RequestAttemptError::DbError(DbError::Invalid, _))
}

/// Whether this program can use tables of that version.
pub(crate) fn check(found: Option<Found>, keyspace: &str) -> Result<Found, ConnectError> {
    let keyspace = keyspace.to_owned();
    match found {
        None => Err(ConnectError::Missing { keyspace }),
        Some(found) if found.version < VERSION => {
            Err(ConnectError::Older { keyspace, found: found.version, needed: VERSION })
        }
        Some(Found { version, oldest, .. }) if oldest > VERSION => {
            Err(ConnectError::Newer { keyspace, found: version, oldest, ours: VERSION })
        }
        Some(found) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_cannot_be_used_is_refused_and_says_what_to_do() {
        let found = |version, oldest| Some(Found { version, oldest, bucket: Duration::from_secs(1) });
        let refusal = |found| check(found, "chat").unwrap_err().to_string();
        assert!(refusal(None).contains("`starling store migrate`"));
        assert!(refusal(found(VERSION - 1, 0)).contains("run `starling store migrate`"));
        assert!(refusal(found(VERSION + 2, VERSION + 1)).contains("install a newer one"));
        assert_eq!(check(found(VERSION, 1), "chat").unwrap().version, VERSION);
        assert_eq!(check(found(VERSION + 1, VERSION), "chat").unwrap().version, VERSION + 1);
    }
}
