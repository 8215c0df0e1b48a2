//! The messages of `proto/starling/link/v1`, made by `build.rs`.
#![expect(clippy::all, unreachable_pub, reason = "generated")]

tonic::include_proto!("starling.link.v1");
