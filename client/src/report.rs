//! What a search did: whom it asked, and what became of the answers.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What a search did so far. It is what to show when nothing was found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The interface addresses that were asked on.
    pub links: Vec<Link>,
    /// The interfaces that were not asked on, and why.
    pub skipped: Vec<Skipped>,
    /// What was asked on only because nothing else could be.
    pub last_resort: Option<LastResort>,
    /// What became of the datagrams that came in.
    pub counts: Counts,
}

impl Report {
    /// Whether more servers answered than
    /// [`Config::max_servers`](crate::Config::max_servers) lets a search keep.
    pub fn capped(&self) -> bool {
        self.counts.over_the_cap > 0
    }
}

/// One address of an interface, with a socket of its own that asks from there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Link {
    /// The interface's name.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// The address that is asked from.
    pub local: Ipv4Addr,
    /// The addresses that the probes go to: each probe to one of the broadcast addresses, in
    /// turn, and to every unicast one.
    pub destinations: Vec<Destination>,
    /// How many probes were sent, to at least one destination each.
    pub probes_sent: u32,
    /// How many datagrams the system refused to send.
    pub send_errors: u32,
    /// The last of its reasons.
    pub last_send_error: Option<Arc<io::Error>>,
    /// Why the link was given up, if it was: its socket couldn't be opened, or nothing could be
    /// received by it.
    pub given_up: Option<Arc<io::Error>>,
}

impl Link {
    /// A link that nothing was sent on yet.
    pub(crate) fn new(
        interface: &str,
        index: u32,
        local: Ipv4Addr,
        destinations: Vec<Destination>,
    ) -> Self {
        Self {
            interface: interface.to_owned(),
            index,
            local,
            destinations,
            probes_sent: 0,
            send_errors: 0,
            last_send_error: None,
            given_up: None,
        }
    }
}

/// An address that the probes of a [`Link`] go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Destination {
    /// The address.
    pub ip: Ipv4Addr,
    /// Whom the address reaches.
    pub kind: DestinationKind,
    /// How many datagrams were sent to it.
    pub sent: u32,
}

impl Destination {
    pub(crate) fn broadcast(ip: Ipv4Addr) -> Self {
        let kind = DestinationKind::Broadcast;
        Self { ip, kind, sent: 0 }
    }

    pub(crate) fn unicast(ip: Ipv4Addr) -> Self {
        let kind = DestinationKind::Unicast;
        Self { ip, kind, sent: 0 }
    }
}

/// Whom a [`Destination`] reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DestinationKind {
    /// Every host of a network.
    Broadcast,
    /// One host.
    Unicast,
}

/// What became of the datagrams that came in, each counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Answers of a server that was not known yet.
    pub accepted: u64,
    /// Answers of a server that was known.
    pub duplicates: u64,
    /// Datagrams that are no response.
    pub malformed: u64,
    /// Datagrams longer than any response.
    pub too_long: u64,
    /// Datagrams from another port than the one that was asked.
    pub wrong_source_port: u64,
    /// Responses with an address that the [`AddressPolicy`](crate::AddressPolicy) refuses, or
    /// from a source that can't be a host's.
    pub refused_address: u64,
    /// Answers of further servers when [`Config::max_servers`](crate::Config::max_servers) were
    /// known.
    pub over_the_cap: u64,
    /// Datagrams that came when the search was over.
    pub late: u64,
    /// Errors of the system on receiving.
    pub receive_errors: u64,
}

/// An interface that was not asked on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its name.
    pub interface: String,
    /// Why.
    pub reason: SkipReason,
}

/// `docker0: container bridge`
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.interface, self.reason)
    }
}

/// What is asked on if a search without [`Config::interfaces`](crate::Config::interfaces) would
/// otherwise have nothing to ask on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LastResort {
    /// Container bridges: no other interface is up and has an IPv4 address.
    ContainerBridges,
    /// Loopback: no interface that leads to other hosts is up and has an IPv4 address.
    Loopback,
}

impl fmt::Display for LastResort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContainerBridges => "asked on container bridges, as no other network is up",
            Self::Loopback => "asked on loopback, as no network is up",
        })
    }
}

/// Why an interface was not asked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// It is one of those to leave out.
    Excluded,
    /// Others were named.
    NotNamed,
    /// It is switched off.
    Down,
    /// It leads to this host alone.
    Loopback,
    /// It is a container bridge, by its name.
    ContainerBridge,
    /// It has no IPv4 address to ask from.
    NoIpv4Address,
    /// It leads to one other host, whose address is not known.
    NobodyToAsk,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "excluded",
            Self::NotNamed => "not among the interfaces to use",
            Self::Down => "down",
            Self::Loopback => "loopback",
            Self::ContainerBridge => "container bridge",
            Self::NoIpv4Address => "no IPv4 address",
            Self::NobodyToAsk => "point-to-point, without the address of its other end",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_interface_says_why() {
        let skipped = Skipped {
            interface: "docker0".into(),
            reason: SkipReason::ContainerBridge,
        };
        assert_eq!(skipped.to_string(), "docker0: container bridge");
    }
}
