//! What every implementation of a port must pass; one file a port.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

pub mod accounts;
pub mod archive;
pub mod attempts;
pub mod blocklist;
pub mod documents;
pub mod last_activity;
pub mod nodes;
pub mod position;
pub mod preferences;
pub mod roster;
pub mod sessions;

use std::sync::atomic::{AtomicU64, Ordering};

use starling_jid::BareJid;
use starling_stanza::Wire;

use crate::archive::{Born, Direction, Row};
use crate::ids::{ArchiveId, Timestamp};

/// Somebody whom no other test knows, though all use one store.
pub fn fresh_user() -> BareJid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    BareJid::new(&format!("user{number}-{}@example.org", std::process::id())).unwrap()
}

/// A message from Alice.
pub fn wire(body: &str) -> Wire {
    let xml = format!("<message from='alice@example.org/desk' type='chat'><body>{body}</body>");
    Wire::from_bytes(xml.into_bytes().into()).unwrap()
}

/// A deliverable row from Alice.
pub fn row(number: u64, body: &str) -> Row {
    Row {
        id: ArchiveId { number, random: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) },
        at: Timestamp(number),
        with: BareJid::new("alice@example.org").unwrap(),
        direction: Direction::Received,
        resource: None,
        deliverable: true,
        copied: true,
        origin: Some(u128::from(number)),
        born: Born::default(),
        wire: wire(body),
    }
}

/// Waits until `reached`, which must not take long.
async fn soon(reached: impl AsyncFn() -> bool) {
    for _ in 0..5000 {
        if reached().await {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("it did not come about");
}
