//! Logs: for people on a terminal, JSON lines otherwise.

use std::io::IsTerminal;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::lines::Lines;

/// What is logged, and how it looks. No bodies, passwords or tokens at any level; addresses of users at `debug`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `error`, `warn`, `info`, `debug` or `trace`; or per part of the server: `info,starling_im=debug`. May change on reload.
    pub level: String,
    /// `auto` (for people on a terminal, JSON otherwise), `human` or `json`.
    pub format: Format,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// By where it goes to.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Config { level: "info".to_owned(), format: Format::Auto }
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// At `info` the libraries of the store tell of every file. Who wants to see that names them: the later directive wins.
const LIBRARIES: &str = "fjall=warn,lsm_tree=warn";
/// What administrators do is told at every level but `off`, unless `audit` is named.
const AUDIT: &str = "audit=info";

/// How long whoever ends waits for lines that nobody reads.
const FLUSHED_WITHIN: Duration = Duration::from_secs(1);

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Not a level.
    #[error("log level {level:?} is not one of error, warn, info, debug, trace, nor a list of part=level")]
    Level {
        /// What was given.
        level: String,
    },
    /// Nothing can write lines.
    #[error("the thread that writes the log cannot be started: {0}")]
    Writer(#[from] std::io::Error),
    /// Something else in this process has set it up.
    #[error("logging is already set up")]
    Twice,
}

impl Config {
    /// Checked before anything runs.
    pub fn check(&self) -> Result<(), TelemetryError> {
        filter(&self.level).map(|_| ())
    }
}

/// The parts that a level names, as they are written: `starling_im` of `info,starling_im=debug`.
pub fn parts(level: &str) -> Vec<&str> {
    let names = level.split(',').map(|one| one.split(['=', '[']).next().unwrap_or_default().trim());
    let is_level = |name: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(name));
    names.filter(|name| !name.is_empty() && !is_level(name)).collect()
}

/// Changes the level of a running process.
#[derive(Debug, Clone)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: Lines,
}

impl LogHandle {
    /// From now on this level holds.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = filter(level)?;
        self.filter.reload(filter).map_err(|_| TelemetryError::Twice)
    }
    /// Waits a moment until what was logged is written.
    pub fn flush(&self) {
        self.lines.flush(FLUSHED_WITHIN);
    }
    /// The same when the answer is dropped.
    pub fn flush_at_end(&self) -> Flush {
        Flush(self.clone())
    }
}

/// Writes what was logged before the process ends.
#[derive(Debug)]
pub struct Flush(LogHandle);

impl Drop for Flush {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Sets up the logs of this process; lines go to standard error. Nobody waits for who reads them: what is too much is lost, and
/// counted.
pub fn init(config: &Config) -> Result<LogHandle, TelemetryError> {
    let (layer, handle) = reload::Layer::new(filter(&config.level)?);
    let human = match config.format {
        Format::Human => true,
        Format::Json => false,
        Format::Auto => std::io::stderr().is_terminal(),
    };
    let lines = Lines::to_stderr()?;
    let registry = tracing_subscriber::registry().with(layer);
    let done = if human {
        registry
            .with(fmt::layer().with_writer(lines.clone()).with_ansi(std::io::stderr().is_terminal()))
            .try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(lines.clone())).try_init()
    };
    done.map_err(|_| TelemetryError::Twice)?;
    Ok(LogHandle { filter: handle, lines })
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let wrong = || TelemetryError::Level { level: level.to_owned() };
    if !level.contains('=') && !level.contains(',') && !LEVELS.contains(&level) {
        return Err(wrong());
    }
    EnvFilter::try_new(level).map_err(|_| wrong())?;
    let whole = match level {
        "off" => level.to_owned(),
        "error" => format!("{AUDIT},{level}"),
        _ => format!("{LIBRARIES},{AUDIT},{level}"),
    };
    EnvFilter::try_new(whole).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_of_five_or_a_list() {
        for level in ["error", "debug", "info,starling_im=debug", "starling_stream=trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["", "loud", "info,starling_im=loud"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }

    #[test]
    fn the_parts_of_a_level_are_named() {
        assert!(parts("info").is_empty() && parts("WARN, off").is_empty());
        let level = "info,starling_im::xep=debug,fjall,[span{a=b}]=trace,starling_rpc[span]=warn";
        assert_eq!(parts(level), ["starling_im::xep", "fjall", "starling_rpc"]);
    }

    #[test]
    fn libraries_of_the_store_are_quiet_unless_named() {
        for (level, quiet) in [("info", true), ("debug", true), ("info,fjall=info", false)] {
            assert_eq!(filter(level).unwrap().to_string().contains("fjall=warn"), quiet, "{level}");
        }
        assert_eq!(filter("off").unwrap().to_string(), "off");
    }
}
