//! All processes of the cluster, as they say themselves, and as those were heard of last that do not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_admin::Refused;
use starling_admin::messages::{Missing, Node, NodeListAnswer, NodeListRequest};

use super::Control;
use super::cluster::Asked;
use crate::nodes::shown;

/// What one process knows of all.
#[derive(Serialize, Deserialize)]
pub(super) struct Known {
    own: Node,
    /// Where it is a session router.
    others: Vec<Node>,
    /// Why what it knows of others is old.
    trouble: Option<String>,
}

impl Control {
    pub(super) async fn report_here(&self) -> Known {
        let own = self.own.report();
        let (others, trouble) = match &self.listing {
            Some(listing) => listing.read(own.clone()).await,
            None => (Vec::new(), None),
        };
        Known {
            own: shown((own, std::time::Duration::ZERO)),
            others: others.into_iter().map(shown).collect(),
            trouble,
        }
    }

    pub(super) async fn list_nodes(&self) -> Result<NodeListAnswer, Refused> {
        Ok(together(self.ask_all("report", &NodeListRequest::default()).await?))
    }
}

/// Who answers has the last word of itself; of the others what was heard last.
fn together(Asked { answers, mut missing }: Asked<Known>) -> NodeListAnswer {
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let mut answering = Vec::new();
    for (name, Known { own, others, trouble }) in answers {
        missing.extend(trouble.map(|why| Missing { node: name, why }));
        for node in others {
            let is_news = |known: &Node| known.heard_seconds_ago > node.heard_seconds_ago;
            if nodes.get(&node.name).is_none_or(is_news) {
                nodes.insert(node.name.clone(), node);
            }
        }
        answering.push(own);
    }
    nodes.extend(answering.into_iter().map(|own| (own.name.clone(), own)));
    let is_silent = |name: &str| nodes.get(name).is_some_and(|node| node.state == "silent");
    missing.retain(|one| !is_silent(&one.node));
    missing.sort_by(|one, other| one.node.cmp(&other.node));
    NodeListAnswer { nodes: nodes.into_values().collect(), missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, state: &str, heard_seconds_ago: u64) -> Node {
        Node { name: name.to_owned(), state: state.to_owned(), heard_seconds_ago, ..Node::default() }
    }

    #[test]
    fn who_answers_has_the_last_word_and_who_does_not_is_named() {
        let others = vec![node("a", "serving", 4), node("b", "serving", 9), node("c", "silent", 70)];
        let first = Known { own: node("a", "draining", 0), others, trouble: None };
        let others = vec![node("b", "serving", 3)];
        let second = Known { own: node("d", "serving", 0), others, trouble: Some("Redis".to_owned()) };
        let answers = vec![("a".to_owned(), first), ("d".to_owned(), second)];
        let gone = |name: &str| Missing { node: name.to_owned(), why: "it is not reached".to_owned() };
        let listed = together(Asked { answers, missing: vec![gone("b"), gone("c")] });
        let expected = [
            node("a", "draining", 0),
            node("b", "serving", 3),
            node("c", "silent", 70),
            node("d", "serving", 0),
        ];
        assert_eq!(listed.nodes, expected);
        let missing: Vec<_> = listed.missing.iter().map(|one| (&*one.node, &*one.why)).collect();
        assert_eq!(missing, [("b", "it is not reached"), ("d", "Redis")]);
    }
}
