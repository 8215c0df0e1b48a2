//! Variables `STARLING_…`: the path of a key in capitals, with `_` for every dot and hyphen. They win over the file.

use serde::Deserialize;

use super::fault::{ConfigError, Source, nearest};
use super::{Config, Wrong, words};

const PREFIX: &str = "STARLING_";
/// Tables whose keys are the operator's own words: set as a whole, as an inline table.
const MAPS: &[&[&str]] = &[&["api", "tokens"], &["tls", "certificates"]];

pub(super) fn overlay(
    config: Config,
    environment: impl Iterator<Item = (String, String)>,
    source: &mut Source,
) -> Result<Config, ConfigError> {
    let mut set: Vec<(String, String)> = environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    set.sort();
    if set.is_empty() {
        return Ok(config);
    }
    let mut table = config.to_table()?;
    let mut keys = Vec::new();
    paths(&table, &mut Vec::new(), &mut keys);
    let known: Vec<String> = keys.iter().map(|path| variable(path)).collect();
    let mut config = config;
    for (name, value) in set {
        let Some(path) = keys.iter().find(|path| variable(path) == name) else {
            let mend = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => "`starling config doc` lists all keys".to_owned(),
            };
            return Err(ConfigError { place: name, why: "no such key".to_owned(), mend: Some(mend) });
        };
        source.variables.push((path.clone(), name));
        (table, config) = with(&table, path, &value).map_err(|wrong| source.error(wrong))?;
    }
    Ok(config)
}

/// The value is read as TOML, or, if it is none or of no use as such, taken as text.
fn with(table: &toml::Table, path: &[String], text: &str) -> Result<(toml::Table, Config), Wrong> {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
    let attempt = |value: toml::Value| {
        let mut table = table.clone();
        insert(&mut table, path, value);
        Config::deserialize(table.clone()).map(|config| (table, config))
    };
    let as_text = || attempt(toml::Value::String(text.to_owned()));
    let done = match parsed {
        Some(value) => attempt(value).or_else(|error| as_text().map_err(|_| error)),
        None => as_text(),
    };
    let key = path.last().map(String::as_str);
    done.map_err(|error| Wrong { key: path.to_vec(), why: words::plain(error.message(), key), mend: None })
}

fn variable(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("_").replace('-', "_").to_uppercase())
}

fn paths(table: &toml::Table, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        at.push(key.clone());
        match value {
            toml::Value::Table(inner) if !MAPS.iter().any(|map| at == map) => paths(inner, at, found),
            _ => found.push(at.clone()),
        }
        at.pop();
    }
}

fn insert(table: &mut toml::Table, path: &[String], value: toml::Value) {
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            if let Some(toml::Value::Table(inner)) = table.get_mut(first) {
                insert(inner, rest, value);
            }
        }
    }
}
