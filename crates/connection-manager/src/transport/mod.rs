//! Ways to carry a stream that bring frames of their own.

pub(crate) mod bosh;
pub(crate) mod frame;
pub(crate) mod websocket;

/// What carries a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
    Bosh,
}
