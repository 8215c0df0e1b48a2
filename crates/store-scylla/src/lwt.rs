//! What a conditional statement answered.
//!
//! The two servers answer differently: Cassandra adds the old row only when it changed nothing, ScyllaDB always, with nulls
//! where there was none. Both have a column `[applied]`; nothing else is looked at.

use std::time::{Duration, Instant};

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};
use starling_ports::StoreError;

use crate::error::unavailable;

/// The outcome.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The condition held, the change is made.
    Made,
    /// It did not hold, nothing is changed.
    Refused,
    /// Nobody knows: it may be made, now or later. A serial read settles it.
    Unknown(StoreError),
}

const APPLIED: &str = "[applied]";

pub(crate) fn decision(answer: Result<QueryResult, ExecutionError>) -> Decision {
    let rows = match answer.map(QueryResult::into_rows_result) {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => return Decision::Unknown(unavailable(error)),
        Err(error) => return Decision::Unknown(unavailable(error)),
    };
    let names: Vec<&str> = rows.column_specs().iter().map(|column| column.name()).collect();
    match rows.maybe_first_row::<Row>() {
        Ok(row) => outcome(&names, row.map_or(Vec::new(), |row| row.columns)),
        Err(error) => Decision::Unknown(unavailable(error)),
    }
}

/// ScyllaDB answers a batch with a row for each statement; `[applied]` is the same in all.
fn outcome(names: &[&str], row: Vec<Option<CqlValue>>) -> Decision {
    let at = names.iter().position(|name| *name == APPLIED);
    match at.and_then(|at| row.into_iter().nth(at)).flatten() {
        Some(CqlValue::Boolean(true)) => Decision::Made,
        Some(CqlValue::Boolean(false)) => Decision::Refused,
        _ => Decision::Unknown(unavailable("a decision without `[applied]`")),
    }
}

/// How long a decision is tried for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause before it is tried again; it doubles.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(640);

/// The tries of one decision. Many that decide on one row hinder each other until none comes through: so each waits for a
/// time of its own before it tries again.
pub(crate) struct Tries {
    until: Instant,
    pause: Duration,
}

impl Tries {
    pub(crate) fn new() -> Tries {
        Tries { until: Instant::now() + PATIENCE, pause: PAUSE }
    }

    /// Without a pause, for who lost to another and looks what that one did.
    pub(crate) fn next(&self) -> Result<(), StoreError> {
        if Instant::now() > self.until {
            return Err(unavailable("others change the same row again and again"));
        }
        Ok(())
    }

    /// Waits; `false` if it has been tried for long enough.
    pub(crate) async fn again(&mut self) -> bool {
        if self.next().is_err() {
            return false;
        }
        let share = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        tokio::time::sleep(self.pause.mul_f64(0.5 + share)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// What a serial read found. Others' decisions on the same row may keep it from being answered in time: it is repeated.
    /// `None`: repeat.
    pub(crate) async fn read<T>(&mut self, outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match outcome {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_contention(&error) && self.again().await => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The servers are there, and did not agree in time.
fn is_contention(error: &StoreError) -> bool {
    let StoreError::Unavailable { source, .. } = error else { return false };
    let Some(ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _))) =
        source.downcast_ref()
    else {
        return false;
    };
    matches!(error, DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<CqlValue> {
        Some(CqlValue::Text(text.to_owned()))
    }

    #[test]
    fn both_servers_are_understood() {
        let (yes, no) = (Some(CqlValue::Boolean(true)), Some(CqlValue::Boolean(false)));
        // Cassandra: one column when it was made, the old row when not.
        assert!(matches!(outcome(&[APPLIED], vec![yes.clone()]), Decision::Made));
        assert!(matches!(outcome(&[APPLIED, "name"], vec![no.clone(), text("a")]), Decision::Refused));
        assert!(matches!(outcome(&[APPLIED], vec![no.clone()]), Decision::Refused));
        // ScyllaDB: the old row always, nulls where there was none; and not always in the first column.
        assert!(matches!(
            outcome(&[APPLIED, "name", "state"], vec![yes.clone(), None, None]),
            Decision::Made
        ));
        assert!(matches!(outcome(&["name", APPLIED], vec![text("a"), yes]), Decision::Made));
        assert!(matches!(outcome(&["name", APPLIED], vec![text("a"), no]), Decision::Refused));
    }

    #[test]
    fn an_answer_without_an_outcome_is_not_taken_for_one() {
        assert!(matches!(outcome(&["name"], vec![text("a")]), Decision::Unknown(_)));
        assert!(matches!(outcome(&[APPLIED], vec![None]), Decision::Unknown(_)));
        assert!(matches!(outcome(&[APPLIED], Vec::new()), Decision::Unknown(_)));
    }
}
