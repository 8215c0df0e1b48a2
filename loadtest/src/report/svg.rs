//! What all charts share: the frame, the legend, looks that can be told apart, scales with round numbers, text that is safe.

use std::fmt::Write as _;

pub(super) const WIDTH: f64 = 640.0;
/// Readable on light and dark, also without colours apart: each line has its own dashes too.
const COLOURS: [&str; 6] = ["#3b76d6", "#d9692b", "#2f9e5b", "#a24fbf", "#c23b4e", "#6b7a8f"];
const DASHES: [&str; 6] = ["", "7 3", "2 3", "10 3 2 3", "4 4", "1 4"];
/// About what a letter is wide.
const LETTER: f64 = 6.0;
/// Longer names end in an ellipsis.
const LETTERS: usize = 40;
/// From one row of a legend to the next.
const ROW: f64 = 16.0;
/// Where the legend begins, below the title.
const LEGEND: f64 = 36.0;

/// How wide a mark of a legend is.
pub(super) const SWATCH: f64 = 26.0;

/// A finished chart: the page has it as it is, a file as PNG.
#[derive(Debug)]
pub(super) struct Picture {
    /// The file's, without its ending.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) height: f64,
    pub(super) body: String,
}

impl Picture {
    /// A frame with title and legend, whose marks `swatch` draws, and where the plot begins below them.
    pub(super) fn new(
        name: String,
        title: &str,
        legend: &[(usize, &str)],
        swatch: fn(usize, f64, f64) -> String,
    ) -> (Self, f64) {
        let mut body =
            format!("<title>{0}</title><text x='12' y='16' class='title'>{0}</text>", escape(title));
        let (mut x, mut y) = (12.0, LEGEND);
        for (index, name) in legend {
            let width = 44.0 + LETTER * name.chars().count().min(LETTERS) as f64;
            if x > 12.0 && x + width > WIDTH {
                (x, y) = (12.0, y + ROW);
            }
            body.push_str(&swatch(*index, x, y));
            let _ =
                write!(body, "<text x='{:.1}' y='{y:.1}'>{}</text>", x + SWATCH + 5.0, escape(&short(name)));
            x += width;
        }
        (Self { name, title: title.to_owned(), height: 0.0, body }, y + ROW)
    }

    /// As a part of an HTML page.
    pub(super) fn inline(&self) -> String {
        format!("<svg viewBox='0 0 {WIDTH} {}' role='img'>{}</svg>", self.height, self.body)
    }

    /// As a whole document of SVG, on a ground of its own.
    pub(super) fn document(&self, ground: &str) -> String {
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{0}' viewBox='0 0 {WIDTH} {0}'>\
             <rect width='{WIDTH}' height='{0}' fill='{ground}'/>{1}</svg>",
            self.height, self.body
        )
    }
}

/// The colour of the server with this index.
pub(super) fn colour(index: usize) -> &'static str {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or_default()
}

/// How its lines look.
pub(super) fn look(index: usize) -> String {
    let dashes = match DASHES.get(index % DASHES.len()).copied().unwrap_or_default() {
        "" => String::new(),
        dashes => format!(" stroke-dasharray='{dashes}'"),
    };
    format!("fill='none' stroke='{}' stroke-width='2'{dashes}", colour(index))
}

/// From a value to a place.
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Scale {
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low).max(f64::EPSILON);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Powers of ten, if `low` and `high` are exponents; otherwise about five round numbers.
    pub(super) fn marks(&self, is_logarithmic: bool) -> Vec<(f64, String)> {
        if is_logarithmic {
            let powers = (self.low as i32)..=(self.high as i32);
            return powers.map(|power| (f64::from(power), number(10f64.powi(power)))).collect();
        }
        steps(self.low, self.high)
    }

    /// Its lines from `top` to `bottom`, where the numbers stand, and under these what it counts.
    pub(super) fn across(
        &self,
        out: &mut String,
        marks: &[(f64, String)],
        (top, bottom): (f64, f64),
        what: &str,
    ) {
        for (mark, name) in marks {
            let _ = write!(
                out,
                "<line x1='{0:.1}' x2='{0:.1}' y1='{top:.1}' y2='{bottom:.1}' class='grid'/>\
                 <text x='{0:.1}' y='{1:.1}' text-anchor='middle'>{name}</text>",
                self.at(*mark),
                bottom + 13.0
            );
        }
        let _ = write!(
            out,
            "<text x='{:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
            f64::midpoint(self.from, self.to),
            bottom + 29.0,
            escape(what)
        );
    }
}

fn steps(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = ((high - low) / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let round = |mark: f64| (mark * 1e6).round() / 1e6;
    (first..=last).map(|mark| round(mark as f64 * step)).map(|mark| (mark, number(mark))).collect()
}

/// A number short enough to stand beside a mark: `250000` is `250 k`.
fn number(value: f64) -> String {
    match value {
        _ if value < 10_000.0 => format!("{value}"),
        _ if value < 1e6 => format!("{} k", value / 1e3),
        _ if value < 1e15 => format!("{} M", value / 1e6),
        _ => format!("{value:e}"),
    }
}

/// A name that is not too long to be drawn.
pub(super) fn short(name: &str) -> String {
    match name.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// Text for HTML and SVG, without what XML cannot have.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            _ if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_numbers() {
        let scale = |low, high| Scale { low, high, from: 0.0, to: 1.0 };
        let names = |low, high, is_logarithmic| {
            scale(low, high).marks(is_logarithmic).into_iter().map(|(_, name)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(0.0, 23.0, false), ["0", "5", "10", "15", "20"]);
        assert_eq!(names(0.0, 600_000.0, false), ["0", "200 k", "400 k", "600 k"]);
        assert_eq!(names(-1.0, 6.0, true), ["0.1", "1", "10", "100", "1000", "10 k", "100 k", "1 M"]);
    }

    #[test]
    fn a_legend_that_is_too_wide_has_rows_and_long_names_are_cut() {
        let name = "n".repeat(60);
        let (picture, top) =
            Picture::new(String::new(), "T & t", &[(0, &name), (1, &name), (2, &name)], |_, _, _| {
                String::new()
            });
        assert_eq!(top, LEGEND + 2.0 * ROW);
        assert!(picture.body.contains(&format!(">{}…</text>", "n".repeat(40))), "{}", picture.body);
        assert!(picture.body.starts_with("<title>T &amp; t</title>"), "{}", picture.body);
    }

    #[test]
    fn what_xml_cannot_have_is_left_out() {
        assert_eq!(escape("a\0<\u{1b}'b\u{ffff}\""), "a&lt;&#39;b&quot;");
    }
}
