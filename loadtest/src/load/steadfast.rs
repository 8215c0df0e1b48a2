//! Readers that come back: cut off now and then and resumed by XEP-0198, or asleep for a while and thrown out for it.

use super::chat::{self, Half, Patience};
use super::pace::Pace;
use super::{Entry, Outcome, Stage};
use crate::check::Sequence;
use crate::client::Client;
use crate::mark::Mark;
use crate::recorder::micros;
use crate::scenario::{Chat, Number, Resume, Slow};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How often a reader looks whether everything has come.
const LOOK: Duration = Duration::from_millis(200);
/// How long a reader that could not come back waits before it tries again.
const AGAIN: Duration = Duration::from_millis(500);

/// A reader and its habits.
struct Reader {
    half: Half,
    index: usize,
    sm: bool,
    /// How long after it came it loses its connection.
    cut_after: Option<Duration>,
    /// Until when it reads nothing.
    asleep_until: Instant,
    sequence: Sequence,
    misplaced: Vec<Mark>,
}

/// Pairs whose readers are cut off every so often and resume.
pub(super) async fn resume(stage: Arc<Stage>, resume: Resume) -> Result<Outcome> {
    let chat = Chat { in_flight: resume.in_flight, bytes: resume.bytes, sm: true, ..Chat::default() };
    let every = Duration::from_millis(resume.every_ms.get());
    play(stage, chat, |_, _| Habit {
        cut_after: Some(every),
        asleep: Duration::ZERO,
        window: resume.in_flight,
    })
    .await
}

/// Pairs of which some have a reader that sleeps while many messages come for it.
pub(super) async fn slow(stage: Arc<Stage>, slow: Slow) -> Result<Outcome> {
    let chat = Chat { in_flight: slow.in_flight, bytes: slow.bytes, sm: slow.sm, ..Chat::default() };
    let asleep = Duration::from_secs(slow.stall_seconds.get());
    play(stage, chat, |pair, pairs| {
        let is_slow = pair * 100 < pairs * slow.percent.size();
        let (asleep, window) = if is_slow {
            (asleep, Number::clamp(slow.messages.get()))
        } else {
            (Duration::ZERO, slow.in_flight)
        };
        Habit { cut_after: None, asleep, window }
    })
    .await
}

/// What is special about the reader of a pair.
struct Habit {
    cut_after: Option<Duration>,
    asleep: Duration,
    window: Number<1, 10_000>,
}

async fn play(stage: Arc<Stage>, chat: Chat, habit: impl Fn(usize, usize) -> Habit) -> Result<Outcome> {
    let entry = Entry { sm: chat.sm, presence: true };
    let clients = stage.enter_all(0, stage.accounts.len() & !1, entry).await?;
    let pairs = clients.len() / 2;
    let (began, stop) = stage.clock.begin().await?;
    let (mut tasks, mut clients) = (JoinSet::new(), clients.into_iter());
    for pair in 0..pairs {
        let (Some(writer), Some(client)) = (clients.next(), clients.next()) else { break };
        let habit = habit(pair, pairs);
        let pace = Pace::Closed(Arc::new(Semaphore::new(habit.window.size())));
        let mut half = Half::new(&stage, pair, pace, began, stop)?;
        if !habit.asleep.is_zero() {
            half.operation = "late-delivery";
        }
        let to = stage.jid(pair * 2 + 1)?;
        tasks.spawn(chat::write(half.clone(), writer, to, chat.clone()));
        let asleep_until = (began + habit.asleep).min(stop);
        let (sequence, misplaced) = (Sequence::default(), Vec::new());
        let (index, sm, cut_after) = (pair * 2 + 1, chat.sm, habit.cut_after);
        let reader = Reader { half, index, sm, cut_after, asleep_until, sequence, misplaced };
        tasks.spawn(reader.read(client));
    }
    chat::collect(&stage, tasks, chat.sm).await
}

impl Reader {
    async fn read(mut self, client: Client) -> chat::Done {
        sleep_until(self.asleep_until).await;
        let (mut patience, mut client) = (Patience::new(&self.half), Some(client));
        while !self.has_all() {
            let deadline = patience.deadline(&self.half);
            if deadline <= Instant::now() {
                break;
            }
            let Some(current) = client.take() else {
                sleep_until(deadline.min(Instant::now() + AGAIN)).await;
                client = self.come_back().await;
                continue;
            };
            client = self.read_until_cut(current, &mut patience).await;
        }
        let Half { flow, .. } = self.half;
        chat::Done::Read { flow, sequence: self.sequence, misplaced: self.misplaced, client }
    }

    fn has_all(&self) -> bool {
        self.sequence.distinct() >= self.half.total.load(Ordering::Acquire)
    }

    /// Reads until it is time to be cut off; then comes back.
    async fn read_until_cut(&mut self, mut client: Client, patience: &mut Patience) -> Option<Client> {
        let cut = self.cut_after.map(|after| Instant::now() + after).filter(|cut| *cut < self.half.stop);
        while !self.has_all() {
            let deadline = patience.deadline(&self.half);
            if deadline <= Instant::now() {
                break;
            }
            if cut.is_some_and(|cut| cut <= Instant::now()) {
                return self.cut_and_resume(client).await;
            }
            let look = deadline.min(Instant::now() + LOOK).min(cut.unwrap_or(deadline));
            let Ok(filled) = timeout_at(look, client.fill()).await else { continue };
            let taken = match filled {
                Ok(()) => chat::take(&self.half, &mut client, &mut self.sequence, &mut self.misplaced).await,
                Err(error) => Err(error),
            };
            if self.half.stage.count(taken).is_none() {
                self.half.stage.recorder.connected(-1);
                return self.come_back().await;
            }
        }
        Some(client)
    }

    async fn cut_and_resume(&mut self, client: Client) -> Option<Client> {
        let (stage, at, jid) = (self.half.stage.clone(), Instant::now(), client.jid.clone());
        let former = client.cut();
        stage.recorder.connected(-1);
        let resumed = async {
            let mut client =
                Client::enter(&stage.target, stage.number(self.index), stage.account(self.index)?).await?;
            anyhow::Ok(client.resume(former, &jid).await?.then_some(client))
        };
        match stage.count(resumed.await)? {
            Some(client) => {
                stage.recorder.connected(1);
                stage.recorder.took("resume", [micros(at.elapsed())]);
                Some(client)
            }
            None => {
                stage.recorder.error("a stream could not be resumed");
                self.come_back().await
            }
        }
    }

    /// Begins a new stream.
    async fn come_back(&self) -> Option<Client> {
        let entry = Entry { sm: self.sm, presence: false };
        let entered = self.half.stage.enter(self.index, entry).await;
        let mut client = self.half.stage.count(entered)?;
        client.sm.wrote_others(1);
        let told = client.send(b"<presence/>").await; // what waited comes now, so nothing is asked that drops stanzas
        self.half.stage.count(told).map(|()| client)
    }
}
