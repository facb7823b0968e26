//! What the service manager is told (`sd_notify(3)`). Where there is none, because
//! `NOTIFY_SOCKET` isn't set, nobody is told anything.

use std::env;
use std::net::SocketAddr;

use sd_notify::NotifyState::{self, Ready, Status, Stopping};
use tracing::warn;
use udp_discovery_server::Stats;

/// The server answers on `address`.
pub(crate) fn ready(address: SocketAddr) {
    tell(&[Ready, Status(&format!("listening on {address}"))]);
}

/// The server answers no more; what it has done.
pub(crate) fn stopping(stats: &Stats) {
    let (answered, received) = (stats.answered(), stats.received());
    let text = format!("stopped, answered {answered} of {received} datagrams");
    tell(&[Stopping, Status(&text)]);
}

/// Whether there is somebody to be told.
pub(super) fn is_wanted() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// Whether or not it can be told, the server goes on.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager could not be told: {error}");
    }
}
