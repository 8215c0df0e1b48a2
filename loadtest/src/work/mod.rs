//! Several processes play one scenario: a controller hands out shares, and merges what the workers measure.

mod controller;
mod tls;
mod worker;

pub(crate) use controller::{Conducted, conduct};
pub(crate) use tls::Files;
pub(crate) use worker::{Serve, serve};

use crate::recorder::histogram;
use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use pb::report::What;
use std::path::Path;
use tokio::sync::{mpsc, watch};

/// What goes over the wire.
#[expect(unreachable_pub, reason = "generated")]
mod pb {
    tonic::include_proto!("starling.loadtest.v1");
}

/// The accounts are there.
pub(crate) const ACCOUNTS: u32 = 1;
/// The clients are there: now it is measured.
pub(crate) const READY: u32 = 2;
/// A part has measured everything; nobody waits there.
pub(crate) const MEASURED: u32 = 3;
/// The header with the word that a worker wants to hear.
const TOKEN: &str = "x-loadtest-token";

/// A worker's end: where it tells how far it is, and hears when all are.
#[derive(Clone)]
pub(crate) struct Remote {
    reports: mpsc::Sender<Result<pb::Report, tonic::Status>>,
    go: watch::Receiver<u32>,
}

impl Remote {
    async fn report(&self, what: What) -> Result<()> {
        self.reports.send(Ok(pb::Report { what: Some(what) })).await.ok().context("the controller is gone")
    }

    /// Tells that this stage is reached.
    pub(crate) async fn tell(&self, stage: u32) -> Result<()> {
        self.report(What::Reached(stage)).await
    }

    /// Waits until everybody has reached it.
    pub(crate) async fn reach(&self, stage: u32) -> Result<()> {
        self.tell(stage).await?;
        self.go.clone().wait_for(|go| *go >= stage).await.map(drop).context("the controller is gone")
    }
}

/// Which share of a run is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) place: usize,
    pub(crate) of: usize,
    /// What marks the messages of the run.
    pub(crate) run: u32,
}

impl Share {
    /// What this one has of `number`: all shares together have all of it.
    pub(crate) fn part(&self, number: u64) -> u64 {
        let (place, of) = (self.place as u64, self.of.max(1) as u64);
        number * (place + 1) / of - number * place / of
    }
}

fn bytes(histogram: &Histogram<u64>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).ok().context("a histogram cannot be written")?;
    Ok(bytes)
}

fn read(mut bytes: &[u8]) -> Result<Histogram<u64>> {
    let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes).ok().context("no histogram")?;
    let mut all = histogram();
    all.add(&read).ok().context("a histogram of other bounds")?;
    Ok(all)
}

fn token(file: Option<&Path>) -> Result<String> {
    let Some(file) = file else { return Ok(String::new()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_a_number_are_all_of_it() {
        let parts = |number, of| (0..of).map(move |place| Share { place, of, run: 0 }.part(number));
        assert_eq!(parts(10, 3).collect::<Vec<_>>(), [3, 3, 4]);
        assert_eq!(parts(1_000_000_007, 7).sum::<u64>(), 1_000_000_007);
    }

    #[test]
    fn a_histogram_is_read_as_it_was_written() {
        let mut one = histogram();
        [1, 20, 300_000].into_iter().for_each(|micros| one.record(micros).unwrap());
        let two = read(&bytes(&one).unwrap()).unwrap();
        assert_eq!((two.len(), two.max(), two.value_at_quantile(0.5)), (3, one.max(), 20));
    }
}
