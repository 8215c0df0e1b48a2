//! What a stream can do beside carrying stanzas: one file per feature, wire format and rules, without I/O.

pub(crate) mod bind;
pub(crate) mod csi;
pub(crate) mod ping;
pub(crate) mod register;
pub(crate) mod sm;
