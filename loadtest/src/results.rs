//! Results of runs, read again: what `report` and `compare` work on.

use crate::recorder::histogram;
use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of the form that is understood.
pub(crate) const SCHEMA: u64 = 1;

/// What makes a run one that cannot be believed, or a server one that cannot be trusted.
pub(crate) const WRONG: [&str; 7] =
    ["lost", "acked-lost", "doubled", "reordered", "misplaced", "unacked", "errors"];

/// One result.
#[derive(Debug, Clone)]
pub(crate) struct Played {
    pub(crate) file: PathBuf,
    pub(crate) scenario: String,
    pub(crate) about: String,
    /// What the server calls itself, or where it is.
    pub(crate) server: String,
    pub(crate) figures: BTreeMap<String, f64>,
    pub(crate) operations: BTreeMap<String, Measured>,
    pub(crate) value: Value,
}

/// One operation of it.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) latency: Histogram<u64>,
    /// Seconds, operations a second, 50th and 99th percentile in microseconds.
    pub(crate) series: Vec<[f64; 4]>,
}

/// The results of a file, of all `*.json` of a folder, or of several of these with commas between.
pub(crate) fn read(places: &str) -> Result<Vec<Played>> {
    let mut all = Vec::new();
    for place in places.split(',').map(Path::new) {
        if !place.is_dir() {
            all.push(one(place)?);
            continue;
        }
        let entries = std::fs::read_dir(place)?.collect::<std::io::Result<Vec<_>>>()?;
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        all.extend(files.iter().map(|file| one(file)).collect::<Result<Vec<_>>>()?);
    }
    ensure!(!all.is_empty(), "no result in {places}");
    Ok(all)
}

fn one(file: &Path) -> Result<Played> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no result", file.display()))?;
    of_value(file, value).with_context(|| format!("{} is no result of `run --json`", file.display()))
}

/// One result of what `run` makes.
pub(crate) fn of_value(file: &Path, value: Value) -> Result<Played> {
    ensure!(value.get("schema").and_then(Value::as_u64) == Some(SCHEMA), "its schema is not {SCHEMA}");
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let figures = value.get("figures").and_then(Value::as_object).context("no figures")?;
    let figures = figures.iter().filter_map(|(name, figure)| Some((name.clone(), figure.as_f64()?)));
    let operations = value.get("operations").and_then(Value::as_object).context("no operations")?;
    let operations = operations.iter().map(|(name, operation)| Ok((name.clone(), measured(operation)?)));
    Ok(Played {
        file: file.to_owned(),
        scenario: text("/scenario/name").context("no name")?,
        about: text("/scenario/about").unwrap_or_default(),
        server: text("/target/server").or_else(|| text("/target/addresses/0")).unwrap_or_default(),
        figures: figures.collect(),
        operations: operations.collect::<Result<_>>()?,
        value,
    })
}

fn measured(operation: &Value) -> Result<Measured> {
    let text = operation.get("histogram").and_then(Value::as_str).context("no histogram")?;
    let bytes = BASE64.decode(text)?;
    let read: Histogram<u64> =
        Deserializer::new().deserialize(&mut bytes.as_slice()).ok().context("no histogram")?;
    let mut latency = histogram();
    latency.add(&read).ok().context("a histogram of other bounds")?;
    let points = operation.get("series").and_then(Value::as_array).into_iter().flatten();
    let point = |point: &Value| {
        let at = |index| point.get(index).and_then(Value::as_f64);
        Some([at(0)?, at(1)?, at(2)?, at(3)?])
    };
    Ok(Measured { latency, series: points.filter_map(point).collect() })
}

/// The operation by which costs are divided.
pub(crate) fn main(result: &Played) -> &str {
    result.value.get("main").and_then(Value::as_str).unwrap_or("delivery")
}

/// The median of a figure over several results, with the lowest and the highest.
pub(crate) fn spread(results: &[&Played], figure: &str) -> Option<(f64, f64, f64)> {
    let mut values: Vec<f64> =
        results.iter().filter_map(|result| result.figures.get(figure).copied()).collect();
    values.sort_by(f64::total_cmp);
    let (first, last) = (values.first()?, values.last()?);
    let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
    Some((f64::midpoint(*low, *high), *first, *last))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::run::encoded;
    use serde_json::json;

    /// A result with one operation, `delivery`, of these latencies.
    pub(crate) fn played(
        server: &str,
        figures: &[(&str, f64)],
        micros: &[u64],
        series: &[[f64; 4]],
    ) -> Played {
        let mut latency = histogram();
        micros.iter().for_each(|micros| latency.record(*micros).unwrap());
        let figures: BTreeMap<&str, f64> = figures.iter().copied().collect();
        let value = json!({
            "schema": SCHEMA, "scenario": { "name": "chat", "about": "pairs <chat>" }, "target": { "server": server },
            "figures": figures, "stamp": { "commit": "abc" }, "thresholds": [],
            "operations": { "delivery": { "histogram": encoded(&latency).unwrap(), "series": series } },
        });
        of_value(Path::new("r.json"), value).unwrap()
    }

    #[test]
    fn a_result_is_read_back_with_its_histogram() {
        let result = played("S 1", &[("lost", 0.0)], &[100, 200, 300], &[[1.0, 3.0, 200.0, 300.0]]);
        assert_eq!(
            (result.scenario.as_str(), result.server.as_str(), result.figures["lost"]),
            ("chat", "S 1", 0.0)
        );
        let delivery = &result.operations["delivery"];
        assert_eq!((delivery.latency.len(), delivery.latency.max(), delivery.series.len()), (3, 300, 1));
    }

    #[test]
    fn what_is_no_result_is_refused() {
        assert!(of_value(Path::new("x"), json!({ "schema": 2 })).is_err());
        assert!(of_value(Path::new("x"), json!({ "schema": SCHEMA, "figures": {} })).is_err());
    }

    #[test]
    fn a_spread_has_the_median_between_the_extremes() {
        let of = |value| played("S", &[("x", value)], &[], &[]);
        let (a, b, c, d) = (of(4.0), of(1.0), of(3.0), of(2.0));
        assert_eq!(spread(&[&a, &b, &c], "x"), Some((3.0, 1.0, 4.0)));
        assert_eq!(spread(&[&a, &b, &c, &d], "x"), Some((2.5, 1.0, 4.0)));
        assert_eq!(spread(&[&a], "y"), None);
    }
}
