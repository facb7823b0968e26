//! A server as a line of JSON.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use serde::Serialize;
use udp_discovery_client::DiscoveredServer;

/// The object, its keys in the order in which they are printed.
#[derive(Serialize)]
struct Line<'a> {
    ip: IpAddr,
    port: Option<NonZeroU16>,
    claimed_ip: IpAddr,
    source: SocketAddr,
    interface: &'a str,
    rtt_ms: f64,
    raw: Cow<'a, str>,
}

pub(super) fn line(server: &DiscoveredServer) -> serde_json::Result<String> {
    let microseconds = (server.rtt.as_secs_f64() * 1e6).round();
    serde_json::to_string(&Line {
        ip: server.ip,
        port: server.port,
        claimed_ip: server.claimed_ip,
        source: server.source,
        interface: &server.interface,
        rtt_ms: microseconds / 1e3,
        // A valid answer is UTF-8: the prefix is, and the rest of it is ASCII.
        raw: String::from_utf8_lossy(&server.raw),
    })
}
