//! Which interface addresses a search asks from, and the destinations of each.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use udp_discovery_protocol::{
    HostIp, Interface, InterfaceAddress, InterfaceRoute, IpNet, MULTICAST_V4, MULTICAST_V6,
};
use wildmatch::WildMatch;

use crate::config::{Config, Family, LARGE_SWEEP_LIMIT, SWEEP_LIMIT};
use crate::error::DiscoverError;
use crate::host::{Host, ResolvedTarget, Route};
use crate::origins::Service;
use crate::report::{Destination, DestinationKind, LastResort, Link, SkipReason, Skipped};
use crate::server::{DiscoveredServer, Origin};
use crate::sweep::{Exclusions, Range, SweepRange, hosts_here, is_neighbor, number, of_network};
use crate::target::Target;

/// How many hosts are asked by unicast on an interface. A host with a route to each of its virtual
/// machines may have hundreds, and the broadcast reaches those too.
const HOSTS_ASKED: usize = 16;

/// The interface addresses to ask from, and the interfaces to skip.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) links: Vec<Link>,
    pub(crate) skipped: Vec<Skipped>,
    /// The names that no interface has.
    pub(crate) unmatched: Vec<String>,
    /// What the search asks on only because there is nothing else.
    pub(crate) last_resort: Option<LastResort>,
    /// What each address of a target is that is a host.
    pub(crate) asked: HashMap<SocketAddr, Asked>,
    /// What is swept.
    pub(crate) ranges: Vec<SweepRange>,
}

/// An address of a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The position of the target in the report.
    pub(crate) target: usize,
    /// The link that asks it.
    pub(crate) link: usize,
    /// Its position in the destinations of the link.
    pub(crate) destination: usize,
}

/// The kinds of interface to ask on even if they are not named.
#[derive(Clone, Copy)]
struct Kinds {
    container_bridges: bool,
    loopback: bool,
}

/// The names of the interfaces that a search asks on by broadcast, or would ask on.
pub(crate) fn names_of_interfaces(config: &Config, interfaces: &[Interface]) -> Vec<String> {
    let selection = Selection::new(config, interfaces).unwrap_or_default();
    let names: HashSet<String> = selection.links.into_iter().map(|it| it.interface).collect();
    names.into_iter().collect()
}

impl Selection {
    /// The links of a search on `host`, with its targets.
    pub(crate) fn of_host(config: &Config, host: &Host) -> Result<Self, DiscoverError> {
        let Host {
            interfaces,
            targets,
            remembered,
            ..
        } = host;
        for target in targets {
            check_target(config, interfaces, target)?;
        }
        let may_be_asked = |target: &ResolvedTarget| {
            target.target.network().is_some() || !target.routes.is_empty()
        };
        let services = Service::all(config);
        // Multicast DNS needs an interface too.
        let has_services = if config.broadcast() {
            services.iter().any(|it| it.origin == Origin::Dns)
        } else {
            !services.is_empty()
        };
        let has_targets = targets.iter().any(may_be_asked) || !remembered.is_empty();
        let mut selection = if config.broadcast() {
            match Self::new(config, interfaces) {
                // The targets are asked after all.
                Err(DiscoverError::NoUsableInterface { skipped })
                    if has_targets || has_services =>
                {
                    Self {
                        skipped,
                        ..Self::default()
                    }
                }
                other => other?,
            }
        } else {
            Self::default()
        };
        if config.broadcast() {
            selection.unmatched = unmatched(config, interfaces);
        }
        let mut asked = HashMap::new();
        for (target, resolved) in targets.iter().enumerate() {
            if resolved.target.network().is_some() {
                continue;
            }
            for route in &resolved.routes {
                // Each address is asked once.
                if let Entry::Vacant(entry) = asked.entry(route.remote) {
                    let (link, destination) = selection.add_route(interfaces, *route);
                    let network =
                        first_network(config, host, route.remote).filter(|it| *it < target);
                    entry.insert(Asked {
                        target: network.unwrap_or(target),
                        link,
                        destination,
                    });
                }
            }
        }
        let ranges = selection.sweep(config, host, &asked);
        selection.keep_families(&host.expected);
        match selection.links.is_empty() && !has_services {
            true if config.broadcast() => Err(DiscoverError::NoUsableInterface {
                skipped: selection.skipped,
            }),
            true => Err(DiscoverError::NothingToAsk),
            false => Ok(Self {
                asked,
                ranges,
                ..selection
            }),
        }
    }

    /// Asks by IPv6 from the first probe on where a server is known by it.
    fn keep_families(&mut self, known: &[DiscoveredServer]) {
        let sources = known.iter().flat_map(DiscoveredServer::sources);
        let by_ipv6 = sources.filter(|(source, _)| source.is_ipv6());
        let interfaces: HashSet<&str> = by_ipv6.map(|(_, interface)| interface).collect();
        for link in &mut self.links {
            link.waits_for_ipv4 &= !interfaces.contains(link.interface.as_str());
        }
    }

    /// The ranges of a sweep: first the addresses that are remembered, then the networks. Addresses that
    /// are `asked` anyway are left out.
    fn sweep(
        &mut self,
        config: &Config,
        host: &Host,
        asked: &HashMap<SocketAddr, Asked>,
    ) -> Vec<SweepRange> {
        let interfaces = &host.interfaces;
        let port = config.settings().port();
        let mut exclusions = Exclusions::of_host(interfaces);
        let asked_on_port = asked.keys().filter(|address| address.port() == port);
        asked_on_port.for_each(|address| exclusions.add_one(address.ip()));
        let mut ranges = Vec::new();
        let mut known = HashSet::new();
        for route in &host.remembered {
            let (ip, at) = (route.remote.ip(), route.remote.port());
            if asked.contains_key(&route.remote)
                || is_network_or_broadcast_address(interfaces, ip)
                || !known.insert(route.remote)
            {
                continue;
            }
            let mut target = None;
            if at == port {
                target = first_network(config, host, route.remote);
                exclusions.add_one(ip);
            }
            let on_link = is_neighbor(interfaces, ip);
            ranges.push(SweepRange {
                range: Range::one(ip, route.local, on_link),
                port: at,
                link: self.link_from(interfaces, route.local, 0),
                target,
                remembered: true,
            });
        }
        for (target, resolved) in host.targets.iter().enumerate() {
            if let Some(network) = resolved.target.network() {
                let local = resolved.routes.first().map(|route| route.local);
                for range in of_network(network, local, interfaces, &mut exclusions) {
                    ranges.push(SweepRange {
                        range,
                        port,
                        link: self.link_from(interfaces, range.local, 0),
                        target: Some(target),
                        remembered: false,
                    });
                }
            }
        }
        ranges
    }

    /// Adds the address of a target to the link that asks it. Returns the positions of both.
    fn add_route(&mut self, interfaces: &[Interface], route: Route) -> (usize, usize) {
        // A link may ask it already, as the other end of a tunnel.
        for (at, link) in self.links.iter().enumerate() {
            let mut destinations = link.destinations.iter();
            let is_asked = |it: &Destination| {
                it.kind == DestinationKind::Unicast && link.socket_addr(it) == route.remote
            };
            if let Some(destination) = destinations.position(is_asked) {
                return (at, destination);
            }
        }
        let scope_id = match route.remote {
            SocketAddr::V6(remote) if remote.ip().is_unicast_link_local() => remote.scope_id(),
            _ => 0,
        };
        let link = self.link_from(interfaces, route.local, scope_id);
        let destinations = &mut self.links[link].destinations;
        let (ip, port) = (route.remote.ip(), route.remote.port());
        destinations.push(Destination::new(ip, port, DestinationKind::Unicast));
        (link, destinations.len() - 1)
    }

    /// The position of the link that asks from `local`, on the interface `scope_id` unless that is 0.
    fn link_from(&mut self, interfaces: &[Interface], local: IpAddr, scope_id: u32) -> usize {
        let is_it = |link: &Link| link.local == local && (scope_id == 0 || link.index == scope_id);
        if let Some(link) = self.links.iter().position(is_it) {
            return link;
        }
        let interface = interfaces
            .iter()
            .find(|it| it.holds(local) && (scope_id == 0 || it.index == scope_id));
        let (name, index) = interface.map_or(("", 0), |it| (it.name.as_str(), it.index));
        self.links.push(Link {
            targets_only: true,
            ..Link::new(name, index, local, Vec::new())
        });
        self.links.len() - 1
    }

    fn new(config: &Config, interfaces: &[Interface]) -> Result<Self, DiscoverError> {
        let names = Names::new(config);
        if !names.include.is_empty() && !interfaces.iter().any(|it| names.include(it)) {
            return Err(DiscoverError::NoSuchInterface {
                available: interfaces.iter().map(|it| it.name.clone()).collect(),
            });
        }
        let mut kinds = Kinds {
            container_bridges: false,
            loopback: config.loopback(),
        };
        let mut selection = Self::of(interfaces, &names, kinds, config);
        if names.include.is_empty() {
            // A host that has only container bridges asks on those. A host without a network still
            // finds its own servers.
            if !selection.leaves_this_host() {
                kinds.container_bridges = true;
                selection = Self::of(interfaces, &names, kinds, config);
                if selection.leaves_this_host() {
                    selection.last_resort = Some(LastResort::ContainerBridges);
                }
            }
            if selection.links.is_empty() {
                kinds.loopback = true;
                selection = Self::of(interfaces, &names, kinds, config);
                selection.last_resort = Some(LastResort::Loopback);
            }
        }
        if selection.links.is_empty() {
            return Err(DiscoverError::NoUsableInterface {
                skipped: selection.skipped,
            });
        }
        Ok(selection)
    }

    /// Whether the search asks on `interface`.
    pub(crate) fn asks_on(&self, interface: &Interface) -> bool {
        self.links
            .iter()
            .any(|link| link.interface == interface.name)
    }

    /// Whether a link leads to other hosts.
    fn leaves_this_host(&self) -> bool {
        // A loopback link asks its own address.
        let itself = |link: &Link| link.destinations.iter().all(|it| it.ip == link.local);
        !self.links.iter().all(itself)
    }

    fn of(interfaces: &[Interface], names: &Names, kinds: Kinds, config: &Config) -> Self {
        let mut selection = Self::default();
        for interface in interfaces {
            match names
                .check(interface, kinds)
                .and_then(|()| links(interface, config))
            {
                Ok(links) => selection.links.extend(links),
                Err(reason) => selection.skipped.push(Skipped {
                    interface: interface.name.clone(),
                    reason,
                }),
            }
        }
        // IPv4 first, in the order of the interfaces.
        selection.links.sort_by_key(|link| link.local.is_ipv6());
        selection
    }
}

/// The names of the interfaces to ask on and to skip.
struct Names {
    include: Vec<WildMatch>,
    exclude: Vec<WildMatch>,
}

impl Names {
    fn new(config: &Config) -> Self {
        let globs = |names: &[String]| names.iter().map(|name| WildMatch::new(name)).collect();
        Self {
            include: globs(config.interfaces()),
            exclude: globs(config.excluded_interfaces()),
        }
    }

    fn include(&self, interface: &Interface) -> bool {
        any_matches(&self.include, interface)
    }

    /// Returns why `interface` is skipped, if it is.
    fn check(&self, interface: &Interface, kinds: Kinds) -> Result<(), SkipReason> {
        let named = self.include(interface);
        let wanted = named || kinds.loopback && interface.flags.loopback;
        if any_matches(&self.exclude, interface) {
            Err(SkipReason::Excluded)
        } else if !wanted && !self.include.is_empty() {
            Err(SkipReason::NotNamed)
        } else if !interface.flags.up {
            Err(SkipReason::Down)
        } else if interface.flags.loopback && !wanted {
            Err(SkipReason::Loopback)
        } else if interface.is_container_bridge() && !named && !kinds.container_bridges {
            Err(SkipReason::ContainerBridge)
        } else {
            Ok(())
        }
    }
}

/// Refuses a target that is no host, or a network that is too large.
fn check_target(
    config: &Config,
    interfaces: &[Interface],
    resolved: &ResolvedTarget,
) -> Result<(), DiscoverError> {
    let target = || resolved.target.clone();
    let ip = resolved.target.ip();
    if ip.is_some_and(|ip| is_network_or_broadcast_address(interfaces, ip)) {
        return Err(DiscoverError::NotAHost { target: target() });
    }
    check_size(config, &resolved.target)
        .map_err(|(target, limit)| DiscoverError::NetworkTooLarge { target, limit })
}

/// Refuses a target that is too large a network, with the limit that it exceeds.
pub(crate) fn check_size(config: &Config, target: &Target) -> Result<(), (Target, u32)> {
    let Some(network) = target.network() else {
        return Ok(());
    };
    let bits = network.max_prefix_len() - network.prefix_len();
    let addresses = 1_u32.checked_shl(bits.into()).unwrap_or(u32::MAX);
    for (limit, holds) in [
        (LARGE_SWEEP_LIMIT, true),
        (SWEEP_LIMIT, !config.large_sweeps()),
    ] {
        if holds && addresses > limit {
            return Err((target.clone(), limit));
        }
    }
    Ok(())
}

/// The position of the first target that is a network with the host `address`, on the port that
/// networks are asked on.
fn first_network(config: &Config, host: &Host, address: SocketAddr) -> Option<usize> {
    let ip = number(address.ip());
    let is_host = |target: &ResolvedTarget| {
        target.target.network().is_some_and(|network| {
            let (first, last) = hosts_here(network, &host.interfaces);
            (first..=last).contains(&ip)
        })
    };
    let on_port = address.port() == config.settings().port();
    host.targets.iter().position(is_host).filter(|_| on_port)
}

/// Whether `ip` is the first or the last address of a network of this host, which name no host (RFC
/// 1122, 3.2.1.3).
pub(crate) fn is_network_or_broadcast_address(interfaces: &[Interface], ip: IpAddr) -> bool {
    let mut addresses = interfaces.iter().flat_map(|it| &it.addresses);
    addresses.any(|address| match (address.network(), ip) {
        (IpNet::V4(network), IpAddr::V4(ip)) => {
            (1..=30).contains(&network.prefix_len())
                && (ip == network.network() || ip == network.broadcast())
        }
        _ => false,
    })
}

/// The names, without the patterns, that no interface has.
fn unmatched(config: &Config, interfaces: &[Interface]) -> Vec<String> {
    let has = |name: &str| interfaces.iter().any(|it| it.name == name);
    let mut names: Vec<String> = Vec::new();
    for name in config
        .interfaces()
        .iter()
        .chain(config.excluded_interfaces())
    {
        if !name.contains(['*', '?']) && !has(name) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn any_matches(globs: &[WildMatch], interface: &Interface) -> bool {
    globs.iter().any(|glob| glob.matches(&interface.name))
}

/// The links of an interface, one for each IPv4 address, and one for IPv6.
fn links(interface: &Interface, config: &Config) -> Result<Vec<Link>, SkipReason> {
    let family = config.family();
    let v4 = if family == Family::V6 {
        Vec::new()
    } else {
        ipv4_links(interface, config)
    };
    let waits_for_ipv4 = family == Family::Auto && !v4.is_empty();
    let v6 = if family == Family::V4 {
        None
    } else {
        ipv6_link(interface, config.settings().port())
    };
    let v6 = v6.map(|link| Link {
        waits_for_ipv4,
        ..link
    });
    let links: Vec<Link> = v4.into_iter().chain(v6).collect();
    if !links.is_empty() {
        return Ok(links);
    }
    let mut addresses = interface.addresses.iter();
    let has = |v6: bool| addresses.clone().any(|it| it.ip().is_ipv6() == v6);
    Err(match family {
        Family::V4 if !has(false) => SkipReason::NoIpv4Address,
        Family::V6 if !has(true) => SkipReason::NoIpv6Address,
        _ if addresses.next().is_none() => SkipReason::NoAddress,
        _ => SkipReason::NobodyToAsk,
    })
}

fn ipv4_links(interface: &Interface, config: &Config) -> Vec<Link> {
    let addresses = interface.addresses.iter();
    let link = |address: &InterfaceAddress| {
        let IpAddr::V4(local) = address.ip() else {
            return None;
        };
        let destinations = destinations(interface, address, local, config);
        (!destinations.is_empty())
            .then(|| Link::new(&interface.name, interface.index, local.into(), destinations))
    };
    addresses.filter_map(link).collect()
}

/// The link that asks by IPv6, from the link-local address if there is one. Loopback asks its own
/// address. A point-to-point link without a link-local address does not carry multicast.
fn ipv6_link(interface: &Interface, port: u16) -> Option<Link> {
    let all = interface.addresses.iter().filter_map(|it| match it.ip() {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    });
    let link_local = all.clone().find(Ipv6Addr::is_unicast_link_local);
    let other = all.clone().find(|ip| !ip.is_unicast_link_local());
    let (local, destination) = if interface.flags.loopback {
        let local = other?;
        let destination = Destination::new(local.into(), port, DestinationKind::Unicast);
        (local, destination)
    } else {
        let other = other.filter(|_| !interface.flags.point_to_point);
        let group = MULTICAST_V6.into();
        let destination = Destination::new(group, port, DestinationKind::Multicast);
        (link_local.or(other)?, destination)
    };
    let (name, index) = (&interface.name, interface.index);
    Some(Link::new(name, index, local.into(), vec![destination]))
}

/// The destinations of the probes from `local`.
fn destinations(
    interface: &Interface,
    address: &InterfaceAddress,
    local: Ipv4Addr,
    config: &Config,
) -> Vec<Destination> {
    let port = config.settings().port();
    let broadcast = |ip: Ipv4Addr| Destination::new(ip.into(), port, DestinationKind::Broadcast);
    let unicast = |ip: Ipv4Addr| Destination::new(ip.into(), port, DestinationKind::Unicast);
    if interface.flags.loopback {
        return vec![unicast(local)];
    }
    let group = Destination::new(MULTICAST_V4.into(), port, DestinationKind::Multicast);
    let group = config.multicast().then_some(group);
    let directed = address.directed_broadcast().map(broadcast);
    if interface.flags.point_to_point {
        return match directed {
            Some(directed) => group.into_iter().chain([directed]).collect(),
            None => other_hosts(address.network(), local)
                .into_iter()
                .map(unicast)
                .collect(),
        };
    }
    // The limited broadcast also reaches hosts with another prefix.
    let limited = broadcast(Ipv4Addr::BROADCAST);
    let hosts = routed_hosts(interface, local).take(HOSTS_ASKED);
    let hosts = hosts.map(unicast);
    let networks = if interface.flags.broadcast {
        group.into_iter().chain(directed).chain([limited]).collect()
    } else {
        let group = Destination::new(MULTICAST_V4.into(), port, DestinationKind::Multicast);
        vec![group]
    };
    networks.into_iter().chain(hosts).collect()
}

/// The hosts other than `local`, in a network of one or two addresses. None in a larger one.
fn other_hosts(network: IpNet, local: Ipv4Addr) -> Vec<Ipv4Addr> {
    match network {
        IpNet::V4(network) if network.prefix_len() >= 31 => {
            network.hosts().filter(|&host| host != local).collect()
        }
        _ => Vec::new(),
    }
}

/// The hosts on the link of `interface` that a peer address or a host route names, and that are
/// reached from `local`. Such links may have no broadcast.
fn routed_hosts(interface: &Interface, local: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let peers = interface
        .addresses
        .iter()
        .filter_map(InterfaceAddress::peer);
    let networks = interface.routes.iter().map(InterfaceRoute::network);
    let routes = networks.filter(|network| network.prefix_len() == 32);
    let hosts = peers.chain(routes.map(|network| network.addr()));
    hosts.filter_map(move |host| match host {
        IpAddr::V4(v4)
            if HostIp::new(host).is_ok()
                && !is_reached_by_directed_broadcast(interface, v4)
                && interface.address_towards(host) == Some(local.into()) =>
        {
            Some(v4)
        }
        _ => None,
    })
}

fn is_reached_by_directed_broadcast(interface: &Interface, host: Ipv4Addr) -> bool {
    interface.addresses.iter().any(|address| {
        address.directed_broadcast().is_some() && address.network().contains(&IpAddr::V4(host))
    })
}

#[cfg(test)]
mod tests {
    use udp_discovery_protocol::InterfaceFlags;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn interface(name: &str, addresses: &[(&str, u8)]) -> Interface {
        let mut interface = Interface::new(name, 1);
        let loopback = name == "lo";
        interface.flags = InterfaceFlags {
            up: true,
            loopback,
            broadcast: !loopback,
            point_to_point: false,
        };
        interface.addresses = addresses
            .iter()
            .map(|&(address, prefix_len)| InterfaceAddress::new(ip(address), prefix_len).unwrap())
            .collect();
        interface
    }

    /// Loopback, a LAN, a second one that is down, one with IPv6 only, and a container bridge.
    fn host() -> Vec<Interface> {
        let mut down = interface("eth1", &[("10.0.0.1", 24)]);
        down.flags.up = false;
        vec![
            interface("lo", &[("127.0.0.1", 8), ("::1", 128)]),
            interface("eth0", &[("192.168.1.2", 24), ("fe80::2", 64)]),
            down,
            interface("eth2", &[("fe80::3", 64)]),
            interface("docker0", &[("172.17.0.1", 16)]),
        ]
    }

    fn names(selection: &Selection) -> Vec<&str> {
        let names = selection.links.iter().map(|link| link.interface.as_str());
        names.collect()
    }

    fn select(config: &Config) -> Selection {
        Selection::new(&config.clone().with_family(Family::V4), &host()).unwrap()
    }

    fn destinations_of(interface: Interface) -> Vec<Vec<String>> {
        let selection =
            Selection::new(&Config::default().with_family(Family::V4), &[interface]).unwrap();
        let text = |link: Link| {
            link.destinations
                .iter()
                .map(|it| it.ip.to_string())
                .collect()
        };
        selection.links.into_iter().map(text).collect()
    }

    #[test]
    fn by_default_the_networks_that_are_up_are_asked() {
        let selection = select(&Config::default());
        assert_eq!(names(&selection), ["eth0"]);
        let skipped: Vec<_> = selection.skipped.iter().map(ToString::to_string).collect();
        assert_eq!(
            skipped,
            [
                "lo: loopback",
                "eth1: down",
                "eth2: no IPv4 address",
                "docker0: container bridge"
            ]
        );
    }

    /// The links of [`host`], with what each asks.
    fn asked(family: Family) -> Vec<String> {
        let config = Config::default().with_family(family).with_loopback(true);
        let text = |link: &Link| {
            let destinations = link.destinations.iter().map(|it| it.ip.to_string());
            let waits = if link.waits_for_ipv4 { "waits: " } else { "" };
            let destinations: Vec<_> = destinations.collect();
            format!(
                "{waits}{} {} {}",
                link.interface,
                link.local,
                destinations.join(" ")
            )
        };
        let selection = Selection::new(&config, &host()).unwrap();
        selection.links.iter().map(text).collect()
    }

    #[test]
    fn the_family_decides_which_links_ask_ipv4_first() {
        let lo = "lo 127.0.0.1 127.0.0.1";
        let lo6 = "lo ::1 ::1";
        let eth0 = "eth0 192.168.1.2 192.168.1.255 255.255.255.255";
        let eth0_6 = "eth0 fe80::2 ff12::8000:270f";
        let eth2 = "eth2 fe80::3 ff12::8000:270f";
        assert_eq!(asked(Family::V4), [lo, eth0]);
        assert_eq!(asked(Family::V6), [lo6, eth0_6, eth2]);
        assert_eq!(asked(Family::Both), [lo, eth0, lo6, eth0_6, eth2]);
        let (lo6, eth0_6) = (format!("waits: {lo6}"), format!("waits: {eth0_6}"));
        assert_eq!(asked(Family::Auto), [lo, eth0, &lo6, &eth0_6, eth2]);
    }

    #[test]
    fn fault_44_a_host_without_ipv6_is_asked_by_ipv4_unless_that_is_excluded() {
        let eth0 = [interface("eth0", &[("192.168.1.2", 24)])];
        for family in [Family::Auto, Family::V4, Family::Both] {
            let config = Config::default().with_family(family);
            assert_eq!(Selection::new(&config, &eth0).unwrap().links.len(), 1);
        }
        let config = Config::default().with_family(Family::V6);
        match Selection::new(&config, &eth0) {
            Err(DiscoverError::NoUsableInterface { skipped }) => {
                assert_eq!(skipped[0].reason, SkipReason::NoIpv6Address);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_link_local_address_another_one_asks_by_ipv6() {
        let eth0 = interface("eth0", &[("2001:db8::2", 64), ("2001:db8::3", 64)]);
        let selection = Selection::new(&Config::default(), &[eth0]).unwrap();
        let links: Vec<_> = selection.links.iter().map(|it| it.local).collect();
        assert_eq!(links, [ip("2001:db8::2")]);
    }

    #[test]
    fn the_ipv4_group_takes_turns_if_configured_and_replaces_a_missing_broadcast() {
        let asks = |config: &Config, interface| {
            let selection = Selection::new(config, &[interface]).unwrap();
            let destinations = selection.links[0].destinations.iter();
            destinations.map(|it| it.ip.to_string()).collect::<Vec<_>>()
        };
        let eth0 = || interface("eth0", &[("192.168.1.2", 24)]);
        assert_eq!(
            asks(&Config::default().with_multicast(true), eth0()),
            ["239.255.39.15", "192.168.1.255", "255.255.255.255"]
        );
        let mut without = eth0();
        without.flags.broadcast = false;
        assert_eq!(asks(&Config::default(), without), ["239.255.39.15"]);
    }

    #[test]
    fn whatever_is_named_is_asked() {
        let config = Config::default().with_interfaces(["docker*", "lo"]);
        let selection = select(&config);
        assert_eq!(names(&selection), ["lo", "docker0"]);
        assert_eq!(selection.skipped[0].reason, SkipReason::NotNamed);

        let config = config.with_excluded_interfaces(["l?"]);
        assert_eq!(names(&select(&config)), ["docker0"]);
    }

    #[test]
    fn loopback_is_asked_too_if_that_is_configured() {
        let config = Config::default().with_loopback(true);
        assert_eq!(names(&select(&config)), ["lo", "eth0"]);
        let config = config.with_interfaces(["docker0"]);
        assert_eq!(names(&select(&config)), ["lo", "docker0"]);
    }

    #[test]
    fn what_the_default_leaves_out_is_asked_if_there_is_nothing_else() {
        assert_eq!(select(&Config::default()).last_resort, None);

        let config = Config::default().with_excluded_interfaces(["eth0"]);
        let selection = select(&config);
        assert_eq!(names(&selection), ["docker0"]);
        assert_eq!(selection.last_resort, Some(LastResort::ContainerBridges));
        let selection = select(&config.with_loopback(true));
        assert_eq!(names(&selection), ["lo", "docker0"]);
        assert_eq!(selection.last_resort, Some(LastResort::ContainerBridges));

        let config = Config::default().with_excluded_interfaces(["eth0", "docker0"]);
        let selection = select(&config);
        assert_eq!(names(&selection), ["lo"]);
        assert_eq!(selection.last_resort, Some(LastResort::Loopback));
        // It was asked for.
        let selection = select(&config.with_loopback(true));
        assert_eq!(names(&selection), ["lo"]);
        assert_eq!(selection.last_resort, None);
    }

    #[test]
    fn a_name_has_no_last_resort() {
        let config = Config::default().with_interfaces(["docker0", "eth1"]);
        let selection = select(&config);
        assert_eq!(names(&selection), ["docker0"]);
        assert_eq!(selection.last_resort, None);
    }

    #[test]
    fn a_name_that_no_interface_has_is_an_error_that_names_those_there_are() {
        let config = Config::default().with_interfaces(["wlan0"]);
        match Selection::new(&config, &host()) {
            Err(DiscoverError::NoSuchInterface { available }) => {
                assert_eq!(available, ["lo", "eth0", "eth1", "eth2", "docker0"]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_that_no_interface_has_are_reported_and_patterns_are_not() {
        let config = Config::default()
            .with_interfaces(["eth0", "eht2", "wlan*", "eth?"])
            .with_excluded_interfaces(["eth1", "docker1", "eht2", "virbr*"]);
        let host = Host::new(host());
        let selection = Selection::of_host(&config, &host).unwrap();
        assert_eq!(selection.unmatched, ["eht2", "docker1"]);
        let selection = Selection::of_host(&Config::default(), &host).unwrap();
        assert!(selection.unmatched.is_empty());
    }

    #[test]
    fn nothing_to_ask_on_is_an_error_that_says_why() {
        let config = Config::default().with_interfaces(["eth1"]);
        match Selection::new(&config, &host()) {
            Err(DiscoverError::NoUsableInterface { skipped }) => {
                assert_eq!(skipped[2].to_string(), "eth1: down");
            }
            other => panic!("{other:?}"),
        }
        assert!(Selection::new(&Config::default(), &[]).is_err());
    }

    #[test]
    fn each_address_asks_its_own_network() {
        assert_eq!(
            destinations_of(interface(
                "eth0",
                &[("192.168.1.2", 24), ("fe80::2", 64), ("10.1.2.3", 8)]
            )),
            [
                ["192.168.1.255", "255.255.255.255"],
                ["10.255.255.255", "255.255.255.255"]
            ]
        );
    }

    #[test]
    fn a_network_without_a_directed_broadcast_is_asked_by_the_limited_one() {
        for prefix_len in [0, 31, 32] {
            let eth0 = interface("eth0", &[("192.168.1.2", prefix_len)]);
            assert_eq!(destinations_of(eth0), [["255.255.255.255"]]);
        }
    }

    #[test]
    fn a_peer_is_asked_besides_the_broadcast() {
        let mut eth0 = interface("eth0", &[("192.168.1.2", 24)]);
        let address = InterfaceAddress::with_peer(ip("10.77.0.2"), ip("10.77.0.1"), 32).unwrap();
        eth0.addresses.push(address);
        // The directed broadcast reaches this one.
        let address = InterfaceAddress::with_peer(ip("10.5.0.2"), ip("10.5.0.1"), 24).unwrap();
        eth0.addresses.push(address);
        assert_eq!(
            destinations_of(eth0),
            [
                vec!["192.168.1.255", "255.255.255.255"],
                vec!["255.255.255.255", "10.77.0.1"],
                vec!["10.5.0.255", "255.255.255.255"]
            ]
        );
    }

    fn route(network: &str, source: Option<&str>) -> InterfaceRoute {
        InterfaceRoute::new(network.parse().unwrap(), source.map(ip)).unwrap()
    }

    #[test]
    fn hosts_that_a_route_names_are_asked_from_the_address_that_the_route_prefers() {
        let mut eth0 = interface("eth0", &[("10.77.0.2", 32), ("10.77.0.3", 32)]);
        eth0.routes = vec![
            route("10.77.0.1/32", None),
            route("10.77.0.4/32", Some("10.77.0.3")),
            route("224.0.0.251/32", None),
            route("10.78.0.0/24", None),
            route("2001:db8::1/128", None),
        ];
        assert_eq!(
            destinations_of(eth0),
            [
                ["255.255.255.255", "10.77.0.1"],
                ["255.255.255.255", "10.77.0.4"]
            ]
        );
    }

    #[test]
    fn a_host_that_hears_the_directed_broadcast_is_not_asked_again() {
        let mut eth0 = interface("eth0", &[("192.168.1.2", 24)]);
        eth0.routes = vec![route("192.168.1.9/32", None)];
        assert_eq!(
            destinations_of(eth0),
            [["192.168.1.255", "255.255.255.255"]]
        );
    }

    #[test]
    fn no_more_than_16_hosts_are_asked_one_by_one() {
        let mut eth0 = interface("eth0", &[("10.77.0.2", 32)]);
        let host = |last| route(&format!("10.77.1.{last}/32"), None);
        eth0.routes = (1..=17).map(host).collect();
        let destinations = &destinations_of(eth0)[0];
        assert_eq!(destinations.len(), 1 + 16);
        assert_eq!(destinations[16], "10.77.1.16");
    }

    #[test]
    fn no_route_is_asked_on_a_point_to_point_interface() {
        let mut tun0 = interface("tun0", &[]);
        tun0.flags.point_to_point = true;
        let address = InterfaceAddress::with_peer(ip("10.7.0.1"), ip("10.7.0.2"), 32).unwrap();
        tun0.addresses.push(address);
        tun0.routes = vec![route("192.168.1.9/32", None)];
        assert_eq!(destinations_of(tun0), [["10.7.0.2"]]);
    }

    #[test]
    fn loopback_is_asked_at_its_own_address() {
        let lo = interface("lo", &[("127.0.0.1", 8), ("127.0.0.2", 8)]);
        assert_eq!(destinations_of(lo), [["127.0.0.1"], ["127.0.0.2"]]);
    }

    #[test]
    fn the_other_end_of_a_point_to_point_link_is_asked() {
        let mut tun0 = interface("tun0", &[("10.8.0.0", 31), ("10.9.0.2", 24)]);
        tun0.flags.point_to_point = true;
        let address = InterfaceAddress::with_peer(ip("10.7.0.1"), ip("10.7.0.2"), 32).unwrap();
        tun0.addresses.push(address);
        assert_eq!(
            destinations_of(tun0),
            [["10.8.0.1"], ["10.9.0.255"], ["10.7.0.2"]]
        );
    }

    #[test]
    fn a_point_to_point_link_without_a_known_end_is_skipped() {
        // A prefix of 0 bits has no directed broadcast address.
        let mut wg0 = interface("wg0", &[("10.8.0.1", 32), ("10.8.0.1", 0), ("fd00::1", 64)]);
        wg0.flags.point_to_point = true;
        match Selection::new(&Config::default(), &[wg0]) {
            Err(DiscoverError::NoUsableInterface { skipped }) => {
                assert_eq!(skipped[0].reason, SkipReason::NobodyToAsk);
            }
            other => panic!("{other:?}"),
        }
    }
}
