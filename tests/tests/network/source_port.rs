//! A search from a fixed source port.

use std::sync::mpsc;

use udp_discovery_client::{Client, DiscoverError};
use udp_discovery_tests::lab;

use crate::endpoints::{ENOUGH, FakeServer, lasting, next, search, two_networks};
use crate::targets::targets;

#[test]
fn every_link_asks_from_the_port_targets_too() {
    lab::run(|| {
        let (client, [one, two]) = two_networks();
        let (sender, asked_from) = mpsc::channel();
        let serve = |host, answer: &'static str| {
            let sender = sender.clone();
            FakeServer::on(host, move |socket, client| {
                let _ = sender.send(client.port());
                socket.send_to(answer.as_bytes(), client).unwrap();
            })
        };
        let _one = serve(&one, "SERVER_IP:10.77.1.1");
        let _two = serve(&two, "SERVER_IP:10.77.2.1");
        let config = lasting(ENOUGH)
            .with_targets(targets(["10.77.1.1", "10.77.2.1"]))
            .with_source_port(40_000);
        let found = search(&client, config);
        assert_eq!(found.texts(), ["10.77.1.1", "10.77.2.1"]);
        // Each of the two is asked three times by broadcast and three times by unicast.
        for _ in 0..12 {
            assert_eq!(next(&asked_from), 40_000);
        }
    });
}

#[test]
fn a_second_search_from_the_port_is_an_error_on_any_of_several_networks() {
    lab::run(|| {
        let (client, _others) = two_networks();
        let config = lasting(ENOUGH).with_source_port(40_000);
        client.run(|| {
            let first = Client::new(config.clone().with_interfaces(["eth2"]));
            let first = first.search().unwrap();
            let second = Client::new(config.clone()).discover();
            assert!(matches!(second, Err(DiscoverError::SourcePortInUse { .. })));
            let elsewhere = Client::new(config.clone().with_interfaces(["eth1"]));
            assert!(
                elsewhere.search().is_ok(),
                "another address, another socket"
            );
            drop(first);
            assert!(Client::new(config).search().is_ok());
        });
    });
}
