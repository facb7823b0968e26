//! The laboratory itself, and its networks.

use std::sync::atomic::{AtomicU32, Ordering};

use udp_discovery_server::protocol::IpNet;

use super::entry::is_inside;
use super::host::Host;
use super::namespace::Namespace;

/// A laboratory: it holds the networks that join its hosts.
///
/// Hosts and networks stay when it is dropped, until the test ends.
#[derive(Debug)]
pub struct Lab {
    namespace: Namespace,
}

/// A network of a laboratory: a bridge that learns addresses and has none, without spanning tree.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) namespace: Namespace,
    name: String,
    subnet: IpNet,
}

impl Lab {
    /// An empty laboratory.
    ///
    /// # Panics
    /// Outside of [`run`](super::run): the machine's own networks are left alone.
    #[expect(
        clippy::new_without_default,
        reason = "it acts on the system and may panic"
    )]
    pub fn new() -> Self {
        assert!(is_inside(), "a lab is made inside `lab::run` only");
        Self {
            namespace: Namespace::current(),
        }
    }

    /// A host with a loopback interface that is up, and no other.
    ///
    /// It filters no packets by their source (`rp_filter` is off), whatever the machine does.
    ///
    /// # Panics
    /// If the system refuses it.
    pub fn host(&self, name: &str) -> Host {
        Host::new(name)
    }

    /// Hosts on one network, 10.77.0.0/16, each with the given address on `eth0`.
    ///
    /// # Panics
    /// As [`Host::join`], and if the laboratory has such a network already.
    pub fn hosts<const N: usize>(&self, addresses: [&str; N]) -> [Host; N] {
        let network = self.network("net0", "10.77.0.0/16");
        addresses.map(|address| {
            let host = self.host(address);
            host.join(&network, "eth0", address);
            host
        })
    }

    /// A network, such as `lab.network("net0", "10.77.1.0/24")`.
    ///
    /// # Panics
    /// If the name is taken or longer than 15 bytes, or `subnet` isn't within 10.77.0.0/16.
    pub fn network(&self, name: &str, subnet: &str) -> Network {
        let subnet: IpNet = subnet
            .parse()
            .expect("a network has an address and a prefix");
        let all: IpNet = "10.77.0.0/16".parse().expect("it is a network");
        assert!(all.contains(&subnet), "{subnet} is not within {all}");
        // No IPv6 address of its own, and no wait before it forwards.
        self.namespace.ip(&format!(
            "link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ));
        self.namespace
            .ip(&format!("link set dev {name} addrgenmode none up"));
        Network {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            subnet,
        }
    }
}

impl Network {
    /// The name, which is the bridge's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes it down for all hosts on it.
    ///
    /// # Panics
    /// If the system refuses it.
    pub fn set_down(&self) {
        self.namespace
            .ip(&format!("link set dev {} down", self.name));
    }

    /// Brings it up again.
    ///
    /// # Panics
    /// If the system refuses it.
    pub fn set_up(&self) {
        self.namespace.ip(&format!("link set dev {} up", self.name));
    }

    /// A new port of the bridge, whose other end is `interface` in `far`.
    pub(super) fn add_port(&self, interface: &str, far: &Namespace) -> String {
        static PORTS: AtomicU32 = AtomicU32::new(0);
        let port = format!("port{}", PORTS.fetch_add(1, Ordering::Relaxed));
        self.namespace.ip(&format!(
            "link add name {port} type veth peer name {interface} netns {}",
            far.path()
        ));
        self.namespace.ip(&format!(
            "link set dev {port} master {} addrgenmode none up",
            self.name
        ));
        port
    }

    /// Whether the port forwards yet: it does so a moment after both its ends are up.
    pub(super) fn forwards(&self, port: &str) -> bool {
        self.namespace
            .ip(&format!("-details link show dev {port}"))
            .contains("bridge_slave state forwarding")
    }

    /// Whether `address`, such as `10.77.1.2/24`, is in its subnet.
    pub(super) fn holds(&self, address: &str) -> bool {
        let address: IpNet = address.parse().expect("an address has a prefix length");
        self.subnet.contains(&address.addr())
    }
}
