//! Bar charts: a group for each load, in it a bar for each server with the median, and over it a line from the lowest to the
//! highest run.

use super::svg::{Picture, SWATCH, Scale, WIDTH, colour, escape, short};
use std::fmt::Write as _;

const LEFT: f64 = 176.0;
const RIGHT: f64 = 64.0;
const BOTTOM: f64 = 40.0;
/// How high a bar is, and what is between two groups.
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;
/// Figures that are further apart than this stand on a logarithmic axis: on another the small ones could not be seen.
const FAR: f64 = 30.0;
/// What is said below where a bar is marked with `!`.
const NOTE: &str = "! = something was lost, doubled, out of order or failed: the table has it";

/// What is drawn.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) unit: &'static str,
    /// All that have a bar: which server, and its name.
    pub(super) servers: Vec<(usize, String)>,
    pub(super) groups: Vec<Group>,
}

/// The bars of one load.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
}

/// Median, lowest and highest run.
pub(super) type Spread = (f64, f64, f64);

/// What one server needs for it.
pub(super) struct Bar {
    pub(super) server: usize,
    /// None if nothing was done.
    pub(super) spread: Option<Spread>,
    /// Not everything arrived once and in order.
    pub(super) is_wrong: bool,
}

impl Bars {
    /// The picture, if there is a bar.
    pub(super) fn picture(&self, name: String) -> Option<Picture> {
        let spreads = || self.groups.iter().flat_map(|group| &group.bars).filter_map(|bar| bar.spread);
        let most = spreads().map(|(.., high)| high).fold(f64::NEG_INFINITY, f64::max);
        let least = spreads().map(|(_, low, _)| low).fold(f64::INFINITY, f64::min);
        spreads().next()?;
        let is_logarithmic = least > 0.0 && most / least > FAR;
        let unit = if is_logarithmic { format!("{}, logarithmic", self.unit) } else { self.unit.to_owned() };
        let legend: Vec<(usize, &str)> =
            self.servers.iter().map(|(index, name)| (*index, name.as_str())).collect();
        let (mut picture, top) = Picture::new(name, &self.title, &legend, swatch);
        let bars: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let bottom = top + BAR * bars as f64 + GAP * self.groups.len() as f64;
        let (low, high) = if is_logarithmic {
            ((least * 0.7).log10().floor(), most.log10().ceil())
        } else {
            (0.0, most.max(1e-9) * 1.02)
        };
        let scale = Scale { low, high, from: LEFT, to: WIDTH - RIGHT };
        let is_noted = self.groups.iter().flat_map(|group| &group.bars).any(|bar| bar.is_wrong);
        scale.across(&mut picture.body, &scale.marks(is_logarithmic), (top, bottom), &unit);
        let mut y = top + GAP / 2.0;
        for group in &self.groups {
            let middle = y + BAR * group.bars.len() as f64 / 2.0 + 4.0;
            let _ = write!(
                picture.body,
                "<text x='{:.1}' y='{middle:.1}' text-anchor='end'>{}</text>",
                LEFT - 6.0,
                escape(&short(&group.name))
            );
            for bar in &group.bars {
                bar.draw(&mut picture.body, &scale, is_logarithmic, y);
                y += BAR;
            }
            y += GAP;
        }
        picture.height = bottom + BOTTOM;
        if is_noted {
            let _ = write!(picture.body, "<text x='12' y='{:.1}'>{NOTE}</text>", picture.height + 6.0);
            picture.height += 16.0;
        }
        Some(picture)
    }
}

impl Bar {
    fn draw(&self, out: &mut String, scale: &Scale, is_logarithmic: bool, y: f64) {
        let at = |value: f64| scale.at(if is_logarithmic { value.log10() } else { value });
        let mark = if self.is_wrong { " !" } else { "" };
        let text = y + BAR - 3.0;
        let Some((median, low, high)) = self.spread else {
            let _ =
                write!(out, "<text x='{:.1}' y='{text:.1}'>nothing was done{mark}</text>", scale.from + 4.0);
            return;
        };
        let _ = write!(
            out,
            "<rect x='{0:.1}' y='{1:.1}' width='{2:.1}' height='{3:.1}' fill='{4}'/>",
            scale.from,
            y + 1.0,
            at(median) - scale.from,
            BAR - 2.0,
            colour(self.server)
        );
        if high > low {
            let _ = write!(
                out,
                "<line x1='{:.1}' x2='{:.1}' y1='{2:.1}' y2='{2:.1}' class='range'/>",
                at(low),
                at(high),
                y + BAR / 2.0
            );
        }
        let _ = write!(
            out,
            "<text x='{:.1}' y='{text:.1}'>{}{mark}</text>",
            at(high.max(median)) + 4.0,
            digits(median)
        );
    }
}

fn swatch(index: usize, x: f64, y: f64) -> String {
    format!("<rect x='{x:.1}' y='{:.1}' width='{SWATCH}' height='9' fill='{}'/>", y - 8.5, colour(index))
}

/// Three digits, and no more of what is behind the point.
fn digits(value: f64) -> String {
    match value {
        _ if value >= 1e7 => format!("{value:.2e}"),
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(of: &[(Option<Spread>, bool)]) -> Option<String> {
        let bars = of.iter().enumerate().map(|(server, (spread, is_wrong))| Bar {
            server,
            spread: *spread,
            is_wrong: *is_wrong,
        });
        let groups = vec![Group { name: "chat & more".to_owned(), bars: bars.collect() }];
        let bars = Bars { title: "CPU".to_owned(), unit: "µs", servers: vec![(0, "A".to_owned())], groups };
        bars.picture("cpu".to_owned()).map(|picture| picture.body)
    }

    #[test]
    fn bars_have_their_length_their_figure_and_their_range() {
        let body = body(&[(Some((50.0, 40.0, 60.0)), false), (Some((100.0, 100.0, 100.0)), false)]).unwrap();
        assert!(body.contains("width='196.1' height='11.0' fill='#3b76d6'"), "{body}");
        assert!(body.contains("width='392.2' height='11.0' fill='#d9692b'"), "{body}");
        assert_eq!(body.matches("class='range'").count(), 1, "{body}");
        assert!(body.contains(">50.0</text>") && body.contains(">100</text>"), "{body}");
        assert!(body.contains(">chat &amp; more</text>") && !body.contains("logarithmic"), "{body}");
    }

    #[test]
    fn figures_far_apart_stand_on_a_logarithmic_axis() {
        let body =
            body(&[(Some((10.0, 10.0, 10.0)), false), (Some((1000.0, 1000.0, 1000.0)), false)]).unwrap();
        assert!(body.contains("µs, logarithmic"), "{body}");
        assert!(body.contains("width='133.3'") && body.contains("width='400.0'"), "a third, all: {body}");
    }

    #[test]
    fn what_went_wrong_is_marked_and_nothing_is_no_bar() {
        let body = body(&[(Some((1.0, 1.0, 1.0)), true), (None, true)]).unwrap();
        assert!(body.contains(">1.00 !</text>") && body.contains(">nothing was done !</text>"), "{body}");
        assert!(body.contains(NOTE), "{body}");
        assert_eq!(super::tests::body(&[(None, false)]), None);
    }
}
