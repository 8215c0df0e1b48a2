//! Ways to carry a stream that bring frames of their own.

pub(crate) mod frame;
pub(crate) mod websocket;
