//! Second by second: a manager is lost, all are replaced one after another, an evening comes. CPU is what runs out.

use super::figures::Figures;
use super::plan::{Assumed, Plan};

/// Clients that lost their connection come back spread over so many seconds: they wait a random time, as RFC 6120 §3.3 wants.
pub(super) const SPREAD: u32 = 60;
/// Nothing takes longer than this, or it never ends.
const END: u32 = 24 * 3600;
/// A replaced manager is up again after so many seconds.
pub(super) const RESTART: u32 = 30;
/// Of a manager's CPU, the part that moved sessions may use beside what it does anyway.
pub(super) const MOVING: f64 = 0.2;

/// How long an evening is, in seconds, and how many times the plan's messages come in its middle.
pub(super) const EVENING: u32 = 4 * 3600;
pub(super) const PEAK: f64 = 3.0;

/// What a loss does to those that are left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Loss {
    /// Clients that have to come back.
    pub(super) clients: f64,
    /// Seconds until all have.
    pub(super) seconds: u32,
    /// The busiest second of the managers that are left, as a part of their CPU.
    pub(super) busiest: f64,
}

/// One manager dies in the busiest hour: its clients knock at the others, which serve messages first.
pub(super) fn loss(plan: &Plan, figures: &Figures, a: &Assumed) -> Loss {
    let clients = plan.users / plan.managers;
    let room = (plan.managers - 1.0) * a.cores;
    let (login, mut waiting, mut come, mut busiest) = (figures.login / 1000.0, 0.0_f64, 0.0, 0.0_f64);
    for second in 1..=END {
        if second <= SPREAD {
            waiting += clients / f64::from(SPREAD);
        }
        let free = (room - plan.manager_cores).max(0.0);
        let served = waiting.min(free / login);
        waiting -= served;
        come += served;
        busiest = busiest.max((plan.manager_cores + served * login) / room);
        if second >= SPREAD && waiting < 1.0 && come > clients - 1.0 {
            return Loss { clients, seconds: second, busiest };
        }
    }
    Loss { clients, seconds: END, busiest }
}

/// Replacing all managers, one after another: the sessions of each move at a pace that the others bear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Update {
    /// Sessions that move in a second.
    pub(super) pace: f64,
    /// Seconds for one manager.
    pub(super) each: f64,
    /// Hours for all.
    pub(super) hours: f64,
}

/// A moved session costs what a login does: an upper bound, as a resumed one asks for less.
pub(super) fn update(plan: &Plan, figures: &Figures, a: &Assumed) -> Update {
    let pace = (plan.managers - 1.0) * a.cores * MOVING / (figures.login / 1000.0);
    let each = plan.users / plan.managers / pace + f64::from(RESTART);
    Update { pace, each, hours: each * plan.managers / 3600.0 }
}

/// What an evening does that is livelier than the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Evening {
    /// What is full first, and at how many times the messages of the plan.
    pub(super) first: &'static str,
    pub(super) times: f64,
    /// The longest that a message waits at its sender, in seconds: flow control keeps it there.
    pub(super) delay: f64,
    /// Minutes in which messages wait at all.
    pub(super) minutes: f64,
}

/// Messages become more for half of the evening, up to `PEAK` times the plan, and then fewer again.
pub(super) fn evening(plan: &Plan, a: &Assumed) -> Evening {
    let tiers = [
        ("connection managers", plan.managers * a.cores, plan.manager_cores),
        ("session routers", plan.routers * a.cores, plan.router_cores),
        ("Redis", plan.shards, plan.redis_cores),
        ("ScyllaDB", plan.nodes * a.cores, plan.cql_cores),
    ];
    let times = tiers.map(|(name, has, needs)| (name, has / needs.max(f64::MIN_POSITIVE)));
    let first = times.into_iter().min_by(|one, other| one.1.total_cmp(&other.1));
    let (first, times) = first.unwrap_or_default();
    let (capacity, middle) = (plan.messages * times, f64::from(EVENING) / 2.0);
    let (mut waiting, mut most, mut seconds) = (0.0_f64, 0.0_f64, 0.0);
    for second in 0..END {
        let nearness = (1.0 - (f64::from(second) - middle).abs() / middle).max(0.0);
        let offered = plan.messages * (1.0 + (PEAK - 1.0) * nearness);
        waiting = (waiting + offered - capacity).max(0.0);
        most = most.max(waiting);
        seconds += f64::from(u8::from(waiting > 0.0));
    }
    Evening { first, times, delay: most / capacity, minutes: seconds / 60.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::figures::tests::PAGE;
    use crate::model::plan::ASSUMED;

    fn plan(users: f64) -> (Plan, Figures) {
        let figures = Figures::read(PAGE).unwrap();
        (Plan::new(users, &figures, &figures.sparse, &ASSUMED), figures)
    }

    #[test]
    fn clients_of_a_lost_manager_are_back_when_they_have_knocked_if_there_is_room() {
        let (plan, figures) = plan(1e7);
        let loss = loss(&plan, &figures, &ASSUMED);
        assert_eq!((loss.clients, loss.seconds), (1e7 / plan.managers, SPREAD));
        assert!(loss.busiest < 0.1, "{loss:?}");
    }

    #[test]
    fn they_wait_where_there_is_no_room() {
        let (plan, mut figures) = plan(1e7);
        figures.login = 100.0;
        let loss = loss(&plan, &figures, &ASSUMED);
        assert!(loss.seconds > SPREAD && loss.busiest > 0.99, "{loss:?}");
    }

    #[test]
    fn a_rolling_update_takes_as_long_as_its_sessions_and_restarts() {
        let (plan, figures) = plan(1e7);
        let update = update(&plan, &figures, &ASSUMED);
        assert_eq!(update.pace, (plan.managers - 1.0) * 16.0 * 0.2 / 0.0004);
        assert!((update.hours * 3600.0 - plan.managers * update.each).abs() < 1e-6);
    }

    #[test]
    fn an_evening_fills_what_has_the_least_room() {
        let (mut plan, _) = plan(1e7);
        let evening = evening(&plan, &ASSUMED);
        assert!(evening.times >= 1.0, "the plan itself fits: {evening:?}");
        plan.redis_cores = plan.shards / 1.5;
        let evening = super::evening(&plan, &ASSUMED);
        assert_eq!((evening.first, evening.times), ("Redis", 1.5));
        assert!(evening.delay > 60.0 && evening.minutes > 60.0, "three times as many come: {evening:?}");
    }
}
