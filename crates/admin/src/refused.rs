//! Why a command was not done, in the words of each door.

use http::StatusCode;
use tonic::{Code, Status};

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Without a token, or with one that is not known. Nobody learns which.
    #[error("unauthorized")]
    Unauthenticated,
    /// The role of the token is not enough, or a page of another site asks.
    #[error("forbidden")]
    Forbidden,
    /// Too many wrong tokens at once.
    #[error("too many requests")]
    TooMany,
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// A part of the server did not answer, or not in time.
    #[error("{0}")]
    Failed(String),
}

impl Refused {
    /// For HTTP (RFC 9110 §15).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// For the audit log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::TooMany => "too-many",
            Self::Invalid(_) => "invalid",
            Self::NotFound(_) => "not-found",
            Self::Conflict(_) => "conflict",
            Self::Failed(_) => "failed",
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        let code = match refused {
            Refused::Unauthenticated => Code::Unauthenticated,
            Refused::Forbidden => Code::PermissionDenied,
            Refused::TooMany => Code::ResourceExhausted,
            Refused::Invalid(_) => Code::InvalidArgument,
            Refused::NotFound(_) => Code::NotFound,
            Refused::Conflict(_) => Code::FailedPrecondition,
            Refused::Failed(_) => Code::Unavailable,
        };
        Status::new(code, refused.to_string())
    }
}
