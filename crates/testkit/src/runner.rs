//! Runs stories on one server, several at a time, and reports as `cargo test` does.

use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{Preset, ServerOptions, World};

/// No story takes longer, however busy the machine is.
const BOUND: Duration = Duration::from_secs(300);
/// How many run at once.
const AT_ONCE: usize = 6;

/// A named test against a running server.
pub struct Story {
    /// `module::sentence`
    pub name: &'static str,
    /// What happens.
    pub run: fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A list of stories, each an `async fn(&World)`.
#[macro_export]
macro_rules! stories {
    ($($module:ident :: { $($name:ident),* $(,)? })*) => {
        vec![$($($crate::Story {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |world| Box::pin(async move { $module::$name(&world).await }),
        },)*)*]
    };
}

/// Starts the server once, of the processes that `STARLING_PRESET` names, runs the stories whose names contain the first argument, and prints the result.
/// `not_there` names stories that cannot be told on a cluster, with the reason: there they are named and passed over.
pub fn run(
    binary: &Path,
    options: &ServerOptions,
    stories: Vec<Story>,
    not_there: &[(&str, &str)],
) -> ExitCode {
    let preset = match Preset::of_environment() {
        Ok(preset) => preset,
        Err(error) => {
            println!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted =
        |story: &Story| wanted.is_empty() || wanted.iter().any(|part| story.name.contains(part.as_str()));
    let total = stories.len();
    let mut chosen: Vec<Story> = stories.into_iter().filter(is_wanted).collect();
    if preset == Preset::Cluster {
        for (name, why) in not_there {
            println!("passed over: {name}: {why}");
        }
        chosen.retain(|story| not_there.iter().all(|(name, _)| *name != story.name));
    }
    let filtered = total - chosen.len();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    println!("\nrunning {} stories, {preset:?}", chosen.len());
    let begun = Instant::now();
    let (passed, failed) =
        if chosen.is_empty() { (0, Vec::new()) } else { runtime.block_on(run_all(binary, options, chosen)) };
    for name in &failed {
        println!("failed: {name}");
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        failed.len(),
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run_all(binary: &Path, options: &ServerOptions, stories: Vec<Story>) -> (usize, Vec<&'static str>) {
    let world = match World::start(binary, options).await {
        Ok(world) => world,
        Err(error) => {
            println!("{error:#}");
            return (0, stories.iter().map(|story| story.name).collect());
        }
    };
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let mut names = std::collections::HashMap::new();
    for story in stories {
        let (world, permits) = (world.again(), permits.clone());
        let handle = running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            tokio::time::timeout(BOUND, (story.run)(world)).await.expect("the story ends in time");
        });
        names.insert(handle.id(), story.name);
    }
    let (mut passed, mut failed) = (0, Vec::new());
    while let Some(done) = running.join_next_with_id().await {
        let (id, is_ok) = match done {
            Ok((id, ())) => (id, true),
            Err(error) => (error.id(), false),
        };
        let name = names.get(&id).copied().unwrap_or("?");
        println!("test {name} ... {}", if is_ok { "ok" } else { "FAILED" });
        if is_ok {
            passed += 1;
        } else {
            failed.push(name);
        }
    }
    let mut server = world.server_mut().await;
    if let Err(error) = server.stop().await {
        println!("the server did not stop cleanly: {error:#}");
        failed.push("the server stops cleanly");
    }
    let log = server.log();
    let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
    if !panics.is_empty() {
        println!("the server panicked:\n{}", panics.join("\n"));
        failed.push("the server does not panic");
    }
    (passed, failed)
}
