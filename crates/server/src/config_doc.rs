//! `docs/reference/config.md`, from the doc comments of the configuration's own types.

use std::fmt::Write;

use crate::config::{Config, ConfigError};

/// Where each section's type is declared.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("", "Config", include_str!("config.rs")),
    ("listen", "ListenConfig", include_str!("../../connection-manager/src/config.rs")),
    ("limits", "LimitsConfig", include_str!("../../connection-manager/src/config.rs")),
    ("tls", "TlsConfig", include_str!("../../connection-manager/src/config.rs")),
    ("http", "HttpConfig", include_str!("../../connection-manager/src/config.rs")),
    ("im", "Config", include_str!("../../im/src/config.rs")),
    ("im.quotas", "Quotas", include_str!("../../im/src/config.rs")),
    ("im.registration", "Registration", include_str!("../../im/src/config.rs")),
    ("im.contact", "Contact", include_str!("../../im/src/config.rs")),
    ("store", "Config", include_str!("../../store-embedded/src/config.rs")),
    ("admin", "Config", include_str!("admin.rs")),
    ("log", "Config", include_str!("../../telemetry/src/log.rs")),
];

/// The page.
pub(crate) fn markdown() -> Result<String, ConfigError> {
    let defaults = toml::Table::try_from(Config::default()).map_err(|error| ConfigError {
        place: "defaults".to_owned(),
        why: error.to_string(),
        mend: None,
    })?;
    let mut page = String::from(
        "# Configuration\n\nWritten by `make docs` from the code. One TOML file, given by `--config`; none is needed. A variable\n\
         `STARLING_` and the key's path in capitals, with `_` for dots and hyphens, wins over the file: `STARLING_LOG_LEVEL=debug`.\n\
         `starling config check` says what is wrong, with line and mend; `starling config dump` shows what holds.\n",
    );
    for (section, name, source) in SECTIONS {
        let path = section.split('.').filter(|part| !part.is_empty());
        let table = path.fold(Some(&defaults), |table, part| table?.get(part)?.as_table());
        let title =
            if section.is_empty() { "At the top of the file".to_owned() } else { format!("`[{section}]`") };
        let _ = write!(page, "\n## {title}\n\n| key | default | what |\n|---|---|---|\n");
        for (key, text) in fields(source, name) {
            let Some(default) = table.and_then(|table| table.get(&key)) else { continue };
            let own_section = [*section, &key].join(".");
            if SECTIONS.iter().any(|(known, ..)| *known == own_section.trim_start_matches('.')) {
                continue;
            }
            let _ = writeln!(page, "| `{key}` | `{default}` | {} |", text.replace('|', "\\|"));
        }
    }
    Ok(page)
}

/// The fields of a struct, by their names in the file, with their doc comments.
fn fields(source: &str, name: &str) -> Vec<(String, String)> {
    let mut lines =
        source.lines().skip_while(|line| !line.trim_end().ends_with(&format!("struct {name} {{"))).skip(1);
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

    #[test]
    fn every_key_is_documented() {
        let page = markdown().unwrap();
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        for (section, value) in &defaults {
            match value.as_table() {
                Some(table) => {
                    for key in table.keys() {
                        assert!(page.contains(&format!("| `{key}` |")), "{section}.{key}");
                    }
                }
                None => assert!(page.contains(&format!("| `{section}` |")), "{section}"),
            }
        }
    }
}
