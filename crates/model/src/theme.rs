//! The worlds that are explored: one for each theme, small enough to be explored to the end.

use crate::Config;
use crate::config::Faults;

/// What a world is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Retries,
    GivenUp,
    OwnCopies,
    Abandoned,
    Numbers,
    Devices,
    FullLogs,
    Views,
    Archive,
    LateWrites,
    Older,
    OlderSenders,
    EmptiedDevices,
    OlderDevices,
    Swaps,
    Outage,
    Presence,
    Farewells,
}

const QUIET: Config = Config::QUIET;
const NO: Faults = QUIET.faults;

impl Theme {
    /// All of them.
    pub const ALL: [Theme; 18] = [
        Theme::Retries,
        Theme::GivenUp,
        Theme::OwnCopies,
        Theme::Abandoned,
        Theme::Numbers,
        Theme::Devices,
        Theme::FullLogs,
        Theme::Views,
        Theme::Archive,
        Theme::LateWrites,
        Theme::Older,
        Theme::OlderSenders,
        Theme::EmptiedDevices,
        Theme::OlderDevices,
        Theme::Swaps,
        Theme::Outage,
        Theme::Presence,
        Theme::Farewells,
    ];

    /// What it looks at.
    pub fn about(self) -> &'static str {
        match self {
            Theme::Retries => "lost replies, links, routers, connections and sessions of a sender",
            Theme::GivenUp => "a sender that resumes and does not send everything again",
            Theme::OwnCopies => "copies that the sender keeps",
            Theme::Abandoned => "a sender that gives up while its router dies",
            Theme::Numbers => "one device: pushes that are lost or late, pulls, resumption, a dead manager",
            Theme::Devices => "two devices with full logs: pending, backlogs, ended sessions",
            Theme::FullLogs => {
                "the same with more messages, so that one is left behind a full log; only in `make fault`"
            }
            Theme::Views => "decisions on a view that changes",
            Theme::Archive => "a reader among writers, one of which dies",
            Theme::LateWrites => "writes of CQL that come late, and Redis that comes back older",
            Theme::Older => "Redis comes back older or empty: the archive, with a clock that is behind",
            Theme::OlderSenders => "Redis comes back older or empty: senders, and connections that are lost",
            Theme::EmptiedDevices => "Redis comes back empty: devices",
            Theme::OlderDevices => "Redis comes back older: devices, and connections that are lost",
            Theme::Swaps => {
                "a record that is read, changed in a router and swapped, while Redis comes back older"
            }
            Theme::Presence => {
                "presence, a probe and an approval that cross, and a router that is left behind"
            }
            Theme::Farewells => {
                "sessions that come and go under one address, and routers that die over telling it"
            }
            Theme::Outage => "Redis does not answer for longer than a lease",
        }
    }

    /// A world that is explored in a few seconds.
    pub fn small(self) -> Option<Config> {
        match self {
            Theme::FullLogs => None,
            _ => Some(self.world()),
        }
    }

    /// A bigger one of the same kind, which takes up to a few minutes.
    pub fn deep(self) -> Option<Config> {
        let world = self.world();
        let faults = world.faults;
        let deeper = match self {
            Theme::FullLogs => world,
            Theme::Retries => {
                Config { bodies: 3, batch: 2, faults: Faults { total: 3, sender_lost: 2, ..faults }, ..world }
            }
            Theme::GivenUp => Config { bodies: 3, ..world },
            Theme::OwnCopies => Config { faults: Faults { total: 3, sender_lost: 2, ..faults }, ..world },
            Theme::Numbers => Config {
                bodies: 3,
                window: 2,
                faults: Faults { total: 3, device_lost: 2, ..faults },
                ..world
            },
            Theme::Views => Config { bodies: 2, faults: Faults { total: 3, signs_in: 1, ..faults }, ..world },
            Theme::Archive => Config { bodies: 2, faults: Faults { reads: 3, ..faults }, ..world },
            Theme::Older => {
                Config { faults: Faults { total: 2, sender_lost: 1, reads: 2, ..faults }, ..world }
            }
            Theme::OlderSenders => Config { bodies: 2, ..world },
            Theme::EmptiedDevices => Config { is_prompt: false, ..world },
            Theme::OlderDevices => Config { senders_stay: false, ..world },
            Theme::Swaps => Config { faults: Faults { total: 2, reply_lost: 1, ..faults }, ..world },
            Theme::Outage => Config { bodies: 2, faults: Faults { total: 3, ..faults }, ..world },
            Theme::Farewells => Config { faults: Faults { total: 2, farewell_lost: 2, ..faults }, ..world },
            Theme::Abandoned | Theme::Devices | Theme::LateWrites | Theme::Presence => return None,
        };
        Some(deeper)
    }

    fn world(self) -> Config {
        match self {
            Theme::Presence => Config {
                senders: 0,
                bodies: 0,
                has_presence: true,
                faults: Faults { total: 1, presence_link: 1, ..NO },
                ..QUIET
            },
            Theme::Farewells => Config {
                senders: 0,
                bodies: 0,
                has_address: true,
                faults: Faults { total: 1, farewell_lost: 1, ..NO },
                ..QUIET
            },
            Theme::Retries | Theme::GivenUp | Theme::OwnCopies | Theme::Abandoned => self.of_senders(),
            Theme::Numbers | Theme::Devices | Theme::FullLogs | Theme::Views | Theme::Outage => {
                self.of_devices()
            }
            _ => self.of_stores(),
        }
    }

    fn of_senders(self) -> Config {
        match self {
            Theme::GivenUp => {
                Config { batch: 1, faults: Faults { total: 4, sender_lost: 2, gives_up: 2, ..NO }, ..QUIET }
            }
            Theme::OwnCopies => Config {
                own_copies: true,
                faults: Faults { total: 2, sender_lost: 1, sender_expires: 1, router_crash: 1, ..NO },
                ..QUIET
            },
            Theme::Abandoned => Config {
                bodies: 1,
                faults: Faults { total: 3, sender_lost: 1, gives_up: 1, router_crash: 1, ..NO },
                ..QUIET
            },
            _ => Config {
                batch: 1,
                faults: Faults {
                    total: 2,
                    sender_lost: 1,
                    sender_expires: 1,
                    link_lost: 1,
                    router_crash: 1,
                    reply_lost: 1,
                    ..NO
                },
                ..QUIET
            },
        }
    }

    fn of_devices(self) -> Config {
        let two = Config {
            devices: 2,
            window: 1,
            is_instant: true,
            is_prompt: true,
            ended_stay_away: true,
            faults: Faults { total: 3, device_lost: 1, device_expires: 1, signs_in: 1, ..NO },
            ..QUIET
        };
        let one = Config { devices: 1, is_instant: true, ..QUIET };
        let lost = Faults { total: 2, device_lost: 1, ..NO };
        match self {
            Theme::FullLogs => Config { bodies: 3, ..two },
            Theme::Devices => two,
            Theme::Views => Config {
                bodies: 1,
                is_instant: false,
                decides_early: true,
                faults: Faults { device_expires: 1, ..lost },
                ..one
            },
            Theme::Outage => {
                Config { bodies: 1, faults: Faults { outage: 1, manager_crash: 1, ..lost }, ..one }
            }
            _ => {
                let faults = Faults { push_lost: 1, manager_crash: 1, device_expires: 1, ..lost };
                Config { faults, ..one }
            }
        }
    }

    fn of_stores(self) -> Config {
        let devices = Config { devices: 1, batch: 1, is_prompt: true, ..QUIET };
        let behind = Config { batch: 1, clock_is_behind: true, ..QUIET };
        let one = Faults { total: 1, ..NO };
        let two = Faults { total: 2, ..NO };
        match self {
            Theme::LateWrites => {
                Config { bodies: 1, faults: Faults { late_write: 1, rollback: 1, ..two }, ..QUIET }
            }
            Theme::Older => Config { faults: Faults { rollback: 1, emptied: 1, reads: 1, ..one }, ..behind },
            Theme::OlderSenders => {
                let faults = Faults { rollback: 1, emptied: 1, sender_lost: 1, sender_expires: 1, ..two };
                Config { bodies: 1, faults, ..behind }
            }
            Theme::EmptiedDevices => Config { faults: Faults { emptied: 1, ..one }, ..devices },
            Theme::OlderDevices => {
                let faults = Faults { rollback: 1, device_lost: 1, saves: 1, ..two };
                Config { bodies: 1, senders_stay: true, faults, ..devices }
            }
            Theme::Swaps => {
                let faults = Faults { rollback: 1, ..one };
                Config { senders: 2, bodies: 1, swaps: true, senders_stay: true, faults, ..behind }
            }
            _ => {
                Config { senders: 2, bodies: 1, faults: Faults { router_crash: 1, reads: 2, ..one }, ..QUIET }
            }
        }
    }
}
