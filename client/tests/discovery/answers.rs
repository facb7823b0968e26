//! What each datagram means.

use std::time::{Duration, Instant};

use udp_discovery_client::{
    AddressPolicy, Config, DiscoverError, DiscoveredServer, Discovery, Host,
};

use crate::sim::{MS, RANDOM, Sim, eth0, interface, server};

const POLICIES: [AddressPolicy; 4] = [
    AddressPolicy::Auto,
    AddressPolicy::Claim,
    AddressPolicy::Source,
    AddressPolicy::Match,
];

#[test]
fn fault_16_no_more_servers_are_kept_than_the_cap() {
    let mut sim = Sim::new(&Config::default());
    for number in 0..100_000_u32 {
        let (host, port) = (1 + number / 65_535, 1 + number % 65_535);
        let answer = format!("SERVER_IP:10.0.1.{host}:{port}");
        sim.arrives(MS + Duration::from_micros(4) * number, server(7), answer);
    }
    sim.run();
    assert_eq!(sim.found.len(), 4096);
    assert!(sim.search.report().capped());
    assert_eq!(sim.counts().accepted, 4096);
    assert_eq!(sim.counts().over_the_cap, 95_904);
    assert_eq!(sim.elapsed(), 500 * MS);
}

#[test]
fn fault_52_the_cap_keeps_out_no_server_that_an_earlier_round_knows() {
    let known = DiscoveredServer::new([10, 0, 1, 8], 8000);
    let host = Host::new([eth0()]).with_expected([known]);
    let mut sim = Sim::of(Instant::now(), |now| {
        Discovery::new(now, &Config::default(), &host, RANDOM).unwrap()
    });
    for port in 1..=10_000_u32 {
        let at = MS + Duration::from_micros(4) * port;
        sim.arrives(at, server(7), format!("SERVER_IP:10.0.1.7:{port}"));
    }
    sim.arrives(60 * MS, server(8), "SERVER_IP:10.0.1.8:8000");
    sim.run();
    assert_eq!(sim.found.len(), 4097);
    assert_eq!(sim.counts().over_the_cap, 10_000 - 4096);
    assert_eq!(sim.found[4096].to_string(), "10.0.1.8:8000");
}

#[test]
fn fault_17_one_answer_ten_thousand_times_is_one_server() {
    let mut sim = Sim::new(&Config::default());
    for _ in 0..10_000 {
        sim.arrives(MS, server(7), "SERVER_IP:10.0.1.7:8000");
    }
    sim.run();
    assert_eq!(sim.found.len(), 1);
    assert_eq!(sim.counts().duplicates, 9_999);
}

#[test]
fn fault_20_a_claim_that_differs_is_used_by_policy_and_reported() {
    let policies = [
        (AddressPolicy::Auto, "10.0.1.8", Some("10.0.1.8")),
        (AddressPolicy::Auto, "203.0.113.9", Some("10.0.1.7")),
        (AddressPolicy::Claim, "203.0.113.9", Some("203.0.113.9")),
        (AddressPolicy::Source, "10.0.1.8", Some("10.0.1.7")),
        (AddressPolicy::Match, "10.0.1.8", None),
        (AddressPolicy::Match, "10.0.1.7", Some("10.0.1.7")),
    ];
    for (policy, claim, expected) in policies {
        let config = Config::default().with_address_policy(policy);
        let answer = format!("SERVER_IP:{claim}");
        let sim = Sim::answered(&config, "10.0.1.7:9999", answer.as_bytes());
        let used = sim.found().into_iter().next();
        assert_eq!(used.as_deref(), expected, "{policy:?} of {claim}");
        assert_eq!(sim.counts().refused_address, u64::from(expected.is_none()));
        for server in sim.found {
            assert_eq!(server.claimed_ip.to_string(), claim);
            assert_eq!(server.source, "10.0.1.7:9999".parse().ok());
            assert_eq!(server.raw.as_deref(), Some(answer.as_bytes()));
            assert_eq!(server.interface, "eth0");
            assert_eq!(server.rtt, Some(MS));
        }
    }
}

#[test]
fn fault_21_a_claim_that_is_no_address_is_refused() {
    for claim in [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "240.0.0.1",
        "254.1.2.3",
        "255.255.255.255",
        "[::ffff:10.0.1.7]",
        "300.1.1.1",
        "01.2.3.4",
        "١٠.٠.٠.١",
        "",
        "localhost",
    ] {
        let answer = format!("SERVER_IP:{claim}");
        let sim = Sim::answered(&Config::default(), "10.0.1.7:9999", answer.as_bytes());
        assert_eq!(sim.found, [], "{claim}");
        assert_eq!(sim.counts().malformed, 1, "{claim}");
    }
}

#[test]
fn an_answer_from_a_source_that_no_host_has_is_refused_by_every_policy() {
    for policy in POLICIES {
        let config = Config::default().with_address_policy(policy);
        for source in ["0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255"] {
            let source = format!("{source}:9999");
            let sim = Sim::answered(&config, &source, b"SERVER_IP:10.0.1.7");
            assert_eq!(sim.found, [], "{source}");
            assert_eq!(sim.counts().refused_address, 1, "{source}");
        }
    }
}

#[test]
fn fault_21_another_hosts_loopback_is_never_the_address_to_use() {
    for policy in POLICIES {
        let config = Config::default().with_address_policy(policy);
        for answer in ["SERVER_IP:127.0.0.1:80", "SERVER_IP:[::1]:80"] {
            let sim = Sim::answered(&config, "10.0.1.7:9999", answer.as_bytes());
            assert!(sim.found.iter().all(|server| !server.ip.is_loopback()));
        }
    }
}

#[test]
fn fault_22_a_claim_with_no_port_behind_its_colon_is_refused() {
    for port in ["0", "65536", "-1", "+80", "", "12345678901234567890"] {
        let answer = format!("SERVER_IP:10.0.1.7:{port}");
        let sim = Sim::answered(&Config::default(), "10.0.1.7:9999", answer.as_bytes());
        assert_eq!(sim.found, [], "{port}");
        assert_eq!(sim.counts().malformed, 1, "{port}");
    }
}

#[test]
fn fault_23_an_answer_after_the_end_is_late() {
    let mut sim = Sim::new(&Config::default());
    sim.run();
    sim.receive(0, server(7), b"SERVER_IP:10.0.1.7");
    assert_eq!(sim.found, []);
    assert_eq!(sim.counts().late, 1);
    assert_eq!(sim.counts().accepted, 0);
}

#[test]
fn fault_24_an_answer_from_another_port_is_refused_unless_allowed() {
    let answer = b"SERVER_IP:10.0.1.7";
    let sim = Sim::answered(&Config::default(), "10.0.1.7:1234", answer);
    assert_eq!(sim.found, []);
    assert_eq!(sim.counts().wrong_source_port, 1);

    let config = Config::default().with_any_source_port(true);
    let sim = Sim::answered(&config, "10.0.1.7:1234", answer);
    assert_eq!(sim.found(), ["10.0.1.7"]);
}

#[test]
fn a_datagram_that_is_not_a_response_is_counted_and_dropped() {
    let sim = Sim::answered(&Config::default(), "10.0.1.7:9999", b"DISCOVER_SERVER");
    assert_eq!((sim.found.len(), sim.counts().malformed), (0, 1));
    let sim = Sim::answered(&Config::default(), "10.0.1.7:9999", &[b' '; 300]);
    assert_eq!((sim.found.len(), sim.counts().too_long), (0, 1));
}

#[test]
fn the_report_keeps_the_first_malformed_datagram() {
    let mut sim = Sim::new(&Config::default());
    sim.receive(0, server(7), b"SERVER_IP:10.0.1.7");
    sim.receive(0, server(8), b"OTHER:10.0.1.8");
    sim.receive(0, server(9), b"ANOTHER:10.0.1.9");
    let malformed = sim.search.report().first_malformed.as_ref().unwrap();
    assert_eq!(malformed.source, server(8));
    assert_eq!(&malformed.payload[..], b"OTHER:10.0.1.8");
    assert_eq!(sim.counts().malformed, 2);
}

#[test]
fn the_same_address_with_other_ports_is_other_servers() {
    let mut sim = Sim::new(&Config::default());
    for answer in ["10.0.1.7", "10.0.1.7:1", "10.0.1.7:2"] {
        sim.receive(0, server(7), format!("SERVER_IP:{answer}").as_bytes());
    }
    assert_eq!(sim.found(), ["10.0.1.7", "10.0.1.7:1", "10.0.1.7:2"]);
}

#[test]
fn an_answer_without_a_port_gets_the_default_port() {
    let mut sim = Sim::new(&Config::default().with_default_port(8000));
    for answer in ["10.0.1.7", "10.0.1.7:8000", "10.0.1.7:1"] {
        sim.receive(0, server(7), format!("SERVER_IP:{answer}").as_bytes());
    }
    assert_eq!(sim.found(), ["10.0.1.7:8000", "10.0.1.7:1"]);
    assert_eq!(sim.counts().duplicates, 1);
}

#[test]
fn port_0_is_an_error_when_a_search_starts() {
    for config in [
        Config::default().with_port(0),
        Config::default().with_default_port(0),
    ] {
        let search = Discovery::new(
            std::time::Instant::now(),
            &config,
            &Host::new([eth0()]),
            RANDOM,
        );
        assert!(matches!(search, Err(DiscoverError::PortZero)));
    }
}

#[test]
fn a_server_that_two_networks_reach_is_listed_once() {
    let interfaces = [eth0(), interface("wlan0", "10.0.0.3", 16)];
    let mut sim = Sim::on(&Config::default(), &interfaces);
    for link in 0..2 {
        sim.receive(link, server(7), b"SERVER_IP:10.0.1.7");
    }
    assert_eq!(sim.found.len(), 1);
    assert_eq!(sim.found[0].interface, "eth0");
}

#[test]
fn the_network_of_a_container_bridge_counts_only_if_the_search_asks_on_it() {
    let interfaces = [eth0(), interface("docker0", "172.17.0.1", 16)];
    for (config, expected) in [
        (Config::default(), "10.0.1.7"),
        (Config::default().with_interfaces(["eth0"]), "10.0.1.7"),
        (Config::default().with_interfaces(["*"]), "172.17.0.5"),
    ] {
        let mut sim = Sim::on(&config, &interfaces);
        sim.receive(0, server(7), b"SERVER_IP:172.17.0.5");
        assert_eq!(sim.found(), [expected]);
    }
}
