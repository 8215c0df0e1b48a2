//! Where metrics get their names: in the `metrics.rs` of their crate, each described.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    File, Findings,
    source::{Part, calls, literal, without},
};

const COUNTED: [&str; 3] = ["counter", "gauge", "histogram"];
const DESCRIBED: [&str; 3] = ["describe_counter", "describe_gauge", "describe_histogram"];

/// A name that is counted under.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// The keys of its labels.
    pub(crate) labels: BTreeSet<String>,
    pub(crate) about: String,
    pub(crate) package: String,
}

/// A metric's name stands in a `metrics.rs`, once, with `describe_…!` or a doc line that says what it counts.
pub fn metric_names(files: &[File]) -> Findings {
    let mut found = Findings::new();
    for file in files.iter().filter(|file| file.is_source() && !declares(file)) {
        for call in calls(&without(&file.text, Part::Comment), &[COUNTED, DESCRIBED].concat()) {
            if let Some(name) = call.arguments.first().copied().and_then(literal) {
                found.push(format!(
                    "{}:{}: the metric `{name}` is named outside a metrics.rs",
                    file.path, call.line
                ));
            }
        }
    }
    let all = declared(files);
    for metric in all.iter().filter(|metric| metric.about.is_empty()) {
        found.push(format!("{}/src/metrics.rs: nothing says what `{}` counts", metric.package, metric.name));
    }
    for (metric, next) in all.iter().zip(all.iter().skip(1)).filter(|(one, other)| one.name == other.name) {
        found.push(format!("`{}` is declared in {} and in {}", metric.name, metric.package, next.package));
    }
    found
}

/// All metrics, by name.
pub(crate) fn declared(files: &[File]) -> Vec<Metric> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| declares(file)) {
        let used = used(files, file.package());
        let mut named: BTreeMap<String, (String, String)> = BTreeMap::new();
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (at, name, value) in constants(&file.text) {
            if let Some((kind, keys)) = used.get(name) {
                named.entry(value.to_owned()).or_insert_with(|| (kind.clone(), about(&file.text, at)));
                labels.entry(value.to_owned()).or_default().extend(keys.clone());
            }
        }
        for call in calls(&without(&file.text, Part::Comment), &COUNTED) {
            if let Some(name) = call.arguments.first().copied().and_then(literal) {
                let describe =
                    || (call.name.to_owned(), about(&file.text, line_start(&file.text, call.line)));
                named.entry(name.to_owned()).or_insert_with(describe);
                labels.entry(name.to_owned()).or_default().extend(keys(&call.arguments));
            }
        }
        for call in calls(&without(&file.text, Part::Comment), &DESCRIBED) {
            let name = call.arguments.first().copied().and_then(literal);
            let text = call.arguments.last().copied().and_then(literal);
            if let (Some((_, about)), Some(text)) = (name.and_then(|name| named.get_mut(name)), text) {
                text.clone_into(about); // what operators see is what the page says
            }
        }
        let package = file.package().to_owned();
        found.extend(named.into_iter().map(|(name, (kind, about))| Metric {
            labels: labels.remove(&name).unwrap_or_default(),
            name,
            kind,
            about,
            package: package.clone(),
        }));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn declares(file: &File) -> bool {
    file.is_source() && file.path.ends_with("/metrics.rs")
}

/// What the constants of a crate are counted as, and with which labels: the last part of the path in `counter!(metrics::ACCEPTS)`.
fn used(files: &[File], package: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_source() && file.package() == package) {
        for call in calls(&without(&file.text, Part::Comment), &COUNTED) {
            if let Some(constant) = call.arguments.first().and_then(|path| path.rsplit("::").next()) {
                let (kind, labels) = found.entry(constant.to_owned()).or_default();
                call.name.clone_into(kind);
                labels.extend(keys(&call.arguments));
            }
        }
    }
    found
}

/// Of the labels of a call: `"reason" => why`.
fn keys(arguments: &[&str]) -> Vec<String> {
    let key = |argument: &&str| literal(argument.split_once("=>")?.0.trim()).map(str::to_owned);
    arguments.iter().skip(1).filter_map(key).collect()
}

/// `const NAME: &str = "value";` with the place of its line.
fn constants(text: &str) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let parts = line.split_once("const ").and_then(|(_, rest)| rest.split_once(": &str = "));
        if let Some((name, value)) = parts {
            found.extend(literal(value.trim_end().trim_end_matches(';')).map(|value| (at, name, value)));
        }
        at += line.len();
    }
    found
}

fn line_start(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
}

/// The doc comment nearest above, as one line, if no other item ends in between.
fn about(text: &str, at: usize) -> String {
    let above = text.get(..at).unwrap_or("").lines().rev().map(str::trim);
    let mut lines: Vec<&str> = above
        .skip_while(|line| !line.starts_with("///") && !line.is_empty() && *line != "}")
        .take_while(|line| line.starts_with("///"))
        .map(|line| line.trim_start_matches('/').trim())
        .collect();
    lines.reverse();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    const DECLARATION: &str = "//! M.\n/// Sockets\n/// accepted.\npub(crate) const ACCEPTS: &str = \"xmpp_cm_accepts_total\";\n\n\
        /// Stanzas refused.\npub fn refused() {\n    metrics::counter!(\"xmpp_cm_refused_total\").increment(1);\n}\n";

    #[test]
    fn a_name_outside_metrics_rs_is_found() {
        let bad = file("crates/a/src/a.rs", "//! A.\nmetrics::gauge!(\n    \"x\").set(1);\n");
        let good = file(
            "crates/a/src/b.rs",
            "//! B.\ncounter!(metrics::ACCEPTS, \"reason\" => \"limit\").increment(1);\n",
        );

        assert_eq!(
            metric_names(&[bad, good]),
            ["crates/a/src/a.rs:2: the metric `x` is named outside a metrics.rs"]
        );
    }

    #[test]
    fn constants_and_literals_are_declared_with_their_doc() {
        let user = file(
            "crates/a/src/a.rs",
            "//! A.\ncounter!(crate::metrics::ACCEPTS, \"listener\" => kind.as_str()).increment(1);\n",
        );
        let files = [user, file("crates/a/src/metrics.rs", DECLARATION)];

        let found = declared(&files);
        assert_eq!(
            found.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(),
            ["xmpp_cm_accepts_total", "xmpp_cm_refused_total"]
        );
        let labels: Vec<&BTreeSet<String>> = found.iter().map(|metric| &metric.labels).collect();
        assert_eq!(labels, [&BTreeSet::from(["listener".to_owned()]), &BTreeSet::new()]);
        assert_eq!((found[0].kind.as_str(), found[0].about.as_str()), ("counter", "Sockets accepted."));
        assert_eq!(found[1].about, "Stanzas refused.");
        assert!(metric_names(&files).is_empty());
    }

    #[test]
    fn a_description_is_preferred_to_a_doc_line() {
        let text =
            "//! M.\nfn f() {\n    describe_gauge!(\"n\", \"Sockets open\");\n    gauge!(\"n\").set(1);\n}\n";

        assert_eq!(declared(&[file("crates/a/src/metrics.rs", text)])[0].about, "Sockets open");
    }

    #[test]
    fn a_name_without_a_doc_line_or_declared_twice_is_found() {
        let silent =
            file("crates/b/src/metrics.rs", "//! M.\nfn f() {\n    counter!(\"n\").increment(1);\n}\n");
        let twice =
            [file("crates/a/src/metrics.rs", DECLARATION), file("crates/c/src/metrics.rs", DECLARATION)];

        assert_eq!(metric_names(&[silent]).len(), 1);
        assert_eq!(metric_names(&twice), ["`xmpp_cm_refused_total` is declared in crates/a and in crates/c"]);
    }
}
