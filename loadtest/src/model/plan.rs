//! From figures and a workload to machines: nothing here but formulas.

use super::figures::{Figures, Message};

/// What the model assumes, because no figure says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assumed {
    /// Messages that a connected user sends in the busiest hour.
    pub(super) messages_per_hour: f64,
    /// How often a user's connection begins in that hour.
    pub(super) logins_per_hour: f64,
    /// Contacts who are told of it.
    pub(super) contacts: f64,
    /// Bytes of a message on a client's wire, with TLS and acknowledgements.
    pub(super) bytes: f64,
    /// Bytes of a session in Redis: itself, its log and its place in the account.
    pub(super) session_bytes: f64,
    /// Bytes of a row of an archive.
    pub(super) row_bytes: f64,
    /// Replicas of a row.
    pub(super) replicas: f64,
    /// Days that an archive is kept.
    pub(super) days: f64,
    /// Of the day's messages, the part that is sent in the busiest hour.
    pub(super) busiest: f64,
    /// Cores, memory (GiB), network (Gbit/s), disk (TiB) of a machine.
    pub(super) cores: f64,
    pub(super) memory: f64,
    pub(super) network: f64,
    pub(super) disk: f64,
    /// Of each of these, the part that is used in the busiest hour: the rest is for losses and storms.
    pub(super) used: f64,
    /// Memory of a Redis process, GiB: what a fork and a copy to a replica still bear.
    pub(super) shard: f64,
    /// Sockets of one connection manager.
    pub(super) sockets: f64,
}

pub(super) const ASSUMED: Assumed = Assumed {
    messages_per_hour: 6.0,
    logins_per_hour: 2.0,
    contacts: 20.0,
    bytes: 1000.0,
    session_bytes: 4096.0,
    row_bytes: 500.0,
    replicas: 3.0,
    days: 365.0,
    busiest: 0.1,
    cores: 16.0,
    memory: 64.0,
    network: 10.0,
    disk: 16.0,
    used: 0.5,
    shard: 8.0,
    sockets: 500_000.0,
};

/// Microseconds of CPU that one core has in a second.
const CORE: f64 = 1e6;

/// What so many users need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) users: f64,
    /// Each second of the busiest hour.
    pub(super) messages: f64,
    pub(super) logins: f64,
    pub(super) presences: f64,
    /// Cores that are busy.
    pub(super) manager_cores: f64,
    pub(super) router_cores: f64,
    pub(super) redis_cores: f64,
    pub(super) cql_cores: f64,
    /// GiB.
    pub(super) manager_memory: f64,
    pub(super) redis_memory: f64,
    /// TiB, all replicas.
    pub(super) archive: f64,
    /// Gbit/s on the clients' wires, both ways, and on the links.
    pub(super) clients_bandwidth: f64,
    pub(super) links_bandwidth: f64,
    /// Machines; processes of one thread for Redis.
    pub(super) managers: f64,
    pub(super) routers: f64,
    pub(super) shards: f64,
    pub(super) nodes: f64,
    /// Streams between managers and routers, all of them.
    pub(super) links: f64,
}

impl Plan {
    /// For `users` connected users, whose messages cost `message` each.
    pub(super) fn new(users: f64, figures: &Figures, message: &Message, a: &Assumed) -> Self {
        let (messages, logins) = (users * a.messages_per_hour / 3600.0, users * a.logins_per_hour / 3600.0);
        let presences = 2.0 * logins * a.contacts; // it comes and it goes
        let manager_cores = (messages * message.managers + logins * figures.login * 1000.0) / CORE;
        let router_cores = (messages * message.routers + presences * figures.presence) / CORE;
        let redis_cores = messages * message.redis / CORE;
        let cql_cores = messages * message.cql * a.replicas / CORE;
        let manager_memory = users * figures.connection / 1024.0 / 1024.0;
        let redis_memory = users * a.session_bytes / 1024f64.powi(3);
        let per_day = messages * 3600.0 / a.busiest;
        let archive = per_day * a.days * 2.0 * a.row_bytes * a.replicas / 1024f64.powi(4); // two archives
        let clients_bandwidth = (messages * 2.0 + presences) * a.bytes * 8.0 / 1e9;
        let used = |need: f64, each: f64| need / (each * a.used);
        let most = |needs: &[f64]| needs.iter().fold(0.0_f64, |most, need| most.max(*need)).ceil();
        let managers = spare(most(&[
            used(manager_cores, a.cores),
            used(manager_memory, a.memory),
            used(clients_bandwidth, a.network),
            users / a.sockets,
        ]));
        let routers = spare(most(&[used(router_cores, a.cores), used(clients_bandwidth, a.network)]));
        let shards = most(&[used(redis_cores, 1.0), redis_memory / a.shard]).max(1.0);
        let nodes = most(&[used(cql_cores, a.cores), used(archive, a.disk), a.replicas]);
        let (links, links_bandwidth) = (managers * routers, clients_bandwidth);
        Self {
            users,
            messages,
            logins,
            presences,
            manager_cores,
            router_cores,
            redis_cores,
            cql_cores,
            manager_memory,
            redis_memory,
            archive,
            clients_bandwidth,
            links_bandwidth,
            managers,
            routers,
            shards,
            nodes,
            links,
        }
    }
}

/// One more for the one that is lost or replaced, and never fewer than two.
fn spare(machines: f64) -> f64 {
    (machines + 1.0).max(2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::figures::tests::PAGE;

    #[test]
    fn machines_follow_from_the_figures() {
        let figures = Figures::read(PAGE).unwrap();
        let plan = Plan::new(3.6e6, &figures, &figures.sparse, &ASSUMED);
        assert_eq!((plan.messages, plan.logins, plan.presences), (6000.0, 2000.0, 80_000.0));
        assert_eq!(plan.manager_cores, 0.6 + 0.8, "100 µs a message, 0.4 ms a login");
        assert_eq!(plan.router_cores, 1.8 + 0.8, "300 µs a message, 10 µs a presence");
        assert_eq!((plan.redis_cores, plan.cql_cores), (0.6, 18.0));
        assert_eq!(plan.managers, 9.0, "3.6 million sockets need eight, and one may be lost");
        assert_eq!((plan.routers, plan.shards), (2.0, 2.0));
        assert_eq!(plan.links, 18.0);
    }

    #[test]
    fn twice_the_users_need_twice_of_everything_but_the_spare() {
        let figures = Figures::read(PAGE).unwrap();
        let plan = |users| Plan::new(users, &figures, &figures.busy, &ASSUMED);
        let (one, two) = (plan(1e7), plan(2e7));
        assert_eq!(two.manager_cores, 2.0 * one.manager_cores);
        assert_eq!(two.managers - 1.0, 2.0 * (one.managers - 1.0));
        assert_eq!(two.archive, 2.0 * one.archive);
    }
}
