//! The checker of what was sent, acked and received.
#![forbid(unsafe_code)]
