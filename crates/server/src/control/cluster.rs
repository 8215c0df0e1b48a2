//! What is asked of all processes of the cluster: each answers for itself, and whoever was asked puts it together.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use starling_admin::Refused;
use starling_admin::messages::Missing;
use starling_rpc::peers::{Absent, Heard, Respondent};

use super::Control;
use crate::nodes::SILENT;
use crate::trace;

/// What one process says to another.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Said {
    answer: Value,
    /// Why there is none, in words.
    refused: Option<String>,
    /// The processes that a session router has heard of, and how many seconds ago.
    heard_of: BTreeMap<String, u64>,
}

/// What all say.
pub(super) struct Asked<A> {
    /// By the names of the processes.
    pub(super) answers: Vec<(String, A)>,
    /// Those that did not answer, or would not.
    pub(super) missing: Vec<Missing>,
}

#[async_trait]
impl Respondent for Control {
    async fn respond(&self, command: &str, request: &[u8]) -> Bytes {
        let (answered, heard_of) = tokio::join!(self.answer_peer(command, request), self.heard_of());
        let said = match answered {
            Ok(answer) => Said { answer, refused: None, heard_of },
            Err(refused) => Said { answer: Value::Null, refused: Some(refused.to_string()), heard_of },
        };
        serde_json::to_vec(&said).unwrap_or_default().into()
    }
}

impl Control {
    /// Connection managers ask a router this, so there is nothing here that they may not know or do.
    async fn answer_peer(&self, command: &str, request: &[u8]) -> Result<Value, Refused> {
        match command {
            "trace-status" => to_json(trace::status(&self.reload.tracer)),
            "trace-change" => to_json(self.follow_here(&parse(request)?)?),
            "drain" => to_json(self.drain_if_meant(&parse(request)?)?),
            "report" => to_json(self.report_here().await),
            "counts" => to_json(self.count_here().await),
            "sessions" => to_json(self.held_here(&parse(request)?)?),
            "message" => to_json(self.trace_here(&parse(request)?).await?),
            _ => Err(Refused::NotFound("its version knows no such question".to_owned())),
        }
    }

    async fn heard_of(&self) -> BTreeMap<String, u64> {
        let Some(listing) = &self.listing else { return BTreeMap::new() };
        let (listed, _) = listing.read(self.own.report()).await;
        listed.into_iter().map(|(node, ago)| (node.name, ago.as_secs())).collect()
    }

    /// Asks every process, this one too.
    pub(super) async fn ask_all<A: DeserializeOwned>(
        &self,
        command: &str,
        request: &impl Serialize,
    ) -> Result<Asked<A>, Refused> {
        let request = serde_json::to_vec(request).map_err(|error| Refused::Failed(error.to_string()))?;
        Ok(gather(self.peers.ask(command, request.into()).await))
    }
}

fn gather<A: DeserializeOwned>(Heard { replies, absent }: Heard) -> Asked<A> {
    let (mut answers, mut missing) = (Vec::new(), Vec::new());
    let (mut heard_of, mut is_named) = (BTreeMap::new(), Vec::new());
    for reply in replies {
        let said: Said = serde_json::from_slice(&reply.answer).unwrap_or_default();
        for (name, ago) in said.heard_of {
            let known = heard_of.entry(name).or_insert(ago);
            *known = ago.min(*known);
        }
        is_named.push(reply.name.clone());
        let unread = |_| "its answer cannot be read".to_owned();
        match said.refused.map_or_else(|| serde_json::from_value(said.answer).map_err(unread), Err) {
            Ok(answer) => answers.push((reply.name, answer)),
            Err(why) => missing.push(Missing { node: reply.name, why }),
        }
    }
    for Absent { name, why, .. } in absent {
        is_named.push(name.clone());
        missing.push(Missing { node: name, why });
    }
    // Those that have left word and are reached by nobody.
    for (node, ago) in heard_of.into_iter().filter(|(name, _)| !is_named.contains(name)) {
        let is_silent = Duration::from_secs(ago) > SILENT;
        let why =
            if is_silent { format!("it said nothing for {ago} s") } else { "it is not reached".to_owned() };
        missing.push(Missing { node, why });
    }
    missing.sort_by(|one, other| one.node.cmp(&other.node));
    Asked { answers, missing }
}

fn parse<R: DeserializeOwned>(request: &[u8]) -> Result<R, Refused> {
    serde_json::from_slice(request).map_err(|error| Refused::Invalid(format!("not a request: {error}")))
}

fn to_json(answer: impl Serialize) -> Result<Value, Refused> {
    serde_json::to_value(answer).map_err(|error| Refused::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use starling_ports::ids::NodeId;
    use starling_rpc::peers::Reply;

    use super::*;

    fn reply(name: &str, said: &Value) -> Reply {
        let node = NodeId { name: name.len() as u64, incarnation: 1 };
        Reply { node, name: name.to_owned(), answer: said.to_string().into() }
    }

    #[test]
    fn whoever_was_heard_of_and_says_nothing_is_named() {
        let heard_of = json!({"r": 0, "gone": 90, "cut off": 3, "late": 1, "ours": 0, "old": 2});
        let replies = vec![
            reply("r", &json!({"answer": 7, "heard_of": heard_of, "from a later version": true})),
            reply("ours", &json!({"answer": 8, "heard_of": {}})),
            reply("old", &json!({"refused": "it may not", "heard_of": {}})),
            reply("strange", &json!({"answer": "eight", "heard_of": {}})),
        ];
        let absent = vec![Absent { node: None, name: "late".to_owned(), why: "no answer".to_owned() }];
        let asked: Asked<u32> = gather(Heard { replies, absent });
        assert_eq!(asked.answers, [("r".to_owned(), 7), ("ours".to_owned(), 8)]);
        let missing: Vec<_> = asked.missing.iter().map(|one| (&*one.node, &*one.why)).collect();
        assert_eq!(
            missing,
            [
                ("cut off", "it is not reached"),
                ("gone", "it said nothing for 90 s"),
                ("late", "no answer"),
                ("old", "it may not"),
                ("strange", "its answer cannot be read"),
            ]
        );
    }
}
