//! What a search finds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;

/// A server that answered.
///
/// It is displayed as what a user connects to: `192.168.1.7`, `192.168.1.7:8000`,
/// `[2001:db8::7]:8000`.
#[doc(alias = "DiscoveryResult")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DiscoveredServer {
    /// The address to use, chosen by the [`AddressPolicy`](crate::AddressPolicy).
    pub ip: IpAddr,
    /// The port of the service, if the server told one. It is not the port of the discovery.
    pub port: Option<NonZeroU16>,
    /// The address that the server named. It is not [`ip`](Self::ip) if it would be of no use
    /// here, such as that of a container bridge.
    pub claimed_ip: IpAddr,
    /// Where the answer came from.
    pub source: SocketAddr,
    /// The name of the interface that the answer came by.
    pub interface: String,
    /// The time from the last probe sent on that interface address to the answer.
    ///
    /// Answers don't say which probe they belong to. If one takes longer than the probes are
    /// apart, this is too short by a multiple of that.
    pub rtt: Duration,
    /// The answer as it was on the wire.
    pub raw: Bytes,
}

impl fmt::Display for DiscoveredServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (ip, Some(port)) => write!(f, "{}", SocketAddr::new(ip, port.get())),
            (IpAddr::V4(ip), None) => write!(f, "{ip}"),
            (IpAddr::V6(ip), None) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_displayed_as_what_a_user_connects_to() {
        let display = |ip: &str, port| {
            let ip = ip.parse().unwrap();
            let server = DiscoveredServer {
                ip,
                port: NonZeroU16::new(port),
                claimed_ip: ip,
                source: "192.168.1.7:9999".parse().unwrap(),
                interface: "eth0".into(),
                rtt: Duration::ZERO,
                raw: Bytes::new(),
            };
            server.to_string()
        };
        assert_eq!(display("192.168.1.7", 0), "192.168.1.7");
        assert_eq!(display("192.168.1.7", 8000), "192.168.1.7:8000");
        assert_eq!(display("2001:db8::7", 0), "[2001:db8::7]");
        assert_eq!(display("2001:db8::7", 8000), "[2001:db8::7]:8000");
    }
}
