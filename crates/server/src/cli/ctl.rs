//! `starling ctl`: one request to a running server, over its control socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{block_on, say};

/// Ask a running server.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The data directory of the server.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    data_dir: PathBuf,
    /// Answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Addresses, sessions, how long it runs.
    Status,
    /// Accounts.
    #[command(subcommand)]
    User(User),
    /// Sessions.
    #[command(subcommand)]
    Session(Session),
    /// Where a message of an account is, by its archive id.
    Message {
        /// Whose archive.
        account: String,
        /// The id that clients see as stanza-id.
        id: String,
    },
    /// The configuration of the running server.
    #[command(subcommand)]
    Config(Configuration),
}

#[derive(Debug, Subcommand)]
enum User {
    /// Make an account. Without a password one is made, and printed.
    Add {
        /// Its bare JID.
        jid: String,
        /// Read from standard input if it is `-`.
        password: Option<String>,
    },
    /// Set a password; ends all its sessions.
    Passwd {
        /// The account.
        jid: String,
        /// Read from standard input if it is `-`.
        password: Option<String>,
    },
    /// Let nobody sign in to it; ends its sessions. Messages to it wait.
    Suspend {
        /// The account.
        jid: String,
        /// Let it in again.
        #[arg(long)]
        lift: bool,
    },
    /// Erase an account and everything it has.
    Remove {
        /// The account.
        jid: String,
    },
    /// All accounts.
    List,
}

#[derive(Debug, Subcommand)]
enum Session {
    /// Sessions, of one account or of all.
    List {
        /// Whose.
        jid: Option<String>,
    },
    /// End sessions: one by its full JID, or all of an account.
    Kick {
        /// Which.
        jid: String,
    },
}

#[derive(Debug, Subcommand)]
enum Configuration {
    /// Read the file again: log level, limits, domains and certificates change at once; the rest is named.
    Reload,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (request, made) = arguments.action.request()?;
    let socket = arguments.data_dir.join("control.sock");
    let answer = block_on(ask(&socket, &request))?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        if arguments.json {
            say(&answer.to_string());
            return Ok(ExitCode::FAILURE);
        }
        bail!("{error}");
    }
    if arguments.json {
        let mut answer = answer;
        if let (Some(password), Some(object)) = (made, answer.as_object_mut()) {
            object.insert("password".to_owned(), password.into());
        }
        say(&answer.to_string());
    } else {
        show(&answer, 0);
        if let Some(password) = made {
            say(&format!("password: {password}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One request and its answer.
pub(super) async fn ask(socket: &Path, request: &Value) -> Result<Value> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!("no server answers at {}; start one with `starling run`", socket.display())
    })?;
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{request}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

impl Action {
    /// The request, and the password if one was made for it.
    fn request(&self) -> Result<(Value, Option<String>)> {
        Ok(match self {
            Self::Status => (json!({"op": "status"}), None),
            Self::User(User::Add { jid, password }) => {
                let (password, made) = given_or_made(password.as_deref())?;
                (json!({"op": "user-add", "jid": jid, "password": password}), made)
            }
            Self::User(User::Passwd { jid, password }) => {
                let (password, made) = given_or_made(password.as_deref())?;
                (json!({"op": "user-passwd", "jid": jid, "password": password}), made)
            }
            Self::User(User::Suspend { jid, lift }) => {
                (json!({"op": "user-suspend", "jid": jid, "suspended": !lift}), None)
            }
            Self::User(User::Remove { jid }) => (json!({"op": "user-remove", "jid": jid}), None),
            Self::User(User::List) => (json!({"op": "user-list"}), None),
            Self::Session(Session::List { jid }) => (json!({"op": "session-list", "jid": jid}), None),
            Self::Session(Session::Kick { jid }) => (json!({"op": "session-kick", "jid": jid}), None),
            Self::Message { account, id } => (json!({"op": "message", "jid": account, "id": id}), None),
            Self::Config(Configuration::Reload) => (json!({"op": "config-reload"}), None),
        })
    }
}

fn given_or_made(password: Option<&str>) -> Result<(String, Option<String>)> {
    match password {
        Some("-") => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("reading the password")?;
            Ok((line.trim_end_matches(['\r', '\n']).to_owned(), None))
        }
        Some(password) => Ok((password.to_owned(), None)),
        None => {
            let made = crate::quickstart::password()?;
            Ok((made.clone(), Some(made)))
        }
    }
}

/// For people: one line a value, lists indented.
fn show(value: &Value, indent: usize) {
    let space = " ".repeat(indent);
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::Object(_) | Value::Array(_) => {
                        say(&format!("{space}{key}:"));
                        show(value, indent + 2);
                    }
                    Value::String(text) => say(&format!("{space}{key}: {text}")),
                    other => say(&format!("{space}{key}: {other}")),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(object) => {
                        let line: Vec<String> =
                            object.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
                        say(&format!("{space}{}", line.join("  ")));
                    }
                    other => say(&format!("{space}{}", plain(other))),
                }
            }
        }
        other => say(&format!("{space}{}", plain(other))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
