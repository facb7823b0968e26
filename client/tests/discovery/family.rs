//! IPv4, IPv6 and multicast.

use std::net::SocketAddr;
use std::time::Instant;

use udp_discovery_client::{Config, DiscoveredServer, Discovery, Family, Host};
use udp_discovery_protocol::{Interface, InterfaceAddress};

use crate::sim::{MS, RANDOM, Sim, interface};

const GROUP: &str = "ff12::8000:270f";
const ANSWER: &[u8] = b"SERVER_IP:[fe80::7]:8000";

/// An interface with the addresses `10.0.{index}.2/24`, if it has IPv4, and `fe80::2`.
fn network(index: u32, has_ipv4: bool) -> Interface {
    let mut network = interface(&format!("eth{index}"), &format!("10.0.{index}.2"), 24);
    network.index = index;
    if !has_ipv4 {
        network.addresses.clear();
    }
    let address = InterfaceAddress::new("fe80::2".parse().unwrap(), 64).unwrap();
    network.addresses.push(address);
    network
}

fn dual_stack(family: Family) -> Sim {
    let config = Config::default().with_family(family);
    Sim::on(&config, &[network(1, true)])
}

/// A server at `fe80::7` of the interface with this index.
fn link_local(index: u32) -> SocketAddr {
    format!("[fe80::7%{index}]:9999").parse().unwrap()
}

impl Sim {
    fn probes(&self) -> Vec<String> {
        let text = |probe: &Vec<std::net::IpAddr>| {
            let destinations: Vec<_> = probe.iter().map(ToString::to_string).collect();
            destinations.join(" ")
        };
        self.probes.iter().map(text).collect()
    }
}

#[test]
fn with_both_families_ipv6_joins_from_the_second_probe_on_if_nobody_answers() {
    let mut sim = dual_stack(Family::Auto);
    sim.run();
    assert_eq!(
        sim.probes(),
        [
            "10.0.1.255".to_owned(),
            format!("255.255.255.255 {GROUP}"),
            format!("10.0.1.255 {GROUP}")
        ]
    );
}

#[test]
fn ipv6_stays_silent_where_a_server_was_found_by_ipv4() {
    let mut sim = dual_stack(Family::Auto);
    sim.arrives(MS, "10.0.1.7:9999".parse().unwrap(), "SERVER_IP:10.0.1.7");
    sim.run();
    let expected = ["10.0.1.255", "255.255.255.255", "10.0.1.255"];
    assert_eq!(sim.probes(), expected);
}

#[test]
fn a_server_on_one_interface_does_not_silence_ipv6_on_another() {
    let interfaces = [network(1, true), network(2, true)];
    let mut sim = Sim::on(&Config::default(), &interfaces);
    sim.arrives(MS, "10.0.1.7:9999".parse().unwrap(), "SERVER_IP:10.0.1.7");
    sim.run();
    let second = format!("255.255.255.255 255.255.255.255 {GROUP}");
    assert_eq!(sim.probes()[1], second);
}

#[test]
fn an_interface_with_ipv6_only_is_asked_by_it_at_once() {
    let mut sim = Sim::on(&Config::default(), &[network(1, true), network(2, false)]);
    sim.send();
    assert_eq!(sim.probes(), [format!("10.0.1.255 {GROUP}")]);
}

#[test]
fn a_family_that_is_chosen_is_asked_with_every_probe() {
    let mut sim = dual_stack(Family::V6);
    sim.run();
    assert_eq!(sim.probes(), [GROUP; 3]);

    let mut sim = dual_stack(Family::Both);
    sim.run();
    let first = format!("10.0.1.255 {GROUP}");
    assert_eq!(sim.probes()[0], first, "IPv4 first");
    assert_eq!(sim.probes()[2], first);

    let mut sim = dual_stack(Family::V4);
    sim.run();
    assert!(sim.probes().iter().all(|probe| !probe.contains(':')));
}

#[test]
fn the_group_is_asked_on_the_interface_of_the_link() {
    let mut sim = dual_stack(Family::V6);
    let transmit = sim.search.poll_transmit(sim.now).unwrap();
    let destination = format!("[{GROUP}%1]:9999").parse().unwrap();
    assert_eq!(transmit.destination, destination);
    let local = "[fe80::2%1]:0".parse().unwrap();
    assert_eq!(sim.search.links()[0].local_addr(), local);
}

/// FAULTS 42
#[test]
fn fault_42_one_link_local_address_on_two_links_is_two_servers() {
    let config = Config::default().with_family(Family::V6);
    let mut sim = Sim::on(&config, &[network(1, true), network(2, true)]);
    for (link, index) in [(0, 1), (1, 2)] {
        sim.receive(link, link_local(index), ANSWER);
        sim.receive(link, link_local(index), ANSWER);
    }
    assert_eq!(sim.found(), ["[fe80::7%eth1]:8000", "[fe80::7%eth2]:8000"]);
    let addresses = sim
        .found
        .iter()
        .map(|it| it.socket_addr().unwrap().to_string());
    let addresses: Vec<_> = addresses.collect();
    assert_eq!(addresses, ["[fe80::7%1]:8000", "[fe80::7%2]:8000"]);
    assert_eq!(sim.counts().duplicates, 2);
}

/// FAULTS 41
#[test]
fn fault_41_an_answer_from_another_scope_or_from_no_host_is_refused() {
    for source in [
        "[fe80::7%2]:9999",
        "[ff02::1%1]:9999",
        "[::]:9999",
        "[::ffff:10.0.1.7]:9999",
    ] {
        let mut sim = dual_stack(Family::V6);
        sim.receive(0, source.parse().unwrap(), ANSWER);
        assert_eq!(sim.found, [], "{source}");
        assert_eq!(sim.counts().refused_address, 1, "{source}");
    }
}

#[test]
fn the_ipv4_group_and_the_broadcasts_take_turns() {
    let config = Config::default()
        .with_family(Family::V4)
        .with_multicast(true);
    let mut sim = Sim::on(&config, &[network(1, true)]);
    sim.run();
    let expected = ["239.255.39.15", "10.0.1.255", "255.255.255.255"];
    assert_eq!(sim.probes(), expected);
}

#[test]
fn a_group_that_the_system_refuses_is_replaced_by_a_broadcast() {
    let config = Config::default()
        .with_family(Family::V4)
        .with_multicast(true);
    let mut sim = Sim::on(&config, &[network(1, true)])
        .refusing(|_, transmit| transmit.destination.ip().is_multicast());
    sim.run();
    assert_eq!(sim.search.links()[0].probes_sent, 3);
}

/// A search on eth1, which has both families, where a server at this address is known already.
fn where_one_is_known(source: &str) -> Sim {
    let known = DiscoveredServer::new([10, 0, 1, 7], 8000)
        .with_interface("eth1")
        .with_source(source.parse().unwrap());
    let host = Host::new([network(1, true)]).with_expected([known]);
    Sim::of(Instant::now(), |now| {
        Discovery::new(now, &Config::default(), &host, RANDOM).unwrap()
    })
}

#[test]
fn a_watch_keeps_its_family_while_a_server_is_known() {
    let mut by_ipv4 = where_one_is_known("10.0.1.7:9999");
    by_ipv4.run();
    assert_eq!(
        by_ipv4.probes(),
        ["10.0.1.255", "255.255.255.255", "10.0.1.255"]
    );

    let mut by_ipv6 = where_one_is_known("[fe80::7%1]:9999");
    by_ipv6.run();
    assert_eq!(
        by_ipv6.probes(),
        [
            format!("10.0.1.255 {GROUP}"),
            format!("255.255.255.255 {GROUP}"),
            format!("10.0.1.255 {GROUP}")
        ]
    );
}
