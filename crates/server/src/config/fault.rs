//! What is wrong with a configuration: the place, the reason, and what mends it.

use std::io::ErrorKind;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, Wrong, words};

/// How alike two names must be for one to be meant by the other.
const ALIKE: f64 = 0.75;

/// A configuration that cannot be used: where, what and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}{}", mend.as_deref().map(|mend| format!("; {mend}")).unwrap_or_default())]
pub(crate) struct ConfigError {
    /// File and line, or the variable.
    pub place: String,
    /// What is wrong.
    pub why: String,
    /// What would be right.
    pub mend: Option<String>,
}

impl ConfigError {
    pub(crate) fn of_defaults(why: String) -> ConfigError {
        ConfigError { place: "defaults".to_owned(), why, mend: None }
    }
}

/// Where the values came from.
#[derive(Debug, Default)]
pub(super) struct Source {
    name: String,
    pub(super) text: String,
    /// Keys that a variable has set, and its name.
    pub(super) variables: Vec<(Vec<String>, String)>,
}

impl Source {
    pub(super) fn read(file: Option<&Path>) -> Result<Source, ConfigError> {
        let Some(path) = file else {
            return Ok(Source { name: "defaults".to_owned(), ..Source::default() });
        };
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| unreadable(name.clone(), &error))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Source { name, text, variables: Vec::new() }),
            Err(error) => {
                let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
                let line = before.filter(|byte| **byte == b'\n').count() + 1;
                let why = "holds bytes that are not UTF-8, which TOML is written in".to_owned();
                let mend = Some("save it as UTF-8".to_owned());
                Err(ConfigError { place: format!("{name}:{line}"), why, mend })
            }
        }
    }

    /// An error of the TOML reader with its line and, for an unknown key, the nearest that is known.
    pub(super) fn explain(&self, error: &toml::de::Error) -> ConfigError {
        let at = error.span().map(|span| span.start);
        let place = match at {
            Some(at) => self.line(at),
            None => self.name.clone(),
        };
        let message = error.message();
        if let Some((why, mend)) = unknown_field(message) {
            let mend = self.quoted(message).unwrap_or(mend);
            return ConfigError { place, why, mend: Some(mend) };
        }
        let Some(key) = at.and_then(|at| self.key_at(at)) else {
            return ConfigError { place, why: words::plain(message, None), mend: None };
        };
        let why = words::plain(message, key.last().map(String::as_str));
        ConfigError { place: format!("{place}: {}", key.join(".")), why, mend: default_of(&key) }
    }

    /// What is wrong with the value of `key`.
    pub(super) fn error(&self, wrong: Wrong) -> ConfigError {
        let Wrong { key, why, mend } = wrong;
        let key = key.as_slice();
        let name = key.join(".");
        let variable = self.variables.iter().find(|(set, _)| set.starts_with(key) || key.starts_with(set));
        let place = match (variable, self.position(key)) {
            (Some((_, variable)), _) => variable.clone(),
            (None, Some(at)) => format!("{}: {name}", self.line(at)),
            (None, None) => format!("{}: {name}", self.name),
        };
        ConfigError { place, why, mend: mend.or_else(|| default_of(key)) }
    }

    /// How a domain is written in the name of a section: without quotes its dots are dots of the path, and its second label
    /// is the key that `message` does not know.
    fn quoted(&self, message: &str) -> Option<String> {
        let wrong = message.split('`').nth(1)?;
        let parsed = DeTable::parse(&self.text).ok()?;
        let certificates = inner(inner(parsed.get_ref(), "tls")?, "certificates")?;
        certificates.iter().find_map(|(name, _)| {
            let first = inner(certificates, name.get_ref())?;
            let mut domain = format!("{}.{wrong}", name.get_ref());
            let mut below = inner(first, wrong)?;
            while let Some((label, next)) =
                below.iter().find_map(|(name, _)| Some((name.get_ref(), inner(below, name.get_ref())?)))
            {
                domain.extend([".", label]);
                below = next;
            }
            Some(format!("put the domain in quotes: [tls.certificates.\"{domain}\"]"))
        })
    }

    fn line(&self, at: usize) -> String {
        let line = self.text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        format!("{}:{line}", self.name)
    }

    /// Where the value of `key` stands in the file.
    fn position(&self, key: &[String]) -> Option<usize> {
        let parsed = DeTable::parse(&self.text).ok()?;
        let (mut table, mut found) = (parsed.into_inner(), None);
        for part in key {
            let (at, value) = table.into_iter().find(|(name, _)| name.get_ref() == part)?;
            found = Some(at.span().start);
            match value.into_inner() {
                DeValue::Table(inner) => table = inner,
                _ => return found,
            }
        }
        found
    }

    /// The key in whose value the file has this position.
    fn key_at(&self, at: usize) -> Option<Vec<String>> {
        let parsed = DeTable::parse(&self.text).ok()?;
        let mut path = Vec::new();
        inside(parsed.get_ref(), at, &mut path).then_some(path)
    }
}

fn unreadable(place: String, error: &std::io::Error) -> ConfigError {
    let mend = match error.kind() {
        ErrorKind::NotFound => "create it, or leave out --config: no file is needed",
        ErrorKind::IsADirectory => "name the file in it, such as starling.toml",
        ErrorKind::PermissionDenied => "give this user the right to read it",
        _ => "name a file that can be read, or leave out --config: no file is needed",
    };
    ConfigError { place, why: format!("cannot be read: {error}"), mend: Some(mend.to_owned()) }
}

/// The table under a key of another.
fn inner<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<&'a DeTable<'i>> {
    match table.get(name)?.get_ref() {
        DeValue::Table(inner) => Some(inner),
        _ => None,
    }
}

fn inside(table: &DeTable<'_>, at: usize, path: &mut Vec<String>) -> bool {
    for (name, value) in table {
        path.push(name.get_ref().to_string());
        let is_here = match value.get_ref() {
            DeValue::Table(inner) => inside(inner, at, path),
            _ => Spanned::span(value).contains(&at),
        };
        if is_here {
            return true;
        }
        path.pop();
    }
    false
}

/// What serde says about an unknown field, as reason and mend.
fn unknown_field(message: &str) -> Option<(String, String)> {
    if !message.starts_with("unknown field") {
        return None;
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (wrong, known) = quoted.split_first()?;
    let mend = match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Some((format!("unknown key `{wrong}`"), mend))
}

/// A value that can be used: the default.
fn default_of(key: &[String]) -> Option<String> {
    let mut value = toml::Value::Table(Config::default().to_table().ok()?);
    for part in key {
        value = value.as_table()?.get(part)?.clone();
    }
    (!value.is_table()).then(|| format!("the default is {value}"))
}

/// The known name that is most like the wrong one, if any is like it at all.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|name| (strsim::jaro_winkler(wrong, name), name));
    scored
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(score, _)| *score > ALIKE)
        .map(|(_, name)| name)
}
