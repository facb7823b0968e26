//! The rules that the fuzz targets hold the project to, one module for each target.
//!
//! Each is a function of any bytes that panics if a rule is broken. libFuzzer calls them by the
//! programs in `fuzz_targets/`; the tests call them with every file of `corpus/`. What is to be
//! expected is worked out here a second time, from the documentation and as plainly as possible
//! ([`wire`], [`host`]): the rules share no code with what they judge.

pub mod decode;
pub mod discovery;
pub mod host;
pub mod input;
pub mod responder;
pub mod round_trip;
pub mod server_sequence;
pub mod settings;
pub mod wire;

/// A target: its name, and its rules as a function of any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("decode", decode::check),
    ("discovery", discovery::check),
    ("responder", responder::check),
    ("round_trip", round_trip::check),
    ("server_sequence", server_sequence::check),
    ("settings", settings::check),
];
