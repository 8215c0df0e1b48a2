//! How big a world is explored, and which faults happen in it.

use crate::Cut;

/// How often each fault may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    /// Of any kind, together; what is not a fault costs nothing.
    pub total: u8,
    /// A sender's connection is lost.
    pub sender_lost: u8,
    /// The session of a sender that is away ends.
    pub sender_expires: u8,
    /// A sender that comes back does not send again the last thing that was not acknowledged.
    pub gives_up: u8,
    /// A link between manager and router is lost; the router goes on.
    pub link_lost: u8,
    /// A router dies in the middle of its work.
    pub router_crash: u8,
    /// A compare-and-swap was done and its reply is lost.
    pub reply_lost: u8,
    /// A write of CQL is done much later than its writer believes.
    pub late_write: u8,
    /// A push is lost.
    pub push_lost: u8,
    /// A device's connection is lost.
    pub device_lost: u8,
    /// The manager of a device dies.
    pub manager_crash: u8,
    /// The session of a device that is away ends.
    pub device_expires: u8,
    /// A device closes its stream and signs in anew.
    pub signs_in: u8,
    /// Redis comes back without its last writes.
    pub rollback: u8,
    /// Redis comes back with nothing.
    pub emptied: u8,
    /// Redis does not answer for longer than a lease.
    pub outage: u8,
    /// The lane of a presence moves while it is under way.
    pub presence_link: u8,
    /// A router dies over telling that a session has gone.
    pub farewell_lost: u8,
    /// How often the position is saved.
    pub saves: u8,
    /// How often the archive is read.
    pub reads: u8,
}

/// A world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub senders: u8,
    /// How many messages each of them sends.
    pub bodies: u8,
    /// Of the receiving account.
    pub devices: u8,
    /// How many entries a log takes.
    pub window: u8,
    /// How many stanzas a lane hands over at once.
    pub batch: u8,
    /// A message goes from its sender to the ack in one step: where only what comes after is looked at.
    pub is_instant: bool,
    /// Pushes come at once.
    pub is_prompt: bool,
    /// A device whose session has ended does not come back.
    pub ended_stay_away: bool,
    /// A decision and its commit are two steps.
    pub decides_early: bool,
    /// Reading a record and swapping it are two steps.
    pub swaps: bool,
    /// Senders keep copies of their own.
    pub own_copies: bool,
    /// The senders' records lie on another master, which lives on when Redis is lost.
    pub senders_stay: bool,
    /// There is presence, and nothing else.
    pub has_presence: bool,
    /// There is an address under which sessions come and go, and nothing else.
    pub has_address: bool,
    /// A new incarnation of Redis has a clock that is behind.
    pub clock_is_behind: bool,
    pub faults: Faults,
    /// What is taken out of the rules.
    pub without: Option<Cut>,
}

impl Config {
    /// A quiet world.
    pub const QUIET: Config = Config {
        senders: 1,
        bodies: 2,
        devices: 0,
        window: 8,
        batch: 2,
        is_instant: false,
        is_prompt: false,
        ended_stay_away: false,
        decides_early: false,
        swaps: false,
        own_copies: false,
        senders_stay: false,
        has_presence: false,
        has_address: false,
        clock_is_behind: false,
        faults: Faults {
            total: 0,
            sender_lost: 0,
            sender_expires: 0,
            gives_up: 0,
            link_lost: 0,
            router_crash: 0,
            reply_lost: 0,
            late_write: 0,
            push_lost: 0,
            device_lost: 0,
            manager_crash: 0,
            device_expires: 0,
            signs_in: 0,
            rollback: 0,
            emptied: 0,
            outage: 0,
            presence_link: 0,
            farewell_lost: 0,
            saves: 0,
            reads: 0,
        },
        without: None,
    };
}
