//! What Redis says when it does not do what it was asked.

use starling_ports::StoreError;

/// Why it cannot be started on this Redis.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection.
    #[error("redis at {at} cannot be used: {source}; check `url` and that redis-server runs")]
    Unreachable {
        /// Which one, without a password.
        at: String,
        /// What was said.
        source: redis::RedisError,
    },
    /// It would lose what it is told (rule 10 of the session log).
    #[error("redis at {at} {what}; set `{setting}` in redis.conf, or accept the risk with `{accept} = true`")]
    Unsafe {
        /// Which one.
        at: String,
        /// What is wrong with it.
        what: &'static str,
        /// What would be right.
        setting: &'static str,
        /// The key of the configuration that goes on all the same.
        accept: &'static str,
    },
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may be that it was done; ask again (rule 25).
    Again(redis::RedisError),
    /// Asking again does not help.
    Final(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Final(error)
    }
}

/// To be said of Redis.
pub(crate) fn unavailable(error: redis::RedisError) -> StoreError {
    StoreError::Unavailable { store: "redis", source: Box::new(error) }
}

/// Answers that say "not now" or "not here": the call was not done.
const PASSING: [&str; 12] = [
    "LOADING",
    "MISCONF",
    "READONLY",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOSCRIPT",
    "OOM",
    "BUSY",
    "NOREPLICAS",
];

impl Failure {
    /// To be told to whoever asked, when it is not asked again.
    pub(crate) fn into_error(self) -> StoreError {
        match self {
            Failure::Again(error) => unavailable(error),
            Failure::Final(error) => error,
        }
    }

    pub(crate) fn of(error: redis::RedisError) -> Failure {
        let passing = error.code().is_some_and(|code| PASSING.contains(&code));
        if passing || is_lost(&error) { Failure::Again(error) } else { Failure::Final(unavailable(error)) }
    }
}

/// Whether the key is not here, or not yet: the call was not done, and somebody else may do it.
pub(crate) fn is_elsewhere(error: &redis::RedisError) -> bool {
    matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN"))
}

/// Whether the connection is not to be used again: it is gone, or leads to a Redis that takes no writes any more.
pub(crate) fn is_lost(error: &redis::RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(error.code(), Some("READONLY" | "MOVED" | "LOADING"))
}
