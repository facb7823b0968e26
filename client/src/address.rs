//! Which address of an answer is the one to use.

use std::net::{IpAddr, SocketAddr};

use udp_discovery_protocol::{HostIp, Interface, InterfaceAddress, IpNet};

/// How the address that a server names and the one that its answer came from make the address
/// to use.
///
/// A loopback address that is named by another host is used by none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum AddressPolicy {
    /// The address named, if it is that of the source or on a network of this host; otherwise the
    /// source's. The default.
    ///
    /// A server behind several networks, or in a container, often names an address that is of no
    /// use here. A network of this host is that of an interface that is up, loopback and
    /// container bridges left out unless they were asked on. One of this host's own addresses is
    /// taken only from this host, and a link-local IPv6 address never, since it needs an
    /// interface to go with it.
    #[default]
    Auto,
    /// The address named. An answer from another host that names a loopback address is dropped.
    Claim,
    /// The address that the answer came from.
    Source,
    /// The address named, which must be the one that the answer came from; other answers are
    /// dropped.
    Match,
}

/// Judges addresses, with what is known of this host.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    policy: AddressPolicy,
    /// The networks whose addresses can be reached.
    networks: Vec<IpNet>,
    /// Every address that this host holds.
    own: Vec<IpAddr>,
}

impl Judge {
    /// `asked` says whether an interface is one that the search asks on.
    pub(crate) fn new(
        policy: AddressPolicy,
        interfaces: &[Interface],
        asked: impl Fn(&Interface) -> bool,
    ) -> Self {
        let reachable = |interface: &&Interface| {
            interface.flags.up
                && !interface.flags.loopback
                && (!interface.is_container_bridge() || asked(interface))
        };
        let addresses = |interface: &Interface| interface.addresses.clone();
        Self {
            policy,
            networks: interfaces
                .iter()
                .filter(reachable)
                .flat_map(Interface::networks)
                .collect(),
            own: interfaces
                .iter()
                .flat_map(addresses)
                .map(|address: InterfaceAddress| address.ip())
                .collect(),
        }
    }

    /// The address to use, if the answer is to be taken at all.
    pub(crate) fn address(&self, claim: IpAddr, source: SocketAddr) -> Option<IpAddr> {
        let source = source.ip();
        if HostIp::new(source).is_err() {
            return None; // forged: no host has such an address
        }
        match self.policy {
            AddressPolicy::Auto if self.is_usable(claim, source) => Some(claim),
            AddressPolicy::Auto | AddressPolicy::Source => Some(source),
            AddressPolicy::Claim => {
                (!claim.is_loopback() || self.is_this_host(source)).then_some(claim)
            }
            AddressPolicy::Match => (claim == source).then_some(claim),
        }
    }

    fn is_usable(&self, claim: IpAddr, source: IpAddr) -> bool {
        if claim == source {
            true
        } else if self.is_this_host(claim) {
            self.is_this_host(source)
        } else {
            self.is_on_a_network(claim)
        }
    }

    fn is_this_host(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.own.contains(&ip)
    }

    fn is_on_a_network(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| match (network, ip) {
            (IpNet::V4(network), IpAddr::V4(ip)) => {
                // The first and the last address of a network name no host (RFC 1122, 3.2.1.3),
                // unless it has no others (RFC 3021).
                let no_host = [network.network(), network.broadcast()];
                network.contains(&ip) && (network.prefix_len() > 30 || !no_host.contains(&ip))
            }
            (IpNet::V6(network), IpAddr::V6(ip)) => {
                network.contains(&ip) && !ip.is_unicast_link_local()
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use udp_discovery_protocol::{InterfaceFlags, InterfaceRoute};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn interface(name: &str, addresses: &[(&str, u8)]) -> Interface {
        let mut interface = Interface::new(name, 1);
        interface.flags = InterfaceFlags {
            up: true,
            loopback: name == "lo",
            ..InterfaceFlags::default()
        };
        interface.addresses = addresses
            .iter()
            .map(|&(address, prefix_len)| InterfaceAddress::new(ip(address), prefix_len).unwrap())
            .collect();
        interface
    }

    /// A host with a LAN, a second network, a container bridge and a network that is down.
    fn judge(policy: AddressPolicy) -> Judge {
        let mut down = interface("eth9", &[("10.9.0.1", 24)]);
        down.flags.up = false;
        let interfaces = [
            interface("lo", &[("127.0.0.1", 8), ("::1", 128), ("10.5.0.1", 24)]),
            interface(
                "eth0",
                &[("192.168.1.2", 24), ("2001:db8::2", 64), ("fe80::2", 64)],
            ),
            interface("eth1", &[("10.0.0.2", 31), ("10.1.0.1", 30)]),
            interface("docker0", &[("172.17.0.1", 16)]),
            down,
        ];
        Judge::new(policy, &interfaces, |_| false)
    }

    /// What becomes of a claim from 192.168.1.7, another host.
    fn from_the_lan(policy: AddressPolicy, claim: &str) -> Option<IpAddr> {
        let source = "192.168.1.7:9999".parse().unwrap();
        judge(policy).address(ip(claim), source)
    }

    #[test]
    fn auto_takes_a_claim_that_can_be_reached() {
        for claim in [
            "192.168.1.7",
            "192.168.1.8",
            "10.0.0.3", // of a network of two
            "10.1.0.2", // of a network of four, which has two hosts
            "2001:db8::7",
        ] {
            assert_eq!(
                from_the_lan(AddressPolicy::Auto, claim),
                Some(ip(claim)),
                "{claim}"
            );
        }
    }

    #[test]
    fn auto_takes_the_source_where_the_claim_is_of_no_use() {
        for claim in [
            "127.0.0.1",     // this host, from another
            "::1",           //
            "192.168.1.2",   // our own address, from another host
            "172.17.0.1",    // ours as well
            "172.17.0.5",    // on a container bridge
            "10.9.0.5",      // on an interface that is down
            "203.0.113.9",   // nowhere near
            "192.168.1.255", // no host's
            "192.168.1.0",   //
            "10.1.0.0",      // no host's in a network of four either
            "10.1.0.3",      //
            "10.5.0.5",      // on a network of loopback
            "fe80::7",       // on which link?
            "2001:db9::7",   //
        ] {
            assert_eq!(
                from_the_lan(AddressPolicy::Auto, claim),
                Some(ip("192.168.1.7")),
                "{claim}"
            );
        }
    }

    #[test]
    fn auto_takes_the_source_where_the_claim_is_on_a_container_network() {
        for bridge in [
            "docker0",
            "docker_gwbridge",
            "br-5f2a0c9b1d3e",
            "podman0",
            "cni0",
            "lxcbr0",
            "lxdbr0",
            "incusbr0",
            "virbr0",
        ] {
            let interfaces = [
                interface("eth0", &[("192.168.1.2", 24)]),
                interface(bridge, &[("10.88.0.1", 16)]),
            ];
            let judge = Judge::new(AddressPolicy::Auto, &interfaces, |_| false);
            let address = judge.address(ip("10.88.0.5"), "192.168.1.7:9999".parse().unwrap());
            assert_eq!(address, Some(ip("192.168.1.7")), "{bridge}");
        }
        let interfaces = [interface("br-lan", &[("10.88.0.1", 16)])];
        let judge = Judge::new(AddressPolicy::Auto, &interfaces, |_| false);
        let address = judge.address(ip("10.88.0.5"), "192.168.1.7:9999".parse().unwrap());
        assert_eq!(address, Some(ip("10.88.0.5")));
    }

    #[test]
    fn auto_takes_a_claim_that_a_route_without_a_gateway_leads_to() {
        let mut eth0 = interface("eth0", &[("10.77.0.2", 32)]);
        let network = "10.78.0.0/24".parse().unwrap();
        eth0.routes.extend(InterfaceRoute::new(network, None));
        let judge = Judge::new(AddressPolicy::Auto, &[eth0], |_| true);
        let address = |claim| judge.address(ip(claim), "10.77.0.1:9999".parse().unwrap());
        assert_eq!(address("10.78.0.5"), Some(ip("10.78.0.5")));
        assert_eq!(address("10.79.0.5"), Some(ip("10.77.0.1")));
    }

    #[test]
    fn our_own_addresses_are_taken_from_this_host() {
        let judge = judge(AddressPolicy::Auto);
        for source in ["127.0.0.1:9999", "192.168.1.2:9999"] {
            for claim in ["127.0.0.1", "192.168.1.2", "10.0.0.2"] {
                let address = judge.address(ip(claim), source.parse().unwrap());
                assert_eq!(address, Some(ip(claim)), "{claim} from {source}");
            }
        }
    }

    #[test]
    fn the_network_of_a_bridge_counts_if_it_was_asked_on() {
        let interfaces = [interface("docker0", &[("172.17.0.1", 16)])];
        let judge = Judge::new(AddressPolicy::Auto, &interfaces, |_| true);
        let address = judge.address(ip("172.17.0.5"), "172.17.0.6:9999".parse().unwrap());
        assert_eq!(address, Some(ip("172.17.0.5")));
    }

    #[test]
    fn a_claim_is_taken_where_that_was_asked_for() {
        let taken = |claim| from_the_lan(AddressPolicy::Claim, claim);
        assert_eq!(taken("203.0.113.9"), Some(ip("203.0.113.9")));
        assert_eq!(taken("127.0.0.1"), None);
        let local = judge(AddressPolicy::Claim)
            .address(ip("127.0.0.1"), "192.168.1.2:9999".parse().unwrap());
        assert_eq!(local, Some(ip("127.0.0.1")));
    }

    #[test]
    fn the_source_is_taken_where_that_was_asked_for() {
        let taken = from_the_lan(AddressPolicy::Source, "192.168.1.8");
        assert_eq!(taken, Some(ip("192.168.1.7")));
    }

    #[test]
    fn a_claim_must_match_where_that_was_asked_for() {
        let taken = |claim| from_the_lan(AddressPolicy::Match, claim);
        assert_eq!(taken("192.168.1.7"), Some(ip("192.168.1.7")));
        assert_eq!(taken("192.168.1.8"), None);
    }

    #[test]
    fn a_source_that_is_no_hosts_is_refused_by_every_policy() {
        for policy in [
            AddressPolicy::Auto,
            AddressPolicy::Claim,
            AddressPolicy::Source,
            AddressPolicy::Match,
        ] {
            for source in [
                "0.0.0.0:9999",
                "0.1.2.3:9999",
                "240.1.2.3:9999",
                "224.0.0.1:9999",
            ] {
                let source: SocketAddr = source.parse().unwrap();
                assert_eq!(judge(policy).address(ip("192.168.1.8"), source), None);
                assert_eq!(judge(policy).address(source.ip(), source), None);
            }
        }
    }
}
