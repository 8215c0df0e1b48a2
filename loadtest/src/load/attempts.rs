//! Coming in where the server may have no room for a moment: so many attempts, with pauses that grow.

use super::{Entry, Stage};
use crate::client::Client;
use crate::passing::Passing;
use anyhow::{Context as _, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Before the second attempt; each pause is twice the former one.
const FIRST: Duration = Duration::from_millis(500);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(8);

/// How often clients may try, and how often they had to try again.
#[derive(Debug)]
pub(super) struct Attempts {
    most: u32,
    refused: AtomicU64,
    closed: AtomicU64,
    unanswered: AtomicU64,
}

impl Attempts {
    /// At most so many of each client.
    pub(super) fn new(most: u64) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Self { most, refused: AtomicU64::new(0), closed: AtomicU64::new(0), unanswered: AtomicU64::new(0) }
    }

    /// Client `index` comes in. Its place among those who log in is its own during the pauses: fewer knock at a server that refuses.
    pub(super) async fn enter(&self, stage: &Stage, index: usize, entry: Entry) -> Result<Client> {
        let mut made = 1;
        loop {
            let error = match stage.enter(index, entry).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let why = match Passing::of(&error) {
                None => return Err(error),
                Some(Passing::Refused) => &self.refused,
                Some(Passing::Closed) => &self.closed,
                Some(Passing::Unanswered) => &self.unanswered,
            };
            if made >= self.most {
                let user = &stage.account(index)?.user;
                return Err(error).with_context(|| format!("{user} did not get in at {made} attempts"));
            }
            why.fetch_add(1, Ordering::Relaxed);
            sleep(pause(made)).await;
            made += 1;
        }
    }

    /// How many attempts were not the last, by what ended them.
    pub(super) fn figures(&self) -> [(&'static str, f64); 3] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        [
            ("retries-refused", of(&self.refused)),
            ("retries-closed", of(&self.closed)),
            ("retries-unanswered", of(&self.unanswered)),
        ]
    }
}

/// After so many attempts.
fn pause(made: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(made.saturating_sub(1))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let millis = [1, 2, 3, 5, 6, u32::MAX].map(|made| pause(made).as_millis());
        assert_eq!(millis, [500, 1000, 2000, 8000, 8000, 8000]);
    }
}
