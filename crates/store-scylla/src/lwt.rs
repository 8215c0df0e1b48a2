//! What a conditional statement answered.
//!
//! The two servers answer differently: Cassandra adds the old row only when it changed nothing, ScyllaDB always, with nulls
//! where there was none. Both have a column `[applied]`; nothing else is looked at.

use scylla::errors::ExecutionError;
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
