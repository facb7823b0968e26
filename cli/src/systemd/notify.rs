//! Notifies the service manager (`sd_notify(3)`), if there is one: if `NOTIFY_SOCKET` is set.

use std::env;
use std::net::SocketAddr;

use sd_notify::NotifyState::{self, Ready, Status, Stopping};
use tracing::warn;
use udp_discovery_server::Stats;

/// The server answers on `address`.
pub(crate) fn ready(address: SocketAddr) {
    notify(&[Ready, Status(&format!("listening on {address}"))]);
}

/// The server no longer answers.
pub(crate) fn stopping(stats: &Stats) {
    let (answered, received) = (stats.answered(), stats.received());
    let text = format!("stopped, answered {answered} of {received} datagrams");
    notify(&[Stopping, Status(&text)]);
}

/// Whether there is a service manager to notify.
pub(super) fn is_wanted() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// The server goes on if this fails.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager could not be notified: {error}");
    }
}
