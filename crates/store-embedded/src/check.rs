//! Reads everything once and says what cannot be read.

use starling_ports::{Result, StoreError};

use crate::Store;
use crate::codec;
use crate::disk::{Disk, Space, pair};

/// How many damaged places are named; more are only counted.
const NAMED: usize = 100;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many values were read.
    pub values: u64,
    /// How many of them are damaged.
    pub damaged: u64,
    /// Where: table and key, of the first hundred.
    pub places: Vec<String>,
}

impl Report {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.damaged == 0
    }

    fn damage(&mut self, place: String) {
        self.damaged += 1;
        if self.places.len() < NAMED {
            self.places.push(place);
        }
    }
}

impl Store {
    /// Reads every value and verifies its checksum. Blocks for as long as that takes.
    pub fn check(&self) -> Result<Report> {
        self.disk.check()
    }
}

impl Disk {
    pub(crate) fn check(&self) -> Result<Report> {
        let mut report = Report::default();
        for space in Space::ALL {
            let mut after = std::ops::Bound::Unbounded;
            // In steps, so that a write that waits for the tables does not wait for the whole check.
            while let Some(next) = self.check_step(space, after, &mut report)? {
                after = std::ops::Bound::Excluded(next);
            }
        }
        Ok(report)
    }

    fn check_step(
        &self,
        space: Space,
        after: std::ops::Bound<Vec<u8>>,
        report: &mut Report,
    ) -> Result<Option<Vec<u8>>> {
        const STEP: usize = 10_000;
        let tables = self.read()?;
        let (mut last, mut count) = (None, 0);
        for guard in tables.space(space).range((after, std::ops::Bound::Unbounded)).take(STEP) {
            count += 1;
            report.values += 1;
            let (key, value) = match pair(guard) {
                Ok(found) => found,
                Err(StoreError::Corrupt { what }) => {
                    report.damage(format!("{}: {what}", space.name()));
                    return Ok(None); // a damaged block hides what follows in its table
                }
                Err(error) => return Err(error),
            };
            if codec::unseal(&key, &value, space.name()).is_err() {
                report.damage(format!("{}: {}", space.name(), key.escape_ascii()));
            }
            last = Some(key.to_vec());
        }
        Ok(last.filter(|_| count == STEP))
    }
}
