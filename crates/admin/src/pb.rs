//! The messages of `proto/starling/admin/v1`, made by `build.rs`, and what describes them.

tonic::include_proto!("starling.admin.v1");

/// The same as `FileDescriptorSet`, with the comments.
pub(crate) const DESCRIBED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin.bin"));
