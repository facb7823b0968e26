//! The routes of the server's host: an answer goes where they permit, by the right interface.

use udp_discovery_server::Config;
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{Asker, REQUEST, Serving, answer_of, two_networks};

/// By all the ways that a request takes.
const DESTINATIONS: [&str; 3] = ["10.77.1.2:9999", "10.77.1.255:9999", "255.255.255.255:9999"];

/// The server's host, 10.77.1.2, and two clients, 10.77.1.1 and 10.77.1.3.
fn server_and_clients() -> [Host; 3] {
    Lab::new().hosts(["10.77.1.2/24", "10.77.1.1/24", "10.77.1.3/24"])
}

/// Asserts that no answer leaves to `refused` while the command `ip {object} add {entry}` holds.
fn assert_refused(server: &Host, refused: &Host, object: &str, entry: &str) {
    let asker = Asker::at(refused, "10.77.1.1:0");
    server.ip(&format!("{object} add {entry}"));
    for destination in DESTINATIONS {
        asker.send(REQUEST, destination);
    }
    asker.hears_nothing();
    server.ip(&format!("{object} del {entry}"));
    for destination in DESTINATIONS {
        assert_eq!(asker.ask(destination), answer_of("10.77.1.2"), "{entry}");
    }
}

#[test]
fn no_answer_goes_to_a_host_that_a_route_refuses() {
    lab::run(|| {
        let [host, refused, other] = server_and_clients();
        let _server = Serving::on(&host, Config::default());
        for kind in ["unreachable", "blackhole", "prohibit"] {
            assert_refused(&host, &refused, "route", &format!("{kind} 10.77.1.1/32"));
        }
        // A refusal is nobody else's.
        host.ip("route add prohibit 10.77.1.1/32");
        let asker = Asker::at(&refused, "10.77.1.1:0");
        asker.send(REQUEST, "10.77.1.2:9999");
        let neighbour = Asker::at(&other, "10.77.1.3:0");
        assert_eq!(neighbour.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        asker.hears_nothing();
    });
}

#[test]
fn no_answer_leaves_that_a_policy_rule_refuses() {
    lab::run(|| {
        let [host, refused, _] = server_and_clients();
        let _server = Serving::on(&host, Config::default());
        for kind in ["prohibit", "unreachable", "blackhole"] {
            for selector in [
                "from 10.77.1.2",
                "to 10.77.1.1",
                "from 10.77.1.2 to 10.77.1.1",
            ] {
                let entry = format!("{selector} priority 100 {kind}");
                assert_refused(&host, &refused, "rule", &entry);
            }
        }
    });
}

#[test]
fn on_two_links_with_the_same_subnet_each_answer_leaves_by_the_link_of_its_request() {
    lab::run(|| {
        let lab = Lab::new();
        let host = lab.host("server");
        // The kernel's own choice is the first interface for both.
        let clients = [(0, 2), (1, 3)].map(|(number, ip)| {
            let network = lab.network(&format!("net{number}"), "10.77.1.0/24");
            let client = lab.host(&format!("client{number}"));
            client.join(&network, "eth0", "10.77.1.1/24");
            host.join(
                &network,
                &format!("eth{number}"),
                &format!("10.77.1.{ip}/24"),
            );
            (client, format!("10.77.1.{ip}"))
        });
        let _server = Serving::on(&host, Config::default());
        for (client, ip) in &clients {
            let asker = Asker::at(client, "10.77.1.1:0");
            for to in [ip.as_str(), "10.77.1.255", "255.255.255.255"] {
                assert_eq!(asker.ask(&format!("{to}:9999")), answer_of(ip), "{to}");
            }
        }
        // What the routes refuse stays refused on both.
        host.ip("route add prohibit 10.77.1.1/32");
        for (client, ip) in &clients {
            let asker = Asker::at(client, "10.77.1.1:0");
            asker.send(REQUEST, &format!("{ip}:9999"));
            asker.hears_nothing();
        }
    });
}

#[test]
fn with_two_interfaces_on_one_link_the_address_that_was_asked_answers() {
    lab::run(|| {
        let lab = Lab::new();
        let network = lab.network("net0", "10.77.1.0/24");
        let (client, host) = (lab.host("client"), lab.host("server"));
        client.join(&network, "eth0", "10.77.1.1/24");
        host.join(&network, "eth0", "10.77.1.2/24");
        host.join(&network, "eth1", "10.77.1.3/24");
        let _server = Serving::on(&host, Config::default());
        let asker = Asker::at(&client, "10.77.1.1:0");
        for ip in ["10.77.1.2", "10.77.1.3"] {
            assert_eq!(asker.ask(&format!("{ip}:9999")), answer_of(ip));
        }
        // A broadcast comes by both.
        for destination in ["10.77.1.255:9999", "255.255.255.255:9999"] {
            let mut answers = [asker.ask(destination), asker.answer()];
            answers.sort();
            assert_eq!(answers, ["10.77.1.2", "10.77.1.3"].map(answer_of));
        }
        asker.hears_nothing();
    });
}

#[test]
fn off_the_route_that_the_kernel_prefers_each_network_is_answered_by_its_own_interface() {
    lab::run(|| {
        let (host, clients) = two_networks();
        let _server = Serving::on(&host, Config::default());
        // The first network's host has a route of its own, by the other interface.
        host.ip("route add 10.77.1.1/32 dev eth2");
        for (number, client) in (1..).zip(&clients) {
            let asker = Asker::at(client, &format!("10.77.{number}.1:0"));
            let ip = format!("10.77.{number}.2");
            for to in [ip.clone(), format!("10.77.{number}.255")] {
                assert_eq!(asker.ask(&format!("{to}:9999")), answer_of(&ip), "{to}");
            }
        }
    });
}
