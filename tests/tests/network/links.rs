//! What is on the link by the kernel's own view: addresses with labels of their own, peers, and
//! routes without a gateway.

use udp_discovery_client::Destination;
use udp_discovery_server::protocol::Interface;
use udp_discovery_server::{Config, DropReason};
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{
    Asker, REQUEST, Serving, answer_of, lasting, search, unfiltered, wait_until,
};

/// Two hosts on one network, each with `eth0` and no address yet.
fn hosts() -> [Host; 2] {
    let hosts = Lab::new().hosts(["10.77.250.1/32", "10.77.250.2/32"]);
    for host in &hosts {
        host.ip("address flush dev eth0 scope global");
    }
    hosts
}

/// The interfaces and destinations that a search from `host` asks on, as `eth0 10.77.1.255`.
fn asked(host: &Host) -> Vec<String> {
    let report = search(host, lasting(1)).report;
    let links = report.links.iter();
    links
        .flat_map(|link| {
            let text = |to: &Destination| format!("{} {}", link.interface, to.ip);
            link.destinations.iter().map(text).collect::<Vec<_>>()
        })
        .collect()
}

/// Asserts that addresses with that label belong to `eth0`, for the server and for the client.
fn assert_label_belongs_to_eth0(label: &str) {
    let [a, b] = hosts();
    a.ip(&format!(
        "address add 10.77.1.1/24 broadcast + dev eth0 label {label}"
    ));
    b.ip(&format!(
        "address add 10.77.1.2/24 broadcast + dev eth0 label {label}"
    ));
    let _server = Serving::on(&b, unfiltered());
    let asker = Asker::at(&a, "0.0.0.0:0");
    for to in ["10.77.1.2", "10.77.1.255"] {
        assert_eq!(asker.ask(&format!("{to}:9999")), answer_of("10.77.1.2"));
    }
    assert_eq!(asked(&a), ["eth0 10.77.1.255", "eth0 255.255.255.255"]);
    let found = search(&a, lasting(300));
    assert_eq!(found.texts(), ["10.77.1.2"]);
    assert_eq!(found.servers[0].interface, "eth0");
}

/// FAULTS D2
#[test]
fn an_address_whose_label_is_not_its_interfaces_name_is_on_its_interface() {
    lab::run(|| assert_label_belongs_to_eth0("maas"));
}

/// FAULTS D2
#[test]
fn the_label_lo_does_not_make_an_address_a_loopback_address() {
    lab::run(|| assert_label_belongs_to_eth0("lo"));
}

/// FAULTS D3
#[test]
fn the_peer_of_an_address_is_answered_and_asked() {
    lab::run(|| {
        let [a, b] = hosts();
        a.ip("address add 10.77.0.1 peer 10.77.0.2/32 dev eth0");
        b.ip("address add 10.77.0.2 peer 10.77.0.1/32 dev eth0");
        let _server = Serving::on(&b, unfiltered());
        let asker = Asker::at(&a, "0.0.0.0:0");
        assert_eq!(asker.ask("10.77.0.2:9999"), answer_of("10.77.0.2"));
        assert_eq!(asked(&a), ["eth0 255.255.255.255", "eth0 10.77.0.2"]);
        assert_eq!(search(&a, lasting(300)).texts(), ["10.77.0.2"]);
    });
}

/// FAULTS D3
#[test]
fn a_route_without_a_gateway_makes_its_network_on_link() {
    lab::run(|| {
        let [a, b] = hosts();
        for (host, ip) in [(&a, "10.77.0.1"), (&b, "10.77.0.2")] {
            host.ip(&format!("address add {ip}/32 dev eth0"));
        }
        a.ip("route add 10.77.0.2 dev eth0 scope link");
        b.ip("route add 10.77.0.0/24 dev eth0 scope link");
        let _server = Serving::on(&b, unfiltered());
        let asker = Asker::at(&a, "0.0.0.0:0");
        assert_eq!(asker.ask("10.77.0.2:9999"), answer_of("10.77.0.2"));
        assert_eq!(asked(&a), ["eth0 255.255.255.255", "eth0 10.77.0.2"]);
        assert_eq!(search(&a, lasting(300)).texts(), ["10.77.0.2"]);
    });
}

/// FAULTS D3
#[test]
fn a_route_that_is_added_while_the_server_runs_counts_a_moment_later() {
    lab::run(|| {
        let [a, b] = hosts();
        a.ip("address add 10.77.0.1/32 dev eth0");
        a.ip("route add 10.77.0.2 dev eth0 scope link");
        b.ip("address add 10.77.0.2/32 dev eth0");
        b.ip("route add default dev eth0");
        let server = Serving::on(&b, unfiltered());
        let asker = Asker::at(&a, "0.0.0.0:0");
        asker.send(REQUEST, "10.77.0.2:9999");
        wait_until("a drop", || {
            server.stats().dropped(DropReason::OffLink) == 1
        });
        b.ip("route add 10.77.0.1 dev eth0 scope link");
        let (answer, _) = asker.ask_until_answered("10.77.0.2:9999");
        assert_eq!(answer, answer_of("10.77.0.2"));
    });
}

/// FAULTS D3
#[test]
fn the_source_that_a_route_prefers_answers_there() {
    lab::run(|| {
        let [a, b] = hosts();
        a.ip("address add 10.77.0.1/32 dev eth0");
        a.ip("route add default dev eth0");
        b.ip("address add 10.77.0.2/32 dev eth0");
        b.ip("address add 10.77.0.3/32 dev eth0");
        b.ip("route add 10.77.0.1 dev eth0 scope link src 10.77.0.3");
        let _server = Serving::on(&b, Config::default());
        let asker = Asker::at(&a, "0.0.0.0:0");
        let broadcast = asker.ask("255.255.255.255:9999");
        assert_eq!(broadcast, answer_of("10.77.0.3"));
        // Who asks an address is answered from there.
        assert_eq!(asker.ask("10.77.0.2:9999"), answer_of("10.77.0.2"));
    });
}

/// FAULTS D3
#[test]
fn default_and_gateway_routes_make_nothing_on_link() {
    lab::run(|| {
        let [a, b] = hosts();
        a.ip("address add 10.77.9.1/32 dev eth0");
        a.ip("route add 10.77.1.2 dev eth0 scope link");
        b.ip("address add 10.77.1.2/24 dev eth0");
        // The server's kernel reaches the client by each of these.
        for route in [
            "10.77.9.1 via 10.77.1.9",
            "0.0.0.0/1 dev eth0 scope link",
            "default dev eth0 scope link",
            "10.77.9.1 dev eth0 scope link table 100",
        ] {
            b.ip(&format!("route add {route}"));
            let server = Serving::on(&b, unfiltered());
            Asker::at(&a, "10.77.9.1:0").send(REQUEST, "10.77.1.2:9999");
            wait_until(route, || server.stats().dropped(DropReason::OffLink) == 1);
            assert_eq!(server.stop().answered(), 0, "{route}");
            b.ip(&format!("route del {route}"));
        }
    });
}

/// FAULTS D2
#[test]
fn an_ipv6_address_is_listed_once_no_other_host_has_it() {
    if !std::fs::exists("/proc/net/if_inet6").unwrap_or(false) {
        return lab::skip("there is no IPv6");
    }
    lab::run(|| {
        let [a, b] = hosts();
        let holds = |host: &Host, ip: &str| {
            let interfaces = host.run(Interface::list).unwrap();
            let ip = ip.parse().unwrap();
            interfaces.iter().any(|interface| interface.holds(ip))
        };
        b.ip("address add fd77::1/64 dev eth0 nodad");
        assert!(holds(&b, "fd77::1"));
        a.ip("address add fd77::1/64 dev eth0");
        a.ip("address add fd77::2/64 dev eth0");
        wait_until("the other host's objection", || {
            assert!(!holds(&a, "fd77::1"));
            a.ip("address show dev eth0 dadfailed")
                .contains("fd77::1/64")
        });
        assert!(!holds(&a, "fd77::1"));
        wait_until("nobody's objection", || holds(&a, "fd77::2"));
    });
}
