//! Reads a scenario strictly: what is unknown or out of bounds is named with its line and the nearest that is known.

use super::{Load, Scenario, Threshold};
use std::path::Path;

/// How alike two names must be to be taken for a slip.
const ALIKE: f64 = 0.75;
/// Figures that every run has.
const FIGURES: [&str; 13] = [
    "sent",
    "received",
    "lost",
    "acked-lost",
    "doubled",
    "reordered",
    "misplaced",
    "unacked",
    "errors",
    "server-cpu-us-per-operation",
    "server-cpu-us",
    "generator-cpu-share",
    "generator-cpu-us-per-operation",
];
/// Figures of each operation.
const OF_OPERATION: [&str; 9] =
    ["count", "seconds", "per-second", "mean-ms", "p50-ms", "p90-ms", "p99-ms", "p999-ms", "max-ms"];

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {what}", line.map_or_else(String::new, |line| format!(":{line}")))]
pub(crate) struct Invalid {
    file: String,
    line: Option<usize>,
    what: String,
}

/// Reads and checks a file.
pub(crate) fn read(file: &Path) -> Result<Scenario, Invalid> {
    let name = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => parse(&name, &text),
        Err(error) => Err(Invalid { file: name, line: None, what: error.to_string() }),
    }
}

/// Reads and checks the text of the file `name`.
pub(crate) fn parse(name: &str, text: &str) -> Result<Scenario, Invalid> {
    let invalid = |at: Option<usize>, what: String| Invalid {
        file: name.to_owned(),
        line: at.map(|at| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()),
        what,
    };
    let mut scenario: Scenario = toml::from_str(text)
        .map_err(|error| invalid(error.span().map(|span| span.start), explain(error.message())))?;
    let loads = scenario.loads();
    if loads.is_empty() {
        return Err(invalid(None, format!("no load: one of the tables {} is needed", tables())));
    }
    for (load, weight) in &loads {
        if weight.is_some() != (loads.len() > 1) {
            let why = if weight.is_some() {
                "weights are for several loads"
            } else {
                "each of several loads needs a weight"
            };
            let at = text.find(&format!("[{}]", load.name()));
            return Err(invalid(at, format!("`weight` of `{}`: {why}", load.name())));
        }
    }
    let known = figures(&loads);
    let mut conditions = Vec::new();
    for text in &scenario.thresholds {
        let at = Some(text.span().start);
        let threshold = Threshold::try_from(text.get_ref().as_str()).map_err(|why| invalid(at, why))?;
        let figure = &threshold.figure;
        if !known.contains(figure) {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(invalid(at, format!("no figure `{figure}`{}", mend(figure, &names))));
        }
        conditions.push(threshold);
    }
    scenario.conditions = conditions;
    Ok(scenario)
}

/// What thresholds may ask of such loads.
fn figures(loads: &[(Load, Option<u64>)]) -> Vec<String> {
    let mut known: Vec<String> = FIGURES.iter().map(|figure| (*figure).to_owned()).collect();
    for (load, _) in loads {
        let own = load.figures().iter().filter(|figure| loads.len() == 1 || !Load::is_of_server(figure));
        known.extend(own.map(|figure| (*figure).to_owned()));
        for operation in load.operations() {
            known.extend(OF_OPERATION.iter().map(|figure| format!("{operation}.{figure}")));
        }
    }
    known
}

/// What the reader of TOML says, with the nearest known key.
fn explain(message: &str) -> String {
    let message = message.trim_end();
    if !message.starts_with("unknown field") {
        return message.to_owned();
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((wrong, known)) = quoted.split_first() else { return message.to_owned() };
    format!("unknown key `{wrong}`{}", mend(wrong, known))
}

fn mend(wrong: &str, known: &[&str]) -> String {
    let scored = known.iter().map(|name| (strsim::jaro_winkler(wrong, name), name));
    let nearest = scored.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(score, _)| *score > ALIKE);
    match nearest {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None => format!("; known here: {}", known.join(", ")),
    }
}

fn tables() -> String {
    const TABLES: [&str; 10] =
        ["hold", "login", "chat", "offline", "presence", "archive", "reconnect", "resume", "slow", "stay"];
    TABLES.map(|name| format!("[{name}]")).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "about = \"x\"\nseconds = 2\n[accounts]\ncount = 10\n[chat]\nin-flight = 4\n";

    fn fault(text: &str) -> String {
        parse("s.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_scenario_is_read_with_its_defaults() {
        let scenario = parse("s.toml", GOOD).unwrap();
        let chat = scenario.chat.unwrap();
        assert_eq!((chat.in_flight.get(), chat.bytes.get(), chat.sm), (4, 64, false));
        assert_eq!(
            (scenario.accounts.prefix.as_str(), scenario.target.domain.as_str()),
            ("load", "localhost")
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
        assert_eq!(
            fault(&GOOD.replace("in-flight", "inflight")),
            "s.toml:6: unknown key `inflight`; did you mean `in-flight`?"
        );
        assert_eq!(
            fault(&GOOD.replace("[chat]", "[chatt]")),
            "s.toml:5: unknown key `chatt`; did you mean `chat`?"
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_named_with_its_line() {
        assert_eq!(
            fault(&GOOD.replace("seconds = 2", "seconds = 0")),
            "s.toml:2: 0 is not between 1 and 3600"
        );
        assert_eq!(
            fault(&GOOD.replace("count = 10", "count = -1")),
            "s.toml:4: -1 is not between 2 and 1000000"
        );
    }

    #[test]
    fn a_threshold_on_a_figure_that_the_load_has_not_is_refused() {
        let with =
            |threshold: &str| format!("thresholds = [\n  \"lost == 0\",\n  \"{threshold}\",\n]\n{GOOD}");
        assert_eq!(
            fault(&with("delivery.p99ms < 5")),
            "s.toml:3: no figure `delivery.p99ms`; did you mean `delivery.p99-ms`?"
        );
        let broken = fault(&with("lost"));
        assert!(broken.starts_with("s.toml:3: \"lost\" is not `FIGURE < NUMBER`"), "{broken}");
        assert!(parse("s.toml", &with("delivery.p99-ms < 5")).is_ok());
    }

    #[test]
    fn several_loads_need_weights_and_one_has_none() {
        assert_eq!(
            fault(&format!("{GOOD}[hold]\n")),
            "s.toml:7: `weight` of `hold`: each of several loads needs a weight"
        );
        assert_eq!(
            fault(&format!("{GOOD}weight = 2\n")),
            "s.toml:5: `weight` of `chat`: weights are for several loads"
        );
        assert!(parse("s.toml", &format!("{GOOD}weight = 2\n[hold]\nweight = 1\n")).is_ok());
    }

    #[test]
    fn the_scenarios_that_come_with_the_tool_are_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut loads = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let scenario = read(&entry.unwrap().path()).unwrap();
            loads.extend(scenario.loads().iter().map(|(load, _)| load.name()));
        }
        assert_eq!(loads.len(), 10, "each load has one: {loads:?}");
    }

    #[test]
    fn a_mix_has_no_figure_that_blames_one_load_for_all() {
        let hold =
            "thresholds = [\"bytes-per-connection < 9000\"]\nabout = \"x\"\n[accounts]\ncount = 10\n[hold]\n";
        assert!(parse("s.toml", hold).is_ok());
        let mix = fault(&format!("{hold}weight = 1\n[login]\nweight = 1\n"));
        assert!(mix.starts_with("s.toml:1: no figure `bytes-per-connection`"), "{mix}");
    }

    #[test]
    fn a_scenario_without_a_load_is_refused() {
        let none = fault("about = \"x\"\n[accounts]\ncount = 10\n");
        assert!(none.starts_with("s.toml: no load: one of the tables [hold],"), "{none}");
    }
}
