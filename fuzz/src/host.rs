//! A host: its interfaces, and the rules about its addresses, written without the project's code.

use std::net::IpAddr;

use udp_discovery_protocol::{Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute, IpNet};

use crate::input::Input;

/// Addresses of the host, its neighbours, and others that a rule is about.
pub const ADDRESSES: [&str; 32] = [
    "192.168.1.20",  // a neighbour
    "192.168.1.21",  // another
    "192.168.1.7",   // the host itself
    "192.168.1.8",   //
    "192.168.1.255", // the directed broadcast
    "192.168.1.0",   // the network
    "10.9.9.9",      // a neighbour on the second network
    "10.0.0.7",      //
    "10.255.255.255",
    "10.0.0.3", // the other end of a network of two
    "10.0.0.2", //
    "172.16.0.9",
    "10.200.0.1", // a tunnel, and its other end
    "172.17.0.1", // a container bridge
    "172.17.0.5",
    "10.99.0.5", // on an interface that is down
    "127.0.0.1",
    "127.0.0.2",
    "0.0.0.0", // of no host
    "0.1.2.3",
    "255.255.255.255",
    "224.0.0.1",
    "239.255.39.15", // the groups of the servers
    "240.0.0.1",
    "203.0.113.9", // far away
    "::1",
    "::",
    "fe80::20",
    "2001:db8::20",
    "2001:db8::7",
    "ff12::8000:270f",
    "::ffff:192.168.1.20",
];

/// The interfaces of a host: some of a fixed list, and one more with up to three addresses of the
/// input.
pub fn interfaces(input: &mut Input<'_>) -> Vec<Interface> {
    let missing = input.byte();
    let mut interfaces = fixed();
    let mut at = 0..;
    interfaces.retain(|_| at.next().is_none_or(|at| missing >> at & 1 == 0));
    let mut free = interface("wlan0", 9, &[]);
    for _ in 0..input.byte() % 4 {
        let (ip, prefix_len) = (input.ip(), input.byte() % 33);
        free.addresses.push(address(ip, prefix_len));
    }
    interfaces.push(free);
    interfaces
}

/// Loopback, two networks, one of two addresses with a route without a gateway, a tunnel with a route
/// that doesn't count, a container bridge, and an interface that is down.
fn fixed() -> Vec<Interface> {
    let mut lo = interface("lo", 1, &[("127.0.0.1", 8), ("::1", 128)]);
    lo.flags.loopback = true;
    let eth0 = [
        ("192.168.1.7", 24),
        ("192.168.1.8", 24),
        ("fe80::7", 64),
        ("2001:db8::7", 64),
    ];
    let mut tun0 = interface("tun0", 5, &[]);
    tun0.flags.point_to_point = true;
    let (ip, peer) = (parsed("10.200.0.1"), parsed("172.16.0.9"));
    let address = InterfaceAddress::with_peer(ip, peer, 32).expect("32 bits are enough");
    tun0.addresses.push(address);
    tun0.routes.push(route("192.168.1.0/24", None));
    let mut eth2 = interface("eth2", 4, &[("10.0.0.2", 31)]);
    eth2.routes.push(route("203.0.113.8/31", None));
    eth2.routes.push(route("203.0.113.9/32", Some("10.0.0.2")));
    let mut down = interface("eth9", 7, &[("10.99.0.1", 24)]);
    down.flags.up = false;
    vec![
        interface("eth1", 3, &[("10.0.0.7", 8)]),
        lo,
        interface("eth0", 2, &eth0),
        eth2,
        tun0,
        interface("docker0", 6, &[("172.17.0.1", 16)]),
        down,
    ]
}

fn interface(name: &str, index: u32, addresses: &[(&str, u8)]) -> Interface {
    let mut interface = Interface::new(name, index);
    interface.flags = InterfaceFlags {
        up: true,
        broadcast: true,
        ..InterfaceFlags::default()
    };
    interface.addresses = addresses
        .iter()
        .map(|&(ip, prefix_len)| address(parsed(ip), prefix_len))
        .collect();
    interface
}

fn address(ip: IpAddr, prefix_len: u8) -> InterfaceAddress {
    InterfaceAddress::new(ip, prefix_len).expect("an address has so many bits")
}

fn route(network: &str, source: Option<&str>) -> InterfaceRoute {
    let network = network.parse().expect("it is a network");
    InterfaceRoute::new(network, source.map(parsed)).expect("it is no default route")
}

fn parsed(ip: &str) -> IpAddr {
    ip.parse().expect("it is an address")
}

/// Whether the host holds `ip`.
pub fn holds(interfaces: &[Interface], ip: IpAddr) -> bool {
    interfaces.iter().any(|interface| held_by(interface, ip))
}

/// Whether `interface` holds `ip`.
pub fn held_by(interface: &Interface, ip: IpAddr) -> bool {
    interface.addresses.iter().any(|address| address.ip() == ip)
}

/// Whether `ip` is in the network of an address of `interface`, or in that of a route that counts.
pub fn on_link(interface: &Interface, ip: IpAddr) -> bool {
    let mut addresses = interface.addresses.iter();
    addresses.any(|address| in_network(address, ip)) || narrowest_route(interface, ip).is_some()
}

fn narrowest_route(interface: &Interface, ip: IpAddr) -> Option<&InterfaceRoute> {
    let routes = interface.routes.iter();
    let leads_there = |route: &&InterfaceRoute| {
        same_prefix(route.network().addr(), route.network().prefix_len(), ip)
    };
    routes
        .filter(|_| !interface.flags.point_to_point)
        .filter(leads_there)
        .max_by_key(|route| route.network().prefix_len())
}

/// The addresses of `interface` that may be named to `ip`: those on the smallest of its networks
/// that `ip` is in, else the one that a route there prefers, else those of its family.
pub fn addresses_towards(interface: &Interface, ip: IpAddr) -> Vec<IpAddr> {
    let on_link = || {
        let addresses = interface.addresses.iter();
        addresses.filter(|address| in_network(address, ip))
    };
    let Some(longest) = on_link().map(InterfaceAddress::prefix_len).max() else {
        let route = narrowest_route(interface, ip);
        let own = interface.addresses.iter().map(InterfaceAddress::ip);
        return match route.map(InterfaceRoute::source) {
            None => Vec::new(),
            Some(Some(source)) => vec![source],
            Some(None) => own.filter(|own| own.is_ipv4() == ip.is_ipv4()).collect(),
        };
    };
    on_link()
        .filter(|address| address.prefix_len() == longest)
        .map(InterfaceAddress::ip)
        .collect()
}

/// Whether the first bits of `ip` are those of the network of `address`.
pub fn in_network(address: &InterfaceAddress, ip: IpAddr) -> bool {
    let network = address.network();
    same_prefix(network.addr(), network.prefix_len(), ip)
}

/// Whether `ip` and `network` are of one family and share their first `len` bits.
pub fn same_prefix(network: IpAddr, len: u8, ip: IpAddr) -> bool {
    let differ = match (network, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(len)
}

/// Whether a host on the link of `interface` can have `ip`: it is in one of the networks there and
/// neither the first nor the last address of it, which name no host; an IPv4 network of one or
/// two addresses has neither.
pub fn can_be_on_link(interface: &Interface, ip: IpAddr) -> bool {
    let routes = interface.routes.iter().map(InterfaceRoute::network);
    let routes = routes.filter(|_| !interface.flags.point_to_point);
    let addresses = interface.addresses.iter().map(InterfaceAddress::network);
    addresses.chain(routes).any(|network| {
        same_prefix(network.addr(), network.prefix_len(), ip)
            && !is_end(network, ip, false)
            && !is_end(network, ip, true)
    })
}

/// Whether `ip` is the directed broadcast of the network of `address`.
pub fn is_broadcast(address: &InterfaceAddress, ip: IpAddr) -> bool {
    // The network of all addresses ends with 255.255.255.255, which another rule covers.
    address.prefix_len() > 0 && is_end(address.network(), ip, true)
}

fn is_end(network: IpNet, ip: IpAddr, last: bool) -> bool {
    let IpAddr::V4(v4) = ip else { return false };
    let len = network.prefix_len();
    let host_bits = u32::MAX.checked_shr(u32::from(len)).unwrap_or(0);
    let expected = if last { host_bits } else { 0 };
    len <= 30 && same_prefix(network.addr(), len, ip) && v4.to_bits() & host_bits == expected
}
