//! The ids that a query can find, from its bounds.

use std::time::Duration;

use starling_ports::archive::{Direction, Query, Row};
use starling_ports::ids::Timestamp;

use crate::values::wide;

/// By how much the time of a row may be above its id: the clocks of two machines differ.
const BEHIND: Duration = Duration::from_secs(3600);
/// By how much an id may be above the time of its row: it waited to be committed, or ids ran ahead of the clock.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Ids as one number each; both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: u128,
    pub(super) high: u128,
}

impl Span {
    /// `None` if no id can be in it.
    pub(super) fn of(query: &Query) -> Option<Span> {
        let mut span = Span { low: 0, high: u128::MAX };
        if let Some(after) = query.after {
            span.low = wide(after).checked_add(1)?;
        }
        if let Some(before) = query.before {
            span.high = wide(before).checked_sub(1)?;
        }
        if let Some(upto) = query.upto {
            span.high = span.high.min(wide(upto));
        }
        if let Some(Timestamp(start)) = query.start {
            span.low = span.low.max(u128::from(start.saturating_sub(micros(BEHIND))) << 64);
        }
        if let Some(Timestamp(end)) = query.end {
            span.high =
                span.high.min((u128::from(end.saturating_add(micros(AHEAD))) << 64) | u128::from(u64::MAX));
        }
        (span.low <= span.high).then_some(span)
    }

    /// The numbers of its lowest and highest id.
    pub(super) fn numbers(self) -> (u64, u64) {
        ((self.low >> 64) as u64, (self.high >> 64) as u64)
    }

    /// What is left of it beyond `id`; `None` if nothing.
    pub(super) fn beyond(self, id: u128, backwards: bool) -> Option<Span> {
        let rest = match backwards {
            true => Span { high: id.checked_sub(1)?, ..self },
            false => Span { low: id.checked_add(1)?, ..self },
        };
        (rest.low <= rest.high).then_some(rest)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whether the query passes over rows that are in its span.
pub(super) fn has_filter(query: &Query) -> bool {
    query.deliverable || query.with_resource.is_some() || query.start.is_some() || query.end.is_some()
}

/// Whether the row itself is wanted.
pub(super) fn matches(query: &Query, row: &Row) -> bool {
    let other_end = match row.direction {
        Direction::Received => "from",
        Direction::Sent => "to",
    };
    query.with.as_ref().is_none_or(|with| *with == row.with)
        && query.start.is_none_or(|start| row.at >= start)
        && query.end.is_none_or(|end| row.at <= end)
        && (!query.deliverable || row.deliverable)
        && query.with_resource.as_deref().is_none_or(|full| row.wire.has_attribute(other_end, full))
}

#[cfg(test)]
mod tests {
    use starling_ports::ids::ArchiveId;

    use super::*;

    fn id(number: u64) -> Option<ArchiveId> {
        Some(ArchiveId { number, random: 7 })
    }

    #[test]
    fn bounds_hold_together() {
        let span = Span::of(&Query { after: id(3), before: id(6), ..Query::default() }).unwrap();
        assert_eq!(span, Span { low: (3 << 64) + 8, high: (6 << 64) + 6 });
        let span = Span::of(&Query { before: id(9), upto: id(3), ..Query::default() }).unwrap();
        assert_eq!(span, Span { low: 0, high: (3 << 64) + 7 });
        assert_eq!(Span::of(&Query { after: id(6), before: id(6), ..Query::default() }), None);
        assert_eq!(Span::of(&Query { after: id(8), before: id(2), ..Query::default() }), None);
        let lowest = Some(ArchiveId { number: 0, random: 0 });
        assert_eq!(Span::of(&Query { before: lowest, ..Query::default() }), None);
        let highest = Some(ArchiveId { number: u64::MAX, random: u64::MAX });
        assert_eq!(Span::of(&Query { after: highest, ..Query::default() }), None);
    }

    #[test]
    fn times_narrow_it_by_what_ids_may_differ() {
        let (start, end) = (Timestamp(1_795_532_645_000_000), Timestamp(1_795_532_646_000_000));
        let query = Query { start: Some(start), end: Some(end), ..Query::default() };
        let (low, high) = Span::of(&query).unwrap().numbers();
        assert_eq!((start.0 - low, high - end.0), (3_600_000_000, 86_400_000_000));
    }

    #[test]
    fn what_is_beyond_ends_with_the_span() {
        let span = Span { low: 5, high: 9 };
        assert_eq!(span.beyond(7, false), Some(Span { low: 8, high: 9 }));
        assert_eq!(span.beyond(7, true), Some(Span { low: 5, high: 6 }));
        assert_eq!(span.beyond(9, false), None);
        assert_eq!(span.beyond(5, true), None);
    }
}
