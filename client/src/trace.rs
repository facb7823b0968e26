//! The events of the feature `tracing`. Without the feature, the methods do nothing.
//!
//! What comes from the network is escaped, and at most 64 bytes of it are recorded. Of the
//! datagrams that are dropped for one reason, only the first is recorded above the level `TRACE`.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables, clippy::unused_self))]

use std::io;
use std::net::SocketAddr;

use crate::report::{DropReason, Link, Report};
use crate::server::DiscoveredServer;

/// Records the events of a search, if the settings enable logging.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    #[cfg(feature = "tracing")]
    enabled: bool,
}

impl Trace {
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            enabled,
        }
    }

    pub(crate) fn started(self, report: &Report) {
        #[cfg(feature = "tracing")]
        if self.enabled {
            tracing::debug!(
                links = report.links.len(),
                skipped = report.skipped.len(),
                "search started"
            );
            if let Some(last_resort) = report.last_resort {
                tracing::info!("{last_resort}");
            }
            if !report.unmatched.is_empty() {
                tracing::warn!(names = ?report.unmatched, "no interface has these names");
            }
        }
    }

    pub(crate) fn found(self, server: &DiscoveredServer) {
        #[cfg(feature = "tracing")]
        if self.enabled {
            tracing::debug!(
                %server,
                claimed_ip = %server.claimed_ip,
                source = server.source.map(tracing::field::display),
                origin = ?server.origin,
                interface = server.interface,
                rtt = server.rtt.map(tracing::field::debug),
                "server found"
            );
        }
    }

    /// A datagram was dropped, the `nth` for this reason.
    pub(crate) fn dropped(
        self,
        reason: DropReason,
        nth: u64,
        link: &Link,
        source: SocketAddr,
        payload: &[u8],
    ) {
        #[cfg(feature = "tracing")]
        if self.enabled {
            let interface = link.interface.as_str();
            let payload = crate::report::beginning(payload).escape_ascii();
            if nth > 1 || matches!(reason, DropReason::Duplicate) {
                tracing::trace!(interface, %source, %payload, %reason, "datagram dropped");
            } else if matches!(reason, DropReason::OverTheCap) {
                tracing::warn!(interface, %source, %payload, %reason, "datagram dropped");
            } else {
                tracing::debug!(interface, %source, %payload, %reason, "datagram dropped");
            }
        }
    }

    pub(crate) fn send_failed(self, link: &Link, error: &io::Error) {
        #[cfg(feature = "tracing")]
        if self.enabled {
            let (interface, local) = (link.interface.as_str(), link.local);
            tracing::debug!(interface, %local, %error, "a probe could not be sent");
        }
    }

    pub(crate) fn gave_up(self, link: &Link, error: &io::Error) {
        #[cfg(feature = "tracing")]
        if self.enabled {
            let (interface, local) = (link.interface.as_str(), link.local);
            tracing::warn!(interface, %local, %error, "link given up");
        }
    }

    pub(crate) fn ended(self, report: &Report) {
        #[cfg(feature = "tracing")]
        if self.enabled {
            let counts = &report.counts;
            tracing::debug!(
                servers = counts.accepted,
                duplicates = counts.duplicates,
                malformed = counts.malformed,
                "search ended"
            );
        }
    }
}
