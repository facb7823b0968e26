//! Servers and clients under floods, in the laboratory.
//!
//! One test runs at a time, since each needs all processors. A flood has a limited number of packets
//! and a limited duration, and never leaves the laboratory.

#![cfg(target_os = "linux")]

mod amplification;
mod flood;
mod junk;
mod many_answers;
mod many_sources;
mod memory;
mod one_source;
mod site;
