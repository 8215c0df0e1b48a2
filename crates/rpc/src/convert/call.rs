//! What a connection manager asks of a session router.

use starling_jid::BareJid;
use starling_ports::ids::{Epoch, Life, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::ingress::{Ingress, Resume, SessionRef, Submitted};
use starling_ports::nodes::NodeReport;
use starling_ports::sessions::{Detach, Registration, Renewal, SmBase};
use starling_stanza::{Carried, Condition, Draft, Kind};

use super::{
    Malformed, Reply, Result, again, base, id, of_account, of_base, of_id, of_session, of_traceparent,
    session, traceparent,
};
use crate::pb::{self, up::Body};

/// One method of `Ingress` with its arguments.
#[derive(Debug)]
pub(crate) enum Call {
    Submit(SessionRef, Vec<Submitted>),
    SubmitAgain(SessionRef, Vec<Submitted>),
    Acknowledge(SessionRef, LogNumber),
    Pull(SessionRef, LogNumber, usize),
    EnableSm(SessionRef, bool, SmBase),
    SetInactive(SessionRef, bool),
    Detach(SessionRef, Detach),
    Bind(BareJid, Option<String>),
    Resume(Resume),
    Portrait(SessionRef),
    Renew(Vec<Renewal>),
    RegisterAgain(Box<pb::Registration>),
}

impl Call {
    /// Does it; `node` asks.
    pub(crate) async fn run(self, ingress: &dyn Ingress, node: NodeId) -> Reply {
        match self {
            Call::Submit(session, batch) => Reply::Answered(ingress.submit(&session, batch).await),
            Call::SubmitAgain(session, batch) => Reply::Answered(ingress.submit_again(&session, batch).await),
            Call::Acknowledge(session, upto) => {
                Reply::Acknowledged(ingress.acknowledge(&session, upto).await)
            }
            Call::Pull(session, after, limit) => Reply::Pulled(ingress.pull(&session, after, limit).await),
            Call::EnableSm(session, resume, base) => {
                Reply::Enabled(ingress.enable_sm(&session, resume, base).await)
            }
            Call::SetInactive(session, inactive) => {
                Reply::Done(ingress.set_inactive(&session, inactive).await)
            }
            Call::Detach(session, why) => Reply::Detached(ingress.detach(&session, why).await),
            Call::Bind(account, resource) => {
                Reply::Bound(ingress.bind(&account, resource.as_deref(), node).await)
            }
            Call::Resume(resume) => Reply::Claimed(ingress.resume(resume, node).await),
            Call::Portrait(session) => Reply::Portrait(ingress.portrait(&session).await),
            Call::RegisterAgain(said) => match again::of_registration(*said, node) {
                Ok(registration) => Reply::Registered(ingress.register_again(registration).await),
                Err(why) => Reply::malformed(why),
            },
            Call::Renew(sessions) => Reply::Renewed(ingress.renew(node, sessions).await),
        }
    }

    /// As it arrived.
    pub(crate) fn read(body: Body) -> Result<Call> {
        Ok(match body {
            Body::Submit(pb::Submit { session, drafts, again }) => {
                let drafts: Result<Vec<Submitted>> = drafts.into_iter().map(of_draft).collect();
                let call = if again { Call::SubmitAgain } else { Call::Submit };
                call(of_session(session)?, drafts?)
            }
            Body::Acknowledge(pb::Acknowledge { session, upto }) => {
                Call::Acknowledge(of_session(session)?, LogNumber(upto))
            }
            Body::Pull(pb::Pull { session, after, limit }) => {
                Call::Pull(of_session(session)?, LogNumber(after), limit as usize)
            }
            Body::EnableSm(pb::EnableSm { session, resume, base }) => {
                Call::EnableSm(of_session(session)?, resume, of_base(base)?)
            }
            Body::SetInactive(pb::SetInactive { session, inactive }) => {
                Call::SetInactive(of_session(session)?, inactive)
            }
            Body::Detach(pb::Detach { session, closed }) => {
                Call::Detach(of_session(session)?, if closed { Detach::Closed } else { Detach::Lost })
            }
            Body::Bind(pb::Bind { account, resource }) => Call::Bind(of_account(&account)?, resource),
            Body::Resume(pb::Resume { account, session, h, token }) => Call::Resume(Resume {
                account: of_account(&account)?,
                session: SessionId(of_id(session)?),
                h,
                token: of_id(token)?,
            }),
            Body::GetFlags(pb::GetFlags { session }) => Call::Portrait(of_session(session)?),
            Body::RegisterAgain(said) => Call::RegisterAgain(Box::new(said)),
            Body::Renew(pb::Renew { sessions, report: _ }) => {
                let sessions: Result<Vec<Renewal>> = sessions.into_iter().map(of_renewal).collect();
                Call::Renew(sessions?)
            }
            Body::Hello(_) => return Err(Malformed("second hello")),
        })
    }

    pub(crate) fn submit(of: &SessionRef, batch: &[Submitted], again: bool) -> Body {
        let drafts = batch.iter().map(draft).collect();
        Body::Submit(pb::Submit { session: Some(session(of)), drafts, again })
    }
    pub(crate) fn acknowledge(of: &SessionRef, upto: LogNumber) -> Body {
        Body::Acknowledge(pb::Acknowledge { session: Some(session(of)), upto: upto.0 })
    }
    pub(crate) fn pull(of: &SessionRef, after: LogNumber, limit: usize) -> Body {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Body::Pull(pb::Pull { session: Some(session(of)), after: after.0, limit })
    }
    pub(crate) fn enable_sm(of: &SessionRef, resume: bool, from: SmBase) -> Body {
        Body::EnableSm(pb::EnableSm { session: Some(session(of)), resume, base: Some(base(from)) })
    }
    pub(crate) fn set_inactive(of: &SessionRef, inactive: bool) -> Body {
        Body::SetInactive(pb::SetInactive { session: Some(session(of)), inactive })
    }
    pub(crate) fn detach(of: &SessionRef, why: Detach) -> Body {
        Body::Detach(pb::Detach { session: Some(session(of)), closed: why == Detach::Closed })
    }
    pub(crate) fn bind(account: &BareJid, resource: Option<&str>) -> Body {
        Body::Bind(pb::Bind { account: account.as_str().to_owned(), resource: resource.map(str::to_owned) })
    }
    pub(crate) fn resume(resume: &Resume) -> Body {
        Body::Resume(pb::Resume {
            account: resume.account.as_str().to_owned(),
            session: Some(id(resume.session.0)),
            h: resume.h,
            token: Some(id(resume.token)),
        })
    }
    pub(crate) fn register_again(registration: &Registration) -> Body {
        Body::RegisterAgain(again::registration(registration))
    }
    pub(crate) fn portrait(of: &SessionRef) -> Body {
        Body::GetFlags(pb::GetFlags { session: Some(session(of)) })
    }
    pub(crate) fn renew(sessions: &[Renewal], report: Option<&NodeReport>) -> Body {
        let sessions = sessions.iter().map(|one| pb::Renewal {
            account: one.account.as_str().to_owned(),
            session: Some(id(one.session.0)),
            epoch: one.epoch.0,
            last: one.last.0,
            acknowledged: one.acknowledged.0,
            life: one.life.map(|life| life.0),
        });
        Body::Renew(pb::Renew { sessions: sessions.collect(), report: report.map(said) })
    }
}

fn said(report: &NodeReport) -> pb::Report {
    pb::Report {
        name: report.name.clone(),
        roles: report.roles.clone(),
        version: report.version.clone(),
        since: report.since.0,
        sessions: report.sessions,
        links: report.links,
        state: report.state.clone(),
    }
}

/// What `node` has said of itself.
pub(crate) fn of_report(said: pb::Report, node: NodeId) -> NodeReport {
    let pb::Report { name, roles, version, since, sessions, links, state } = said;
    NodeReport { name, node, roles, version, since: Timestamp(since), sessions, links, state }
}

fn of_renewal(renewal: pb::Renewal) -> Result<Renewal> {
    Ok(Renewal {
        account: of_account(&renewal.account)?,
        session: SessionId(of_id(renewal.session)?),
        epoch: Epoch(renewal.epoch),
        last: LogNumber(renewal.last),
        acknowledged: LogNumber(renewal.acknowledged),
        life: renewal.life.map(Life),
    })
}

fn draft(submitted: &Submitted) -> pb::Draft {
    let carried = submitted.draft.carried();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let kind = match carried.kind {
        Kind::Message => pb::Kind::Message,
        Kind::Presence => pb::Kind::Presence,
        Kind::Iq => pb::Kind::Iq,
    };
    let refusal = match carried.refusal {
        None => pb::Refusal::None,
        Some(Condition::JidMalformed) => pb::Refusal::JidMalformed,
        Some(_) => pb::Refusal::BadRequest,
    };
    pb::Draft {
        number: submitted.number,
        kind: kind.into(),
        r#type: carried.type_name.to_owned(),
        id: owned(carried.id),
        lang: owned(carried.lang),
        to: owned(carried.to),
        from: owned(carried.from),
        refusal: refusal.into(),
        content: carried.children.clone(),
        trace: traceparent(&submitted.trace),
    }
}

fn of_draft(draft: pb::Draft) -> Result<Submitted> {
    let kind = match draft.kind() {
        pb::Kind::Message => Kind::Message,
        pb::Kind::Presence => Kind::Presence,
        pb::Kind::Iq => Kind::Iq,
        pb::Kind::Unspecified => return Err(Malformed("kind")),
    };
    let refusal = match draft.refusal() {
        pb::Refusal::None => None,
        pb::Refusal::JidMalformed => Some(Condition::JidMalformed),
        pb::Refusal::BadRequest => Some(Condition::BadRequest),
    };
    let carried = Carried {
        kind,
        type_name: &draft.r#type,
        id: draft.id.as_deref(),
        lang: draft.lang.as_deref(),
        to: draft.to.as_deref(),
        from: draft.from.as_deref(),
        refusal,
        children: &draft.content,
    };
    let read = Draft::of_carried(carried).ok_or(Malformed("draft"))?;
    Ok(Submitted { number: draft.number, draft: read, trace: of_traceparent(&draft.trace) })
}
