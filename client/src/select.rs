//! Which interface addresses a search asks from, and the destinations of each.

use std::net::{IpAddr, Ipv4Addr};

use udp_discovery_protocol::{HostIp, Interface, InterfaceAddress, InterfaceRoute, IpNet};
use wildmatch::WildMatch;

use crate::config::Config;
use crate::error::DiscoverError;
use crate::report::{Destination, LastResort, Link, SkipReason, Skipped};

/// How many hosts are asked by unicast on an interface. A host with a route to each of its virtual
/// machines may have hundreds, and the broadcast reaches those too.
const HOSTS_ASKED: usize = 16;

/// The interface addresses to ask from, and the interfaces to skip.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) links: Vec<Link>,
    pub(crate) skipped: Vec<Skipped>,
    /// What the search asks on only because there is nothing else.
    pub(crate) last_resort: Option<LastResort>,
}

/// The kinds of interface to ask on even if they are not named.
#[derive(Clone, Copy)]
struct Kinds {
    container_bridges: bool,
    loopback: bool,
}

impl Selection {
    pub(crate) fn new(config: &Config, interfaces: &[Interface]) -> Result<Self, DiscoverError> {
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
        let mut selection = Self::of(interfaces, &names, kinds);
        if names.include.is_empty() {
            // A host that has only container bridges asks on those. A host without a network still
            // finds its own servers.
            if !selection.leaves_this_host() {
                kinds.container_bridges = true;
                selection = Self::of(interfaces, &names, kinds);
                if selection.leaves_this_host() {
                    selection.last_resort = Some(LastResort::ContainerBridges);
                }
            }
            if selection.links.is_empty() {
                kinds.loopback = true;
                selection = Self::of(interfaces, &names, kinds);
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

    fn of(interfaces: &[Interface], names: &Names, kinds: Kinds) -> Self {
        let mut selection = Self {
            links: Vec::new(),
            skipped: Vec::new(),
            last_resort: None,
        };
        for interface in interfaces {
            match names
                .check(interface, kinds)
                .and_then(|()| links(interface))
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

fn any_matches(globs: &[WildMatch], interface: &Interface) -> bool {
    globs.iter().any(|glob| glob.matches(&interface.name))
}

/// The links of an interface, one for each IPv4 address.
fn links(interface: &Interface) -> Result<Vec<Link>, SkipReason> {
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
            let destinations = destinations(interface, address, local);
            (!destinations.is_empty())
                .then(|| Link::new(&interface.name, interface.index, local, destinations))
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
) -> Vec<Destination> {
    if interface.flags.loopback {
        return vec![Destination::unicast(local)];
    }
    let directed = address.directed_broadcast().map(Destination::broadcast);
    if interface.flags.point_to_point {
        return match directed {
            Some(directed) => vec![directed],
            None => other_hosts(address.network(), local),
        };
    }
    // The limited broadcast also reaches hosts with another prefix.
    let limited = Destination::broadcast(Ipv4Addr::BROADCAST);
    let hosts = routed_hosts(interface, local).take(HOSTS_ASKED);
    let hosts = hosts.map(Destination::unicast);
    directed.into_iter().chain([limited]).chain(hosts).collect()
}

/// The hosts other than `local`, in a network of one or two addresses. None in a larger one.
fn other_hosts(network: IpNet, local: Ipv4Addr) -> Vec<Destination> {
    match network {
        IpNet::V4(network) if network.prefix_len() >= 31 => network
            .hosts()
            .filter(|&host| host != local)
            .map(Destination::unicast)
            .collect(),
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
