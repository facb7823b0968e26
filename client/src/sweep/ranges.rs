//! Which addresses a sweep asks, as ranges.

use std::net::{IpAddr, Ipv6Addr};

use udp_discovery_protocol::{Interface, IpNet};

/// Addresses that are asked in order, from one address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The [`number`]s of the first and the last address.
    pub(crate) first: u128,
    pub(crate) last: u128,
    /// The address to ask from.
    pub(crate) local: IpAddr,
    /// Whether each takes an entry of the system's neighbor table, as addresses on link do.
    pub(crate) on_link: bool,
}

impl Range {
    /// One address.
    pub(crate) fn one(ip: IpAddr, local: IpAddr, on_link: bool) -> Self {
        Self {
            first: number(ip),
            last: number(ip),
            local,
            on_link,
        }
    }
}

/// The number of an address. IPv4 addresses are numbered as IPv4-mapped ones, which are never asked.
pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The address with this number.
pub(crate) fn address(number: u128) -> IpAddr {
    let ip = Ipv6Addr::from(number);
    ip.to_ipv4_mapped().map_or(ip.into(), IpAddr::V4)
}

/// What is left out of a sweep: addresses that no host has, our own, and those asked already.
#[derive(Debug, Default)]
pub(crate) struct Exclusions(Vec<(u128, u128)>);

impl Exclusions {
    /// Leaves out the addresses of this host and the network and broadcast addresses of its networks.
    pub(crate) fn of_host(interfaces: &[Interface]) -> Self {
        let mut exclusions = Self::default();
        for interface in interfaces {
            for address in &interface.addresses {
                exclusions.add_one(address.ip());
            }
            for network in interface.networks() {
                exclusions.add_edges(network);
            }
        }
        exclusions
    }

    pub(crate) fn add_one(&mut self, ip: IpAddr) {
        self.add(number(ip), number(ip));
    }

    fn add(&mut self, first: u128, last: u128) {
        self.0.push((first, last));
    }

    /// Leaves out the addresses of `network` that name no host.
    fn add_edges(&mut self, network: IpNet) {
        let (first, last) = hosts(network);
        for edge in [number(network.network()), number(network.broadcast())] {
            if edge < first || edge > last {
                self.add(edge, edge);
            }
        }
    }

    /// What remains of the numbers from `first` to `last`.
    fn subtract(&mut self, first: u128, last: u128) -> Vec<(u128, u128)> {
        self.0.sort_unstable();
        let mut rest = Vec::new();
        let mut next = Some(first);
        for &(from, to) in &self.0 {
            let Some(start) = next.filter(|next| *next <= last && from <= last) else {
                break;
            };
            if to < start {
                continue;
            }
            if from > start {
                rest.push((start, from - 1));
            }
            next = to.checked_add(1);
        }
        rest.extend(next.filter(|next| *next <= last).map(|next| (next, last)));
        rest
    }
}

/// The numbers of the first and the last host. The first and the last address of an IPv4 network name
/// no host, unless it has only two (RFC 3021), nor does the first of an IPv6 network (RFC 4291, section
/// 2.6.1; RFC 6164).
pub(crate) fn hosts(network: IpNet) -> (u128, u128) {
    let (first, last) = (number(network.network()), number(network.broadcast()));
    match network {
        _ if last - first < 2 => (first, last),
        IpNet::V4(_) => (first + 1, last - 1),
        IpNet::V6(_) => (first + 1, last),
    }
}

/// As [`hosts`]. The first and the last address of a part of a network of this host may be hosts.
pub(crate) fn hosts_here(network: IpNet, interfaces: &[Interface]) -> (u128, u128) {
    let up = interfaces.iter().filter(|interface| interface.flags.up);
    if up
        .flat_map(Interface::networks)
        .any(|net| net.contains(&network))
    {
        (number(network.network()), number(network.broadcast()))
    } else {
        hosts(network)
    }
}

/// The ranges of `network`, and leaves it out of what follows. `local` is the address that the system's
/// routes lead from, if there is a route. Addresses on link are asked from the address of ours there.
pub(crate) fn of_network(
    network: IpNet,
    local: Option<IpAddr>,
    interfaces: &[Interface],
    exclusions: &mut Exclusions,
) -> Vec<Range> {
    let mut parts: Vec<(IpNet, IpAddr, bool)> = interfaces
        .iter()
        .filter(|interface| interface.flags.up)
        .flat_map(|interface| {
            let part = |net: IpNet| {
                let local = interface.address_towards(net.addr())?;
                Some((net, local, has_neighbors(interface)))
            };
            interface.networks().filter_map(part)
        })
        .filter(|(net, ..)| net.contains(&network) || network.contains(net))
        .collect();
    // The longest prefix decides, as in the system's routes.
    parts.sort_by_key(|(net, ..)| std::cmp::Reverse(net.prefix_len()));
    let (first, last) = hosts_here(network, interfaces);
    let mut ranges = Vec::new();
    let mut add = |first: u128, last: u128, local: IpAddr, on_link| {
        let rest = exclusions.subtract(first, last);
        exclusions.add(first, last);
        ranges.extend(rest.into_iter().map(|(first, last)| Range {
            first,
            last,
            local,
            on_link,
        }));
    };
    for (net, local, on_link) in parts {
        let start = number(net.network()).max(first);
        let end = number(net.broadcast()).min(last);
        if start <= end {
            add(start, end, local, on_link);
        }
    }
    // Without a route, another target may have one to a part of it.
    if let Some(local) = local {
        add(first, last, local, false);
    }
    ranges.sort_unstable_by_key(|range| range.first);
    ranges
}

/// Whether `ip` takes an entry of the system's neighbor table.
pub(crate) fn is_neighbor(interfaces: &[Interface], ip: IpAddr) -> bool {
    let is_on_link = |it: &Interface| it.flags.up && has_neighbors(it) && it.is_on_link(ip);
    interfaces.iter().any(is_on_link)
}

/// Whether each address on the link of `interface` takes an entry of the system's neighbor table.
fn has_neighbors(interface: &Interface) -> bool {
    !interface.flags.loopback && !interface.flags.point_to_point
}

#[cfg(test)]
mod tests {
    use udp_discovery_protocol::InterfaceAddress;

    use super::*;

    const ROUTED: &str = "192.0.2.1";

    fn eth0(address: &str, prefix_len: u8) -> Interface {
        let mut interface = Interface::new("eth0", 2);
        interface.flags.up = true;
        let address = InterfaceAddress::new(address.parse().unwrap(), prefix_len).unwrap();
        interface.addresses.push(address);
        interface
    }

    fn show(ranges: &[Range]) -> Vec<String> {
        let ranges = ranges.iter().map(|range| {
            let kind = if range.on_link { "on" } else { "by" };
            let (first, last) = (address(range.first), address(range.last));
            format!("{first}-{last} {kind} {}", range.local)
        });
        ranges.collect()
    }

    fn ranges(network: &str, interfaces: &[Interface]) -> Vec<String> {
        let mut exclusions = Exclusions::of_host(interfaces);
        let local = Some(ROUTED.parse().unwrap());
        show(&of_network(
            network.parse().unwrap(),
            local,
            interfaces,
            &mut exclusions,
        ))
    }

    #[test]
    fn the_first_and_the_last_address_of_a_network_name_no_host() {
        let by = |network| ranges(network, &[]);
        assert_eq!(by("10.15.0.0/18"), ["10.15.0.1-10.15.63.254 by 192.0.2.1"]);
        assert_eq!(by("10.15.0.8/31"), ["10.15.0.8-10.15.0.9 by 192.0.2.1"]);
        assert_eq!(by("10.15.0.8/32"), ["10.15.0.8-10.15.0.8 by 192.0.2.1"]);
        assert_eq!(by("fd00::/120"), ["fd00::1-fd00::ff by 192.0.2.1"]);
        assert_eq!(by("fd00::8/127"), ["fd00::8-fd00::9 by 192.0.2.1"]);
    }

    #[test]
    fn a_part_of_our_network_has_the_edges_of_the_whole_and_our_address_is_left_out() {
        let eth0 = [eth0("10.15.2.7", 16)];
        let on = |network| ranges(network, &eth0);
        let all = [
            "10.15.2.0-10.15.2.6 on 10.15.2.7",
            "10.15.2.8-10.15.2.255 on 10.15.2.7",
        ];
        assert_eq!(on("10.15.2.0/24"), all);
        assert_eq!(on("10.15.0.0/31"), ["10.15.0.1-10.15.0.1 on 10.15.2.7"]);
        let last = ["10.15.255.254-10.15.255.254 on 10.15.2.7"];
        assert_eq!(on("10.15.255.254/31"), last);
    }

    #[test]
    fn loopback_and_tunnels_take_no_entry_of_the_neighbor_table() {
        let mut lo = eth0("127.0.0.1", 8);
        lo.flags.loopback = true;
        let expected = ["127.77.0.0-127.77.0.255 by 127.0.0.1"];
        assert_eq!(ranges("127.77.0.0/24", &[lo.clone()]), expected);
        assert!(!is_neighbor(&[lo], "127.0.0.9".parse().unwrap()));
        let mut tun0 = eth0("10.9.0.1", 30);
        tun0.flags.point_to_point = true;
        assert_eq!(
            ranges("10.9.0.0/30", &[tun0]),
            ["10.9.0.2-10.9.0.2 by 10.9.0.1"]
        );
    }

    #[test]
    fn what_is_on_link_within_a_larger_network_is_asked_from_its_own_address() {
        let expected = [
            "10.15.0.1-10.15.6.255 by 192.0.2.1",
            "10.15.7.1-10.15.7.6 on 10.15.7.7",
            "10.15.7.8-10.15.7.254 on 10.15.7.7",
            "10.15.8.0-10.15.255.254 by 192.0.2.1",
        ];
        assert_eq!(ranges("10.15.0.0/16", &[eth0("10.15.7.7", 24)]), expected);
    }

    #[test]
    fn the_longest_prefix_on_link_decides() {
        let interfaces = [eth0("10.15.0.7", 16), eth0("10.15.7.7", 24)];
        let around = ranges("10.15.6.0/23", &interfaces);
        let expected = [
            "10.15.6.0-10.15.6.255 on 10.15.0.7",
            "10.15.7.1-10.15.7.6 on 10.15.7.7",
            "10.15.7.8-10.15.7.254 on 10.15.7.7",
        ];
        assert_eq!(around, expected);
    }

    #[test]
    fn networks_that_overlap_are_asked_once() {
        let mut exclusions = Exclusions::default();
        let mut add = |network: &str| {
            let local = Some(ROUTED.parse().unwrap());
            show(&of_network(
                network.parse().unwrap(),
                local,
                &[],
                &mut exclusions,
            ))
        };
        assert_eq!(
            add("10.15.1.128/25"),
            ["10.15.1.129-10.15.1.254 by 192.0.2.1"]
        );
        assert_eq!(add("10.15.1.0/24"), ["10.15.1.1-10.15.1.128 by 192.0.2.1"]);
        assert!(add("10.15.1.64/26").is_empty());
        // 10.15.1.0 and 10.15.1.255 are hosts of the larger network.
        let around = [
            "10.15.0.1-10.15.1.0 by 192.0.2.1",
            "10.15.1.255-10.15.255.254 by 192.0.2.1",
        ];
        assert_eq!(add("10.15.0.0/16"), around);
        assert!(add("10.15.0.0/16").is_empty());
    }

    #[test]
    fn without_a_route_only_what_is_on_link_is_asked() {
        let interfaces = [eth0("10.15.7.6", 30)];
        let mut exclusions = Exclusions::of_host(&interfaces);
        let network = "10.15.0.0/16".parse().unwrap();
        let ranges = of_network(network, None, &interfaces, &mut exclusions);
        let expected = ["10.15.7.5-10.15.7.5 on 10.15.7.6"];
        assert_eq!(show(&ranges), expected);
        // The rest is left for another target.
        let part = "10.15.9.0/30".parse().unwrap();
        let local = Some(ROUTED.parse().unwrap());
        let ranges = of_network(part, local, &interfaces, &mut exclusions);
        assert_eq!(show(&ranges), ["10.15.9.1-10.15.9.2 by 192.0.2.1"]);
    }

    #[test]
    fn the_largest_addresses_do_not_overflow() {
        let network = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120";
        let expected = [
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff01-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff by 192.0.2.1",
        ];
        assert_eq!(ranges(network, &[]), expected);
    }
}
