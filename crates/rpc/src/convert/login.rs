//! SASL exchanges and registration.

use std::net::IpAddr;

use starling_ports::authentication::{Mechanism, Reply, SaslFailure, Step};
use starling_ports::ingress::RegisterError;

use super::{Malformed, Result, id, of_account, of_id};
use crate::pb::{self, step_reply::Body};

const FAILURES: [SaslFailure; 10] = [
    SaslFailure::Aborted,
    SaslFailure::AccountDisabled,
    SaslFailure::EncryptionRequired,
    SaslFailure::IncorrectEncoding,
    SaslFailure::InvalidAuthzid,
    SaslFailure::InvalidMechanism,
    SaslFailure::MalformedRequest,
    SaslFailure::MechanismTooWeak,
    SaslFailure::NotAuthorized,
    SaslFailure::TemporaryAuthFailure,
];

pub(crate) fn step(step: &Step) -> pb::StepRequest {
    pb::StepRequest {
        exchange: Some(id(step.exchange)),
        mechanism: step.mechanism.as_str().to_owned(),
        domain: step.domain.as_str().to_owned(),
        peer: step.peer.to_string(),
        plus_offered: step.plus_offered,
        channel_binding: step.channel_binding.clone().map(Into::into),
        message: step.message.clone().map(Into::into),
    }
}

pub(crate) fn to_step(request: pb::StepRequest) -> Result<Step> {
    Ok(Step {
        exchange: of_id(request.exchange)?,
        mechanism: Mechanism::parse(&request.mechanism).ok_or(Malformed("mechanism"))?,
        domain: of_account(&request.domain)?,
        peer: to_peer(&request.peer)?,
        plus_offered: request.plus_offered,
        channel_binding: request.channel_binding.map(Into::into),
        message: request.message.map(Into::into),
    })
}

pub(crate) fn to_peer(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Malformed("peer"))
}

pub(crate) fn reply(reply: Reply) -> pb::StepReply {
    let body = match reply {
        Reply::Challenge(challenge) => Body::Challenge(challenge.into()),
        Reply::Success { account, additional } => Body::Success(pb::Success {
            account: account.as_str().to_owned(),
            additional: additional.map(Into::into),
        }),
        Reply::Failure(failure) => Body::Failure(failure.condition().to_owned()),
    };
    pb::StepReply { body: Some(body) }
}

pub(crate) fn to_reply(reply: pb::StepReply) -> Result<Reply> {
    Ok(match reply.body.ok_or(Malformed("reply"))? {
        Body::Challenge(challenge) => Reply::Challenge(challenge.into()),
        Body::Success(pb::Success { account, additional }) => {
            Reply::Success { account: of_account(&account)?, additional: additional.map(Into::into) }
        }
        Body::Failure(text) => {
            let known = FAILURES.into_iter().find(|failure| failure.condition() == text);
            Reply::Failure(known.ok_or(Malformed("failure"))?)
        }
    })
}

pub(crate) fn register_outcome(result: std::result::Result<(), RegisterError>) -> pb::RegisterOutcome {
    match result {
        Ok(()) => pb::RegisterOutcome::Done,
        Err(RegisterError::Conflict) => pb::RegisterOutcome::Conflict,
        Err(RegisterError::NotAcceptable) => pb::RegisterOutcome::NotAcceptable,
        Err(RegisterError::NotAllowed) => pb::RegisterOutcome::NotAllowed,
        Err(RegisterError::ResourceConstraint) => pb::RegisterOutcome::ResourceConstraint,
    }
}

pub(crate) fn register_result(outcome: pb::RegisterOutcome) -> std::result::Result<(), RegisterError> {
    match outcome {
        pb::RegisterOutcome::Done => Ok(()),
        pb::RegisterOutcome::Conflict => Err(RegisterError::Conflict),
        pb::RegisterOutcome::NotAcceptable => Err(RegisterError::NotAcceptable),
        pb::RegisterOutcome::NotAllowed => Err(RegisterError::NotAllowed),
        pb::RegisterOutcome::ResourceConstraint | pb::RegisterOutcome::Unspecified => {
            Err(RegisterError::ResourceConstraint)
        }
    }
}
