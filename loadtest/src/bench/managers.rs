//! What a message costs with one, two, four connection managers that have the same load each: instructions, not time.

use super::frame::{guarded, publish};
use super::parts::{self, Cluster, Plan};
use super::{Outcome, figure, register, say};
use crate::options::BenchManagers;
use crate::run::{self, Run};
use crate::{scenario, stamp};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

const NAME: &str = "bench-managers";
/// As many throughout, so that only the managers change: with one, no message would ever go from one router's link to another's.
const ROUTERS: usize = 2;
/// A cost that has risen by more is not flat.
const PERCENT: f64 = 10.0;
/// Messages of a pair that are due at one time, where they come in bursts. So many times the messages of singles come in a second.
const BURST: usize = 16;
const TIMES: usize = 4;
/// No step may take longer: what waits then for ever is a mistake.
const STEP: Duration = Duration::from_secs(600);

/// How messages follow each other. Always by a plan, not by what has arrived: work that comes with time is then the same for a
/// message, however many processes share the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chat {
    in_bursts: bool,
    sm: bool,
}

const CHATS: [Chat; 4] = [
    Chat { in_bursts: false, sm: false },
    Chat { in_bursts: false, sm: true },
    Chat { in_bursts: true, sm: false },
    Chat { in_bursts: true, sm: true },
];

/// Instructions of one message, or of one idle second.
#[derive(Debug, Clone, Copy)]
struct Count {
    managers: f64,
    routers: f64,
}

impl Count {
    fn all(&self) -> f64 {
        self.managers + self.routers
    }
}

/// What was counted of one chat with so many managers: each run.
struct Line {
    chat: Chat,
    managers: usize,
    counts: Vec<Count>,
    /// A part of what was counted in its time, which no message brought about and which is left out.
    idle: Vec<f64>,
}

/// Counts everything, prints the table and writes it; fails if anything was lost, doubled or reordered, or if a cost rises.
pub(crate) async fn run(bench: &BenchManagers) -> Result<()> {
    std::fs::create_dir_all(&bench.output)?;
    let limit = Duration::from_secs(60 * bench.minutes);
    let lines = guarded(NAME, async |directory| {
        timeout(limit, all(bench, directory)).await.context("it takes too long: --minutes").flatten()
    });
    let lines = lines.await?;
    publish(NAME, bench.write.as_deref(), &table(&lines, bench))?;
    let risen: Vec<String> = lines.iter().filter(|line| more(&lines, line) > PERCENT).map(named).collect();
    ensure!(risen.is_empty(), "more than {PERCENT} % above one manager: {}", risen.join("; "));
    say("everything sent arrived once and in order, and no cost rises with the managers")
}

async fn all(bench: &BenchManagers, directory: &Path) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for &managers in &bench.managers {
        let mut accounts = Accounts::make(bench, &directory.join("accounts"), managers).await?;
        let plan = Plan::new(&bench.made_of, directory.join(managers.to_string()), managers, ROUTERS);
        let cluster = Plan { is_counted: true, ..plan }.start().await?;
        let counted = count(bench, &cluster, &mut accounts).await;
        cluster.stop().await?;
        lines.extend(counted?);
    }
    Ok(lines)
}

/// Those of each play: what a former play's reader had not acknowledged would come to this one's. A cluster that is not
/// counted makes them, because passwords are stretched for long.
struct Accounts {
    prefix: String,
    count: usize,
    used: usize,
}

impl Accounts {
    async fn make(bench: &BenchManagers, directory: &Path, managers: usize) -> Result<Self> {
        let prefix = format!("m{}-{managers}-", std::process::id());
        let count = 2 * bench.pairs * managers;
        let cluster = Plan::new(&bench.made_of, directory.to_owned(), 1, ROUTERS).start().await?;
        for play in 0..1 + bench.runs * (CHATS.len() + 1) {
            register(cluster.port()?, &format!("{prefix}{play}-"), count).await?;
        }
        cluster.stop().await?;
        Ok(Self { prefix, count, used: 0 })
    }

    /// The table of a scenario that names those of the next play.
    fn next(&mut self) -> String {
        let text = parts::accounts(&format!("{}{}-", self.prefix, self.used), self.count);
        self.used += 1;
        text
    }
}

/// All chats on one cluster, each several times, with an idle time beside.
async fn count(bench: &BenchManagers, cluster: &Cluster, accounts: &mut Accounts) -> Result<Vec<Line>> {
    let managers = cluster.managers.len();
    let command = Run {
        target: ring(&cluster.targets()?),
        counters: cluster.counters.clone(),
        quiet: true,
        ..Run::default()
    };
    let mut lines: Vec<Line> =
        CHATS.iter().map(|&chat| Line { chat, managers, counts: Vec::new(), idle: Vec::new() }).collect();
    let warm_up = text(bench, CHATS[3], managers, accounts);
    play(&command, "warm-up", &warm_up).await?;
    for _ in 0..bench.runs.max(1) {
        let hold =
            format!("about = \"idle\"\nseconds = {}\n{}[hold]\nsm = true\n", bench.seconds, accounts.next());
        let idle = per(&play(&command, "idle", &hold).await?, managers, |run| run.get("seconds")?.as_f64())?;
        for line in &mut lines {
            let name = named(line);
            let result = play(&command, &name, &text(bench, line.chat, managers, accounts)).await?;
            ensure!(
                Outcome::is_run_right(&result),
                "lost, doubled, reordered or unconfirmed messages: {name}"
            );
            let whole = per(&result, managers, |run| figure(run, "delivery.count"))?;
            let seconds = result.get("seconds").and_then(Value::as_f64).context("no seconds")?;
            let messages = figure(&result, "delivery.count").context("no messages")?;
            let of_idle = |idle: f64| idle * seconds / messages;
            let count = Count {
                managers: whole.managers - of_idle(idle.managers),
                routers: whole.routers - of_idle(idle.routers),
            };
            say(&format!(
                "{name}: {:.0} instructions a message, managers {:.0}, routers {:.0}; {:.0} of idle time left out",
                count.all(),
                count.managers,
                count.routers,
                of_idle(idle.all())
            ))?;
            line.counts.push(count);
            line.idle.push(of_idle(idle.all()));
            keep(bench, cluster, &name).await?;
        }
    }
    Ok(lines)
}

/// Clients take the addresses in turn, a writer before its reader: each reader is on the manager after its writer's.
fn ring(targets: &[String]) -> Vec<String> {
    let next = targets.iter().cycle().skip(1);
    targets.iter().zip(next).flat_map(|(target, next)| [target.clone(), next.clone()]).collect()
}

fn text(bench: &BenchManagers, chat: Chat, managers: usize, accounts: &mut Accounts) -> String {
    let (burst, times) = if chat.in_bursts { (BURST, TIMES) } else { (1, 1) };
    format!(
        "about = \"instructions\"\nseconds = {}\ndrain-seconds = 60\n{}[chat]\nper-second = {}\nburst = {burst}\nsm = {}\n",
        bench.seconds,
        accounts.next(),
        bench.rate * times * managers,
        chat.sm
    )
}

async fn play(command: &Run, name: &str, text: &str) -> Result<Value> {
    let playing = run::play(command, scenario::parse(name, text)?, name, text);
    let (result, verdict) = timeout(STEP, playing).await.context("it takes too long")??;
    say(&verdict.words)?;
    Ok(result)
}

/// What managers and routers took, for each of so many.
fn per(run: &Value, managers: usize, of: impl Fn(&Value) -> Option<f64>) -> Result<Count> {
    let each =
        run.pointer("/server/each-instructions").and_then(Value::as_array).context("nothing is counted")?;
    let each: Vec<f64> = each.iter().filter_map(Value::as_f64).collect();
    let Some((of_managers, of_routers)) = each.split_at_checked(managers) else {
        bail!("a manager is not counted")
    };
    let count = of(run).filter(|count| *count > 0.0).context("nothing was done")?;
    let sum = |each: &[f64]| each.iter().sum::<f64>() / count;
    Ok(Count { managers: sum(of_managers), routers: sum(of_routers) })
}

/// Leaves what callgrind has counted for callgrind_annotate.
async fn keep(bench: &BenchManagers, cluster: &Cluster, name: &str) -> Result<()> {
    let managers = cluster.managers.len();
    for (place, counter) in cluster.counters.iter().enumerate() {
        let part = if place < managers {
            format!("manager-{}", place + 1)
        } else {
            format!("router-{}", place + 1 - managers)
        };
        let name = name.replace([' ', ',', '/'], "-").replace("--", "-");
        counter.keep(&bench.output.join(format!("{name}-{part}.out"))).await?;
    }
    Ok(())
}

fn named(line: &Line) -> String {
    let managers =
        if line.managers == 1 { "1 manager".to_owned() } else { format!("{} managers", line.managers) };
    format!("{}, {managers}", line.chat.words())
}

impl Chat {
    fn words(self) -> String {
        let pace = if self.in_bursts { format!("{BURST} at a time") } else { "one at a time".to_owned() };
        if self.sm { format!("{pace}, XEP-0198") } else { pace }
    }
}

fn middle(counts: &[Count], of: impl Fn(&Count) -> f64) -> f64 {
    let mut values: Vec<f64> = counts.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// By how many percent a message costs more than with the fewest managers, by the medians.
fn more(lines: &[Line], line: &Line) -> f64 {
    let first = lines.iter().find(|other| other.chat == line.chat).unwrap_or(line);
    (middle(&line.counts, Count::all) / middle(&first.counts, Count::all) - 1.0) * 100.0
}

fn table(lines: &[Line], bench: &BenchManagers) -> String {
    let mut out = format!(
        "{} Command: `make bench-managers`, {} runs of {} s; for each manager {} pairs, which write {} messages a second one at a time, {} in bursts; \
         load average at the end {}.\n\n",
        stamp::words(),
        bench.runs,
        bench.seconds,
        bench.pairs,
        bench.rate,
        bench.rate * TIMES,
        stamp::load_average()
    );
    out.push_str(
        "| chat | managers | instructions a message (lowest–highest) | all managers | both routers | idle, left out | against one manager |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for chat in CHATS {
        for line in lines.iter().filter(|line| line.chat == chat) {
            let ends =
                |from: f64, pick: fn(f64, f64) -> f64| line.counts.iter().map(Count::all).fold(from, pick);
            let verdict = match more(lines, line) {
                _ if line.managers == 1 => String::new(),
                more if more.abs() <= PERCENT => format!("{more:+.1} %: flat"),
                more => format!("**{more:+.1} %**"),
            };
            let _ = writeln!(
                out,
                "| {} | {} | **{}** ({}–{}) | {} | {} | {} | {verdict} |",
                chat.words(),
                line.managers,
                thousands(middle(&line.counts, Count::all)),
                thousands(ends(f64::MAX, f64::min)),
                thousands(ends(0.0, f64::max)),
                thousands(middle(&line.counts, |count| count.managers)),
                thousands(middle(&line.counts, |count| count.routers)),
                thousands(line.idle.iter().sum::<f64>() / line.idle.len().max(1) as f64),
            );
        }
    }
    out
}

/// 123,456
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = if value <= -0.5 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(managers: usize, counts: &[f64]) -> Line {
        let counts = counts.iter().map(|&routers| Count { managers: 1000.0, routers }).collect();
        Line { chat: CHATS[0], managers, counts, idle: vec![5.0] }
    }

    #[test]
    fn a_reader_is_on_the_manager_after_its_writer() {
        let at = |all: &[&str]| ring(&all.iter().map(ToString::to_string).collect::<Vec<_>>()).join(" ");
        assert_eq!([at(&["1"]), at(&["1", "2"]), at(&["1", "2", "3"])], ["1 1", "1 2 2 1", "1 2 2 3 3 1"]);
    }

    #[test]
    fn a_rise_of_more_than_ten_percent_is_found() {
        let lines = [line(1, &[9000.0, 1.0, 90_000.0]), line(2, &[9_990.0]), line(4, &[10_100.0])];
        assert_eq!(lines.each_ref().map(|line| more(&lines, line) > PERCENT), [false, false, true]);
    }

    #[test]
    fn instructions_are_divided_by_what_was_done() {
        let run = serde_json::json!({ "server": { "each-instructions": [10, 20, 300] }, "seconds": 10.0 });
        let count = per(&run, 2, |run| run.get("seconds")?.as_f64()).unwrap();
        assert_eq!((count.managers, count.routers), (3.0, 30.0));
        assert!(per(&run, 4, |_| Some(1.0)).is_err() && per(&run, 2, |_| Some(0.0)).is_err());
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [thousands(999.4), thousands(1000.0), thousands(-1_234_567.0)],
            ["999", "1,000", "-1,234,567"]
        );
    }
}
