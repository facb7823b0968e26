//! `--replace`: stops the udp-discovery service that has the port, and never another program.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::replace;

/// Only Linux reports who has a port.
#[cfg(not(target_os = "linux"))]
pub(crate) fn replace(_port: u16) -> Result<Vec<i32>, crate::failure::Failure> {
    #[derive(Debug, thiserror::Error)]
    #[error("--replace works only on Linux: this system does not report who has a port")]
    struct NotHere;
    let hint = "stop the other service yourself, or choose --port";
    Err(crate::failure::Failure::from(NotHere).with_hint(hint))
}
