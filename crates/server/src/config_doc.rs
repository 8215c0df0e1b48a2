//! `docs/reference/config.md`, from the doc comments of the configuration's own types.

use std::fmt::Write;

use toml::Value;

use crate::config::{Config, ConfigError};

/// A section of the file, and where its type is declared.
struct Section {
    name: &'static str,
    of: &'static str,
    source: &'static str,
}

const fn section(name: &'static str, of: &'static str, source: &'static str) -> Section {
    Section { name, of, source }
}

const SECTIONS: &[Section] = &[
    section("", "Config", include_str!("config.rs")),
    section("listen", "ListenConfig", include_str!("../../connection-manager/src/config.rs")),
    section("limits", "LimitsConfig", include_str!("../../connection-manager/src/config.rs")),
    section("tls", "TlsConfig", include_str!("../../connection-manager/src/config.rs")),
    section("http", "HttpConfig", include_str!("../../connection-manager/src/config.rs")),
    section("drain", "DrainConfig", include_str!("../../connection-manager/src/config.rs")),
    section("im", "Config", include_str!("../../im/src/config.rs")),
    section("im.quotas", "Quotas", include_str!("../../im/src/config.rs")),
    section("im.registration", "Registration", include_str!("../../im/src/config.rs")),
    section("im.contact", "Contact", include_str!("../../im/src/config.rs")),
    section("store", "Config", include_str!("../../store-embedded/src/config.rs")),
    section("redis", "Config", include_str!("../../store-redis/src/config.rs")),
    section("redis.tls", "Tls", include_str!("../../store-redis/src/config.rs")),
    section("scylla", "Config", include_str!("../../store-scylla/src/config.rs")),
    section("scylla.tls", "Tls", include_str!("../../store-scylla/src/config.rs")),
    section("cluster", "Config", include_str!("../../rpc/src/config.rs")),
    section("admin", "Config", include_str!("admin.rs")),
    section("api", "Config", include_str!("../../admin/src/config.rs")),
    section("log", "Config", include_str!("../../telemetry/src/log.rs")),
    section("otlp", "Config", include_str!("../../telemetry/src/otlp.rs")),
];

const HEAD: &str = "# Configuration\n\nWritten by `make docs` from the code. One TOML file, given by `--config`; none is needed. A variable\n\
    `STARLING_` and the key's path in capitals, with `_` for dots and hyphens, wins over the file: `STARLING_LOG_LEVEL=debug`.\n\
    `starling config check` says what is wrong, with line and mend, and ends with 64; `starling config dump` shows what holds.\n\
    `starling config doc --schema` prints a JSON Schema of the file, for editors.\n\
    `starling ctl config reload` or SIGHUP reads it again: `log.level`, `domains`, `[tls]`, `[limits]`, `[http]` (but for `page`), `[otlp]` (what is followed) and the tokens of `[api]` change at once (limits for\n\
    connections from then on), everything else with a restart. A time is written like `30s`, `5m`, `1h 30m` or `365d`.\n";

/// The page.
pub(crate) fn markdown() -> Result<String, ConfigError> {
    let defaults = Value::Table(Config::default().to_table()?);
    let mut page = HEAD.to_owned();
    for Section { name, of, source } in SECTIONS {
        let title = if name.is_empty() { "At the top of the file".to_owned() } else { format!("`[{name}]`") };
        let about = if name.is_empty() { String::new() } else { about(source, of) };
        let _ = write!(page, "\n## {title}\n\n");
        if !about.is_empty() {
            let _ = write!(page, "{about}\n\n");
        }
        page.push_str("| key | default | unit | what |\n|---|---|---|---|\n");
        for (key, text) in fields(source, of) {
            let path = format!("{name}.{key}");
            let Some(default) = look_up(&defaults, path.trim_start_matches('.')) else { continue };
            if !is_section(path.trim_start_matches('.')) {
                let (unit, text) = (unit(&key, default), text.replace('|', "\\|"));
                let _ = writeln!(page, "| `{key}` | `{default}` | {unit} | {text} |");
            }
        }
    }
    page.push_str("\n## `[tls.certificates.\"DOMAIN\"]`\n\nOne for each domain that has a certificate of its own.\n\n| key | unit | what |\n|---|---|---|\n");
    for (key, text) in fields(include_str!("../../connection-manager/src/config.rs"), "CertificateFiles") {
        let _ = writeln!(page, "| `{key}` | file | {text} |");
    }
    Ok(page)
}

fn is_section(path: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == path)
}

fn look_up<'a>(table: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(table, |value, part| value.as_table()?.get(part))
}

/// Keys whose value is the name of a file, beside those that end with `-file`.
const FILES: [&str; 5] = ["ca", "certificate", "key", "authority", "secret"];

/// In what a value is counted: by its name and its default.
fn unit(key: &str, default: &Value) -> &'static str {
    match default {
        Value::Boolean(_) => "true or false",
        Value::Integer(_) if key.contains("bytes") => "bytes",
        Value::Integer(_) => "number",
        Value::String(text) if humantime::parse_duration(text).is_ok() => "time",
        Value::String(_) if key.ends_with("-dir") => "directory",
        Value::String(_) if key.ends_with("-file") || FILES.contains(&key) => "file",
        Value::String(text) if text.parse::<std::net::SocketAddr>().is_ok() => "address:port",
        Value::String(_) => "word",
        Value::Array(_) => "list",
        Value::Table(_) => "table",
        Value::Float(_) => "share",
        Value::Datetime(_) => "",
    }
}

/// What the doc comment of a type says.
fn about(source: &str, of: &str) -> String {
    let before = source.split(&format!("pub struct {of} {{")).next().unwrap_or_default();
    let mut lines: Vec<&str> = before
        .lines()
        .rev()
        .skip_while(|line| line.starts_with('#'))
        .take_while(|line| line.starts_with("///"))
        .collect();
    lines.reverse();
    lines.iter().map(|line| line.trim_start_matches('/').trim()).collect::<Vec<_>>().join(" ")
}

/// The fields of a struct, by their names in the file, with their doc comments.
fn fields(source: &str, of: &str) -> Vec<(String, String)> {
    let mut lines =
        source.lines().skip_while(|line| !line.trim_end().ends_with(&format!("struct {of} {{"))).skip(1);
    let (mut found, mut text) = (Vec::new(), String::new());
    for line in lines.by_ref().map(str::trim).take_while(|line| *line != "}") {
        if let Some(comment) = line.strip_prefix("///") {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(comment.trim());
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|line| line.split_once(':')) {
            let field = field.trim_start_matches("(crate) ").replace('_', "-");
            found.push((field, std::mem::take(&mut text)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
        for (key, value) in value.as_table().unwrap() {
            let own = format!("{path}.{key}").trim_start_matches('.').to_owned();
            match value {
                Value::Table(_) if is_section(&own) => leaves(value, &own, found),
                Value::Table(inner) => assert!(inner.is_empty(), "the section {own} is not documented"),
                _ => found.push((path.to_owned(), key.clone())),
            }
        }
    }

    #[test]
    fn every_key_is_documented_in_its_section() {
        let page = markdown().unwrap();
        let mut keys = Vec::new();
        leaves(&Value::Table(Config::default().to_table().unwrap()), "", &mut keys);
        assert!(keys.len() > 30, "{keys:?}");
        for (section, key) in keys {
            let title =
                if section.is_empty() { "## At the top".to_owned() } else { format!("## `[{section}]`") };
            let rest = page.split(&title).nth(1).unwrap_or_else(|| panic!("no section {section}"));
            let part = rest.split("\n## ").next().unwrap();
            let row = part.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("{section}.{key} is not documented"));
            assert!(
                !row.trim_end_matches([' ', '|']).ends_with("| number") && row.len() > key.len() + 30,
                "{row}"
            );
        }
    }
}
