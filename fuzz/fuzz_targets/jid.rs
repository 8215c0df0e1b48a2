//! What `starling_fuzz::jid` promises, for bytes that the engine finds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_fuzz::jid(data));
