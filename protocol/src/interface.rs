//! What a network interface is to a server and to a client.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, PrefixLenError};

/// A network interface of this host: its name, index, flags and addresses.
///
/// With the feature `interfaces`, `Interface::list` asks the system for all of them.
///
/// ```
/// use udp_discovery_protocol::{Interface, InterfaceAddress, InterfaceFlags};
///
/// let mut eth0 = Interface::new("eth0", 2);
/// eth0.flags = InterfaceFlags { up: true, broadcast: true, ..InterfaceFlags::default() };
/// eth0.addresses.push(InterfaceAddress::new("192.168.1.7".parse()?, 24)?);
///
/// assert!(eth0.holds("192.168.1.7".parse()?));
/// assert!(eth0.is_on_link("192.168.1.200".parse()?));
/// let broadcast = eth0.addresses[0].directed_broadcast();
/// assert_eq!(broadcast, Some("192.168.1.255".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Interface {
    /// The system's name for it, such as `eth0`.
    pub name: String,
    /// The system's number for it; 0 is no interface's.
    pub index: u32,
    /// What the system says about it.
    pub flags: InterfaceFlags,
    /// Its addresses, in the system's order.
    pub addresses: Vec<InterfaceAddress>,
}

/// What the system says about an interface. All unset by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(
    clippy::struct_excessive_bools,
    clippy::exhaustive_structs,
    reason = "they are independent flags of the system's, and callers write them out"
)]
pub struct InterfaceFlags {
    /// It is switched on.
    pub up: bool,
    /// It leads to this host alone.
    pub loopback: bool,
    /// A datagram on it can reach every host of its network.
    pub broadcast: bool,
    /// It leads to one other host.
    pub point_to_point: bool,
}

/// An address that an interface holds, and the network that is on link by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    ip: IpAddr,
    network: IpNet,
}

impl Interface {
    /// An interface with no flags and no addresses yet.
    pub fn new(name: impl Into<String>, index: u32) -> Self {
        Self {
            name: name.into(),
            index,
            flags: InterfaceFlags::default(),
            addresses: Vec::new(),
        }
    }

    /// Whether `ip` is one of its own addresses.
    pub fn holds(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }

    /// Whether `ip` is in the network of one of its addresses.
    pub fn is_on_link(&self, ip: IpAddr) -> bool {
        self.address_towards(ip).is_some()
    }

    /// Its address on the network that `ip` is in; the longest prefix wins, then the first.
    pub fn address_towards(&self, ip: IpAddr) -> Option<IpAddr> {
        let mut best: Option<&InterfaceAddress> = None;
        for address in self
            .addresses
            .iter()
            .filter(|address| address.network.contains(&ip))
        {
            if best.is_none_or(|best| address.prefix_len() > best.prefix_len()) {
                best = Some(address);
            }
        }
        best.map(|address| address.ip)
    }

    /// Its IPv4 addresses.
    pub fn ipv4_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.addresses
            .iter()
            .filter_map(|address| match address.ip {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            })
    }

    /// Whether its name is one that container and virtual machine software gives to its bridges
    /// and their ends: `docker*`, `br-*`, `veth*`, `virbr*` or `vEthernet*`.
    pub fn is_container_bridge(&self) -> bool {
        ["docker", "br-", "veth", "virbr", "vEthernet"]
            .iter()
            .any(|prefix| self.name.starts_with(prefix))
    }
}

impl InterfaceAddress {
    /// The address `ip` with a prefix of `prefix_len` bits.
    ///
    /// # Errors
    /// [`PrefixLenError`], if an address of that family has fewer bits.
    pub fn new(ip: IpAddr, prefix_len: u8) -> Result<Self, PrefixLenError> {
        Self::with_peer(ip, ip, prefix_len)
    }

    /// The address `ip` of a point-to-point interface whose other end is `peer`. The prefix is
    /// the peer's, as in Linux's `ip address add 10.8.0.1 peer 10.8.0.2/32`.
    ///
    /// # Errors
    /// [`PrefixLenError`], if an address of that family has fewer bits.
    pub fn with_peer(ip: IpAddr, peer: IpAddr, prefix_len: u8) -> Result<Self, PrefixLenError> {
        let network = IpNet::new(peer, prefix_len)?.trunc();
        Ok(Self { ip, network })
    }

    /// The address itself.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The network that is on link by this address.
    pub fn network(&self) -> IpNet {
        self.network
    }

    /// How many bits the network's addresses share.
    pub fn prefix_len(&self) -> u8 {
        self.network.prefix_len()
    }

    /// The address that reaches every host of the network: the last one in it.
    ///
    /// It is computed (RFC 919, section 7), since what systems report is wrong where none was
    /// set. There is none in IPv6, nor in a network of one or two addresses (a prefix of 32 or,
    /// by RFC 3021, 31 bits), nor in one of everything (0 bits: the last is 255.255.255.255).
    pub fn directed_broadcast(&self) -> Option<Ipv4Addr> {
        match self.network {
            IpNet::V4(network) if (1..=30).contains(&network.prefix_len()) => {
                Some(network.broadcast())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn interface(addresses: &[(&str, u8)]) -> Interface {
        let mut interface = Interface::new("eth0", 2);
        interface.addresses = addresses
            .iter()
            .map(|&(address, prefix_len)| InterfaceAddress::new(ip(address), prefix_len).unwrap())
            .collect();
        interface
    }

    #[test]
    fn the_directed_broadcast_is_the_last_address_of_the_network() {
        let broadcast = |address: &str, prefix_len| {
            InterfaceAddress::new(ip(address), prefix_len)
                .unwrap()
                .directed_broadcast()
                .map(|broadcast| alloc::format!("{broadcast}"))
        };
        assert_eq!(
            broadcast("192.168.1.7", 24).as_deref(),
            Some("192.168.1.255")
        );
        assert_eq!(broadcast("10.1.2.3", 8).as_deref(), Some("10.255.255.255"));
        assert_eq!(broadcast("10.1.2.3", 1).as_deref(), Some("127.255.255.255"));
        assert_eq!(broadcast("10.0.0.1", 30).as_deref(), Some("10.0.0.3"));
        for prefix_len in [0, 31, 32] {
            assert_eq!(broadcast("10.0.0.1", prefix_len), None);
        }
        assert_eq!(broadcast("fe80::1", 64), None);
    }

    #[test]
    fn every_prefix_length_decides_what_is_on_link() {
        assert!(interface(&[("10.0.0.1", 0)]).is_on_link(ip("203.0.113.9")));
        assert!(interface(&[("10.0.0.0", 31)]).is_on_link(ip("10.0.0.1")));
        assert!(!interface(&[("10.0.0.0", 31)]).is_on_link(ip("10.0.0.2")));
        assert!(interface(&[("10.0.0.1", 32)]).is_on_link(ip("10.0.0.1")));
        assert!(!interface(&[("10.0.0.1", 32)]).is_on_link(ip("10.0.0.2")));
        assert!(!interface(&[("10.0.0.1", 0)]).is_on_link(ip("fe80::1")));
        assert!(InterfaceAddress::new(ip("10.0.0.1"), 33).is_err());
    }

    #[test]
    fn the_longest_prefix_decides_which_address_is_named() {
        let eth0 = interface(&[("10.0.0.1", 8), ("10.0.1.1", 24), ("10.0.1.2", 24)]);
        assert_eq!(eth0.address_towards(ip("10.0.1.9")), Some(ip("10.0.1.1")));
        assert_eq!(eth0.address_towards(ip("10.9.9.9")), Some(ip("10.0.0.1")));
        assert_eq!(eth0.address_towards(ip("192.168.0.1")), None);
    }

    #[test]
    fn the_far_end_of_a_point_to_point_link_is_on_link() {
        let mut tun0 = Interface::new("tun0", 3);
        let address = InterfaceAddress::with_peer(ip("10.8.0.1"), ip("10.8.0.2"), 32).unwrap();
        tun0.addresses.push(address);
        assert!(tun0.holds(ip("10.8.0.1")));
        assert!(!tun0.holds(ip("10.8.0.2")));
        assert_eq!(tun0.address_towards(ip("10.8.0.2")), Some(ip("10.8.0.1")));
        assert!(!tun0.is_on_link(ip("10.8.0.3")));
    }

    #[test]
    fn bridges_of_containers_are_known_by_name() {
        for name in [
            "docker0",
            "br-5f2a",
            "veth12ab",
            "virbr0",
            "vEthernet (WSL)",
        ] {
            assert!(Interface::new(name, 1).is_container_bridge(), "{name}");
        }
        for name in ["eth0", "br0", "wlan0", "lo", "Ethernet"] {
            assert!(!Interface::new(name, 1).is_container_bridge(), "{name}");
        }
    }
}
