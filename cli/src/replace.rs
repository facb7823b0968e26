//! `--replace`: stops the service of ours that has the port, and never anything else.

use crate::failure::Failure;

#[cfg(target_os = "linux")]
mod linux;

/// What to do if a service of ours has the port.
pub(crate) const REPLACE_HINT: &str = "it is a udp-discovery service of this user: stop it with --replace, or choose another port \
     with --port";

/// Stops the udp-discovery services of the same user that have `port`, and waits for their end;
/// the pids of those stopped. If anybody else has the port, nobody is stopped.
#[cfg(target_os = "linux")]
pub(crate) fn replace(port: u16) -> Result<Vec<i32>, Failure> {
    linux::replace(port)
}

/// Only Linux tells whose port it is.
#[cfg(not(target_os = "linux"))]
pub(crate) fn replace(_port: u16) -> Result<Vec<i32>, Failure> {
    #[derive(Debug, thiserror::Error)]
    #[error("--replace works on Linux only: this system doesn't tell whose a port is")]
    struct NotHere;
    Err(Failure::from(NotHere).with_hint("stop the other service yourself, or choose --port"))
}
