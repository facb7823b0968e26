//! How servers and searches start, stop and fail, and what they leave behind.
//!
//! Resources belong to a process, so each test that counts or limits them runs in a process of its
//! own, which the laboratory provides.

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
