//! What was heard of a question: each process once, whichever way its answer came.

use std::collections::HashSet;

use bytes::Bytes;
use starling_ports::ids::NodeId;

use crate::convert::{self, Malformed};
use crate::pb;

/// One process's answer, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whose.
    pub node: NodeId,
    /// What it is called.
    pub name: String,
    /// As JSON.
    pub answer: Bytes,
}

/// One that gave none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Not known where nobody has ever answered at an address, which is its name then.
    pub node: Option<NodeId>,
    /// What it is called.
    pub name: String,
    /// For people.
    pub why: String,
}

/// All that came of a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// In the order of names.
    pub replies: Vec<Reply>,
    /// Nobody of them is among the replies.
    pub absent: Vec<Absent>,
}

impl From<Reply> for Heard {
    fn from(reply: Reply) -> Heard {
        Heard { replies: vec![reply], absent: Vec::new() }
    }
}

impl From<Absent> for Heard {
    fn from(absent: Absent) -> Heard {
        Heard { replies: Vec::new(), absent: vec![absent] }
    }
}

impl Heard {
    pub(super) fn take(&mut self, more: Heard) {
        self.replies.extend(more.replies);
        self.absent.extend(more.absent);
    }

    /// Each process once. Who answered by one way is not absent by another.
    pub(super) fn settled(mut self) -> Heard {
        self.replies.sort_by(|one, other| (&one.name, one.node.name).cmp(&(&other.name, other.node.name)));
        self.replies.dedup_by_key(|reply| reply.node);
        let there: HashSet<u64> = self.replies.iter().map(|reply| reply.node.name).collect();
        self.absent.retain(|one| one.node.is_none_or(|node| !there.contains(&node.name)));
        let key = |one: &Absent| (one.name.clone(), one.node.map(|node| node.name));
        self.absent.sort_by_key(key);
        self.absent.dedup_by_key(|one| key(one));
        self
    }

    pub(super) fn write(self) -> pb::Replies {
        let replies = self.replies.into_iter().map(|Reply { node, name, answer }| pb::Reply {
            peer: Some(pb::Peer { node: Some(convert::node(node)), name }),
            answer,
        });
        let absent = self.absent.into_iter().map(|Absent { node, name, why }| pb::Absent {
            node: node.map(convert::node),
            name,
            why,
        });
        pb::Replies { replies: replies.collect(), absent: absent.collect() }
    }

    pub(super) fn read(pb::Replies { replies, absent }: pb::Replies) -> Result<Heard, Malformed> {
        let reply = |pb::Reply { peer, answer }| {
            let (node, name) = of_peer(peer)?;
            Ok(Reply { node, name, answer })
        };
        let absent = absent.into_iter().map(|pb::Absent { node, name, why }| {
            Ok(Absent { node: node.map(|node| convert::of_node(Some(node))).transpose()?, name, why })
        });
        let replies = replies.into_iter().map(reply).collect::<Result<_, _>>()?;
        Ok(Heard { replies, absent: absent.collect::<Result<_, _>>()? })
    }
}

/// Who somebody is.
pub(super) fn of_peer(peer: Option<pb::Peer>) -> Result<(NodeId, String), Malformed> {
    let pb::Peer { node, name } = peer.ok_or(Malformed("peer"))?;
    Ok((convert::of_node(node)?, name))
}
