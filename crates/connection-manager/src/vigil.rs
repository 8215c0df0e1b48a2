//! Tells the dead from the slow (session-log rule 26): whoever's TCP answers is slow, for as long as it likes.

use std::time::Duration;

/// So often the system is asked until it is sure; the looks together span `dead_after`.
const LOOKS: u8 = 4;

/// Watches one connection to which something was written and from which nothing has come since.
#[derive(Debug, Default)]
pub(crate) struct Vigil {
    /// When it was last known to be alive, or the first thing after that was written.
    since: Option<Duration>,
    /// How many looks in a row found no answer.
    silent: u8,
    /// How often the system had tried in vain at the last look.
    tries: u32,
}

impl Vigil {
    /// Something was written.
    pub(crate) fn wrote(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// Something came.
    pub(crate) fn heard(&mut self) {
        *self = Vigil::default();
    }

    /// When to look; never while nothing is outstanding, or where the limit is zero.
    pub(crate) fn look_at(&self, dead_after: Duration) -> Option<Duration> {
        let step = dead_after / u32::from(LOOKS - 1);
        let since = self.since.filter(|_| !dead_after.is_zero())?;
        Some(since + step * (u32::from(self.silent) + 1))
    }

    /// `tries`: how often the system has tried in vain by now; `has_all`: whether the peer has acknowledged everything, and then nobody looks
    /// until something is written. Whether the peer is dead: no TCP acknowledgement through all looks. Fewer tries than before mean that there
    /// was one in between.
    pub(crate) fn look(&mut self, now: Duration, tries: u32, has_all: bool) -> bool {
        if tries == 0 {
            *self = Vigil { since: (!has_all).then_some(now), ..Vigil::default() };
            return false;
        }
        if tries < self.tries {
            *self = Vigil { since: Some(now), ..Vigil::default() };
        }
        self.silent += 1;
        self.tries = tries;
        self.silent >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks when it is time, with these answers; after how many the peer counts as dead.
    fn looks(answers: &[u32]) -> Option<usize> {
        let mut vigil = Vigil::default();
        vigil.wrote(Duration::ZERO);
        answers.iter().position(|tries| {
            let now = vigil.look_at(90 * SECOND).unwrap();
            vigil.look(now, *tries, false)
        })
    }

    #[test]
    fn a_peer_whose_tcp_is_silent_through_all_looks_is_dead() {
        assert_eq!(looks(&[7, 8, 8, 9]), Some(3));
        assert_eq!(looks(&[7, 8, 8]), None);
    }

    #[test]
    fn a_peer_whose_tcp_has_answered_in_between_is_slow() {
        assert_eq!(looks(&[0; 1000]), None);
        assert_eq!(looks(&[7, 8, 0, 9, 9, 9]), None);
        assert_eq!(looks(&[7, 8, 8, 1, 2, 3]), None, "a count that falls is another silence");
    }

    #[test]
    fn the_looks_span_the_time_and_begin_with_what_was_written() {
        let mut vigil = Vigil::default();
        assert_eq!(vigil.look_at(90 * SECOND), None);
        vigil.wrote(5 * SECOND);
        vigil.wrote(9 * SECOND);
        assert_eq!(vigil.look_at(90 * SECOND), Some(35 * SECOND));
        vigil.look(35 * SECOND, 5, false);
        assert_eq!(vigil.look_at(90 * SECOND), Some(65 * SECOND));
        assert_eq!(vigil.look_at(Duration::ZERO), None);
        vigil.heard();
        assert_eq!(vigil.look_at(90 * SECOND), None);
    }

    #[test]
    fn nobody_looks_any_more_when_everything_was_acknowledged() {
        let mut vigil = Vigil::default();
        let step = 30 * SECOND;
        vigil.wrote(Duration::ZERO);
        vigil.look(step, 0, false);
        assert_eq!(vigil.look_at(90 * SECOND), Some(2 * step), "a slow one");
        vigil.look(2 * step, 0, true);
        assert_eq!(vigil.look_at(90 * SECOND), None);
        vigil.wrote(2 * step + SECOND);
        assert_eq!(
            vigil.look_at(90 * SECOND),
            Some(3 * step + SECOND),
            "something was written after the look"
        );
    }
}
