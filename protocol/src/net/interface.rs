//! A network interface: its addresses, and the networks on its link.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, PrefixLenError};

/// A network interface of this host: its name, index, flags, addresses and routes.
///
/// With the feature `interfaces`, `Interface::list` lists all interfaces of this host.
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
    /// The name, such as `eth0`.
    pub name: String,
    /// The index, by which the system identifies the interface. 0 if the system does not report it.
    pub index: u32,
    /// The state and the kind of the interface.
    pub flags: InterfaceFlags,
    /// The addresses, in the system's order.
    pub addresses: Vec<InterfaceAddress>,
    /// The routes without a gateway by this interface in the main routing table, in the system's
    /// order. Their networks are on link too.
    ///
    /// Cloud hosts and containers often have an address with a prefix of 32 bits and such a route.
    /// The routes of a point-to-point interface are ignored, because they lead beyond the other end.
    pub routes: Vec<InterfaceRoute>,
}

/// The state and the kind of an interface. All flags are unset by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(
    clippy::struct_excessive_bools,
    clippy::exhaustive_structs,
    reason = "they are independent flags of the system, and callers write them as literals"
)]
pub struct InterfaceFlags {
    /// It is switched on (`IFF_UP`), with or without a carrier, because a cable may be plugged in or a
    /// wireless network joined during a search. On Windows it is operational (`IfOperStatusUp`),
    /// which is the only state listed there.
    pub up: bool,
    /// It leads to this host only.
    pub loopback: bool,
    /// It can broadcast to every host of its network.
    pub broadcast: bool,
    /// It leads to one other host.
    pub point_to_point: bool,
}

/// An address of an interface, and the network that the address puts on link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    ip: IpAddr,
    peer: Option<IpAddr>,
    network: IpNet,
}

/// A route without a gateway, and the network that it puts on link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceRoute {
    network: IpNet,
    source: Option<IpAddr>,
}

impl Interface {
    /// Creates an interface without flags, addresses and routes.
    pub fn new(name: impl Into<String>, index: u32) -> Self {
        Self {
            name: name.into(),
            index,
            flags: InterfaceFlags::default(),
            addresses: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Whether `ip` is an address of this interface.
    pub fn holds(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }

    /// The networks that are on link: those of the addresses and, except on a point-to-point
    /// interface, those of the [`routes`](Self::routes).
    pub fn networks(&self) -> impl Iterator<Item = IpNet> + '_ {
        let addresses = self.addresses.iter().map(InterfaceAddress::network);
        let routes = self.on_link_routes().iter().map(InterfaceRoute::network);
        addresses.chain(routes)
    }

    /// Whether `ip` is on link, in one of the [`networks`](Self::networks).
    pub fn is_on_link(&self, ip: IpAddr) -> bool {
        self.networks().any(|network| contains(network, ip))
    }

    /// The address of this interface that `ip` can reach, if `ip` is on link.
    ///
    /// It is the address whose network contains `ip`. If there are several, the longest prefix wins,
    /// then the first. If only a route puts `ip` on link, it is the preferred source of the route, or
    /// else the first address of the same family. A link-local IPv6 address is used only if there is
    /// no other.
    pub fn address_towards(&self, ip: IpAddr) -> Option<IpAddr> {
        let addresses = self.addresses.iter();
        let near = longest(addresses, ip, InterfaceAddress::network);
        near.map(|address| address.ip).or_else(|| {
            let routes = self.on_link_routes().iter();
            let route = longest(routes, ip, InterfaceRoute::network)?;
            route.source.or_else(|| self.first_address_like(ip))
        })
    }

    fn on_link_routes(&self) -> &[InterfaceRoute] {
        if self.flags.point_to_point {
            &[]
        } else {
            &self.routes
        }
    }

    /// The first address of the family of `ip`. A link-local IPv6 address is used only if `ip` is
    /// link-local or there is no other.
    pub fn first_address_like(&self, ip: IpAddr) -> Option<IpAddr> {
        let of_its_family = || {
            let ips = self.addresses.iter().map(|address| address.ip);
            ips.filter(move |own| own.is_ipv4() == ip.is_ipv4())
        };
        let is_link_local = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => false,
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        of_its_family()
            .find(|own| is_link_local(own) == is_link_local(&ip))
            .or_else(|| of_its_family().next())
    }

    /// The IPv4 addresses.
    pub fn ipv4_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.addresses
            .iter()
            .filter_map(|address| match address.ip {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            })
    }

    /// Whether the name is one that container and virtual machine software gives to its bridges and
    /// to the ends of its links:
    ///
    /// | name | made by |
    /// |---|---|
    /// | `docker0`, `docker_gwbridge`, `br-` and 12 hexadecimal digits | Docker |
    /// | `podman` and digits | Podman |
    /// | `cni0` | Kubernetes |
    /// | `lxcbr`, `lxdbr` or `incusbr` and digits | LXC, LXD, Incus |
    /// | `virbr` and digits, with or without `-nic` | libvirt |
    /// | `veth` and hexadecimal digits | most of them |
    /// | `vEthernet (WSL)`, `vEthernet (WSL (…))`, `vEthernet (Default Switch)` | Windows |
    ///
    /// Other bridges are real networks, such as `br-lan` on an `OpenWrt` router, `br0` on a server, and
    /// `vEthernet (External)`, a Hyper-V switch with a network card.
    pub fn is_container_bridge(&self) -> bool {
        let name = self.name.as_str();
        let rest = |prefix: &str| name.strip_prefix(prefix);
        let numbered = |prefix| rest(prefix).is_some_and(is_number);
        [
            "docker0",
            "docker_gwbridge",
            "cni0",
            "vEthernet (WSL)",
            "vEthernet (Default Switch)",
        ]
        .contains(&name)
            || rest("vEthernet (WSL (").is_some()
            || rest("veth").is_some_and(is_hex)
            || rest("br-").is_some_and(|id| id.len() == 12 && is_hex(id))
            || rest("virbr").is_some_and(|id| is_number(id.strip_suffix("-nic").unwrap_or(id)))
            || ["podman", "lxcbr", "lxdbr", "incusbr"]
                .into_iter()
                .any(numbered)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `ip` has the prefix of `network`. A server asks this several times for each request, and
/// `IpNet::contains`, which compares with the first and the last address, takes much longer.
fn contains(network: IpNet, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpNet::V4(network), IpAddr::V4(ip)) => {
            let differing = network.addr().to_bits() ^ ip.to_bits();
            differing & network.netmask().to_bits() == 0
        }
        (IpNet::V6(network), IpAddr::V6(ip)) => {
            let differing = network.addr().to_bits() ^ ip.to_bits();
            differing & network.netmask().to_bits() == 0
        }
        _ => false,
    }
}

/// The first of the items with the longest prefix whose network contains `ip`.
fn longest<'a, T>(
    items: impl Iterator<Item = &'a T>,
    ip: IpAddr,
    network: impl Fn(&T) -> IpNet,
) -> Option<&'a T> {
    let mut best: Option<&T> = None;
    for item in items.filter(|item| contains(network(item), ip)) {
        let prefix_len = |item| network(item).prefix_len();
        if best.is_none_or(|best| prefix_len(item) > prefix_len(best)) {
            best = Some(item);
        }
    }
    best
}

impl InterfaceAddress {
    /// Creates the address `ip` with a prefix of `prefix_len` bits.
    ///
    /// # Errors
    /// [`PrefixLenError`], if an address of that family has fewer bits.
    pub fn new(ip: IpAddr, prefix_len: u8) -> Result<Self, PrefixLenError> {
        Self::with_peer(ip, ip, prefix_len)
    }

    /// Creates the address `ip` with a peer, the other end of a tunnel or the router of a cloud host.
    /// The prefix is the peer's, as in `ip address add 10.8.0.1 peer 10.8.0.2/32` on Linux. If `peer`
    /// equals `ip`, the address has no peer.
    ///
    /// # Errors
    /// [`PrefixLenError`], if an address of that family has fewer bits.
    pub fn with_peer(ip: IpAddr, peer: IpAddr, prefix_len: u8) -> Result<Self, PrefixLenError> {
        let network = IpNet::new(peer, prefix_len)?.trunc();
        let peer = (peer != ip).then_some(peer);
        Ok(Self { ip, peer, network })
    }

    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The address of the other end, if there is one.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The network that this address puts on link. If there is a peer, it is the peer's network.
    pub fn network(&self) -> IpNet {
        self.network
    }

    /// The length of the prefix of the network, in bits.
    pub fn prefix_len(&self) -> u8 {
        self.network.prefix_len()
    }

    /// The directed broadcast address, which reaches every host of the network: its last address.
    ///
    /// It is computed (RFC 919, section 7), because systems report a wrong one where none was set.
    /// IPv6 has none. Neither has a prefix of 32 bits, of 31 bits (RFC 3021), or of 0 bits, whose
    /// last address is 255.255.255.255.
    pub fn directed_broadcast(&self) -> Option<Ipv4Addr> {
        match self.network {
            IpNet::V4(network) if (1..=30).contains(&network.prefix_len()) => {
                Some(network.broadcast())
            }
            _ => None,
        }
    }
}

impl InterfaceRoute {
    /// Creates the route to `network`, with the address of this host that it prefers as the source,
    /// if any.
    ///
    /// Returns `None` for a default route or half of one (a prefix of 0 or 1 bits, as VPNs use),
    /// because it would put every address on link.
    pub fn new(network: IpNet, source: Option<IpAddr>) -> Option<Self> {
        (network.prefix_len() > 1).then_some(Self {
            network: network.trunc(),
            source: source.filter(|source| source.is_ipv4() == network.addr().is_ipv4()),
        })
    }

    /// The network that this route puts on link.
    pub fn network(&self) -> IpNet {
        self.network
    }

    /// The address of this host that the route prefers as the source.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
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
    fn an_interface_lists_its_ipv4_addresses_with_their_prefixes() {
        let eth0 = interface(&[("10.0.0.1", 8), ("fe80::1", 64), ("10.0.1.1", 24)]);
        let ips: Vec<_> = eth0.ipv4_addresses().map(IpAddr::V4).collect();
        assert_eq!(ips, [ip("10.0.0.1"), ip("10.0.1.1")]);
        let prefixes = eth0.addresses.iter().map(InterfaceAddress::prefix_len);
        assert!(prefixes.eq([8, 64, 24]));
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

    fn route(network: &str, source: Option<&str>) -> InterfaceRoute {
        InterfaceRoute::new(network.parse().unwrap(), source.map(ip)).unwrap()
    }

    #[test]
    fn a_peer_has_the_network_of_its_address() {
        let mut eth0 = interface(&[]);
        let address = InterfaceAddress::with_peer(ip("10.77.0.2"), ip("10.77.0.1"), 32).unwrap();
        assert_eq!(address.peer(), Some(ip("10.77.0.1")));
        assert_eq!(address.network(), "10.77.0.1/32".parse().unwrap());
        eth0.addresses.push(address);
        assert!(eth0.is_on_link(ip("10.77.0.1")));
        assert!(!eth0.is_on_link(ip("10.77.0.3")));
        let alone = InterfaceAddress::with_peer(ip("10.77.0.2"), ip("10.77.0.2"), 32).unwrap();
        assert_eq!(alone.peer(), None);
    }

    #[test]
    fn a_route_without_a_gateway_makes_its_network_on_link() {
        let mut eth0 = interface(&[("fe80::2", 64), ("10.77.0.2", 32), ("2001:db8::2", 128)]);
        eth0.routes = [
            route("10.77.0.1/32", None),
            route("10.78.0.0/16", None),
            route("2001:db8::/64", None),
        ]
        .into();
        for (there, here) in [
            ("10.77.0.1", "10.77.0.2"),
            ("10.78.9.9", "10.77.0.2"),
            ("2001:db8::1", "2001:db8::2"),
        ] {
            assert!(eth0.is_on_link(ip(there)), "{there}");
            assert_eq!(eth0.address_towards(ip(there)), Some(ip(here)), "{there}");
        }
        for there in ["10.77.0.3", "10.79.0.1", "2001:db9::1"] {
            assert!(!eth0.is_on_link(ip(there)), "{there}");
            assert_eq!(eth0.address_towards(ip(there)), None, "{there}");
        }
    }

    #[test]
    fn the_narrowest_route_decides_which_source_is_preferred() {
        let mut eth0 = interface(&[("10.77.0.2", 32), ("10.77.0.3", 32), ("10.5.0.1", 24)]);
        eth0.routes = [
            route("10.0.0.0/8", Some("10.77.0.3")),
            route("10.77.0.1/32", Some("10.77.0.2")),
        ]
        .into();
        let towards = |there| eth0.address_towards(ip(there));
        assert_eq!(towards("10.77.0.1"), Some(ip("10.77.0.2")));
        assert_eq!(towards("10.77.0.9"), Some(ip("10.77.0.3")));
        // The network of an address goes first.
        assert_eq!(towards("10.5.0.9"), Some(ip("10.5.0.1")));
    }

    #[test]
    fn a_link_local_address_is_named_where_a_route_leads_only_if_there_is_no_other() {
        let mut eth0 = interface(&[("fe80::2", 64)]);
        eth0.routes = [route("2001:db8::/64", None)].into();
        let there = ip("2001:db8::1");
        assert_eq!(eth0.address_towards(there), Some(ip("fe80::2")));
        let global = InterfaceAddress::new(ip("2001:db8::2"), 128).unwrap();
        eth0.addresses.push(global);
        assert_eq!(eth0.address_towards(there), Some(global.ip()));
    }

    #[test]
    fn on_a_point_to_point_interface_no_route_makes_anything_on_link() {
        let mut wg0 = interface(&[("10.8.0.2", 24)]);
        wg0.flags.point_to_point = true;
        wg0.routes = [route("192.168.0.0/16", None)].into();
        assert!(wg0.is_on_link(ip("10.8.0.9")));
        assert!(!wg0.is_on_link(ip("192.168.1.1")));
        assert_eq!(wg0.address_towards(ip("192.168.1.1")), None);
    }

    #[test]
    fn a_default_route_and_half_of_one_are_no_routes_to_a_network() {
        for network in ["0.0.0.0/0", "128.0.0.0/1", "::/0", "8000::/1"] {
            let route = InterfaceRoute::new(network.parse().unwrap(), None);
            assert_eq!(route, None, "{network}");
        }
        assert!(InterfaceRoute::new("64.0.0.0/2".parse().unwrap(), None).is_some());
        // A source of the other family is none.
        let network = "10.0.0.0/8".parse().unwrap();
        let route = InterfaceRoute::new(network, Some(ip("2001:db8::1"))).unwrap();
        assert_eq!(route.source(), None);
    }

    #[test]
    fn container_bridges_are_known_by_the_names_that_their_software_gives() {
        for name in [
            "docker0",
            "docker_gwbridge",
            "br-5f2a0c9b1d3e",
            "podman0",
            "podman12",
            "cni0",
            "lxcbr0",
            "lxdbr0",
            "incusbr0",
            "virbr0",
            "virbr0-nic",
            "veth12ab",
            "veth9f01c2d",
            "vEthernet (WSL)",
            "vEthernet (WSL (Hyper-V firewall))",
            "vEthernet (Default Switch)",
        ] {
            assert!(Interface::new(name, 1).is_container_bridge(), "{name}");
        }
        for name in [
            "eth0",
            "wlan0",
            "lo",
            "br0",
            "br-lan",
            "br-guest",
            "br-5f2a",
            "br-5f2a0c9b1d3e0",
            "br-5f2a0c9b1d3g",
            "bridge0",
            "vmbr0",
            "docker1",
            "dockernet",
            "podman",
            "podman-lan",
            "cni",
            "cni01",
            "lxcbr",
            "lxdbr0.5",
            "virbr",
            "virbr-nic",
            "virbrlan",
            "virbr0-lan",
            "veth",
            "veth-lan",
            "vethernet",
            "Ethernet",
            "vEthernet (External)",
            "vEthernet (WSL-LAN)",
            "vEthernet (Default Switch) 2",
            "vEthernet",
        ] {
            assert!(!Interface::new(name, 1).is_container_bridge(), "{name}");
        }
    }
}
