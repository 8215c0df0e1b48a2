//! Where a message is: what the stores know of it, who holds it, and what all processes have done with it. Never its body.

use std::time::Duration;

use starling_admin::Refused;
use starling_admin::messages::{Holder, MessageAnswer, MessageRequest, Missing, Step};
use starling_jid::BareJid;
use starling_ports::archive::{Row, Table};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::trail::Event;
use tokio::time::timeout;

use super::Control;
use super::cluster::Asked;
use super::commands::{account, of_store};
use crate::assemble::Routing;

/// How long the stores may take: what this process remembers is to be heard all the same.
const WITHIN: Duration = Duration::from_secs(2);

impl Control {
    /// What all processes know of it, put together.
    pub(super) async fn trace(&self, request: MessageRequest) -> Result<MessageAnswer, Refused> {
        let (owner, id) = (account(&request.jid)?, archive_id(&request.id)?);
        let Asked { answers, missing } = self.ask_all::<MessageAnswer>("message", &request).await?;
        let has_read = |answer: &MessageAnswer| answer.missing.is_empty() && answer.state.is_some();
        if answers.iter().all(|(_, answer)| answer.state.is_none() && answer.trail.is_empty()) {
            return Err(unknown(
                &owner,
                id,
                answers.into_iter().flat_map(|(_, one)| one.missing).chain(missing),
            ));
        }
        let mut whole =
            answers.iter().find(|(_, one)| has_read(one)).map(|(_, one)| one.clone()).unwrap_or_default();
        let is_read = whole.state.is_some();
        (whole.trail, whole.missing) = (Vec::new(), missing);
        for (_, answer) in answers {
            whole.trail.extend(answer.trail);
            // The stores are the same for all: one that has read them is enough.
            whole.missing.extend(answer.missing.into_iter().filter(|_| !is_read));
        }
        whole.trail.sort_by(|one, other| one.at.cmp(&other.at)); // of one form, and in UTC
        whole.missing.sort_by(|one, other| one.node.cmp(&other.node));
        Ok(MessageAnswer {
            id: id.to_string(),
            owner: owner.to_string(),
            node: self.own.name().to_owned(),
            ..whole
        })
    }

    /// What this process knows: a session router the row and its own part in it, a connection manager what its sockets did.
    pub(super) async fn trace_here(&self, request: &MessageRequest) -> Result<MessageAnswer, Refused> {
        let (owner, id) = (account(&request.jid)?, archive_id(&request.id)?);
        let mut known = MessageAnswer::default();
        if let Some(routing) = &self.routing {
            let read = timeout(WITHIN, self.stored(routing, &owner, id)).await;
            let late = |_| Refused::Failed(format!("its stores do not answer within {} s", WITHIN.as_secs()));
            match read.map_err(late).and_then(|read| read) {
                Ok(found) => known = found.unwrap_or_default(),
                Err(why) => known.missing = vec![self.lacks(why.to_string())],
            }
        }
        Ok(MessageAnswer { trail: self.trail(&owner, id), ..known })
    }

    pub(super) fn lacks(&self, why: String) -> Missing {
        Missing { node: self.own.name().to_owned(), why }
    }

    fn trail(&self, owner: &BareJid, id: ArchiveId) -> Vec<Step> {
        let of_routing =
            self.routing.iter().flat_map(|routing| routing.pipeline.context().router.trail().of(owner, id));
        let of_sockets = self.hub.iter().flat_map(|hub| hub.trail().of(owner, id));
        of_routing.chain(of_sockets).map(|event| self.shown(event)).collect()
    }

    fn shown(&self, (at, event): (Timestamp, Event)) -> Step {
        let (what, where_to) = match event {
            Event::Stored => ("stored", None),
            Event::Written(device, number) => ("written", Some((device, number))),
            Event::Acknowledged(device, number) => ("acknowledged", Some((device, number))),
        };
        let (device, number) = where_to.map(|(device, number)| (device.to_string(), number.0)).unzip();
        Step { at: at.to_xep_0082(), what: what.to_owned(), device, number, node: self.own.name().to_owned() }
    }

    /// As all session routers know it.
    async fn stored(
        &self,
        routing: &Routing,
        owner: &BareJid,
        id: ArchiveId,
    ) -> Result<Option<MessageAnswer>, Refused> {
        let Some((table, row)) = found(routing, owner, id).await? else { return Ok(None) };
        let position = routing.positions.get(owner).await.map_err(of_store)?;
        let done = position.low.is_some_and(|low| id <= low) || position.acknowledged.contains(&id);
        let state = match (row.deliverable, done) {
            (false, _) => "archived",
            (true, true) => "acknowledged by a device",
            (true, false) => "waits for a device",
        };
        let names = self.names().await;
        let holders = routing.sessions.holders(owner, id).await.map_err(of_store)?;
        let holders = holders.into_iter().map(|holder| Holder {
            device: holder.jid.to_string(),
            number: holder.number.map(|number| number.0),
            attached: holder.attached,
            node: names.of(holder.node),
        });
        Ok(Some(MessageAnswer {
            with: Some(row.with.to_string()),
            direction: Some(format!("{:?}", row.direction).to_lowercase()),
            received: Some(row.at.to_xep_0082()),
            kept_in: Some(format!("{table:?}").to_lowercase()),
            state: Some(state.to_owned()),
            held_by: holders.collect(),
            ..MessageAnswer::default()
        }))
    }
}

/// Nobody who answers knows of it; those who do not might.
fn unknown(owner: &BareJid, id: ArchiveId, missing: impl Iterator<Item = Missing>) -> Refused {
    let missing: Vec<String> = missing.map(|Missing { node, why }| format!("{node}: {why}")).collect();
    let known = format!("{owner} has no message {id}");
    match missing.is_empty() {
        true => Refused::NotFound(known),
        false => {
            Refused::Failed(format!("{known} that anybody knows of who answers ({})", missing.join("; ")))
        }
    }
}

fn archive_id(text: &str) -> Result<ArchiveId, Refused> {
    let wrong = |()| Refused::Invalid(format!("{text:?} is not an archive id: 32 hexadecimal digits"));
    text.parse().map_err(wrong)
}

async fn found(routing: &Routing, owner: &BareJid, id: ArchiveId) -> Result<Option<(Table, Row)>, Refused> {
    for table in [Table::Archive, Table::Spool] {
        if let Some(row) = routing.archive.get(table, owner, id).await.map_err(of_store)? {
            return Ok(Some((table, row)));
        }
    }
    Ok(None)
}
