//! The rules that the fuzz targets check, one module for each target.
//!
//! Each target is a function of any bytes that panics if a rule is broken. libFuzzer calls it through
//! the programs in `fuzz_targets/`, and the tests call it with every file of `corpus/`. The expected
//! results come from the documentation, written as plainly as possible ([`wire`], [`host`]) and
//! without the code under test.

pub mod decode;
pub mod details;
pub mod discovery;
pub mod host;
pub mod input;
pub mod instances;
pub mod responder;
pub mod round_trip;
pub mod server_sequence;
pub mod settings;
pub mod sweep;
mod who;
pub mod wire;

/// A target: its name, and its rules as a function of any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 9] = [
    ("decode", decode::check),
    ("details", details::check),
    ("discovery", discovery::check),
    ("instances", instances::check),
    ("responder", responder::check),
    ("round_trip", round_trip::check),
    ("server_sequence", server_sequence::check),
    ("settings", settings::check),
    ("sweep", sweep::check),
];
