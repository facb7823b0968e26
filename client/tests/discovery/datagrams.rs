//! How many datagrams a search sends: the table in the README.

use std::time::Instant;

use udp_discovery_client::{Config, Discovery, Family, Host, ResolvedTarget, Route};
use udp_discovery_protocol::InterfaceAddress;

use crate::sim::{MS, RANDOM, Sim, eth0};

const V4: &[&str] = &["10.0.0.2/16"];
const BOTH: &[&str] = &["10.0.0.2/16", "fe80::2/64"];

/// How many datagrams a search sends by IPv4 and by IPv6, on one interface with `addresses`, with `target`,
/// while a server by IPv4 answers or nobody does.
fn sent(
    family: Family,
    addresses: &[&str],
    target: Option<&str>,
    answered: bool,
) -> (usize, usize) {
    let mut interface = eth0();
    interface.addresses = addresses
        .iter()
        .map(|address| {
            let (ip, prefix_len) = address.split_once('/').unwrap();
            InterfaceAddress::new(ip.parse().unwrap(), prefix_len.parse().unwrap()).unwrap()
        })
        .collect();
    let route = Route {
        remote: "10.15.0.1:9999".parse().unwrap(),
        local: "10.0.0.2".parse().unwrap(),
    };
    let target = target.map(|text| ResolvedTarget::new(text.parse().unwrap(), [route]));
    let host = Host::new([interface]).with_targets(target);
    let config = Config::default().with_family(family);
    let mut sim = Sim::of(Instant::now(), |now| {
        Discovery::new(now, &config, &host, RANDOM).unwrap()
    });
    if answered {
        sim.arrives(MS, "10.0.0.7:9999".parse().unwrap(), "SERVER_IP:10.0.0.7");
    }
    sim.run();
    let all: Vec<_> = sim.probes.iter().flatten().collect();
    let by_v4 = all.iter().filter(|ip| ip.is_ipv4()).count();
    (by_v4, all.len() - by_v4)
}

#[test]
fn a_search_sends_as_many_datagrams_as_the_readme_says() {
    use Family::{Auto, Both, V6};
    assert_eq!(sent(Auto, V4, None, false), (3, 0));
    assert_eq!(sent(V6, BOTH, None, false), (0, 3));
    assert_eq!(sent(Auto, BOTH, None, true), (3, 0));
    assert_eq!(sent(Auto, BOTH, None, false), (3, 2));
    assert_eq!(sent(Both, BOTH, None, true), (3, 3));
    assert_eq!(sent(Auto, V4, Some("10.15.0.1"), false), (3 + 3, 0));
    assert_eq!(sent(Auto, V4, Some("10.15.0.0/24"), false), (3 + 762, 0));
}
