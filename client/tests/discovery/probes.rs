//! Which probes are sent, and when.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use udp_discovery_client::{Config, DiscoverError};

use crate::sim::{CALM, DIRECTED, Faults, MS, Sim, eth0, interface, server};

const LIMITED: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

#[test]
fn a_calm_network_loses_nobody_and_each_is_listed_once() {
    let mut sim = Sim::new(&Config::default()).with_servers(1000);
    sim.run();
    assert_eq!(sim.found.len(), 1000);
    assert_eq!(sim.counts().duplicates, 2000);
    assert_eq!(sim.search.report().links[0].probes_sent, 3);
}

#[test]
fn fault_19_a_lossy_network_loses_less_than_one_in_a_hundred() {
    let faults = Faults {
        loss: 10,
        duplicates: 5,
        delay: 40 * MS,
    };
    let mut found = 0;
    for seed in 0..10 {
        let mut sim = Sim::new(&Config::default())
            .with_servers(2000)
            .with_faults(seed, faults);
        sim.run();
        let distinct: HashSet<IpAddr> = sim.found.iter().map(|server| server.ip).collect();
        assert_eq!(distinct.len(), sim.found.len(), "a server is listed once");
        found += sim.found.len();
    }
    assert!(found >= 19_800, "{found} of 20,000");
    assert!(found < 20_000, "the network lost nothing");
}

#[test]
fn one_probe_alone_loses_one_in_five() {
    let config = Config::default().with_probes(1.try_into().unwrap());
    let mut sim = Sim::new(&config)
        .with_servers(2000)
        .with_faults(1, Faults { loss: 10, ..CALM });
    sim.run();
    let found = sim.found.len();
    assert!((1500..1750).contains(&found), "{found}");
}

#[test]
fn each_probe_is_one_broadcast_that_alternates_between_directed_and_limited() {
    let interfaces = [eth0(), interface("eth1", "192.168.1.2", 24)];
    let mut sim = Sim::on(&Config::default(), &interfaces);
    sim.run();
    let other = IpAddr::from([192, 168, 1, 255]);
    assert_eq!(
        sim.probes,
        [[DIRECTED, other], [LIMITED, LIMITED], [DIRECTED, other]]
    );
}

#[test]
fn a_server_with_another_prefix_hears_the_limited_broadcast() {
    let mut sim = Sim::new(&Config::default())
        .with_servers(10)
        .with_another_prefix();
    sim.run();
    assert_eq!(sim.found.len(), 10);
    assert_eq!(sim.counts().duplicates, 0);
}

#[test]
fn a_broadcast_that_cannot_be_sent_is_replaced_by_the_other_one() {
    for (refused, sent) in [(DIRECTED, LIMITED), (LIMITED, DIRECTED)] {
        let mut sim = Sim::new(&Config::default())
            .refusing(move |_, transmit| transmit.destination.ip() == refused);
        sim.run();
        assert_eq!(sim.probes.len(), 3);
        assert!(sim.probes.iter().all(|probe| probe.contains(&sent)));
        let link = &sim.search.report().links[0];
        assert_eq!(link.probes_sent, 3, "without {refused}");
        for destination in &link.destinations {
            let expected = if destination.ip == sent { 3 } else { 0 };
            assert_eq!(destination.sent, expected, "{}", destination.ip);
        }
    }
}

#[test]
fn every_unicast_destination_is_asked_with_every_probe() {
    let mut tun0 = interface("tun0", "10.8.0.0", 31);
    tun0.flags.point_to_point = true;
    let mut sim = Sim::on(&Config::default(), &[tun0]);
    sim.run();
    assert_eq!(sim.probes, [[IpAddr::from([10, 8, 0, 1])]; 3]);
}

#[test]
fn missed_probes_do_not_leave_the_limited_broadcast_out() {
    let mut sim = Sim::new(&Config::default());
    sim.send();
    sim.now += 300 * MS; // two probes late
    sim.search.handle_timeout(sim.now);
    sim.send();
    assert_eq!(sim.probes, [[DIRECTED], [LIMITED]]);
}

#[test]
fn a_search_without_time_still_asks_once() {
    let mut sim = Sim::new(&Config::default().with_timeout(Duration::ZERO));
    sim.run();
    assert_eq!(sim.search.report().links[0].probes_sent, 1);
    assert_eq!(sim.elapsed(), Duration::ZERO);
}

#[test]
fn a_datagram_that_is_not_sent_counts_as_an_error_and_not_as_a_probe() {
    let mut sim = Sim::new(&Config::default());
    let probe = sim.search.poll_transmit(sim.now).unwrap();
    assert_eq!(sim.search.links()[0].probes_sent, 1);
    let error = io::ErrorKind::NetworkUnreachable.into();
    sim.search.handle_send_error(probe, error);
    let link = &sim.search.links()[0];
    assert_eq!((link.probes_sent, link.send_errors), (0, 1));
}

#[test]
fn an_interface_that_fails_to_send_is_reported_and_stops_no_other() {
    let interfaces = [eth0(), interface("eth1", "10.1.0.2", 16)];
    let mut sim =
        Sim::on(&Config::default(), &interfaces).refusing(|_, transmit| transmit.link == 0);
    sim.run();
    assert!(sim.search.outcome().is_ok());
    assert_eq!(sim.elapsed(), 500 * MS);
    let [failed, fine] = sim.search.links() else {
        panic!("{:?}", sim.search.links());
    };
    assert_eq!((failed.probes_sent, failed.send_errors), (0, 6));
    assert!(failed.last_send_error.is_some());
    assert_eq!((fine.probes_sent, fine.send_errors), (3, 0));
    assert!(fine.last_send_error.is_none());
}

#[test]
fn a_search_that_can_send_nothing_is_an_error_with_the_systems_reason() {
    let mut sim = Sim::new(&Config::default()).refusing(|_, _| true);
    sim.run();
    match sim.search.outcome() {
        Err(DiscoverError::NothingSent { source }) => {
            assert_eq!(source.kind(), io::ErrorKind::NetworkUnreachable);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(sim.elapsed(), 250 * MS, "it ends with the last probe");
}

#[test]
fn a_later_probe_makes_up_for_one_that_could_not_be_sent() {
    let mut sim = Sim::new(&Config::default()).refusing(|probe, _| probe < 2);
    sim.run();
    assert!(sim.search.outcome().is_ok());
    assert_eq!(sim.search.links()[0].probes_sent, 1);
    assert_eq!(sim.elapsed(), 500 * MS);
}

#[test]
fn a_round_trip_is_measured_from_the_last_probe_that_left() {
    let mut sim = Sim::new(&Config::default()).refusing(|probe, _| probe == 1);
    sim.send();
    sim.now = sim.search.poll_timeout().unwrap();
    sim.search.handle_timeout(sim.now);
    sim.send();
    sim.now += MS;
    sim.receive(0, server(7), b"SERVER_IP:10.0.1.7");
    assert_eq!(sim.found[0].rtt, Some(sim.elapsed()));
}
