//! `docs/reference/limits.md`: every limit in one table, with its default, and how a benchmark switches it off.

use std::fmt::Write;

use crate::config::{Config, ConfigError};

/// A key that limits something.
struct Limit {
    key: &'static str,
    /// What whoever goes past it gets.
    past: &'static str,
    /// The value that is no limit.
    off: &'static str,
}

const fn limit(key: &'static str, past: &'static str, off: &'static str) -> Limit {
    Limit { key, past, off }
}

const LIMITS: &[Limit] = &[
    limit("limits.stanza-bytes", "the stream ends with `policy-violation`", "0"),
    limit("limits.login-bytes", "the stream ends with `policy-violation`", "0"),
    limit("limits.depth", "the stream ends with `policy-violation`", "0"),
    limit("limits.login-within", "the stream ends with `connection-timeout`", "\"0s\""),
    limit("limits.stanza-within", "the stream ends with `connection-timeout`", "\"0s\""),
    limit("limits.dead-after", "the connection ends, the session waits to be resumed", "\"0s\""),
    limit("limits.ping-within", "what the client's TCP has counts as received", "\"24h\""),
    limit("limits.stanzas-per-second", "the client is read more slowly", "0"),
    limit("limits.bytes-per-second", "the client is read more slowly", "0"),
    limit(
        "limits.unauthenticated-per-address",
        "further connections of that address end with `policy-violation`",
        "0",
    ),
    limit(
        "limits.unauthenticated",
        "further connections wait up to 2 s, then end with `resource-constraint` (by HTTP: 503); more of them wait to be accepted",
        "0",
    ),
    limit("limits.logins-at-once", "a client waits until it gets its session", "0"),
    limit("drain.max-rate", "a client leaves a draining server a little later", "0"),
    limit("im.resume-within", "a session that was not resumed ends", "\"0s\""),
    limit("im.archive", "messages are archived", "false"),
    limit("im.archive-max-page", "a page of the archive has no more", "0"),
    limit("im.max-sessions", "binding is refused with `resource-constraint`", "0"),
    limit("im.max-roster-items", "the change is refused with `not-allowed`", "0"),
    limit("im.max-blocked", "the change is refused with `resource-constraint`", "0"),
    limit("im.max-document-bytes", "the document is refused with `resource-constraint`", "0"),
    limit("im.quotas.offline-messages", "the sender gets `resource-constraint`, before any ack", "0"),
    limit("im.quotas.offline-bytes", "the sender gets `resource-constraint`, before any ack", "0"),
    limit("im.quotas.archive-bytes", "the sender gets `resource-constraint`, before any ack", "0"),
    limit("im.login-back-off", "a failed login is answered later and later", "false"),
    limit("im.registration.per-address-and-hour", "registration is refused with `resource-constraint`", "0"),
    limit("store.log-max-stanzas", "what follows waits in the store until the client acknowledges", "0"),
    limit("store.log-max-bytes", "what follows waits in the store until the client acknowledges", "0"),
    limit("store.min-free-bytes", "senders get `resource-constraint`, `/readyz` says no", "0"),
    limit("store.archive-ttl", "archived messages are erased", "\"0s\""),
    limit("store.spool-ttl", "messages of an account without archive are erased", "\"0s\""),
    limit(
        "redis.log-max-stanzas",
        "what follows waits in the store until the client acknowledges",
        "1000000000",
    ),
    limit(
        "redis.log-max-bytes",
        "what follows waits in the store until the client acknowledges",
        "1000000000000",
    ),
    limit("scylla.archive-kept", "archived messages are erased", "\"7300d\""),
    limit("scylla.spool-kept", "messages of an account without archive are erased", "\"7300d\""),
    limit("scylla.request-timeout", "the store counts as unavailable", "\"60s\""),
    limit("otlp.most-per-second", "no more traces begin in that second", "0"),
];

/// The page.
pub(crate) fn markdown() -> Result<String, ConfigError> {
    let mut page = String::from(
        "# Limits\n\nWritten by `make docs` from the code. Each is a key of the configuration ([what it means](config.md)). The last column\n\
         is the value that is no limit, or one that nothing reaches: for benchmarks, not for the Internet.\n\n\
         | key | default | past it | off |\n|---|---|---|---|\n",
    );
    let defaults = toml::Value::Table(Config::default().to_table()?);
    for Limit { key, past, off } in LIMITS {
        let default = key.split('.').try_fold(&defaults, |value, part| value.as_table()?.get(part));
        let default = default.map(toml::Value::to_string).unwrap_or_default();
        let _ = writeln!(page, "| `{key}` | `{default}` | {past} | `{off}` |");
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_key_and_can_be_switched_off() {
        let defaults = toml::Value::Table(Config::default().to_table().unwrap());
        let mut variables = Vec::new();
        for Limit { key, off, .. } in LIMITS {
            let found = key.split('.').try_fold(&defaults, |value, part| value.as_table()?.get(part));
            assert!(found.is_some(), "{key}");
            let name = format!("STARLING_{}", key.replace(['.', '-'], "_").to_uppercase());
            variables.push((name, (*off).to_owned()));
        }
        assert!(Config::load(None, variables.into_iter()).is_ok());
    }

    #[test]
    fn no_limit_is_listed_twice() {
        let mut keys: Vec<_> = LIMITS.iter().map(|limit| limit.key).collect();
        keys.sort_unstable();
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
    }

    /// How much may come at once belongs to its rate, and goes with it.
    const BURSTS: [&str; 2] = ["limits.stanzas-at-once", "limits.bytes-at-once"];

    /// How many copies there are limits nobody.
    const NO_LIMIT: &str = "scylla.replication-factor";

    fn numbers(value: &toml::Value, path: &str, found: &mut Vec<String>) {
        match value {
            toml::Value::Table(table) => {
                table.iter().for_each(|(key, value)| numbers(value, &format!("{path}.{key}"), found));
            }
            toml::Value::Integer(_) => found.push(path.trim_start_matches('.').to_owned()),
            _ => {}
        }
    }

    #[test]
    fn every_number_of_the_configuration_is_a_limit_of_the_table() {
        let mut found = Vec::new();
        numbers(&toml::Value::Table(Config::default().to_table().unwrap()), "", &mut found);
        let listed = |key: &String| {
            LIMITS.iter().any(|limit| limit.key == key) || BURSTS.contains(&key.as_str()) || key == NO_LIMIT
        };
        let missing: Vec<_> = found.iter().filter(|key| !listed(key)).collect();
        assert!(found.len() > 10 && missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_defaults_are_those_that_are_promised() {
        let page = markdown().unwrap();
        for row in [
            "| `limits.stanza-bytes` | `262144` |",
            "| `limits.login-bytes` | `10000` |",
            "| `limits.login-within` | `\"30s\"` |",
            "| `im.resume-within` | `\"5m\"` |",
            "| `im.archive` | `true` |",
            "| `store.log-max-stanzas` | `1000` |",
            "| `store.log-max-bytes` | `1048576` |",
            "| `store.archive-ttl` | `\"1year\"` |",
        ] {
            assert!(page.contains(row), "{row} is not in\n{page}");
        }
    }
}
