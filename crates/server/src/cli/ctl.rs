//! `starling ctl`: one request to a running server, over its control socket or the network.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::password::Given;
use super::remote::{self, Remote};
use super::{Place, block_on, complain, denied, say};

/// Ask a running server.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    remote: Remote,
    /// Answer as JSON, errors too.
    #[arg(long, global = true, display_order = 106)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Addresses, sessions, how long it runs.
    Status,
    /// What this process counts: connections, traffic, latency.
    Counts,
    /// Accounts.
    #[command(subcommand)]
    User(User),
    /// Sessions.
    #[command(subcommand)]
    Session(Session),
    /// The processes of this cluster.
    #[command(subcommand)]
    Node(Node),
    /// Where a message of an account is, by its archive id.
    ///
    /// Who stored it, which device it was written to, and whether that has acknowledged it. All processes are asked, whichever this
    /// is; `missing` names those that did not answer.
    Message {
        /// Whose archive.
        account: String,
        /// The id that clients see as stanza-id.
        id: String,
    },
    /// Send what a process holds to others, so that it takes nothing new.
    ///
    /// Before it is stopped, or to see to its machine. Of any process of the cluster, by the name that `node list` shows; of the one
    /// that is asked, if none is named.
    #[command(subcommand)]
    Drain(Drain),
    /// The configuration of the running server.
    #[command(subcommand)]
    Config(Configuration),
    /// Which stanzas are followed from socket to socket.
    ///
    /// Their spans are sent to the receiver that `[otlp]` names: in all processes of the cluster, whichever is asked. One that starts
    /// later follows what its configuration says.
    #[command(subcommand)]
    Trace(Trace),
}

#[derive(Debug, Subcommand)]
enum User {
    /// Make an account. Without a password one is made, and printed.
    Add {
        /// Its bare JID.
        jid: String,
        #[command(flatten)]
        password: Given,
    },
    /// Set a password; ends all its sessions.
    Passwd {
        /// The account.
        jid: String,
        #[command(flatten)]
        password: Given,
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
    /// Accounts, in the order of their names.
    List {
        /// Those after this one.
        #[arg(long, value_name = "JID")]
        after: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
}

#[derive(Debug, Subcommand)]
enum Session {
    /// Sessions, of one account or of all.
    List {
        /// The account; without one, all.
        jid: Option<String>,
        /// Those of one node, by its name.
        #[arg(long)]
        node: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// End sessions: one by its full JID, or all of an account.
    Kick {
        /// A full JID, or the bare one of an account.
        jid: String,
    },
}

#[derive(Debug, Subcommand)]
enum Node {
    /// All of them by name: what they are, how many sessions and links they have, whether they drain.
    ///
    /// Those that answer, and those that a session router has heard of within an hour. `silent`: not a word for 15 seconds.
    List,
    /// What each of them counts: connections, traffic, latency; then all together. `missing` names those that do not answer.
    Counts,
}

#[derive(Debug, Subcommand)]
enum Drain {
    /// Begin, at the pace of `[drain]`. `/readyz` says no, listeners close, and the process goes on with what is left.
    Start {
        /// Which process.
        node: Option<String>,
        /// Without a pace: all at once. Hurries a drain that has begun.
        #[arg(long)]
        now: bool,
    },
    /// How far it has come: sessions that are left here, or links of connection managers to a session router.
    Status {
        /// Of which process.
        node: Option<String>,
    },
    /// Take clients again. Those that have gone stay where they are.
    Abort {
        /// Which process.
        node: Option<String>,
    },
}

/// What is no number cannot be said in JSON: the server would not see it.
fn share(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate));
    rate.ok_or_else(|| "a rate is from 0 to 1".to_owned())
}

#[derive(Debug, Subcommand)]
enum Trace {
    /// What is followed now.
    Status,
    /// Follow this share of all stanzas.
    Rate {
        /// From 0 to 1.
        #[arg(value_parser = share)]
        rate: f64,
    },
    /// Follow every stanza from or to an account. The answer has the hash by which its spans name it.
    Follow {
        /// Its bare JID.
        jid: String,
    },
    /// Follow it no more.
    Unfollow {
        /// Its bare JID.
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
    let asked = match arguments.remote.client() {
        Ok(Some(client)) => block_on(remote::ask(&client, &request)),
        Ok(None) => {
            let data_dir = arguments.place.data_dir();
            data_dir.and_then(|data_dir| block_on(ask(&data_dir.join("control.sock"), &request)))
        }
        Err(error) => Err(error),
    };
    let mut answer = match asked {
        Ok(answer) => answer,
        Err(error) if arguments.json => {
            say(&json!({"error": format!("{error:#}")}).to_string());
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    if let (Some(password), Some(object)) = (made, answer.as_object_mut()) {
        object.insert("password".to_owned(), password.into());
    }
    if arguments.json {
        say(&answer.to_string());
    } else {
        arguments.action.show(&answer);
    }
    Ok(ExitCode::SUCCESS)
}

/// One request and its answer; what the server refuses is an error.
pub(super) async fn ask(socket: &Path, request: &Value) -> Result<Value> {
    let stream = match UnixStream::connect(socket).await {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Err(denied(socket)),
        other => other.with_context(|| {
            format!(
                "no server answers at {}; start one with `starling run`, or name its --data-dir",
                socket.display()
            )
        })?,
    };
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{request}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    let answer: Value = serde_json::from_str(&line).context("the server broke off")?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}

impl Action {
    /// The request, and the password if one was made for it.
    fn request(&self) -> Result<(Value, Option<String>)> {
        Ok(match self {
            Self::Status => (json!({"op": "status"}), None),
            Self::Counts => (json!({"op": "counts"}), None),
            Self::User(User::Add { jid, password }) => {
                let (password, made) = password.or_made()?;
                (json!({"op": "user-add", "jid": jid, "password": password}), made)
            }
            Self::User(User::Passwd { jid, password }) => {
                let (password, made) = password.or_made()?;
                (json!({"op": "user-passwd", "jid": jid, "password": password}), made)
            }
            Self::User(User::Suspend { jid, lift }) => {
                (json!({"op": "user-suspend", "jid": jid, "suspended": !lift}), None)
            }
            Self::User(User::Remove { jid }) => (json!({"op": "user-remove", "jid": jid}), None),
            Self::User(User::List { after, limit }) => {
                (json!({"op": "user-list", "after": after, "limit": limit}), None)
            }
            Self::Session(Session::List { jid, node, limit }) => {
                (json!({"op": "session-list", "jid": jid, "node": node, "limit": limit}), None)
            }
            Self::Session(Session::Kick { jid }) => (json!({"op": "session-kick", "jid": jid}), None),
            Self::Node(Node::List) => (json!({"op": "node-list"}), None),
            Self::Node(Node::Counts) => (json!({"op": "node-counts"}), None),
            Self::Message { account, id } => (json!({"op": "message", "jid": account, "id": id}), None),
            Self::Drain(Drain::Start { node, now }) => {
                (json!({"op": "drain-start", "node": node, "now": now}), None)
            }
            Self::Drain(Drain::Status { node }) => (json!({"op": "drain-status", "node": node}), None),
            Self::Drain(Drain::Abort { node }) => (json!({"op": "drain-abort", "node": node}), None),
            Self::Trace(Trace::Status) => (json!({"op": "trace-status"}), None),
            Self::Trace(Trace::Rate { rate }) => (json!({"op": "trace-change", "rate": rate}), None),
            Self::Trace(Trace::Follow { jid }) => (json!({"op": "trace-change", "follow": jid}), None),
            Self::Trace(Trace::Unfollow { jid }) => (json!({"op": "trace-change", "unfollow": jid}), None),
            Self::Config(Configuration::Reload) => (json!({"op": "config-reload"}), None),
        })
    }
}

impl Action {
    /// For people: a list is one line an item, everything else one line a value.
    fn show(&self, answer: &Value) {
        let is_cut = answer.get("more").and_then(Value::as_bool).unwrap_or(false);
        let list =
            |key: &str| answer.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::User(User::List { .. }) => {
                let accounts = list("accounts");
                accounts.iter().for_each(|jid| say(&plain(jid)));
                if accounts.is_empty() {
                    complain("no accounts");
                }
                if let (true, Some(last)) = (is_cut, accounts.last()) {
                    complain(&format!("there are more: `--after {}` shows the next", plain(last)));
                }
            }
            Self::Node(Node::List) => {
                list("nodes").iter().for_each(|node| say(&in_one_line(node)));
                list("missing").iter().for_each(|one| complain(&format!("missing: {}", in_one_line(one))));
            }
            Self::Node(Node::Counts) => {
                list("nodes").iter().for_each(|node| say(&in_one_line(&figures(node))));
                let total = answer.get("total").map(figures).unwrap_or_default();
                say(&format!("all: {}", in_one_line(&total)));
                list("missing").iter().for_each(|one| complain(&format!("missing: {}", in_one_line(one))));
            }
            Self::Counts => show(&with_latencies(answer), 0),
            Self::Session(Session::List { .. }) => {
                let sessions = list("sessions");
                sessions.iter().for_each(|session| say(&in_one_line(session)));
                let missing = list("missing");
                if sessions.is_empty() && missing.is_empty() {
                    complain("no sessions");
                }
                missing.iter().for_each(|one| complain(&format!("missing: {}", in_one_line(one))));
                if is_cut {
                    complain(&format!("cut after {}: name an account, or raise --limit", sessions.len()));
                }
            }
            _ => show(answer, 0),
        }
    }
}

/// One line a value, indented by depth.
fn show(value: &Value, indent: usize) {
    let space = " ".repeat(indent);
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if value.as_array().is_some_and(Vec::is_empty) {
                    say(&format!("{space}{key}: none"));
                } else if matches!(value, Value::Object(_) | Value::Array(_)) {
                    say(&format!("{space}{key}:"));
                    show(value, indent + 2);
                } else {
                    say(&format!("{space}{key}: {}", plain(value)));
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| say(&format!("{space}{}", in_one_line(item)))),
        other => say(&format!("{space}{}", plain(other))),
    }
}

fn in_one_line(value: &Value) -> String {
    match value.as_object() {
        Some(object) => {
            let parts: Vec<String> =
                object.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            parts.join("  ")
        }
        None => plain(value),
    }
}

/// With a line for each histogram, which `--json` has whole.
fn with_latencies(counts: &Value) -> Value {
    let fields = counts.as_object().into_iter().flatten();
    fields
        .map(|(key, value)| (key.clone(), latency(value).map_or_else(|| value.clone(), Value::from)))
        .collect()
}

/// How many there were, and the bounds under which a half and 99 of 100 of them stayed.
fn latency(histogram: &Value) -> Option<String> {
    let count = histogram.get("count")?.as_u64()?;
    let buckets = histogram.get("buckets")?.as_array()?;
    let within = |part: u64| {
        let holds = |bucket: &&Value| {
            bucket.get("count").and_then(Value::as_u64).is_some_and(|held| held * 100 >= count * part)
        };
        match buckets.iter().find(holds).and_then(|bucket| bucket.get("up-to-seconds")) {
            Some(bound) => format!("within {bound} s"),
            None => "longer than all bounds".to_owned(),
        }
    };
    Some(match count {
        0 => "none yet".to_owned(),
        _ => format!("{count}, half {}, 99 of 100 {}", within(50), within(99)),
    })
}

/// Without histograms, which `--json` has, and without the name that a sum does not have.
fn figures(counts: &Value) -> Value {
    let fields = counts.as_object().into_iter().flatten();
    let is_shown = |value: &Value| !value.is_object() && value != "";
    fields.filter(|(_, value)| is_shown(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
