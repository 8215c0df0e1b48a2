//! What one process asks of another, as metrics name it.

pub(crate) mod metrics;

use crate::pb::up::Body;

/// What is asked: by a frame of the one stream of a link, or (the last four) by a call of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Submit,
    Acknowledge,
    Pull,
    EnableSm,
    SetInactive,
    Detach,
    Bind,
    Resume,
    Portrait,
    Renew,
    RegisterAgain,
    Hello,
    Step,
    Abort,
    Register,
    Ask,
}

/// How many there are.
pub(crate) const METHODS: usize = Method::Ask as usize + 1;

impl Method {
    pub(crate) fn of(body: &Body) -> Method {
        match body {
            Body::Submit(_) => Self::Submit,
            Body::Acknowledge(_) => Self::Acknowledge,
            Body::Pull(_) => Self::Pull,
            Body::EnableSm(_) => Self::EnableSm,
            Body::SetInactive(_) => Self::SetInactive,
            Body::Detach(_) => Self::Detach,
            Body::Bind(_) => Self::Bind,
            Body::Resume(_) => Self::Resume,
            Body::GetFlags(_) => Self::Portrait,
            Body::Renew(_) => Self::Renew,
            Body::RegisterAgain(_) => Self::RegisterAgain,
            Body::Hello(_) => Self::Hello,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Acknowledge => "acknowledge",
            Self::Pull => "pull",
            Self::EnableSm => "enable-sm",
            Self::SetInactive => "set-inactive",
            Self::Detach => "detach",
            Self::Bind => "bind",
            Self::Resume => "resume",
            Self::Portrait => "portrait",
            Self::Renew => "renew",
            Self::RegisterAgain => "register-again",
            Self::Hello => "hello",
            Self::Step => "step",
            Self::Abort => "abort",
            Self::Register => "register",
            Self::Ask => "ask",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// An answer.
    Ok,
    /// The answer is that a store did not answer.
    Failed,
    /// No answer within its time.
    Late,
    /// Nobody to ask.
    Nobody,
    /// The other end, or what lies between, has refused it.
    Refused,
    /// What came cannot be read.
    Malformed,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Nobody => "nobody",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}
