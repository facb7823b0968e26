//! Floods on networks of the tests' own: what a server and a client do under them.
//!
//! One test runs at a time, since each needs the processors for itself. A flood is bounded in
//! packets and in time, and never leaves the laboratory.

#![cfg(target_os = "linux")]

mod amplification;
mod flood;
mod junk;
mod many_answers;
mod many_sources;
mod memory;
mod one_source;
mod site;
