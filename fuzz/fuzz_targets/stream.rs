//! What `starling_fuzz::stream` promises, for bytes that the engine finds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_fuzz::stream(data));
