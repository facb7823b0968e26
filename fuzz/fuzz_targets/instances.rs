//! Feeds libFuzzer's inputs to [`udp_discovery_fuzz::instances::check`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| udp_discovery_fuzz::instances::check(data));
