//! `table`: results of several servers beside each other, as the table of docs/benchmarks.md.

use crate::bench::page;
use crate::results::{self, Played, WRONG, main, spread};
use crate::run::BESIDE;
use crate::stamp;
use anyhow::Result;
use clap::Args;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Figures that are results of their own, with divisor and unit.
const OWN: [(&str, f64, &str); 7] = [
    ("bytes-per-connection", 1024.0, "KiB a connection"),
    ("server-cpu-us-per-stored", 1.0, "µs stored"),
    ("server-cpu-us-per-collected", 1.0, "µs collected"),
    ("server-cpu-us-per-coming-online", 1.0, "µs coming online"),
    ("stored-per-second", 1.0, "stored/s"),
    ("collected-per-second", 1.0, "collected/s"),
    ("all-back.p50-ms", 1.0, "ms until all are back"),
];
/// How the names of the charts of costs begin.
const CHARTS: &str = "peers";

/// Prints results of several servers as one table: medians, lowest and highest run, what went wrong.
#[derive(Debug, Clone, Args)]
pub(crate) struct Table {
    /// Results of `run --json`: files, folders.
    #[arg(required = true)]
    pub(crate) results: Vec<String>,
    /// The command that made the results, for the line above the table.
    #[arg(long, default_value = "")]
    pub(crate) made_by: String,
    /// The page whose table is written anew.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
    /// A folder beside that page, for charts of the costs that the page then shows above the table.
    #[arg(long, requires = "write")]
    pub(crate) charts: Option<String>,
}

/// The table; written into the page too, if one is named.
pub(crate) fn run(table: &Table) -> Result<String> {
    let mut all = Vec::new();
    for place in &table.results {
        all.extend(results::read(place)?);
    }
    let mut text = format!("{}\n\n", about(&all, &table.made_by));
    if let (Some(page), Some(charts)) = (&table.write, &table.charts) {
        text.push_str(&page::charts(&all, page, charts, CHARTS)?);
    }
    text.push_str(&rows(&all));
    if let Some(page) = &table.write {
        page::write(page, &text, "make bench-peers")?;
    }
    Ok(text)
}

fn about(all: &[Played], made_by: &str) -> String {
    let load = |result: &Played| -> Option<f64> {
        result.value.pointer("/stamp/load-average")?.as_str()?.parse().ok()
    };
    let mut loads: Vec<f64> = all.iter().filter_map(load).collect();
    loads.sort_by(f64::total_cmp);
    let seconds = all.first().and_then(|result| result.value.get("seconds")?.as_f64()).unwrap_or(0.0);
    let is_optimised =
        all.iter().all(|result| result.value.pointer("/stamp/optimised") == Some(&Value::Bool(true)));
    format!(
        "{} Command: `{made_by}`. About {seconds:.0} s a run; load average before the runs {} to {}{}.",
        stamp::words(),
        loads.first().copied().unwrap_or(f64::NAN),
        loads.last().copied().unwrap_or(f64::NAN),
        if is_optimised { "" } else { "; **not an optimised build: these figures mean nothing**" },
    )
}

fn rows(all: &[Played]) -> String {
    let servers: BTreeSet<&str> = all.iter().map(|result| result.server.as_str()).collect();
    let mut loads: BTreeMap<&str, Vec<&Played>> = BTreeMap::new();
    for result in all {
        loads.entry(&result.scenario).or_default().push(result);
    }
    let mut out = "| load | what |".to_owned();
    servers.iter().for_each(|server| out.push_str(&format!(" {server} |")));
    let _ = write!(out, "\n|---|---|{}", "---|".repeat(servers.len()));
    for (load, results) in loads {
        let first = results.first().map(|result| result.about.as_str()).unwrap_or_default();
        let _ = write!(out, "\n| {load} | {first} |");
        for server in &servers {
            let runs: Vec<&Played> =
                results.iter().filter(|result| result.server == *server).copied().collect();
            let _ = write!(out, " {} |", if runs.is_empty() { "not played".to_owned() } else { cell(&runs) });
        }
    }
    out.push('\n');
    out
}

/// Costs first, then rate and latency of what is measured, then what went wrong.
fn cell(runs: &[&Played]) -> String {
    let mut parts = Vec::new();
    let main = runs.first().map_or("delivery", |run| main(run));
    let is_idle = runs.first().is_some_and(|run| run.figures.contains_key("bytes-per-connection"));
    if !is_idle {
        parts.extend(
            figure(runs, "server-cpu-us-per-operation", 1.0, &format!("µs a {main}"))
                .map(|it| format!("**{it}**")),
        );
    }
    let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.figures.keys()).collect();
    for name in names {
        if let Some(store) = name.strip_suffix(BESIDE) {
            parts.extend(figure(runs, name, 1.0, &format!("µs {store} beside")));
        }
    }
    parts.extend(OWN.iter().filter_map(|(name, divisor, unit)| figure(runs, name, *divisor, unit)));
    let middle = |name: &str| spread(runs, &format!("{main}.{name}")).map(|(middle, ..)| middle);
    if let (false, Some(rate), Some(p50), Some(p99)) =
        (is_idle, middle("per-second"), middle("p50-ms"), middle("p99-ms"))
    {
        parts.push(format!("{rate:.0}/s, p50 / p99 {p50:.1} / {p99:.1} ms"));
    }
    for wrong in WRONG {
        let most = spread(runs, wrong).map_or(0.0, |(.., highest)| highest);
        if most > 0.0 {
            parts.push(format!("**{wrong} {most}**"));
        }
    }
    if runs.iter().any(|run| run.value.get("limited").is_some_and(Value::is_string)) {
        parts.push("limited by the generator".to_owned());
    }
    parts.join("; ")
}

fn figure(runs: &[&Played], name: &str, divisor: f64, unit: &str) -> Option<String> {
    let (median, low, high) = spread(runs, name)?;
    let [median, low, high] = [median, low, high].map(|value| value / divisor);
    Some(if runs.len() > 1 {
        format!("{median:.1} {unit} ({low:.1}–{high:.1})")
    } else {
        format!("{median:.1} {unit}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::played;

    #[test]
    fn the_page_shows_charts_that_are_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (page, result) = (folder.path().join("page.md"), folder.path().join("a.json"));
        let marks = "<!-- made by make bench-peers -->\n<!-- end of what make bench-peers makes -->\n";
        std::fs::write(&page, marks).unwrap();
        let played = played("A 1", &[("server-cpu-us-per-operation", 10.0)], &[], &[]);
        std::fs::write(&result, played.value.to_string()).unwrap();
        let results = vec![result.display().to_string()];
        let charts = Some("images".to_owned());
        run(&Table { results, made_by: String::new(), write: Some(page.clone()), charts }).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains("less is better](images/peers-cpu.png)\n\n| load |"), "{text}");
        assert!(!text.contains("peers-memory"), "it was not measured: {text}");
        assert!(folder.path().join("images/peers-cpu.png").exists());
    }

    #[test]
    fn what_is_beside_a_server_is_named_apart() {
        let figures = [("server-cpu-us-per-operation", 10.0), ("redis-beside-us-per-operation", 4.0)];
        let rows = rows(&[played("A 1", &figures, &[], &[])]);
        assert!(rows.ends_with("| **10.0 µs a delivery**; 4.0 µs redis beside |\n"), "{rows}");
    }

    #[test]
    fn each_server_has_a_column_and_what_went_wrong_is_in_its_cell() {
        let of = |server, cpu, lost| {
            let figures = [
                ("server-cpu-us-per-operation", cpu),
                ("delivery.per-second", 1000.0),
                ("delivery.p50-ms", 1.0),
                ("delivery.p99-ms", 2.0),
                ("lost", lost),
            ];
            played(server, &figures, &[], &[])
        };
        let rows =
            rows(&[of("A 1", 10.0, 0.0), of("A 1", 12.0, 0.0), of("A 1", 20.0, 0.0), of("B 2", 99.0, 3.0)]);
        let lines: Vec<&str> = rows.lines().collect();
        assert_eq!(lines[0], "| load | what | A 1 | B 2 |");
        assert_eq!(
            lines[2],
            "| chat | pairs <chat> | **12.0 µs a delivery (10.0–20.0)**; 1000/s, p50 / p99 1.0 / 2.0 ms | \
             **99.0 µs a delivery**; 1000/s, p50 / p99 1.0 / 2.0 ms; **lost 3** |"
        );
    }
}
