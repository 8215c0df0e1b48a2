//! Which crate may use which: the floors of `docs/ARCHITECTURE.md`.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::{File, Findings};

/// A crate uses crates of lower floors only.
const FLOORS: [(&str, u8); 23] = [
    ("jid", 0),
    ("xml", 0),
    ("dns", 0),
    ("telemetry", 0),
    ("history", 0),
    ("stanza", 1),
    ("stream", 2),
    ("ports", 2),
    ("slot", 2),
    ("session-router", 3),
    ("store-embedded", 3),
    ("store-redis", 3),
    ("store-scylla", 3),
    ("im", 4),
    ("connection-manager", 5),
    ("rpc", 5),
    ("admin", 5),
    ("server", 6),
    ("bench", 6),
    // Beside the house: what they may use stands in `BESIDE`.
    ("testkit", 7),
    ("tidy", 7),
    ("model", 7),
    ("loadtest", 7),
];

/// The only pairs on one floor, with the reason.
const SIDEWAYS: [(&str, &str, &str); 3] = [
    (
        "stream",
        "ports",
        "the machine carries SASL and session numbers in the words of the ports; ports knows no stream",
    ),
    ("telemetry", "dns", "the receiver of traces has a name; dns knows no telemetry"),
    ("slot", "ports", "its steps are those of the port `Sessions`, in its words; ports knows no slot"),
];

/// Pairs that the floors would permit, and why they are barred all the same.
const BARRED: [(&str, &str, &str); 9] = [
    ("connection-manager", "im", "it moves stanzas and does not know what they mean"),
    ("connection-manager", "session-router", "it reaches routers through ports"),
    ("connection-manager", "store-embedded", "it knows no store"),
    ("rpc", "store-embedded", "the assembly alone names stores"),
    ("im", "store-embedded", "the assembly alone names stores"),
    ("connection-manager", "store-scylla", "it knows no store"),
    ("rpc", "store-scylla", "the assembly alone names stores"),
    ("im", "store-scylla", "the assembly alone names stores"),
    ("rpc", "im", "it carries ports over the network, whatever stands behind them"),
];

/// The crates beside the house may use only these, so that a mistake in the server is not made again by what checks it.
const BESIDE: [(&str, &[&str]); 4] =
    [("testkit", &["history", "jid"]), ("tidy", &[]), ("model", &[]), ("loadtest", &["history", "jid"])];

/// Only tests use these.
const FOR_TESTS: [&str; 3] = ["testkit", "tidy", "model"];

/// The only crates below floor 3 that do I/O.
const WITH_IO: [&str; 2] = ["dns", "telemetry"];

/// Every crate has a floor and uses lower ones only; tests may also use their own floor.
pub fn floors(files: &[File]) -> Findings {
    let mut found = Findings::new();
    for file in manifests(files) {
        let user = name(file);
        let Some(floor) = floor(user) else {
            found.push(format!("{}: `{user}` has no floor", file.path));
            continue;
        };
        let Ok(manifest) = file.text.parse::<Table>() else {
            found.push(format!("{}: cannot be read", file.path));
            continue;
        };
        let used = ours(&manifest, &["dependencies", "build-dependencies"]);
        let wrong = used.iter().filter_map(|used| why_not(user, floor, used));
        found.extend(wrong.map(|why| format!("{}: {why}", file.path)));
        let above = ours(&manifest, &["dev-dependencies"]).into_iter().filter(|used| {
            !FOR_TESTS.contains(&used.as_str()) && self::floor(used).is_none_or(|its| its > floor)
        });
        found.extend(above.map(|used| format!("{}: its tests use `{used}`, which is above it", file.path)));
    }
    found
}

fn why_not(user: &str, floor: u8, used: &str) -> Option<String> {
    if FOR_TESTS.contains(&used) {
        return Some(format!("`{used}` is for tests: a dev-dependency"));
    }
    if let Some((_, may)) = BESIDE.iter().find(|(name, _)| *name == user) {
        return (!may.contains(&used))
            .then(|| format!("`{user}` stands beside the house, it may use only {may:?}, not `{used}`"));
    }
    if let Some((_, _, why)) = BARRED.iter().find(|(one, other, _)| (*one, *other) == (user, used)) {
        return Some(format!("`{user}` may not use `{used}`: {why}"));
    }
    let Some(its) = self::floor(used) else {
        return Some(format!("`{used}` has no floor"));
    };
    let is_sideways = SIDEWAYS.iter().any(|(one, other, _)| (*one, *other) == (user, used));
    (its >= floor && !is_sideways).then(|| format!("`{user}` on floor {floor} uses `{used}` on floor {its}"))
}

/// What decides and parses knows no runtime, so that it can be tested and fuzzed as plain functions.
pub fn no_tokio_below_floor_three(files: &[File]) -> Findings {
    let low = manifests(files)
        .filter(|file| floor(name(file)).is_some_and(|floor| floor < 3) && !WITH_IO.contains(&name(file)));
    let mut found = Findings::new();
    for file in low {
        let Ok(manifest) = file.text.parse::<Table>() else { continue };
        let runtimes = all(&manifest, &["dependencies"]).into_iter().filter(|used| used.starts_with("tokio"));
        found.extend(runtimes.map(|used| format!("{}: `{used}` below floor 3", file.path)));
    }
    found
}

fn manifests(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with("Cargo.toml") && !file.path.starts_with("fuzz/"))
}

fn name(file: &File) -> &str {
    file.package().trim_start_matches("crates/")
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(one, _)| *one == name).map(|&(_, floor)| floor)
}

/// The crates of this repository among the dependencies.
fn ours(manifest: &Table, sections: &[&str]) -> BTreeSet<String> {
    all(manifest, sections)
        .iter()
        .filter_map(|used| used.strip_prefix("starling-"))
        .map(str::to_owned)
        .collect()
}

/// The dependencies, those for one platform only and renamed ones too.
fn all(manifest: &Table, sections: &[&str]) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let mut found = BTreeSet::new();
    for table in tables {
        for section in sections {
            let used = table.get(*section).and_then(Value::as_table).into_iter().flatten();
            found.extend(used.map(|(name, value)| match value.get("package").and_then(Value::as_str) {
                Some(package) => package.to_owned(),
                None => name.clone(),
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    fn uses(user: &str, section: &str, used: &str) -> Findings {
        let folder = if user == "loadtest" { user.to_owned() } else { format!("crates/{user}") };
        floors(&[file(
            &format!("{folder}/Cargo.toml"),
            &format!("[{section}]\nstarling-{used}.workspace = true\n"),
        )])
    }

    #[test]
    fn a_crate_may_use_lower_floors() {
        for (user, used) in [
            ("stanza", "jid"),
            ("im", "session-router"),
            ("stream", "ports"),
            ("slot", "ports"),
            ("server", "store-embedded"),
        ] {
            assert!(uses(user, "dependencies", used).is_empty(), "{user} {used}");
        }
        assert!(uses("loadtest", "dependencies", "history").is_empty());
    }

    #[test]
    fn upwards_and_sideways_is_found() {
        let pairs = [
            ("jid", "stanza"),
            ("ports", "stream"),
            ("store-redis", "store-scylla"),
            ("session-router", "store-embedded"),
        ];
        for (user, used) in pairs {
            assert_eq!(uses(user, "dependencies", used).len(), 1, "{user} {used}");
        }
    }

    #[test]
    fn barred_pairs_are_found() {
        for (user, used) in
            [("connection-manager", "im"), ("loadtest", "stream"), ("testkit", "xml"), ("tidy", "jid")]
        {
            assert_eq!(uses(user, "dependencies", used).len(), 1, "{user} {used}");
        }
    }

    #[test]
    fn tools_for_tests_are_dev_dependencies() {
        assert_eq!(uses("server", "dependencies", "testkit").len(), 1);
        assert!(uses("server", "dev-dependencies", "testkit").is_empty());
        assert!(uses("session-router", "dev-dependencies", "store-embedded").is_empty());
        assert_eq!(uses("session-router", "dev-dependencies", "im").len(), 1);
    }

    #[test]
    fn a_crate_without_floor_is_found() {
        assert_eq!(uses("utils", "dependencies", "jid"), ["crates/utils/Cargo.toml: `utils` has no floor"]);
    }

    #[test]
    fn a_renamed_or_platform_dependency_hides_nothing() {
        let text = "[target.'cfg(unix)'.dependencies]\nx = { package = \"starling-im\", path = \"../im\" }\n";

        assert_eq!(floors(&[file("crates/jid/Cargo.toml", text)]).len(), 1);
    }

    #[test]
    fn a_runtime_in_the_basement_is_found() {
        let text = "[dependencies]\ntokio-util.workspace = true\n";

        assert_eq!(no_tokio_below_floor_three(&[file("crates/stream/Cargo.toml", text)]).len(), 1);
        assert!(no_tokio_below_floor_three(&[file("crates/telemetry/Cargo.toml", text)]).is_empty());
        assert!(no_tokio_below_floor_three(&[file("crates/im/Cargo.toml", text)]).is_empty());
    }
}
