//! What the end-to-end tests share.
//!
//! - [`lab`]: hosts and networks of a test's own, as Linux network namespaces.
//! - [`python`]: the Python server and client that these crates are compatible with.
//! - [`soak`]: the program `soak`.
//!
//! These work on Linux only.

#[cfg(target_os = "linux")]
pub mod lab;
#[cfg(target_os = "linux")]
pub mod python;
#[cfg(target_os = "linux")]
pub mod soak;

use std::fs;
use std::path::{Path, PathBuf};

/// The examples of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// All Rust source files in `folder` and below.
///
/// # Panics
/// If a folder can't be read.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let files = paths.flat_map(|path| {
        if path.is_dir() {
            rust_files(&path)
        } else {
            vec![path]
        }
    });
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
