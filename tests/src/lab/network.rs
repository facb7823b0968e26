//! The laboratory itself, and its networks.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::entry::is_inside;
use super::host::Host;
use super::namespace::Namespace;

/// A laboratory: the place of the networks that join its hosts.
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
    address: Ipv4Addr,
    prefix_len: u32,
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
        let namespace = Namespace::current();
        namespace.ip("link set lo up");
        Self { namespace }
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

    /// A network, such as `lab.network("net0", "10.77.1.0/24")`.
    ///
    /// # Panics
    /// If the name is taken or longer than 15 bytes, or `subnet` isn't within 10.77.0.0/16.
    pub fn network(&self, name: &str, subnet: &str) -> Network {
        let (address, prefix_len) = split(subnet);
        assert!(
            prefix_len >= 16 && address.octets()[..2] == [10, 77],
            "{subnet} is not within 10.77.0.0/16"
        );
        // No IPv6 address of its own, and no wait before it forwards.
        self.namespace.ip(&format!(
            "link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ));
        self.namespace
            .ip(&format!("link set dev {name} addrgenmode none up"));
        Network {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            address,
            prefix_len,
        }
    }
}

impl Network {
    /// Its name, which is the bridge's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cuts it for all hosts on it.
    ///
    /// # Panics
    /// If the system refuses it.
    pub fn set_down(&self) {
        self.namespace
            .ip(&format!("link set dev {} down", self.name));
    }

    /// Restores it.
    ///
    /// # Panics
    /// If the system refuses it.
    pub fn set_up(&self) {
        self.namespace.ip(&format!("link set dev {} up", self.name));
    }

    /// A new port of the bridge, with the cable's other end as `interface` in `far`.
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

    /// Whether the port forwards already: it does so a moment after both its ends are up.
    pub(super) fn forwards(&self, port: &str) -> bool {
        self.namespace
            .ip(&format!("-details link show dev {port}"))
            .contains("bridge_slave state forwarding")
    }

    /// Whether `address`, written as `10.77.1.2/24`, is in its subnet.
    pub(super) fn holds(&self, address: &str) -> bool {
        let host_bits = 32 - self.prefix_len;
        let bits = split(address).0.to_bits() ^ self.address.to_bits();
        u64::from(bits) >> host_bits == 0
    }
}

fn split(address: &str) -> (Ipv4Addr, u32) {
    let (ip, prefix_len) = address
        .split_once('/')
        .expect("an address is written with its prefix length");
    let ip = ip.parse().expect("an IPv4 address");
    let prefix_len = prefix_len.parse().expect("a prefix length");
    assert!(prefix_len <= 32, "{address} has too long a prefix");
    (ip, prefix_len)
}
