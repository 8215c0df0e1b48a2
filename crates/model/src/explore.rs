//! Explores a world to its end.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::{Action, Config, Invariant};

/// What was found.
#[derive(Debug)]
pub struct Explored {
    pub states: usize,
    pub depth: usize,
    pub took: Duration,
    /// What does not hold, each with the steps that lead there.
    pub broken: Vec<(Invariant, Vec<Action>)>,
    /// Whether all states were seen, or one that is broken: not cut short by the time or the count.
    pub is_whole: bool,
}

/// Explores breadth first, until anything is broken or everything was seen; at most for `time`, at most `states`.
pub fn explore(config: Config, time: Duration, states: usize) -> Explored {
    run(config, time, states, HasDiscoveries::AnyFailures)
}

/// The same, until this is broken, whatever else is.
pub fn explore_for(breaks: Invariant, config: Config, time: Duration, states: usize) -> Explored {
    run(config, time, states, HasDiscoveries::AnyOf([breaks.name()].into()))
}

fn run(config: Config, time: Duration, states: usize, until: HasDiscoveries) -> Explored {
    let begun = Instant::now();
    let builder = config.checker().timeout(time).target_state_count(states).finish_when(until);
    let checker = builder.spawn_bfs().join();
    let took = begun.elapsed();
    let found = checker.discoveries();
    let broken: Vec<_> = Invariant::ALL
        .into_iter()
        .filter_map(|invariant| Some((invariant, found.get(invariant.name())?.clone().into_actions())))
        .collect();
    // The checker calls itself done after a timeout too, so the time is compared.
    let is_cut_short = took >= time || checker.state_count() >= states;
    let is_whole = !broken.is_empty() || (checker.is_done() && !is_cut_short);
    Explored { states: checker.unique_state_count(), depth: checker.max_depth(), took, broken, is_whole }
}
