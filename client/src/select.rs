//! Which interface addresses a search asks from, and the destinations of each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use udp_discovery_protocol::{HostIp, Interface, InterfaceAddress, InterfaceRoute, IpNet};
use wildmatch::WildMatch;

use crate::config::Config;
use crate::error::DiscoverError;
use crate::report::{Destination, DestinationKind, LastResort, Link, SkipReason, Skipped};
use crate::target::{ResolvedTarget, Route};

/// How many hosts are asked by unicast on an interface. A host with a route to each of its virtual
/// machines may have hundreds, and the broadcast reaches those too.
const HOSTS_ASKED: usize = 16;

/// The interface addresses to ask from, and the interfaces to skip.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) links: Vec<Link>,
    pub(crate) skipped: Vec<Skipped>,
    /// What the search asks on only because there is nothing else.
    pub(crate) last_resort: Option<LastResort>,
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

impl Selection {
    /// The links of a search with its targets, and what each address of a target is.
    pub(crate) fn with_targets(
        config: &Config,
        interfaces: &[Interface],
        targets: &[ResolvedTarget],
    ) -> Result<(Self, HashMap<SocketAddr, Asked>), DiscoverError> {
        let names_no_host = |target: &&ResolvedTarget| {
            let ip = target.target.ip();
            ip.is_some_and(|ip| is_network_or_broadcast_address(interfaces, ip))
        };
        if let Some(target) = targets.iter().find(names_no_host) {
            return Err(DiscoverError::NotAHost {
                target: target.target.clone(),
            });
        }
        let has_routes = targets.iter().any(|target| !target.routes.is_empty());
        let mut selection = if config.broadcast() {
            match Self::new(config, interfaces) {
                // The targets are asked after all.
                Err(DiscoverError::NoUsableInterface { skipped }) if has_routes => Self {
                    skipped,
                    ..Self::default()
                },
                other => other?,
            }
        } else if has_routes {
            Self::default()
        } else {
            return Err(DiscoverError::NothingToAsk);
        };
        let mut asked = HashMap::new();
        for (target, resolved) in targets.iter().enumerate() {
            for route in &resolved.routes {
                // Each address is asked once.
                if let Entry::Vacant(entry) = asked.entry(route.remote) {
                    let (link, destination) = selection.add_route(interfaces, *route);
                    entry.insert(Asked {
                        target,
                        link,
                        destination,
                    });
                }
            }
        }
        Ok((selection, asked))
    }

    /// Adds the address of a target to the link that asks it. Returns the positions of both.
    fn add_route(&mut self, interfaces: &[Interface], route: Route) -> (usize, usize) {
        // A link may ask it already, as the other end of a tunnel.
        for (at, link) in self.links.iter().enumerate() {
            let mut destinations = link.destinations.iter();
            let is_asked = |it: &Destination| {
                it.kind == DestinationKind::Unicast && it.socket_addr() == route.remote
            };
            if let Some(destination) = destinations.position(is_asked) {
                return (at, destination);
            }
        }
        let link = self.links.iter().position(|link| link.local == route.local);
        let link = link.unwrap_or_else(|| {
            let interface = interfaces.iter().find(|it| it.holds(route.local));
            let (name, index) = interface.map_or(("", 0), |it| (it.name.as_str(), it.index));
            let link = Link::new(name, index, route.local, Vec::new());
            self.links.push(Link {
                targets_only: true,
                ..link
            });
            self.links.len() - 1
        });
        let destinations = &mut self.links[link].destinations;
        let (ip, port) = (route.remote.ip(), route.remote.port());
        destinations.push(Destination::new(ip, port, DestinationKind::Unicast));
        (link, destinations.len() - 1)
    }

    fn new(config: &Config, interfaces: &[Interface]) -> Result<Self, DiscoverError> {
        let names = Names::new(config);
        let port = config.settings().port();
        if !names.include.is_empty() && !interfaces.iter().any(|it| names.include(it)) {
            return Err(DiscoverError::NoSuchInterface {
                available: interfaces.iter().map(|it| it.name.clone()).collect(),
            });
        }
        let mut kinds = Kinds {
            container_bridges: false,
            loopback: config.loopback(),
        };
        let mut selection = Self::of(interfaces, &names, kinds, port);
        if names.include.is_empty() {
            // A host that has only container bridges asks on those. A host without a network still
            // finds its own servers.
            if !selection.leaves_this_host() {
                kinds.container_bridges = true;
                selection = Self::of(interfaces, &names, kinds, port);
                if selection.leaves_this_host() {
                    selection.last_resort = Some(LastResort::ContainerBridges);
                }
            }
            if selection.links.is_empty() {
                kinds.loopback = true;
                selection = Self::of(interfaces, &names, kinds, port);
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

    fn of(interfaces: &[Interface], names: &Names, kinds: Kinds, port: u16) -> Self {
        let mut selection = Self::default();
        for interface in interfaces {
            match names
                .check(interface, kinds)
                .and_then(|()| links(interface, port))
            {
                Ok(links) => selection.links.extend(links),
                Err(reason) => selection.skipped.push(Skipped {
                    interface: interface.name.clone(),
                    reason,
                }),
            }
        }
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

/// Whether `ip` is the first or the last address of a network of this host, which name no host (RFC
/// 1122, 3.2.1.3).
fn is_network_or_broadcast_address(interfaces: &[Interface], ip: IpAddr) -> bool {
    let mut addresses = interfaces.iter().flat_map(|it| &it.addresses);
    addresses.any(|address| match (address.network(), ip) {
        (IpNet::V4(network), IpAddr::V4(ip)) => {
            (1..=30).contains(&network.prefix_len())
                && (ip == network.network() || ip == network.broadcast())
        }
        _ => false,
    })
}

fn any_matches(globs: &[WildMatch], interface: &Interface) -> bool {
    globs.iter().any(|glob| glob.matches(&interface.name))
}

/// The links of an interface, one for each IPv4 address.
fn links(interface: &Interface, port: u16) -> Result<Vec<Link>, SkipReason> {
    if interface.ipv4_addresses().next().is_none() {
        return Err(SkipReason::NoIpv4Address);
    }
    let links: Vec<Link> = interface
        .addresses
        .iter()
        .filter_map(|address| {
            let IpAddr::V4(local) = address.ip() else {
                return None;
            };
            let destinations = destinations(interface, address, local, port);
            (!destinations.is_empty())
                .then(|| Link::new(&interface.name, interface.index, local.into(), destinations))
        })
        .collect();
    if links.is_empty() {
        return Err(SkipReason::NobodyToAsk);
    }
    Ok(links)
}

/// The destinations of the probes from `local`.
fn destinations(
    interface: &Interface,
    address: &InterfaceAddress,
    local: Ipv4Addr,
    port: u16,
) -> Vec<Destination> {
    let broadcast = |ip: Ipv4Addr| Destination::new(ip.into(), port, DestinationKind::Broadcast);
    let unicast = |ip: Ipv4Addr| Destination::new(ip.into(), port, DestinationKind::Unicast);
    if interface.flags.loopback {
        return vec![unicast(local)];
    }
    let directed = address.directed_broadcast().map(broadcast);
    if interface.flags.point_to_point {
        return match directed {
            Some(directed) => vec![directed],
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
    directed.into_iter().chain([limited]).chain(hosts).collect()
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
        Selection::new(config, &host()).unwrap()
    }

    fn destinations_of(interface: Interface) -> Vec<Vec<String>> {
        let selection = Selection::new(&Config::default(), &[interface]).unwrap();
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
        let mut wg0 = interface("wg0", &[("10.8.0.1", 32), ("10.8.0.1", 0)]);
        wg0.flags.point_to_point = true;
        match Selection::new(&Config::default(), &[wg0]) {
            Err(DiscoverError::NoUsableInterface { skipped }) => {
                assert_eq!(skipped[0].reason, SkipReason::NobodyToAsk);
            }
            other => panic!("{other:?}"),
        }
    }
}
