//! What the doctor looks at before it decides.

use std::net::{IpAddr, SocketAddr};

use udp_discovery_client::{DiscoverError, DiscoveredServer, Report};
use udp_discovery_protocol::Interface;

use super::surroundings::Surroundings;
use crate::port_holder::Holders;

/// All that was seen. Nothing that could not be seen is left out: it stands in `unseen`.
#[derive(Debug)]
pub(crate) struct Observations {
    pub(crate) settings: Settings,
    pub(crate) interfaces: Vec<Interface>,
    /// The interfaces that are switched on without a cable, a wireless network or another end.
    pub(crate) without_carrier: Vec<String>,
    pub(crate) servers: Vec<DiscoveredServer>,
    pub(crate) report: Report,
    /// Why there was no search, or none that could send.
    pub(crate) search_error: Option<DiscoverError>,
    /// How many answers the system dropped because a receive buffer was full.
    pub(crate) lost: u64,
    pub(crate) port: Port,
    /// Why a client did not find a server over loopback, if it didn't.
    pub(crate) self_test: Result<(), String>,
    pub(crate) target: Option<Target>,
    pub(crate) surroundings: Surroundings,
    /// What could not be seen, and why.
    pub(crate) unseen: Vec<String>,
}

/// The settings that findings name.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) port: u16,
    pub(crate) message: String,
    pub(crate) prefix: String,
}

/// The discovery port of this host.
#[derive(Debug)]
pub(crate) enum Port {
    Free,
    /// A server has it: it answered.
    Serves(Holders),
    /// A program has it that did not answer.
    Taken(Holders),
    Unseen,
}

/// The host on which a server should run.
#[derive(Debug)]
pub(crate) struct Target {
    /// As the user named it.
    pub(crate) name: String,
    pub(crate) outcome: Result<TargetHost, TargetError>,
}

#[derive(Debug)]
pub(crate) enum TargetError {
    /// It has no address that a host can have.
    Unknown(String),
    /// No route leads to it.
    NoRoute,
    /// It could not be asked.
    Failed(String),
}

#[derive(Debug)]
pub(crate) struct TargetHost {
    pub(crate) address: SocketAddr,
    /// The interface that the routes lead by.
    pub(crate) interface: String,
    /// The address of this host that it is asked from.
    pub(crate) local: IpAddr,
    pub(crate) is_on_link: bool,
    /// Whether it is an address of this host.
    pub(crate) is_here: bool,
    /// Whether it answered requests sent to it alone.
    pub(crate) answered: bool,
    /// What it answered instead of a response.
    pub(crate) malformed: Option<String>,
    /// What the system said when it refused to send.
    pub(crate) send_error: Option<String>,
    /// What was tried if it answered.
    pub(crate) experiments: Experiments,
    /// What was tried if it did not.
    pub(crate) silence: Silence,
}

/// What came back from a target, by what was sent. Each is sent from three ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Experiments {
    /// To the directed broadcast address, from a port that sent nothing before.
    pub(crate) directed: Tally,
    /// To 255.255.255.255 or the IPv6 group, from a port that sent nothing before.
    pub(crate) limited: Tally,
    /// To the target alone, from the ports of `directed`.
    pub(crate) unicast: Tally,
    /// For details, to the target alone. Servers that do not offer them are silent.
    pub(crate) details: Tally,
    /// To the directed broadcast address, after the target had answered on the same port.
    pub(crate) directed_again: Tally,
    /// To 255.255.255.255 or the IPv6 group, after the target had answered on the same port.
    pub(crate) limited_again: Tally,
    /// To the IPv4 multicast group, after the target had answered on the same port.
    pub(crate) multicast: Tally,
    /// By broadcast, from the discovery port.
    pub(crate) from_discovery_port: Tally,
}

/// How many requests were sent, and how many of them were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) sent: u32,
    pub(crate) answered: u32,
}

/// What is known of a target that does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silence {
    /// Whether the host refused the request: nobody listens on the port (ICMP "port unreachable").
    pub(crate) refused: bool,
    /// Whether the host has a link-layer address (ARP), if that could be seen.
    pub(crate) neighbor: Option<bool>,
    /// Whether a firewall said that it forbids the request (ICMP "administratively prohibited").
    pub(crate) prohibited: bool,
    /// Whether another port of the host is refused, so that the host is up.
    pub(crate) up: bool,
}
