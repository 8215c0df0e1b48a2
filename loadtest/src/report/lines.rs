//! Line charts.

use super::svg::{Picture, SWATCH, Scale, WIDTH, escape, look};
use std::fmt::Write as _;

const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
/// How high the plot is.
const PLOT: f64 = 228.0;
const BOTTOM: f64 = 44.0;

/// Places of a line.
pub(super) type Points = Vec<(f64, f64)>;

/// What is drawn.
pub(super) struct Lines<'a> {
    pub(super) title: String,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// Places of the x axis with their names; without any, round numbers are chosen.
    pub(super) marks: Vec<(f64, String)>,
    /// Powers of ten on the y axis.
    pub(super) is_logarithmic: bool,
    /// Which server, what it is called, its line.
    pub(super) lines: Vec<(usize, String, Points)>,
}

/// Where the axes are.
struct Axes {
    x: Scale,
    y: Scale,
}

impl Lines<'_> {
    /// The picture, if there is a point.
    pub(super) fn picture(&self, name: String) -> Option<Picture> {
        let points = || self.lines.iter().flat_map(|(.., points)| points);
        points().next()?;
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::NEG_INFINITY, f64::max);
        let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
        let legend: Vec<(usize, &str)> =
            self.lines.iter().map(|(index, name, _)| (*index, name.as_str())).collect();
        let (mut picture, top) = Picture::new(name, &self.title, &legend, swatch);
        let x_high = self.marks.last().map_or_else(|| most(|point| point.0), |(at, _)| *at);
        let x = Scale { low: least(|point| point.0).min(0.0), high: x_high, from: LEFT, to: WIDTH - RIGHT };
        let y_high = self.value(most(|point| point.1));
        let y_low = if self.is_logarithmic { self.value(least(|point| point.1)).floor() } else { 0.0 };
        let y_high =
            if self.is_logarithmic { y_high.ceil().max(y_low + 1.0) } else { (y_high * 1.08).max(1e-9) };
        let axes = Axes { x, y: Scale { low: y_low, high: y_high, from: top + PLOT, to: top } };
        self.axes(&mut picture.body, &axes);
        for (index, _, points) in &self.lines {
            self.line(&mut picture.body, *index, points, &axes);
        }
        picture.height = top + PLOT + BOTTOM;
        Some(picture)
    }

    fn value(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.max(0.001).log10() } else { value }
    }

    fn axes(&self, out: &mut String, Axes { x, y }: &Axes) {
        let (top, bottom) = (y.to, y.from);
        let marks = if self.marks.is_empty() { x.marks(false) } else { self.marks.clone() };
        x.across(out, &marks, (top, bottom), self.x);
        for (mark, name) in y.marks(self.is_logarithmic) {
            let at = y.at(mark);
            let _ = write!(
                out,
                "<line x1='{LEFT}' x2='{:.1}' y1='{at:.1}' y2='{at:.1}' class='grid'/>\
                 <text x='{:.1}' y='{:.1}' text-anchor='end'>{name}</text>",
                WIDTH - RIGHT,
                LEFT - 5.0,
                at + 4.0
            );
        }
        let _ = write!(
            out,
            "<text x='12' y='{0:.1}' text-anchor='middle' transform='rotate(-90 12 {0:.1})'>{1}</text>",
            f64::midpoint(top, bottom),
            escape(self.y),
        );
    }

    fn line(&self, out: &mut String, index: usize, points: &[(f64, f64)], Axes { x, y }: &Axes) {
        let path: Vec<String> = points
            .iter()
            .map(|(across, up)| format!("{:.1},{:.1}", x.at(*across), y.at(self.value(*up))))
            .collect();
        let _ = write!(out, "<polyline points='{}' {}/>", path.join(" "), look(index));
    }
}

fn swatch(index: usize, x: f64, y: f64) -> String {
    format!("<line x1='{x:.1}' x2='{:.1}' y1='{1:.1}' y2='{1:.1}' {2}/>", x + SWATCH, y - 4.0, look(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(is_logarithmic: bool, points: Points) -> Option<String> {
        let lines = vec![(0, "a < b".to_owned(), points)];
        let lines =
            Lines { title: "T".to_owned(), x: "s", y: "ms", marks: Vec::new(), is_logarithmic, lines };
        lines.picture("t".to_owned()).map(|picture| picture.body)
    }

    #[test]
    fn a_chart_has_its_points_in_place_and_its_names_in_the_legend() {
        let body = body(false, vec![(0.0, 0.0), (10.0, 100.0)]).unwrap();
        assert!(body.contains("points='64.0,280.0 616.0,68.9'"), "{body}");
        assert!(body.contains(">a &lt; b</text>"), "{body}");
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_ten() {
        let body = body(true, vec![(0.0, 0.5), (1.0, 50.0)]).unwrap();
        for power in ["0.1", "1", "10", "100"] {
            assert!(body.contains(&format!("text-anchor='end'>{power}</text>")), "{power}: {body}");
        }
    }

    #[test]
    fn what_has_no_point_is_not_drawn() {
        assert_eq!(body(false, Vec::new()), None);
    }
}
