//! RFC 6121: what the server does where no extension says otherwise. Pure: a view in, a decision out.

pub mod iq;
pub mod message;
pub mod presence;
pub mod roster;

use starling_jid::Jid;
use starling_ports::sessions::View;

/// Whether `account` has blocked `from`; never its own resources (XEP-0191 §3.4).
pub fn is_blocked(view: &View, from: &Jid) -> bool {
    !view.blocked.items.is_empty() && from.bare() != view.account && view.blocked.blocks(from)
}
