//! Hosts that a search asks by unicast, also behind a router.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, DiscoverError, Target};
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{ENOUGH, FakeServer, LENIENCE, Serving, lasting, pair, search};

/// A client, 10.77.1.1, a neighbour, 10.77.1.2, a host behind a router, 10.77.2.2, and the router.
pub(crate) fn behind_a_router() -> [Host; 4] {
    let lab = Lab::new();
    let near = lab.network("near", "10.77.1.0/24");
    let far = lab.network("far", "10.77.2.0/24");
    let host = |name: &str, network, address: &str| {
        let host = lab.host(name);
        host.join(network, "eth0", address);
        host
    };
    let client = host("client", &near, "10.77.1.1/24");
    let neighbour = host("neighbour", &near, "10.77.1.2/24");
    let server = host("server", &far, "10.77.2.2/24");
    let router = host("router", &near, "10.77.1.254/24");
    router.join(&far, "eth1", "10.77.2.254/24");
    router.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    client.ip("route add default via 10.77.1.254");
    server.ip("route add default via 10.77.2.254");
    [client, neighbour, server, router]
}

pub(crate) fn targets<const N: usize>(targets: [&str; N]) -> [Target; N] {
    targets.map(|target| target.parse().unwrap())
}

#[test]
fn a_target_behind_a_router_is_found_beside_the_neighbours_or_alone() {
    lab::run(|| {
        let [client, neighbour, far, _router] = behind_a_router();
        let _near = Serving::on(&neighbour, udp_discovery_server::Config::default());
        let _far = FakeServer::saying(&far, "SERVER_IP:10.77.2.2:8000");
        let config = lasting(ENOUGH).with_targets(targets(["10.77.2.2"]));
        let found = search(&client, config.clone());
        assert_eq!(found.texts(), ["10.77.1.2", "10.77.2.2:8000"]);
        let found = search(&client, config.with_broadcast(false));
        assert_eq!(found.texts(), ["10.77.2.2:8000"]);
        assert_eq!(found.servers[0].interface, "eth0");
        let target = &found.report.targets[0];
        assert_eq!((target.asked, target.answered, target.refused), (1, 1, 0));
    });
}

/// FAULTS R46
#[test]
fn a_target_that_a_neighbour_is_answers_both_ways_and_is_listed_once() {
    lab::run(|| {
        let [client, server] = pair();
        let _server = Serving::on(&server, udp_discovery_server::Config::default());
        let config = lasting(ENOUGH).with_targets(targets(["10.77.1.2", "10.77.1.2:9999"]));
        let found = search(&client, config);
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert_eq!(found.report.targets[0].answered, 1);
        assert_eq!(found.report.targets[1].addresses, 0, "the first has it");
    });
}

#[test]
fn a_host_that_refuses_is_reported_on_the_link_and_behind_a_router() {
    lab::run(|| {
        let [client, _neighbour, far, _router] = behind_a_router();
        let _server = FakeServer::saying(&far, "SERVER_IP:10.77.2.2");
        let asked = targets(["10.77.1.2", "10.77.2.2:7777", "10.77.2.2"]);
        for broadcast in [true, false] {
            let config = lasting(ENOUGH).with_targets(asked.clone());
            let found = search(&client, config.with_broadcast(broadcast));
            assert_eq!(found.texts(), ["10.77.2.2"]);
            let targets = found.report.targets.iter();
            let refused: Vec<_> = targets.map(|it| it.refused).collect();
            assert_eq!(refused, [1, 1, 0], "with broadcasts: {broadcast}");
        }
    });
}

#[test]
fn an_answer_from_another_host_than_the_target_is_dropped() {
    lab::run(|| {
        let [client, neighbour, far, _router] = behind_a_router();
        let forger = neighbour.run(|| UdpSocket::bind("10.77.1.2:9999")).unwrap();
        let _server = FakeServer::on(&far, move |socket, client| {
            forger.send_to(b"SERVER_IP:10.77.1.2", client).unwrap();
            socket.send_to(b"SERVER_IP:10.77.2.2", client).unwrap();
        });
        let config = lasting(ENOUGH).with_targets(targets(["10.77.2.2"]));
        let found = search(&client, config.with_broadcast(false));
        assert_eq!(found.texts(), ["10.77.2.2"]);
        assert!(found.report.counts.not_asked > 0);
    });
}

/// FAULTS R46
#[test]
fn a_name_that_does_not_resolve_is_an_error_that_names_the_target_before_the_deadline() {
    lab::run(|| {
        let [client, _] = pair();
        let config = lasting(ENOUGH).with_targets(targets(["nobody.invalid:80"]));
        let start = Instant::now();
        let error = client.run(|| Client::new(config).discover()).unwrap_err();
        assert!(start.elapsed() < Duration::from_millis(ENOUGH) + LENIENCE);
        assert!(matches!(error, DiscoverError::Resolve { .. }));
        assert!(error.to_string().contains("`nobody.invalid:80`"), "{error}");
    });
}

/// FAULTS R46
#[test]
fn a_broadcast_address_is_no_target() {
    lab::run(|| {
        let [client, _] = pair();
        for target in ["10.77.1.255", "10.77.1.0"] {
            let config = Config::default().with_targets(targets([target]));
            let error = client.run(|| Client::new(config).discover()).unwrap_err();
            assert!(error.to_string().contains(target), "{error}");
        }
    });
}

#[test]
fn a_target_without_a_route_does_not_stop_the_search() {
    lab::run(|| {
        let [client, server] = pair();
        let _server = FakeServer::saying(&server, "SERVER_IP:10.77.1.2");
        let config = lasting(ENOUGH).with_targets(targets(["203.0.113.9"]));
        let found = search(&client, config);
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert_eq!(found.report.targets[0].addresses, 0);
    });
}
