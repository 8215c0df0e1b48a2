//! Promises broken on purpose, to see that the kill tests and the fault tests notice. Only with the feature `broken`, never optimised.

#[cfg(all(feature = "broken", not(debug_assertions)))]
compile_error!("the feature `broken` breaks promises for tests; it is refused in an optimised program");

/// A promise that the environment variable `BROKEN_PROMISE` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// P1: a row is on the disk before its message is acknowledged.
    StoreBeforeAck,
    /// P3: a message waits until a device has acknowledged it.
    KeepUntilAck,
    /// Rules 3 and 4: what is sent again is done once.
    DoOnce,
    /// P4, rule 12: whoever pages through an archive passes no row that is committed and not stored yet.
    StoreBeforeRead,
    /// Rule 21: what the former owner of a session still sends has no effect.
    Fence,
}

impl Promise {
    /// Constantly `false` in every program that is meant to be used.
    pub fn is_broken(self) -> bool {
        let name = match self {
            Promise::StoreBeforeAck => "store-before-ack",
            Promise::KeepUntilAck => "keep-until-ack",
            Promise::DoOnce => "do-once",
            Promise::StoreBeforeRead => "store-before-read",
            Promise::Fence => "fence",
        };
        cfg!(feature = "broken") && std::env::var("BROKEN_PROMISE").is_ok_and(|broken| broken == name)
    }
}
