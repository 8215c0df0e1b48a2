//! What keeps a client out only for now: it may try again.

use std::io::{Error, ErrorKind};
use tokio::time::error::Elapsed;

/// Why a client that tries again may get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// By `temporary-auth-failure` (RFC 6120 §6.5.11).
    Refused,
    /// The server ended the stream or the connection.
    Closed,
    /// No answer came in time.
    Unanswered,
}

/// The server cannot say now who somebody is.
#[derive(Debug, thiserror::Error)]
#[error("login: {0}")]
pub(crate) struct Refused(pub(crate) String);

/// The server ended the stream or the connection.
#[derive(Debug, thiserror::Error)]
#[error("the server closed {0}")]
pub(crate) struct Closed(pub(crate) String);

impl Passing {
    /// Nothing if another attempt would end the same.
    pub(crate) fn of(error: &anyhow::Error) -> Option<Self> {
        error.chain().find_map(|cause| match cause.downcast_ref::<Error>().map(Error::kind) {
            _ if cause.is::<Refused>() => Some(Self::Refused),
            _ if cause.is::<Elapsed>() => Some(Self::Unanswered),
            _ if cause.is::<Closed>() => Some(Self::Closed),
            Some(
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof,
            ) => Some(Self::Closed),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context as _, anyhow};

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_told_from_what_stays_whatever_was_said_about_it() {
        let late =
            tokio::time::timeout(std::time::Duration::from_secs(1), std::future::pending::<()>()).await;
        let late = late.context("the server did not answer").unwrap_err();
        let io = |kind| anyhow!(Error::from(kind)).context("login");
        let found = [
            late,
            anyhow!(Refused("x".to_owned())),
            anyhow!(Closed("x".to_owned())).context("login"),
            io(ErrorKind::ConnectionReset),
            io(ErrorKind::ConnectionRefused),
            anyhow!("login: <failure><not-authorized/></failure>"),
        ];
        let closed = Some(Passing::Closed);
        assert_eq!(
            found.each_ref().map(Passing::of),
            [Some(Passing::Unanswered), Some(Passing::Refused), closed, closed, None, None]
        );
    }
}
