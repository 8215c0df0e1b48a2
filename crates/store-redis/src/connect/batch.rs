//! Commands that are no steps: several at once, each to whoever has its key, and none held back by a node that is away.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError, Value, from_redis_value};

use super::Link;
use crate::error::{Failure, is_elsewhere};
use crate::node::{Live, Node};
use crate::together::together;

/// How often a command is sent after its key, and what is waited before, at first.
const AFTER: (usize, Duration) = (5, Duration::from_millis(5));

/// Commands with their places in a batch.
type Placed<'a> = Vec<(usize, &'a Cmd)>;

/// What came of a batch.
pub(crate) struct Said {
    /// In the order of the commands; `None`: whoever has the key did not do it.
    pub(crate) answers: Vec<Option<Value>>,
    /// Why one was not done whose node is there.
    pub(crate) failure: Option<Failure>,
    /// Why a node is away.
    pub(crate) away: Option<Failure>,
}

/// What is done about a node that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It is tried again.
    Tried,
    /// It is not waited for: whoever else needs it finds out when it is back.
    LeftAlone,
}

impl Link {
    /// One command, which begins with its name and its key.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        let answer = self.batch(name, std::slice::from_ref(command)).await?.pop();
        from_redis_value(answer.unwrap_or(Value::Nil)).map_err(|error| Failure::of(error.into()))
    }

    /// Several at once, of which all must be done. The answers are in the order of the commands.
    pub(crate) async fn batch(&self, name: &'static str, commands: &[Cmd]) -> Result<Vec<Value>, Failure> {
        let said = self.batch_each(name, commands, Lost::Tried).await;
        match said.failure.or(said.away) {
            Some(failure) => Err(failure),
            None => Ok(said.answers.into_iter().map(Option::unwrap_or_default).collect()),
        }
    }

    /// Several at once that have nothing to do with each other: each node gets its own together, all at the same time, and one that
    /// is away holds back nothing that goes to others. A command whose key has moved goes after it; so each must be one that may be
    /// done twice.
    pub(crate) async fn batch_each(&self, name: &'static str, commands: &[Cmd], lost: Lost) -> Said {
        let mut said = Said { answers: vec![None; commands.len()], failure: None, away: None };
        let mut left: Placed<'_> = commands.iter().enumerate().collect();
        let (mut pause, mut tries) = (AFTER.1, AFTER.0);
        while !left.is_empty() {
            let parts = self.apart(std::mem::take(&mut left), &mut said).await;
            let send = parts.iter().map(|(node, part)| self.send(name, node, part, lost));
            let sent = together(send.collect()).await;
            let mut elsewhere = None;
            for ((node, part), sent) in parts.into_iter().zip(sent) {
                match sent {
                    Ok((live, answers)) => {
                        let answered = part.into_iter().zip(answers);
                        for ((at, command), failure) in self.take(&live, name, answered, &mut said) {
                            left.push((at, command));
                            elsewhere = Some(failure);
                        }
                    }
                    Err(failure) if node.is_away() => said.away = Some(failure),
                    Err(failure) => said.failure = Some(failure),
                }
            }
            tries -= 1;
            if tries == 0 {
                said.failure = elsewhere.or(said.failure);
                break;
            }
            if elsewhere.is_some() {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        said
    }

    /// Puts answers into their places; returns what is to be sent after its key.
    fn take<'a>(
        &self,
        live: &Live,
        name: &'static str,
        answered: impl Iterator<Item = ((usize, &'a Cmd), Value)>,
        said: &mut Said,
    ) -> Vec<((usize, &'a Cmd), Failure)> {
        let mut left = Vec::new();
        for ((at, command), answer) in answered {
            let Value::ServerError(error) = answer else {
                said.answers.iter_mut().skip(at).take(1).for_each(|place| *place = Some(answer.clone()));
                continue;
            };
            let error = RedisError::from(error);
            let is_elsewhere = is_elsewhere(&error);
            let failure = self.failed(live, name, error);
            if is_elsewhere {
                left.push(((at, command), failure));
            } else {
                said.failure = Some(failure);
            }
        }
        left
    }

    /// By the nodes that they go to.
    async fn apart<'a>(&self, commands: Placed<'a>, said: &mut Said) -> Vec<(Arc<Node>, Placed<'a>)> {
        let mut apart: Vec<(Arc<Node>, Placed<'_>)> = Vec::new();
        for (at, command) in commands {
            let node = match &self.cluster {
                Some(cluster) => cluster.owner(key_of(command).as_bytes(), &self.dialler).await,
                None => Ok(self.one.clone()),
            };
            let node = match node {
                Ok(node) => node,
                Err(failure) => {
                    said.failure = Some(failure);
                    continue;
                }
            };
            match apart.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
                Some((_, part)) => part.push((at, command)),
                None => apart.push((node, vec![(at, command)])),
            }
        }
        apart
    }

    /// To one node. A connection is waited for as long as a call, no longer.
    async fn send(
        &self,
        name: &'static str,
        node: &Node,
        part: &[(usize, &Cmd)],
        lost: Lost,
    ) -> Result<(Live, Vec<Value>), Failure> {
        let failed = |kind: ErrorKind| Failure::Again(RedisError::from(std::io::Error::from(kind)));
        if lost == Lost::LeftAlone && node.is_away() {
            return Err(failed(ErrorKind::NotConnected));
        }
        let reached = tokio::time::timeout(self.dialler.config.call_timeout, node.live(&self.dialler)).await;
        let reached = reached.unwrap_or_else(|_| {
            node.leave();
            Err(failed(ErrorKind::TimedOut))
        });
        let live = reached.inspect_err(|_| self.suspect())?;
        let mut pipeline = redis::pipe();
        for (_, command) in part {
            pipeline.add_command((*command).clone());
        }
        let mut connection = live.connection.clone();
        let asked = pipeline.ignore_errors().query_async::<Vec<Value>>(&mut connection);
        let answers = self.call(&live, name, asked).await?;
        Ok((live, answers))
    }
}

/// What stands behind the name.
fn key_of(command: &Cmd) -> String {
    let key = command.args_iter().nth(1);
    match key {
        Some(redis::Arg::Simple(key)) => String::from_utf8_lossy(key).into_owned(),
        _ => String::new(),
    }
}
