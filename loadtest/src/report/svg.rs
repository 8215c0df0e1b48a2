//! Line charts as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;
/// Readable on light and dark, also without colours apart: each line has its own dashes too.
const COLOURS: [&str; 6] = ["#3b76d6", "#d9692b", "#2f9e5b", "#a24fbf", "#c23b4e", "#6b7a8f"];
const DASHES: [&str; 6] = ["", "7 3", "2 3", "10 3 2 3", "4 4", "1 4"];

/// What is drawn.
pub(super) struct Chart<'a> {
    pub(super) title: String,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// Places of the x axis with their names; without any, round numbers are chosen.
    pub(super) marks: Vec<(f64, String)>,
    /// Powers of ten on the y axis.
    pub(super) is_logarithmic: bool,
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// From a value to a place.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low).max(f64::EPSILON);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

impl Chart<'_> {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::NEG_INFINITY, f64::max);
        let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
        if points().next().is_none() {
            return String::new();
        }
        let x_high = self.marks.last().map_or_else(|| most(|point| point.0), |(at, _)| *at);
        let x = Scale { low: least(|point| point.0).min(0.0), high: x_high, from: LEFT, to: WIDTH - RIGHT };
        let y_high = self.value(most(|point| point.1));
        let y_low = if self.is_logarithmic { self.value(least(|point| point.1)).floor() } else { 0.0 };
        let y_high =
            if self.is_logarithmic { y_high.ceil().max(y_low + 1.0) } else { (y_high * 1.08).max(1e-9) };
        let y = Scale { low: y_low, high: y_high, from: HEIGHT - BOTTOM, to: TOP };
        let mut out = format!(
            "<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'><title>{0}</title><text x='{LEFT}' y='16' class='title'>{0}</text>",
            escape(&self.title)
        );
        self.axes(&mut out, &x, &y);
        for (index, (name, points)) in self.lines.iter().enumerate() {
            self.line(&mut out, index, name, points, (&x, &y));
        }
        out.push_str("</svg>");
        out
    }

    fn value(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.max(0.001).log10() } else { value }
    }

    fn axes(&self, out: &mut String, x: &Scale, y: &Scale) {
        let marks = if self.marks.is_empty() {
            steps(x.low, x.high, |mark| format!("{mark}"))
        } else {
            self.marks.clone()
        };
        for (mark, name) in marks {
            let (at, bottom) = (x.at(mark), HEIGHT - BOTTOM);
            let _ = write!(
                out,
                "<line x1='{at:.1}' x2='{at:.1}' y1='{TOP}' y2='{bottom}' class='grid'/>\
                 <text x='{at:.1}' y='{:.1}' text-anchor='middle'>{name}</text>",
                bottom + 14.0
            );
        }
        let marks = if self.is_logarithmic {
            let powers = (y.low as i32)..=(y.high as i32);
            powers.map(|power| (f64::from(power), format!("{}", 10f64.powi(power)))).collect()
        } else {
            steps(y.low, y.high, |mark| format!("{mark}"))
        };
        for (mark, name) in marks {
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
            "<text x='{:.1}' y='{:.1}' text-anchor='middle'>{}</text><text x='12' y='{:.1}' text-anchor='middle' \
             transform='rotate(-90 12 {3:.1})'>{}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 14.0,
            escape(self.x),
            f64::midpoint(TOP, HEIGHT - BOTTOM),
            escape(self.y),
        );
    }

    fn line(
        &self,
        out: &mut String,
        index: usize,
        name: &str,
        points: &[(f64, f64)],
        (x, y): (&Scale, &Scale),
    ) {
        let colour = COLOURS.get(index % COLOURS.len()).copied().unwrap_or_default();
        let dashes = DASHES.get(index % DASHES.len()).copied().unwrap_or_default();
        let path: Vec<String> = points
            .iter()
            .map(|(across, up)| format!("{:.1},{:.1}", x.at(*across), y.at(self.value(*up))))
            .collect();
        let _ = write!(
            out,
            "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2' stroke-dasharray='{dashes}'/>",
            path.join(" ")
        );
        let height = TOP + 14.0 + 15.0 * index as f64;
        let _ = write!(
            out,
            "<line x1='{0:.1}' x2='{1:.1}' y1='{2:.1}' y2='{2:.1}' stroke='{colour}' stroke-width='2' stroke-dasharray='{dashes}'/>\
             <text x='{3:.1}' y='{4:.1}'>{5}</text>",
            LEFT + 8.0,
            LEFT + 34.0,
            height - 4.0,
            LEFT + 40.0,
            height,
            escape(name)
        );
    }
}

/// About five round numbers from `low` to `high`.
fn steps(low: f64, high: f64, name: impl Fn(f64) -> String) -> Vec<(f64, String)> {
    let rough = ((high - low) / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let round = |mark: f64| (mark * 1e6).round() / 1e6;
    (first..=last).map(|mark| round(mark as f64 * step)).map(|mark| (mark, name(mark))).collect()
}

/// Text for HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(is_logarithmic: bool, points: Vec<(f64, f64)>) -> Chart<'static> {
        let lines = vec![("a < b".to_owned(), points)];
        Chart { title: "T & t".to_owned(), x: "s", y: "ms", marks: Vec::new(), is_logarithmic, lines }
    }

    #[test]
    fn a_chart_has_its_points_in_place_and_its_texts_escaped() {
        let svg = chart(false, vec![(0.0, 0.0), (10.0, 100.0)]).svg();
        assert!(svg.contains("points='64.0,256.0 616.0,44.9'"), "{svg}");
        assert!(svg.contains("<title>T &amp; t</title>") && svg.contains(">a &lt; b</text>"), "{svg}");
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_ten() {
        let svg = chart(true, vec![(0.0, 0.5), (1.0, 50.0)]).svg();
        for power in ["0.1", "1", "10", "100"] {
            assert!(svg.contains(&format!("text-anchor='end'>{power}</text>")), "{power}: {svg}");
        }
    }

    #[test]
    fn marks_are_round_numbers() {
        let marks: Vec<f64> = steps(0.0, 23.0, |_| String::new()).into_iter().map(|(mark, _)| mark).collect();
        assert_eq!(marks, [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(chart(false, Vec::new()).svg(), "");
    }
}
