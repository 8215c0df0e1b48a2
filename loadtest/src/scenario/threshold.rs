//! Thresholds: `FIGURE COMPARISON NUMBER`, such as `delivery.p99-ms < 100` or `lost == 0`.

use std::fmt;

/// One condition on a figure of the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) figure: String,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

const COMPARISONS: [(&str, Comparison); 5] = [
    ("<", Comparison::Less),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    (">=", Comparison::AtLeast),
    (">", Comparison::More),
];

impl Threshold {
    /// That there is none of it.
    pub(crate) fn none(figure: &str) -> Self {
        Self { figure: figure.to_owned(), comparison: Comparison::Equal, bound: 0.0 }
    }

    /// Whether it holds for `value`.
    pub(crate) fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Less => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Equal => (value - self.bound).abs() < f64::EPSILON,
            Comparison::AtLeast => value >= self.bound,
            Comparison::More => value > self.bound,
        }
    }
}

impl TryFrom<&str> for Threshold {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not `FIGURE < NUMBER` (or <=, ==, >=, >), with spaces between");
        let mut words = text.split_whitespace();
        let (Some(figure), Some(comparison), Some(bound), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(form());
        };
        let found = COMPARISONS.into_iter().find(|(sign, _)| *sign == comparison);
        let (Some((_, comparison)), Ok(bound)) = (found, bound.parse()) else { return Err(form()) };
        Ok(Self { figure: figure.to_owned(), comparison, bound })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = COMPARISONS.into_iter().find(|(_, comparison)| *comparison == self.comparison);
        write!(f, "{} {} {}", self.figure, sign.map_or("?", |(sign, _)| sign), self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_compares_a_figure_with_a_number() {
        let holds = |text: &str, value| Threshold::try_from(text).unwrap().holds(value);
        assert!(holds("delivery.p99-ms < 100", 99.9) && !holds("delivery.p99-ms < 100", 100.0));
        assert!(holds("lost == 0", 0.0) && !holds("lost == 0", 1.0));
        assert!(holds("delivery.per-second >= 500", 500.0) && !holds("x > 2", 2.0) && holds("x <= 2", 2.0));
        for wrong in ["", "lost", "lost = 0", "lost == none", "lost == 0 or so"] {
            assert!(Threshold::try_from(wrong).is_err(), "{wrong}");
        }
    }
}
