//! Where a message is: what the stores know of it, who holds it, and what this process has done with it. Never its body.

use starling_admin::Refused;
use starling_admin::messages::{Holder, MessageAnswer, Step};
use starling_jid::BareJid;
use starling_ports::archive::{Row, Table};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::trail::Event;

use super::Control;
use super::commands::of_store;
use crate::assemble::Routing;
use crate::nodes;

impl Control {
    /// Each process has its own trail: a session router that of storing, a connection manager that of its sockets.
    pub(super) async fn trace(&self, owner: &BareJid, id: &str) -> Result<MessageAnswer, Refused> {
        let wrong = |()| Refused::Invalid(format!("{id:?} is not an archive id: 32 hexadecimal digits"));
        let id: ArchiveId = id.parse().map_err(wrong)?;
        let known = match &self.routing {
            Some(routing) => stored(routing, owner, id).await?,
            None => {
                MessageAnswer { id: id.to_string(), owner: owner.to_string(), ..MessageAnswer::default() }
            }
        };
        Ok(MessageAnswer { node: self.own.name().to_owned(), trail: self.trail(owner, id), ..known })
    }

    fn trail(&self, owner: &BareJid, id: ArchiveId) -> Vec<Step> {
        let of_routing =
            self.routing.iter().flat_map(|routing| routing.pipeline.context().router.trail().of(owner, id));
        let of_sockets = self.hub.iter().flat_map(|hub| hub.trail().of(owner, id));
        let mut events: Vec<_> = of_routing.chain(of_sockets).collect();
        events.sort_by_key(|(at, _)| *at);
        events.into_iter().map(shown).collect()
    }
}

fn shown((at, event): (Timestamp, Event)) -> Step {
    let (what, where_to) = match event {
        Event::Stored => ("stored", None),
        Event::Written(device, number) => ("written", Some((device, number))),
        Event::Acknowledged(device, number) => ("acknowledged", Some((device, number))),
    };
    let (device, number) = where_to.map(|(device, number)| (device.to_string(), number.0)).unzip();
    Step { at: at.to_xep_0082(), what: what.to_owned(), device, number }
}

/// As all session routers know it.
async fn stored(routing: &Routing, owner: &BareJid, id: ArchiveId) -> Result<MessageAnswer, Refused> {
    let Some((table, row)) = found(routing, owner, id).await? else {
        return Err(Refused::NotFound(format!("{owner} has no message {id}")));
    };
    let position = routing.positions.get(owner).await.map_err(of_store)?;
    let done = position.low.is_some_and(|low| id <= low) || position.acknowledged.contains(&id);
    let state = match (row.deliverable, done) {
        (false, _) => "archived",
        (true, true) => "acknowledged by a device",
        (true, false) => "waits for a device",
    };
    let names = nodes::names(&*routing.nodes).await.map_err(of_store)?;
    let holders = routing.sessions.holders(owner, id).await.map_err(of_store)?;
    let holders = holders.into_iter().map(|holder| Holder {
        device: holder.jid.to_string(),
        number: holder.number.map(|number| number.0),
        attached: holder.attached,
        node: names.of(holder.node),
    });
    Ok(MessageAnswer {
        id: id.to_string(),
        owner: owner.to_string(),
        with: Some(row.with.to_string()),
        direction: Some(format!("{:?}", row.direction).to_lowercase()),
        received: Some(row.at.to_xep_0082()),
        kept_in: Some(format!("{table:?}").to_lowercase()),
        state: Some(state.to_owned()),
        held_by: holders.collect(),
        ..MessageAnswer::default()
    })
}

async fn found(routing: &Routing, owner: &BareJid, id: ArchiveId) -> Result<Option<(Table, Row)>, Refused> {
    for table in [Table::Archive, Table::Spool] {
        if let Some(row) = routing.archive.get(table, owner, id).await.map_err(of_store)? {
            return Ok(Some((table, row)));
        }
    }
    Ok(None)
}
