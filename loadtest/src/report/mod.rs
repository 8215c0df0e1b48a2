//! `report`: results as one HTML page with plots, which needs nothing else to be looked at.

mod svg;

use crate::recorder::histogram;
use crate::results::{self, Played, spread};
use anyhow::{Context as _, Result};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use svg::{Chart, escape};

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1360px;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid #8886;text-align:right}\
td:first-child,th:first-child{text-align:left}.plots{display:flex;flex-wrap:wrap;gap:1rem}svg{width:640px;max-width:100%}\
svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .title{font-size:13px;font-weight:600}\
svg .grid{stroke:#8884;stroke-width:1}pre{overflow:auto;background:#8882;padding:.7rem;border-radius:6px}\
.bad{color:#c23b4e;font-weight:600}";
/// Percentiles of a latency plot, by how many nines: the places where a reader looks.
const MARKS: [(f64, &str); 7] = [
    (0.0, "0%"),
    (0.301, "50%"),
    (1.0, "90%"),
    (2.0, "99%"),
    (3.0, "99.9%"),
    (4.0, "99.99%"),
    (5.0, "99.999%"),
];

/// Makes one HTML page of results; those of one scenario and server are merged, histogram with histogram.
#[derive(Debug, Clone, Args)]
pub(crate) struct Report {
    /// Results of `run --json`: files, folders.
    #[arg(required = true)]
    pub(crate) results: Vec<String>,
    /// The page.
    #[arg(long, default_value = "report.html")]
    pub(crate) output: PathBuf,
}

/// Writes the page.
pub(crate) fn run(report: &Report) -> Result<()> {
    let mut all = Vec::new();
    for place in &report.results {
        all.extend(results::read(place)?);
    }
    std::fs::write(&report.output, page(&all)).with_context(|| format!("writing {}", report.output.display()))
}

fn page(all: &[Played]) -> String {
    let mut out = format!(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\
         <title>starling-loadtest</title><style>{STYLE}</style><h1>starling-loadtest</h1>"
    );
    let scenarios: BTreeSet<&String> = all.iter().map(|result| &result.scenario).collect();
    for scenario in scenarios {
        let mut servers: BTreeMap<&str, Vec<&Played>> = BTreeMap::new();
        for result in all.iter().filter(|result| result.scenario == *scenario) {
            servers.entry(&result.server).or_default().push(result);
        }
        section(&mut out, scenario, &servers);
    }
    out.push_str("</html>\n");
    out
}

fn section(out: &mut String, scenario: &str, servers: &BTreeMap<&str, Vec<&Played>>) {
    let Some(first) = servers.values().flatten().next() else { return };
    let _ = write!(out, "<h2>{}</h2><p>{}</p>", escape(scenario), escape(&first.about));
    table(out, servers);
    out.push_str("<div class='plots'>");
    let operations: BTreeSet<&String> =
        servers.values().flatten().flat_map(|result| result.operations.keys()).collect();
    for operation in operations {
        for chart in charts(operation, servers) {
            out.push_str(&chart.svg());
        }
    }
    out.push_str("</div>");
    for result in servers.values().flatten() {
        troubles(out, result);
    }
    let text = first.value.pointer("/scenario/text").and_then(Value::as_str).unwrap_or_default();
    let stamp = first.value.get("stamp").map(ToString::to_string).unwrap_or_default();
    let _ = write!(
        out,
        "<details><summary>Scenario and machine</summary><pre>{}</pre><pre>{}</pre></details>",
        escape(text),
        escape(&stamp)
    );
}

/// Figures, a column for each server: the median, and behind it the lowest and the highest run.
fn table(out: &mut String, servers: &BTreeMap<&str, Vec<&Played>>) {
    out.push_str("<table><tr><th>figure</th>");
    for (server, runs) in servers {
        let _ = write!(
            out,
            "<th>{} ({} run{})</th>",
            escape(server),
            runs.len(),
            if runs.len() == 1 { "" } else { "s" }
        );
    }
    out.push_str("</tr>");
    let figures: BTreeSet<&String> =
        servers.values().flatten().flat_map(|result| result.figures.keys()).collect();
    for figure in figures {
        let _ = write!(out, "<tr><td>{}</td>", escape(figure));
        for runs in servers.values() {
            let cell = match spread(runs, figure) {
                Some((median, low, high)) if runs.len() > 1 => format!("{median:.2} ({low:.2}–{high:.2})"),
                Some((median, ..)) => format!("{median:.2}"),
                None => String::new(),
            };
            let _ = write!(out, "<td>{cell}</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

/// Places of a line.
type Points = Vec<(f64, f64)>;

fn charts<'a>(operation: &str, servers: &BTreeMap<&str, Vec<&Played>>) -> [Chart<'a>; 3] {
    let of = |line: &dyn Fn(&[&Played]) -> Points| {
        servers
            .iter()
            .map(|(server, runs)| ((*server).to_owned(), line(runs)))
            .filter(|(_, points)| !points.is_empty())
            .collect()
    };
    let chart = |title: String, x, y, is_logarithmic, lines| Chart {
        title,
        x,
        y,
        marks: Vec::new(),
        is_logarithmic,
        lines,
    };
    let series = |column: usize, part: f64| {
        move |runs: &[&Played]| -> Points {
            let measured = runs.first().and_then(|run| run.operations.get(operation));
            let points = measured.into_iter().flat_map(|measured| &measured.series);
            points
                .filter(|point| point[0] > 0.0)
                .filter_map(|point| Some((point[0], point.get(column)? / part)))
                .collect()
        }
    };
    let marks: Vec<(f64, String)> = MARKS.iter().map(|(at, name)| (*at, (*name).to_owned())).collect();
    let latency = of(&|runs| percentiles(&merged(runs, operation)));
    [
        Chart {
            marks,
            ..chart(format!("{operation}: latency by percentile"), "of all", "ms", true, latency)
        },
        chart(format!("{operation}: rate, first run"), "seconds", "per second", false, of(&series(1, 1.0))),
        chart(
            format!("{operation}: 99th percentile, first run"),
            "seconds",
            "ms",
            false,
            of(&series(3, 1000.0)),
        ),
    ]
}

/// All runs in one histogram: percentiles cannot be averaged.
fn merged(runs: &[&Played], operation: &str) -> Histogram<u64> {
    let mut all = histogram();
    for measured in runs.iter().filter_map(|run| run.operations.get(operation)) {
        let _ = all.add(&measured.latency); // the same bounds, as they were read into such a one
    }
    all
}

fn percentiles(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    if latency.is_empty() {
        return Vec::new();
    }
    let most = (latency.len() as f64).log10().min(5.0);
    let nines = (0..=100).map(|step| f64::from(step) * most / 100.0);
    nines.map(|nines| (nines, latency.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64 / 1000.0)).collect()
}

/// Thresholds that did not hold, messages that did not arrive, errors.
fn troubles(out: &mut String, result: &Played) {
    let list =
        |pointer: &str| result.value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let failed = list("/thresholds")
        .into_iter()
        .filter(|threshold| threshold.get("holds") == Some(&Value::Bool(false)));
    let failed = failed.filter_map(|threshold| {
        threshold.get("threshold")?.as_str().map(|text| format!("{text} does not hold"))
    });
    let named = list("/correctness/named").into_iter().filter_map(|line| line.as_str().map(str::to_owned));
    let errors = result.value.get("errors").and_then(Value::as_object).cloned().unwrap_or_default();
    let errors = errors.into_iter().map(|(error, count)| format!("{count} times: {error}"));
    let limited = result
        .value
        .get("limited")
        .and_then(Value::as_str)
        .map(|why| format!("limited by the generator: {why}"));
    let lines: Vec<String> = failed.chain(named).chain(errors).chain(limited).collect();
    if lines.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<p class='bad'>{} ({})</p><ul>",
        escape(&result.server),
        escape(&result.file.display().to_string())
    );
    for line in lines {
        let _ = write!(out, "<li>{}</li>", escape(&line));
    }
    out.push_str("</ul>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::played;

    #[test]
    fn the_page_has_a_column_for_each_server_and_needs_nothing_from_elsewhere() {
        let series: Vec<[f64; 4]> = (1..5).map(|second| [f64::from(second), 100.0, 10.0, 20.0]).collect();
        let of =
            |server, rate| played(server, &[("delivery.per-second", rate)], &[100, 2000, 40_000], &series);
        let page = page(&[of("A", 100.0), of("A", 300.0), of("B <1>", 50.0)]);
        assert!(page.contains("<th>A (2 runs)</th><th>B &lt;1&gt; (1 run)</th>"), "{page}");
        assert!(page.contains("<td>200.00 (100.00–300.00)</td><td>50.00</td>"), "{page}");
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }

    #[test]
    fn runs_are_merged_as_histograms() {
        let (fast, slow) = (played("A", &[], &[10; 99], &[]), played("A", &[], &[5000; 101], &[]));
        let all = merged(&[&fast, &slow], "delivery");
        assert_eq!((all.len(), all.value_at_quantile(0.4), all.max()), (200, 10, 5003));
        assert_eq!(percentiles(&all).last().map(|(_, ms)| ms.round()), Some(5.0));
    }
}
