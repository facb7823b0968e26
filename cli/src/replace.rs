//! `--replace`: stops the udp-discovery service that has the port, and never another program.

use crate::failure::Failure;

#[cfg(target_os = "linux")]
mod linux;

/// What to do if a service of this user has the port.
pub(crate) const REPLACE_HINT: &str = "it is a udp-discovery service of this user: stop it with --replace, or choose another port \
     with --port";

/// Stops the udp-discovery services of the same user that have `port`, waits until they have ended,
/// and returns their pids. If any other program has the port, nothing is stopped.
#[cfg(target_os = "linux")]
pub(crate) fn replace(port: u16) -> Result<Vec<i32>, Failure> {
    linux::replace(port)
}

/// Only Linux reports who has a port.
#[cfg(not(target_os = "linux"))]
pub(crate) fn replace(_port: u16) -> Result<Vec<i32>, Failure> {
    #[derive(Debug, thiserror::Error)]
    #[error("--replace works only on Linux: this system does not report who has a port")]
    struct NotHere;
    Err(Failure::from(NotHere).with_hint("stop the other service yourself, or choose --port"))
}
