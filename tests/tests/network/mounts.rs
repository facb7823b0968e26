//! Files of the system that a test replaces, in its own mount namespace.

use std::process::Command;

/// Gives this test an empty `/run` of its own.
pub(crate) fn private_run() {
    mount(&["-t", "tmpfs", "none", "/run"]);
}

pub(crate) fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status().unwrap();
    assert!(status.success(), "mount {arguments:?}: {status}");
}
