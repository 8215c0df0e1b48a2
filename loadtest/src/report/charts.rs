//! Which charts results have: costs, rate and latency of all loads and servers beside each other, then each load by itself.

use super::bars::{Bar, Bars, Group};
use super::lines::{Lines, Points};
use super::svg::Picture;
use crate::recorder::histogram;
use crate::results::{Played, WRONG, main, spread};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};

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
/// How the figures begin that are CPU time of the server for something.
const CPU: &str = "server-cpu-us-per-";
/// Memory of the server for a connection.
const MEMORY: &str = "bytes-per-connection";
/// What an idle server spends is for nothing that could be counted.
const IDLE: &str = "second-idle";

/// Runs of one load, by server.
pub(super) type Servers<'a> = BTreeMap<&'a str, Vec<&'a Played>>;

/// Results in order: loads, in each the servers, in each the runs.
pub(super) struct Results<'a> {
    /// All servers: one looks the same in each chart.
    pub(super) servers: Vec<&'a str>,
    pub(super) loads: BTreeMap<&'a str, Servers<'a>>,
}

impl<'a> Results<'a> {
    pub(super) fn new(all: &'a [Played]) -> Self {
        let servers: BTreeSet<&str> = all.iter().map(|result| result.server.as_str()).collect();
        let mut loads: BTreeMap<&str, Servers<'a>> = BTreeMap::new();
        for result in all {
            loads.entry(&result.scenario).or_default().entry(&result.server).or_default().push(result);
        }
        Self { servers: servers.into_iter().collect(), loads }
    }

    fn index(&self, server: &str) -> usize {
        self.servers.iter().position(|known| *known == server).unwrap_or(0)
    }

    /// All loads and servers beside each other.
    pub(super) fn beside(&self) -> Vec<Picture> {
        let of_main =
            |what: &'static str| move |run: &Played| vec![(String::new(), format!("{}.{what}", main(run)))];
        let all = [
            self.bars("cpu", "CPU of the server for each operation: less is better", "µs", 1.0, &cpu),
            self.bars(
                "memory",
                "Memory of the server for each connection: less is better",
                "KiB",
                1024.0,
                &|_| vec![(String::new(), MEMORY.to_owned())],
            ),
            self.bars(
                "rate",
                "Operations: more is better, if they were sent as fast as they were answered",
                "per second",
                1.0,
                &of_main("per-second"),
            ),
            self.bars("p99", "Latency, 99th percentile: less is better", "ms", 1.0, &of_main("p99-ms")),
        ];
        all.into_iter().flatten().collect()
    }

    /// A group for each load and each figure that `named` finds there: what is added to the load's name, and the figure.
    fn bars(
        &self,
        name: &str,
        title: &str,
        unit: &'static str,
        divisor: f64,
        named: &dyn Fn(&Played) -> Vec<(String, String)>,
    ) -> Option<Picture> {
        let mut groups = Vec::new();
        for (load, servers) in &self.loads {
            let figures: BTreeSet<(String, String)> =
                servers.values().flatten().flat_map(|run| named(run)).collect();
            for (more, figure) in figures {
                let bars = servers
                    .iter()
                    .filter_map(|(server, runs)| bar(self.index(server), runs, &figure, divisor));
                let bars: Vec<Bar> = bars.collect();
                if bars.iter().any(|bar| bar.spread.is_some()) {
                    groups.push(Group { name: format!("{load}{more}"), bars });
                }
            }
        }
        let seen: BTreeSet<usize> =
            groups.iter().flat_map(|group| &group.bars).map(|bar| bar.server).collect();
        let servers = self.servers.iter().enumerate().filter(|(index, _)| seen.contains(index));
        let servers = servers.map(|(index, server)| (index, (*server).to_owned())).collect();
        Bars { title: title.to_owned(), unit, servers, groups }.picture(name.to_owned())
    }

    /// What each operation of one load looks like: latency by percentile, and over time rate and latency.
    pub(super) fn of_load(&self, load: &str) -> Vec<Picture> {
        let Some(servers) = self.loads.get(load) else { return Vec::new() };
        let operations: BTreeSet<&String> =
            servers.values().flatten().flat_map(|result| result.operations.keys()).collect();
        operations.into_iter().flat_map(|operation| self.of_operation(load, operation, servers)).collect()
    }

    fn of_operation(&self, load: &str, operation: &str, servers: &Servers<'_>) -> Vec<Picture> {
        let of = |line: &dyn Fn(&[&Played]) -> Points| {
            let lines =
                servers.iter().map(|(server, runs)| (self.index(server), (*server).to_owned(), line(runs)));
            lines.filter(|(.., points)| !points.is_empty()).collect()
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
        let over_time = |what: &str, y, column, part| Lines {
            title: format!("{load}, {operation}: {what}, first run"),
            x: "seconds",
            y,
            marks: Vec::new(),
            is_logarithmic: false,
            lines: of(&series(column, part)),
        };
        let latency = Lines {
            title: format!("{load}, {operation}: latency by percentile"),
            x: "of all",
            y: "ms, logarithmic",
            marks: MARKS.iter().map(|(at, name)| (*at, (*name).to_owned())).collect(),
            is_logarithmic: true,
            lines: of(&|runs| percentiles(&merged(runs, operation))),
        };
        let all = [
            (latency, "latency"),
            (over_time("rate", "per second", 1, 1.0), "rate"),
            (over_time("99th percentile", "ms", 3, 1000.0), "p99"),
        ];
        all.into_iter()
            .filter_map(|(lines, what)| lines.picture(format!("{load}-{operation}-{what}")))
            .collect()
    }
}

/// The CPU figures of a run, but those of one that only holds connections.
fn cpu(run: &Played) -> Vec<(String, String)> {
    if run.figures.contains_key(MEMORY) {
        return Vec::new();
    }
    let parts = run.figures.keys().filter_map(|name| Some((name.strip_prefix(CPU)?, name)));
    let parts = parts.filter(|(part, _)| *part != IDLE).map(|(part, name)| {
        let what = if part == "operation" { main(run) } else { part };
        (format!(": {}", what.replace('-', " ")), name.clone())
    });
    parts.collect()
}

/// None if these runs do not have the figure; a zero is what was not measured.
fn bar(server: usize, runs: &[&Played], figure: &str, divisor: f64) -> Option<Bar> {
    let is_nothing = runs.iter().any(|run| run.figures.get(&format!("{}.count", main(run))) == Some(&0.0));
    let (median, low, high) = spread(runs, figure).filter(|(median, ..)| *median > 0.0)?;
    let is_wrong = WRONG.iter().any(|wrong| spread(runs, wrong).is_some_and(|(.., most)| most > 0.0));
    let spread = (!is_nothing).then_some((median / divisor, low / divisor, high / divisor));
    Some(Bar { server, spread, is_wrong })
}

/// All runs in one histogram: percentiles cannot be averaged.
fn merged(runs: &[&Played], operation: &str) -> Histogram<u64> {
    let mut all = histogram();
    for measured in runs.iter().filter_map(|run| run.operations.get(operation)) {
        let _ = all.add(&measured.latency); // the same bounds, as they were read into such a one
    }
    all
}

fn percentiles(latency: &Histogram<u64>) -> Points {
    if latency.is_empty() {
        return Vec::new();
    }
    let most = (latency.len() as f64).log10().min(5.0);
    let nines = (0..=100).map(|step| f64::from(step) * most / 100.0);
    nines.map(|nines| (nines, latency.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64 / 1000.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::played;

    #[test]
    fn runs_are_merged_as_histograms() {
        let (fast, slow) = (played("A", &[], &[10; 99], &[]), played("A", &[], &[5000; 101], &[]));
        let all = merged(&[&fast, &slow], "delivery");
        assert_eq!((all.len(), all.value_at_quantile(0.4), all.max()), (200, 10, 5003));
        assert_eq!(percentiles(&all).last().map(|(_, ms)| ms.round()), Some(5.0));
    }

    #[test]
    fn costs_of_all_servers_stand_beside_each_other_and_what_was_not_measured_has_no_bar() {
        let of = |server, figures: &[(&str, f64)]| played(server, figures, &[], &[]);
        let all = [
            of("A", &[("server-cpu-us-per-operation", 10.0), ("delivery.count", 7.0)]),
            of("A", &[("server-cpu-us-per-operation", 14.0), ("delivery.count", 7.0)]),
            of("B", &[("server-cpu-us-per-operation", 70.0), ("delivery.count", 0.0), ("lost", 3.0)]),
            of("C", &[("server-cpu-us-per-operation", 0.0), ("delivery.count", 7.0)]),
        ];
        let pictures = Results::new(&all).beside();
        let [cpu] = pictures.as_slice() else { panic!("{pictures:?}") };
        assert_eq!(
            (cpu.name.as_str(), cpu.body.matches("<rect").count()),
            ("cpu", 3),
            "a bar, two marks in the legend"
        );
        for text in [">chat: delivery<", ">12.0<", ">nothing was done !<", ">A<", ">B<"] {
            assert!(cpu.body.contains(text), "{text}: {}", cpu.body);
        }
        assert!(!cpu.body.contains(">C<"), "{}", cpu.body);
    }
}
