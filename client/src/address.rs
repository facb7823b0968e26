//! Which address of an answer is the one to use.

use std::net::{IpAddr, SocketAddr};

use udp_discovery_protocol::{HostIp, Interface, InterfaceAddress, IpNet};

/// How a search chooses the address to use: the one that a server claims, or the source of its
/// answer.
///
/// No policy uses a loopback address that another host claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum AddressPolicy {
    /// The claimed address if it equals the source or is on a network of this host, otherwise the
    /// source. The default.
    ///
    /// A server with several networks, or in a container, often claims an address that is useless
    /// here. A network of this host is one of an interface that is up. Loopback does not count, and
    /// container bridges count only if the search asks on them. An address of this host is used
    /// only if the answer came from this host. A link-local IPv6 address is used only if the answer
    /// came from one too, and so from the link of that interface.
    #[default]
    Auto,
    /// The claimed address. An answer from another host that claims a loopback address is dropped.
    Claim,
    /// The source of the answer.
    Source,
    /// The claimed address, which must equal the source. Other answers are dropped.
    Match,
}

/// Selects the address to use by a policy and the addresses of this host.
#[derive(Clone, Debug)]
pub(crate) struct AddressSelector {
    policy: AddressPolicy,
    /// The networks with addresses that this host can reach.
    networks: Vec<IpNet>,
    /// Every address that this host holds.
    own: Vec<IpAddr>,
}

impl AddressSelector {
    /// `asked` returns whether the search asks on an interface.
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

    /// The address to use of an answer that came by the interface with this `index`, and its scope: the
    /// index if the address is link-local, otherwise 0. `None` if the policy refuses the answer. A `trusted`
    /// claim need not be on a network of this host.
    pub(crate) fn select(
        &self,
        claim: IpAddr,
        source: SocketAddr,
        index: u32,
        trusted: bool,
    ) -> Option<(IpAddr, u32)> {
        let scope_id = match source {
            SocketAddr::V6(source) if source.ip().is_unicast_link_local() => source.scope_id(),
            _ => index,
        };
        let forged = HostIp::new(source.ip()).is_err();
        // From another link.
        if forged || (index != 0 && scope_id != index) {
            return None;
        }
        let ip = self.select_ip(claim, source.ip(), trusted)?;
        let scope_id = if is_link_local(ip) { scope_id } else { 0 };
        Some((ip, scope_id))
    }

    fn select_ip(&self, claim: IpAddr, source: IpAddr, trusted: bool) -> Option<IpAddr> {
        match self.policy {
            AddressPolicy::Auto if self.is_usable(claim, source, trusted) => Some(claim),
            AddressPolicy::Auto | AddressPolicy::Source => Some(source),
            AddressPolicy::Claim => {
                (!claim.is_loopback() || self.is_this_host(source)).then_some(claim)
            }
            AddressPolicy::Match => (claim == source).then_some(claim),
        }
    }

    fn is_usable(&self, claim: IpAddr, source: IpAddr, trusted: bool) -> bool {
        if claim == source {
            true
        } else if is_link_local(claim) && !is_link_local(source) {
            false
        } else if self.is_this_host(claim) {
            self.is_this_host(source)
        } else {
            trusted || self.is_on_a_network(claim)
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
            (IpNet::V6(network), IpAddr::V6(ip)) => network.contains(&ip),
            _ => false,
        })
    }
}

pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Whether a host with this address can be asked without naming an interface.
pub(crate) fn is_of_any_link(ip: IpAddr) -> bool {
    HostIp::new(ip).is_ok() && !is_link_local(ip)
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
    fn selector(policy: AddressPolicy) -> AddressSelector {
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
        AddressSelector::new(policy, &interfaces, |_| false)
    }

    fn selected(selector: &AddressSelector, claim: &str, source: &str) -> Option<IpAddr> {
        let address = selector.select(ip(claim), source.parse().unwrap(), 2, false);
        address.map(|(ip, _)| ip)
    }

    /// The address to use for a claim from 192.168.1.7, another host.
    fn from_the_lan(policy: AddressPolicy, claim: &str) -> Option<IpAddr> {
        let source = "192.168.1.7:9999".parse().unwrap();
        selector(policy)
            .select(ip(claim), source, 2, false)
            .map(|(ip, _)| ip)
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
            let selector = AddressSelector::new(AddressPolicy::Auto, &interfaces, |_| false);
            let address = selected(&selector, "10.88.0.5", "192.168.1.7:9999");
            assert_eq!(address, Some(ip("192.168.1.7")), "{bridge}");
        }
        let interfaces = [interface("br-lan", &[("10.88.0.1", 16)])];
        let selector = AddressSelector::new(AddressPolicy::Auto, &interfaces, |_| false);
        let address = selected(&selector, "10.88.0.5", "192.168.1.7:9999");
        assert_eq!(address, Some(ip("10.88.0.5")));
    }

    #[test]
    fn auto_takes_a_claim_that_a_route_without_a_gateway_leads_to() {
        let mut eth0 = interface("eth0", &[("10.77.0.2", 32)]);
        let network = "10.78.0.0/24".parse().unwrap();
        eth0.routes.extend(InterfaceRoute::new(network, None));
        let selector = AddressSelector::new(AddressPolicy::Auto, &[eth0], |_| true);
        let address = |claim| selected(&selector, claim, "10.77.0.1:9999");
        assert_eq!(address("10.78.0.5"), Some(ip("10.78.0.5")));
        assert_eq!(address("10.79.0.5"), Some(ip("10.77.0.1")));
    }

    #[test]
    fn an_address_of_this_host_is_used_if_the_answer_came_from_this_host() {
        let selector = selector(AddressPolicy::Auto);
        for source in ["127.0.0.1:9999", "192.168.1.2:9999"] {
            for claim in ["127.0.0.1", "192.168.1.2", "10.0.0.2"] {
                let address = selected(&selector, claim, source);
                assert_eq!(address, Some(ip(claim)), "{claim} from {source}");
            }
        }
    }

    #[test]
    fn the_network_of_a_bridge_counts_if_the_search_asks_on_it() {
        let interfaces = [interface("docker0", &[("172.17.0.1", 16)])];
        let selector = AddressSelector::new(AddressPolicy::Auto, &interfaces, |_| true);
        let address = selected(&selector, "172.17.0.5", "172.17.0.6:9999");
        assert_eq!(address, Some(ip("172.17.0.5")));
    }

    #[test]
    fn the_claim_policy_uses_the_claimed_address() {
        let taken = |claim| from_the_lan(AddressPolicy::Claim, claim);
        assert_eq!(taken("203.0.113.9"), Some(ip("203.0.113.9")));
        assert_eq!(taken("127.0.0.1"), None);
        let local = selected(
            &selector(AddressPolicy::Claim),
            "127.0.0.1",
            "192.168.1.2:9999",
        );
        assert_eq!(local, Some(ip("127.0.0.1")));
    }

    #[test]
    fn the_source_policy_uses_the_source() {
        let taken = from_the_lan(AddressPolicy::Source, "192.168.1.8");
        assert_eq!(taken, Some(ip("192.168.1.7")));
    }

    #[test]
    fn the_match_policy_requires_that_the_claim_equals_the_source() {
        let taken = |claim| from_the_lan(AddressPolicy::Match, claim);
        assert_eq!(taken("192.168.1.7"), Some(ip("192.168.1.7")));
        assert_eq!(taken("192.168.1.8"), None);
    }

    #[test]
    fn a_source_that_no_host_has_is_refused_by_every_policy() {
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
                assert_eq!(
                    selector(policy).select(ip("192.168.1.8"), source, 2, false),
                    None
                );
                assert_eq!(selector(policy).select(source.ip(), source, 2, false), None);
            }
        }
    }

    #[test]
    fn fault_42_a_link_local_address_comes_with_the_interface_of_the_answer() {
        for index in [2, 3] {
            let source = format!("[fe80::7%{index}]:9999").parse().unwrap();
            for (policy, claim, expected) in [
                (AddressPolicy::Auto, "fe80::7", Some(("fe80::7", index))),
                (AddressPolicy::Auto, "fe80::8", Some(("fe80::8", index))),
                // An address that this host has on one of its links.
                (AddressPolicy::Auto, "fe80::2", Some(("fe80::7", index))),
                (AddressPolicy::Auto, "2001:db8::7", Some(("2001:db8::7", 0))),
                (AddressPolicy::Auto, "192.168.1.8", Some(("192.168.1.8", 0))),
                (AddressPolicy::Claim, "fe80::8", Some(("fe80::8", index))),
                (
                    AddressPolicy::Source,
                    "2001:db8::7",
                    Some(("fe80::7", index)),
                ),
                (AddressPolicy::Match, "fe80::8", None),
                (AddressPolicy::Match, "fe80::7", Some(("fe80::7", index))),
            ] {
                let expected = expected.map(|(text, scope_id)| (ip(text), scope_id));
                let selector = selector(policy);
                let selected = selector.select(ip(claim), source, index, false);
                assert_eq!(selected, expected, "{policy:?} {claim}");
                // The other link.
                assert_eq!(selector.select(ip(claim), source, 5 - index, false), None);
            }
        }
    }

    #[test]
    fn fault_42_another_host_with_the_address_that_this_host_has_on_another_link_is_found() {
        let source = "[fe80::2%3]:9999".parse().unwrap();
        let address = selector(AddressPolicy::Auto).select(ip("fe80::2"), source, 3, false);
        assert_eq!(address, Some((ip("fe80::2"), 3)));
    }
}
