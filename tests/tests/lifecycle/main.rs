//! The life of servers and searches: how they start, stop, fail, and what is left of them.
//!
//! What is counted or limited is the process's, so each test that counts or limits runs alone in
//! a process of its own.

#![cfg(target_os = "linux")]

mod broken_socket;
mod descriptors;
mod interfaces;
mod panics;
mod races;
mod resources;
mod service;
mod threads;
mod tokio_faces;
mod wall_clock;
