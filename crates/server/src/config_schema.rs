//! A JSON Schema of the configuration file. What a key may hold is what its own reader says when it is given what nothing can be.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use toml::{Table, Value};

use crate::config::{Config, ConfigError};

mod times;

/// Behind a colon, to the end: up to 65535.
macro_rules! port {
    () => {
        r":(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])$"
    };
}
const ADDRESS: &str = concat!(r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.%]+\])", port!());
const ORIGIN: &str = r"^https?://[A-Za-z0-9._:\[\]-]+$";
const HOST: &str = concat!(r"^\S+", port!());
/// An address, or a range of them.
const RANGE: &str = r"^(\d{1,3}(\.\d{1,3}){3}(/([0-9]|[12]\d|3[0-2]))?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/(\d{1,2}|1[01]\d|12[0-8]))?)$";
const BARE_JID: &str = r"^([^@/\s]+@)?[^@/\s]+$";
const URI: &str = r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s\x22<>\\^`{|}]+$";

/// Keys of text whose form the program looks at once it has read all.
const FORMS: [(&str, &str); 15] = [
    ("http.origins", ORIGIN),
    ("http.public-url", r"^(https?://[A-Za-z0-9._:\[\]-]+/*)?$"),
    ("im.contact.abuse", URI),
    ("im.contact.admin", URI),
    ("im.contact.security", URI),
    ("im.contact.support", URI),
    ("listen.mechanisms", "^(SCRAM-SHA-256|SCRAM-SHA-1|PLAIN)$"),
    ("listen.trusted-proxies", RANGE),
    (
        "log.level",
        r"^(error|warn|info|debug|trace|off|[^=,\s]+=(error|warn|info|debug|trace|off))(,([^=,\s]+=)?(error|warn|info|debug|trace|off))*$",
    ),
    ("otlp.endpoint", r"^(https?://[^/?#@\s]+([/?#]\S*)?)?$"),
    ("otlp.sample-accounts", BARE_JID),
    ("redis.cluster-nodes", HOST),
    ("redis.sentinels", HOST),
    ("scylla.keyspace", "^[a-z][a-z0-9_]{0,47}$"),
    ("scylla.datacenter", "^[A-Za-z0-9._-]*$"),
];
/// Whole numbers with bounds of their own; others are bound by their types.
const BOUNDS: [(&str, u64, u64); 3] = [
    ("redis.log-max-stanzas", 10, MOST),
    ("redis.log-max-bytes", 10_000, MOST),
    ("scylla.replication-factor", 1, 9),
];
/// A whole number of TOML is not greater.
const MOST: u64 = i64::MAX as u64;
/// What no key takes for text.
const NOTHING: &str = "\u{1}";

/// The schema, as a page.
pub(crate) fn page() -> Result<String, ConfigError> {
    let failed = |error: serde_json::Error| ConfigError::of_defaults(error.to_string());
    serde_json::to_string_pretty(&schema()?).map_err(failed)
}

fn schema() -> Result<Json, ConfigError> {
    let defaults = Config::default().to_table()?;
    let mut whole = of_table(&defaults, &defaults, &[]);
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        whole.insert("title".to_owned(), json!("starling.toml"));
    }
    Ok(whole)
}

fn of_table(defaults: &Table, table: &Table, path: &[&str]) -> Json {
    let properties: serde_json::Map<String, Json> = table
        .iter()
        .map(|(key, value)| (key.clone(), of(defaults, value, &[path, &[key.as_str()]].concat())))
        .collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn of(defaults: &Table, value: &Value, path: &[&str]) -> Json {
    match value {
        // Its keys are names that somebody gives.
        Value::Table(inner) if inner.is_empty() => {
            json!({"type": "object", "additionalProperties": {"type": "object"}})
        }
        Value::Table(inner) => of_table(defaults, inner, path),
        Value::Boolean(_) => json!({"type": "boolean"}),
        Value::Integer(_) => {
            let (least, most) = bounds(&path.join("."), &refusal(defaults, path, Value::Integer(-1)));
            if most == MOST {
                json!({"type": "integer", "minimum": least})
            } else {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
        }
        // Each is a share.
        Value::Float(_) => json!({"type": "number", "minimum": 0, "maximum": 1}),
        Value::Array(_) => {
            let refused = refusal(defaults, path, Value::Array(vec![NOTHING.into()]));
            json!({"type": "array", "items": of_text(&path.join("."), &refused)})
        }
        Value::String(_) | Value::Datetime(_) => {
            of_text(&path.join("."), &refusal(defaults, path, NOTHING.into()))
        }
    }
}

/// What the reader says of such a value there; nothing, where it takes it.
fn refusal(defaults: &Table, path: &[&str], wrong: Value) -> String {
    let mut whole = Value::Table(defaults.clone());
    let slot = path.iter().try_fold(&mut whole, |value, key| value.get_mut(*key));
    if let Some(slot) = slot {
        *slot = wrong;
    }
    Config::deserialize(whole).err().map_or_else(String::new, |error| error.message().to_owned())
}

fn bounds(key: &str, refused: &str) -> (u64, u64) {
    if let Some((_, least, most)) = BOUNDS.iter().find(|bound| bound.0 == key) {
        return (*least, *most);
    }
    let most = match refused.rsplit_once("expected ").map(|(_, of)| of) {
        Some("u8") => u64::from(u8::MAX),
        Some("u16") => u64::from(u16::MAX),
        Some("u32") => u64::from(u32::MAX),
        _ => MOST,
    };
    (0, most)
}

fn of_text(key: &str, refused: &str) -> Json {
    if let Some(known) = refused.strip_prefix("unknown variant ") {
        // "`x`, expected one of `a`, `b`"
        let known: Vec<&str> = known.split('`').skip(3).step_by(2).collect();
        return json!({"enum": known});
    }
    if refused.ends_with("expected a duration") {
        return of_time(key);
    }
    let form = if refused.contains("socket address") {
        Some(ADDRESS)
    } else {
        FORMS.iter().find(|form| form.0 == key).map(|form| form.1)
    };
    form.map_or_else(|| json!({"type": "string"}), |form| json!({"type": "string", "pattern": form}))
}

fn of_time(key: &str) -> Json {
    let Some(bounds) = times::BOUNDS.iter().find(|bounds| bounds.key == key) else {
        return json!({"type": "string", "pattern": times::TIME});
    };
    let patterns: Vec<Json> = bounds.patterns().iter().map(|pattern| json!({"pattern": pattern})).collect();
    json!({"type": "string", "allOf": patterns})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Json {
        path.split('.').fold(schema().unwrap(), |schema, key| schema["properties"][key].clone())
    }

    #[test]
    fn what_a_key_may_hold_is_what_its_type_takes() {
        assert_eq!(at("mode"), json!({"enum": ["embedded", "cluster"]}));
        assert_eq!(at("cluster.roles")["items"], json!({"enum": ["connection-manager", "session-router"]}));
        assert_eq!(at("log.format"), json!({"enum": ["auto", "human", "json"]}));
        assert_eq!(at("im.archive"), json!({"type": "boolean"}));
        assert_eq!(at("limits.dead-after"), json!({"type": "string", "pattern": times::TIME}));
        assert_eq!(at("im.resume-within")["allOf"].as_array().map(Vec::len), Some(2));
        assert_eq!(at("listen.c2s")["items"], json!({"type": "string", "pattern": ADDRESS}));
        assert_eq!(at("admin.listen"), json!({"type": "string", "pattern": ADDRESS}));
        assert_eq!(at("limits.stanza-bytes"), json!({"type": "integer", "minimum": 0}));
        assert_eq!(at("limits.stanzas-per-second")["maximum"], json!(u32::MAX));
        assert_eq!(at("otlp.sample-rate"), json!({"type": "number", "minimum": 0, "maximum": 1}));
        assert_eq!(
            at("tls.certificates"),
            json!({"type": "object", "additionalProperties": {"type": "object"}})
        );
        assert_eq!(at("im.quotas")["additionalProperties"], json!(false));
    }

    #[test]
    fn forms_and_bounds_are_of_keys_that_there_are() {
        for key in FORMS.iter().map(|form| form.0) {
            let schema = at(key);
            assert!(
                schema["pattern"].is_string() || schema["items"]["pattern"].is_string(),
                "{key}: {schema}"
            );
        }
        for (key, least, _) in BOUNDS {
            assert_eq!(at(key)["minimum"], json!(least), "{key}");
        }
    }

    /// Nothing that the schema refuses by a bound or a choice would the program have taken.
    #[test]
    fn the_program_refuses_what_is_beyond_a_bound() {
        let defaults = Config::default().to_table().unwrap();
        for (key, least, _) in BOUNDS {
            let path: Vec<&str> = key.split('.').collect();
            let mut whole = Value::Table(defaults.clone());
            let slot = path.iter().try_fold(&mut whole, |value, key| value.get_mut(*key)).unwrap();
            *slot = Value::Integer(i64::try_from(least).unwrap() - 1);
            let written = toml::to_string(&whole).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), written).unwrap();
            let refused = Config::load(Some(file.path()), std::iter::empty()).unwrap_err();
            assert!(refused.to_string().contains(key), "{refused}");
        }
    }
}
