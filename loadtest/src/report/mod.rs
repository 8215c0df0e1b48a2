//! `report`: results as one HTML page with plots, which needs nothing else to be looked at.

mod bars;
mod charts;
mod lines;
mod png;
mod svg;

use crate::results::{self, Played, spread};
use anyhow::{Context as _, Result};
use charts::{Results, Servers};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use svg::{Picture, escape};

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1360px;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid #8886;text-align:right}\
td:first-child,th:first-child{text-align:left}.plots{display:flex;flex-wrap:wrap;gap:1rem}svg{width:640px;max-width:100%}\
svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .title{font-size:13px;font-weight:600}\
svg .grid{stroke:#8884;stroke-width:1}svg .range{stroke:currentColor;stroke-width:1.5}pre{overflow:auto;background:#8882;padding:.7rem;border-radius:6px}\
.bad{color:#c23b4e;font-weight:600}";
/// Makes one HTML page of results; those of one scenario and server are merged, histogram with histogram.
#[derive(Debug, Clone, Args)]
pub(crate) struct Report {
    /// Results of `run --json`: files, folders.
    #[arg(required = true)]
    pub(crate) results: Vec<String>,
    /// The page.
    #[arg(long, default_value = "report.html")]
    pub(crate) output: PathBuf,
    /// A folder for the page's charts as PNG, a file each; it is made if it is not there.
    #[arg(long)]
    pub(crate) png: Option<PathBuf>,
}

/// Writes the page, and the charts if they are wanted.
pub(crate) fn run(report: &Report) -> Result<()> {
    let mut all = Vec::new();
    for place in &report.results {
        all.extend(results::read(place)?);
    }
    let results = Results::new(&all);
    std::fs::write(&report.output, page(&results))
        .with_context(|| format!("writing {}", report.output.display()))?;
    let Some(folder) = &report.png else { return Ok(()) };
    let loads = results.loads.keys().flat_map(|load| results.of_load(load));
    let pictures: Vec<Picture> = results.beside().into_iter().chain(loads).collect();
    png::write(folder, &pictures)
}

/// Draws what servers cost into a folder, as `PREFIX-cpu.png` and `PREFIX-memory.png`, if it was measured: the files' names and
/// what they show.
pub(crate) fn costs(all: &[Played], folder: &Path, prefix: &str) -> Result<Vec<(String, String)>> {
    let mut pictures = Results::new(all).beside();
    pictures.retain(|picture| ["cpu", "memory"].contains(&picture.name.as_str()));
    pictures.iter_mut().for_each(|picture| picture.name = format!("{prefix}-{}", picture.name));
    png::write(folder, &pictures)?;
    Ok(pictures.into_iter().map(|picture| (format!("{}.png", picture.name), picture.title)).collect())
}

fn page(results: &Results<'_>) -> String {
    let mut out = format!(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\
         <title>starling-loadtest</title><style>{STYLE}</style><h1>starling-loadtest</h1>"
    );
    plots(&mut out, &results.beside());
    for (load, servers) in &results.loads {
        section(&mut out, load, servers, &results.of_load(load));
    }
    out.push_str("</html>\n");
    out
}

fn plots(out: &mut String, pictures: &[Picture]) {
    out.push_str("<div class='plots'>");
    for picture in pictures {
        out.push_str(&picture.inline());
    }
    out.push_str("</div>");
}

fn section(out: &mut String, load: &str, servers: &Servers<'_>, pictures: &[Picture]) {
    let Some(first) = servers.values().flatten().next() else { return };
    let _ = write!(out, "<h2>{}</h2><p>{}</p>", escape(load), escape(&first.about));
    table(out, servers);
    plots(out, pictures);
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
fn table(out: &mut String, servers: &Servers<'_>) {
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
        let all = [of("A", 100.0), of("A", 300.0), of("B <1>", 50.0)];
        let page = page(&Results::new(&all));
        assert!(page.contains("<th>A (2 runs)</th><th>B &lt;1&gt; (1 run)</th>"), "{page}");
        assert!(page.contains("<td>200.00 (100.00–300.00)</td><td>50.00</td>"), "{page}");
        assert_eq!(page.matches("<svg").count(), 4, "rates beside each other, and three of the operation");
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }
}
