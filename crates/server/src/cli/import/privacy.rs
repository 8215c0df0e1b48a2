//! What privacy lists (XEP-0016) deny, as far as they are block lists: that is what most clients made of them (XEP-0191 §5).

use starling_jid::Jid;
use starling_xml::Element;

use super::data::Lost;

pub(super) const NS: &str = "jabber:iq:privacy";
const KINDS: [&str; 4] = ["message", "presence-in", "presence-out", "iq"];

/// Whom the default list denies everything, up to the first rule that means something else.
pub(super) fn blocked(query: &Element, lost: &mut Lost) -> Vec<Jid> {
    let default = query.child(NS, "default").and_then(|default| default.attr("name"));
    let mut blocked = Vec::new();
    for list in query.children().filter(|child| child.is(NS, "list")) {
        let mut items: Vec<&Element> = list.children().filter(|item| item.is(NS, "item")).collect();
        items.sort_by_key(|item| item.attr("order").and_then(|order| order.parse::<u64>().ok()));
        if items.last().is_some_and(|item| is_rest(item)) {
            items.pop(); // everybody else may: that is so here, too
        }
        let denied = items.iter().map_while(|item| denied(item)).filter(|_| list.attr("name") == default);
        let denied: Vec<Jid> = denied.collect();
        lost.note("rules of privacy lists that do more than block an address", items.len() - denied.len());
        blocked.extend(denied);
    }
    blocked
}

fn is_rest(item: &Element) -> bool {
    item.attr("action") == Some("allow") && item.attr("type").is_none()
}

fn denied(item: &Element) -> Option<Jid> {
    let of = |kind: &&str| item.child(NS, kind).is_some();
    let is_everything = item.children().next().is_none() || KINDS.iter().all(of);
    let is_block = item.attr("action") == Some("deny") && item.attr("type") == Some("jid") && is_everything;
    is_block.then(|| Jid::new(item.attr("value")?).ok())?
}
