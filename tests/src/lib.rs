//! What the tests of the other packages stand on.
//!
//! - [`lab`]: hosts and networks of a test's own, as Linux network namespaces.
//! - [`python`]: the Python server and client that these crates speak with.
//! - [`soak`]: what the program `soak` does.
//!
//! Linux only: elsewhere the crate is empty.

#![cfg(target_os = "linux")]

pub mod lab;
pub mod python;
pub mod soak;

/// The examples of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
