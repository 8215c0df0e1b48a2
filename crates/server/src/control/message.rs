//! Where a message is: what the stores know of it, who holds it, and what this process has done with it. Never its body.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use starling_jid::BareJid;
use starling_ports::archive::{Row, Table};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::trail::Event;

use super::Control;
use crate::assemble::Routing;
use crate::nodes;

impl Control {
    /// Each process has its own trail: a session router that of storing, a connection manager that of its sockets.
    pub(super) async fn message(&self, owner: &BareJid, id: &str) -> Result<Value> {
        let id: ArchiveId =
            id.parse().map_err(|()| anyhow::anyhow!("{id:?} is not an archive id: 32 hexadecimal digits"))?;
        let mut answer = match &self.routing {
            Some(routing) => stored(routing, owner, id).await?,
            None => json!({"id": id.to_string(), "owner": owner.as_str()}),
        };
        if let Some(object) = answer.as_object_mut() {
            object.insert("node".to_owned(), self.own.name().into());
            object.insert("trail".to_owned(), self.trail(owner, id).into());
        }
        Ok(answer)
    }

    fn trail(&self, owner: &BareJid, id: ArchiveId) -> Vec<Value> {
        let of_routing =
            self.routing.iter().flat_map(|routing| routing.pipeline.context().router.trail().of(owner, id));
        let of_sockets = self.hub.iter().flat_map(|hub| hub.trail().of(owner, id));
        let mut events: Vec<_> = of_routing.chain(of_sockets).collect();
        events.sort_by_key(|(at, _)| *at);
        events.into_iter().map(shown).collect()
    }
}

fn shown((at, event): (Timestamp, Event)) -> Value {
    let at = at.to_xep_0082();
    match event {
        Event::Stored => json!({"at": at, "what": "stored"}),
        Event::Written(device, number) => {
            json!({"at": at, "what": "written", "device": device.as_str(), "number": number.0})
        }
        Event::Acknowledged(device, number) => {
            json!({"at": at, "what": "acknowledged", "device": device.as_str(), "number": number.0})
        }
    }
}

/// As all session routers know it.
async fn stored(routing: &Routing, owner: &BareJid, id: ArchiveId) -> Result<Value> {
    let Some((table, row)) = found(routing, owner, id).await? else { bail!("{owner} has no message {id}") };
    let position = routing.positions.get(owner).await?;
    let done = position.low.is_some_and(|low| id <= low) || position.acknowledged.contains(&id);
    let state = match (row.deliverable, done) {
        (false, _) => "archived",
        (true, true) => "acknowledged by a device",
        (true, false) => "waits for a device",
    };
    let names = nodes::names(&*routing.nodes).await?;
    let holders = routing.sessions.holders(owner, id).await?;
    let holders = holders.into_iter().map(|holder| {
        json!({
            "device": holder.jid.as_str(),
            "number": holder.number.map(|number| number.0),
            "attached": holder.attached,
            "node": names.of(holder.node),
        })
    });
    Ok(json!({
        "id": id.to_string(),
        "owner": owner.as_str(),
        "with": row.with.as_str(),
        "direction": format!("{:?}", row.direction).to_lowercase(),
        "received": row.at.to_xep_0082(),
        "kept-in": format!("{table:?}").to_lowercase(),
        "state": state,
        "held-by": holders.collect::<Vec<_>>(),
    }))
}

async fn found(routing: &Routing, owner: &BareJid, id: ArchiveId) -> Result<Option<(Table, Row)>> {
    for table in [Table::Archive, Table::Spool] {
        if let Some(row) = routing.archive.get(table, owner, id).await? {
            return Ok(Some((table, row)));
        }
    }
    Ok(None)
}
