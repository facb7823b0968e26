//! The core on a simulated network in virtual time: loss, delay, duplicates and reordering come
//! from a seed, so every run is the same.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use udp_discovery_client::{
    AddressPolicy, Config, Counts, DiscoverError, DiscoveredServer, Discovery, Transmit,
};
use udp_discovery_protocol::{Interface, InterfaceAddress, InterfaceFlags};

const MS: Duration = Duration::from_millis(1);
const PORT: u16 = 9999;

/// The directed broadcast address of [`eth0`].
const DIRECTED: Ipv4Addr = Ipv4Addr::new(10, 0, 255, 255);

/// More steps than any search here takes: one that turns in circles fails.
const MAX_STEPS: usize = 1_000_000;

/// Xorshift64*, which is all the randomness a test needs.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What the network does to each datagram.
#[derive(Clone, Copy)]
struct Faults {
    /// In percent, each way.
    loss: u64,
    /// In percent, each way.
    duplicates: u64,
    /// Up to so much, so that datagrams overtake each other.
    delay: Duration,
}

const CALM: Faults = Faults {
    loss: 0,
    duplicates: 0,
    delay: MS,
};

/// A search of the host 10.0.0.2/16, and the servers that may hear it.
struct Sim {
    start: Instant,
    now: Instant,
    rng: Rng,
    faults: Faults,
    search: Discovery,
    /// The servers' addresses. Each answers every probe that it hears with its own address.
    servers: Vec<Ipv4Addr>,
    /// Whether the servers have the client's prefix, and so hear its directed broadcast.
    same_prefix: bool,
    /// What is on its way to the client, the earliest first: when it arrives, from where, what.
    to_client: BinaryHeap<Reverse<(Instant, SocketAddr, Vec<u8>)>>,
    found: Vec<DiscoveredServer>,
}

impl Sim {
    fn new(seed: u64, config: &Config) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            rng: Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            faults: CALM,
            search: Discovery::new(start, config, &[eth0()]).unwrap(),
            servers: Vec::new(),
            same_prefix: true,
            to_client: BinaryHeap::new(),
            found: Vec::new(),
        }
    }

    fn with_servers(mut self, count: u16) -> Self {
        self.servers = (0..count).map(server_ip).collect();
        self
    }

    fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// An answer that arrives `after` the start, whatever the network does.
    fn arrives(&mut self, after: Duration, source: SocketAddr, payload: impl Into<Vec<u8>>) {
        let at = self.start + after;
        self.to_client.push(Reverse((at, source, payload.into())));
    }

    /// How many times a datagram arrives, and when each.
    fn carry(&mut self) -> Vec<Instant> {
        let copies = if self.rng.below(100) < self.faults.loss {
            0
        } else if self.rng.below(100) < self.faults.duplicates {
            2
        } else {
            1
        };
        let delay = u64::try_from(self.faults.delay.as_micros()).unwrap() + 1;
        (0..copies)
            .map(|_| self.now + Duration::from_micros(self.rng.below(delay)))
            .collect()
    }

    fn deliver(&mut self, transmit: &Transmit) {
        assert_eq!(&transmit.payload[..], b"DISCOVER_SERVER");
        let destination = *transmit.destination.ip();
        assert!(destination == DIRECTED || destination == Ipv4Addr::BROADCAST);
        if destination == DIRECTED && !self.same_prefix {
            return;
        }
        for server in self.servers.clone() {
            for heard in self.carry() {
                let on_the_way = heard - self.now;
                for arrives in self.carry() {
                    let answer = format!("SERVER_IP:{server}:8000").into_bytes();
                    let source = SocketAddr::from((server, PORT));
                    self.to_client
                        .push(Reverse((arrives + on_the_way, source, answer)));
                }
            }
        }
    }

    /// Drives the search to its end, as its contract says.
    fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            while let Some(transmit) = self.search.poll_transmit(self.now) {
                self.deliver(&transmit);
            }
            let Some(timeout) = self.search.poll_timeout() else {
                return;
            };
            let arrival = self.to_client.peek().map(|Reverse((at, ..))| *at);
            self.now = arrival.map_or(timeout, |at| at.min(timeout)).max(self.now);
            if arrival.is_some_and(|at| at <= self.now) {
                let Reverse((_, source, payload)) = self.to_client.pop().unwrap();
                self.search.handle_datagram(self.now, 0, source, &payload);
            }
            while let Some(server) = self.search.poll_event() {
                self.found.push(server);
            }
            self.search.handle_timeout(self.now);
        }
        panic!("the search doesn't end");
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn counts(&self) -> Counts {
        self.search.report().counts
    }
}

fn eth0() -> Interface {
    interface("eth0", "10.0.0.2", 16)
}

fn interface(name: &str, ip: &str, prefix_len: u8) -> Interface {
    let mut interface = Interface::new(name, 2);
    interface.flags = InterfaceFlags {
        up: true,
        broadcast: true,
        ..InterfaceFlags::default()
    };
    let address = InterfaceAddress::new(ip.parse().unwrap(), prefix_len).unwrap();
    interface.addresses.push(address);
    interface
}

fn server_ip(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 0, high + 1, low)
}

fn server(number: u16) -> SocketAddr {
    SocketAddr::from((server_ip(number), PORT))
}

/// One search with one datagram from a server, and what it made of it.
fn answered(config: &Config, source: &str, payload: &[u8]) -> (Vec<DiscoveredServer>, Counts) {
    let mut sim = Sim::new(1, config);
    sim.arrives(MS, source.parse().unwrap(), payload);
    sim.run();
    let counts = sim.counts();
    (sim.found, counts)
}

#[test]
fn a_calm_network_loses_nobody_and_each_is_listed_once() {
    let mut sim = Sim::new(1, &Config::default()).with_servers(1000);
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
        let mut sim = Sim::new(seed, &Config::default())
            .with_servers(2000)
            .with_faults(faults);
        sim.run();
        let distinct: HashSet<IpAddr> = sim.found.iter().map(|server| server.ip).collect();
        assert_eq!(distinct.len(), sim.found.len(), "a server is listed once");
        found += sim.found.len();
    }
    assert!(found >= 19_800, "{found} of 20,000");
    // Else the network lost nothing.
    assert!(found < 20_000);
}

#[test]
fn one_probe_alone_loses_one_in_five() {
    let config = Config::default().with_probes(1.try_into().unwrap());
    let mut sim = Sim::new(1, &config)
        .with_servers(2000)
        .with_faults(Faults { loss: 10, ..CALM });
    sim.run();
    assert!(
        (1500..1750).contains(&sim.found.len()),
        "{}",
        sim.found.len()
    );
}

#[test]
fn fault_16_no_more_servers_are_kept_than_the_cap() {
    let mut sim = Sim::new(1, &Config::default());
    for number in 0..100_000_u32 {
        let (host, port) = (1 + number / 65_535, 1 + number % 65_535);
        let answer = format!("SERVER_IP:10.0.1.{host}:{port}");
        sim.arrives(MS + Duration::from_micros(4) * number, server(7), answer);
    }
    sim.run();
    assert_eq!(sim.found.len(), 4096);
    assert!(sim.search.report().capped());
    let counts = sim.counts();
    assert_eq!(counts.accepted, 4096);
    assert_eq!(counts.over_the_cap, 95_904);
    assert_eq!(sim.elapsed(), 500 * MS);
}

#[test]
fn fault_17_one_answer_ten_thousand_times_is_one_server() {
    let mut sim = Sim::new(1, &Config::default());
    for _ in 0..10_000 {
        sim.arrives(MS, server(7), "SERVER_IP:10.0.1.7:8000");
    }
    sim.run();
    assert_eq!(sim.found.len(), 1);
    assert_eq!(sim.counts().duplicates, 9_999);
}

#[test]
fn fault_18_an_answer_now_and_then_for_ever_does_not_move_the_deadline() {
    let config = Config::default().with_timeout(1000 * MS);
    let mut sim = Sim::new(1, &config);
    for number in 0..1000 {
        let answer = format!("SERVER_IP:{}", server_ip(number));
        sim.arrives(400 * MS * u32::from(number), server(number), answer);
    }
    sim.run();
    assert_eq!(sim.elapsed(), 1000 * MS);
    assert_eq!(sim.found.len(), 3, "at 0, 0.4 and 0.8 s");
}

#[test]
fn fault_20_a_claim_that_differs_is_used_by_policy_and_told() {
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
        let (found, counts) = answered(&config, "10.0.1.7:9999", answer.as_bytes());
        let used = found.first().map(|server| server.ip.to_string());
        assert_eq!(used.as_deref(), expected, "{policy:?} of {claim}");
        assert_eq!(counts.refused_address, u64::from(expected.is_none()));
        for server in found {
            assert_eq!(server.claimed_ip.to_string(), claim);
            assert_eq!(server.source.to_string(), "10.0.1.7:9999");
            assert_eq!(&server.raw[..], answer.as_bytes());
            assert_eq!(server.interface, "eth0");
            assert_eq!(server.rtt, MS);
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
        let (found, counts) = answered(&Config::default(), "10.0.1.7:9999", answer.as_bytes());
        assert_eq!(found, [], "{claim}");
        assert_eq!(counts.malformed, 1, "{claim}");
    }
}

#[test]
fn an_answer_from_a_source_that_no_host_has_is_refused_by_every_policy() {
    for policy in [
        AddressPolicy::Auto,
        AddressPolicy::Claim,
        AddressPolicy::Source,
        AddressPolicy::Match,
    ] {
        let config = Config::default().with_address_policy(policy);
        for source in ["0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255"] {
            let source = format!("{source}:9999");
            let (found, counts) = answered(&config, &source, b"SERVER_IP:10.0.1.7");
            assert_eq!(found, [], "{source}");
            assert_eq!(counts.refused_address, 1, "{source}");
        }
    }
}

#[test]
fn fault_21_another_hosts_loopback_is_never_the_address_to_use() {
    for policy in [
        AddressPolicy::Auto,
        AddressPolicy::Claim,
        AddressPolicy::Source,
        AddressPolicy::Match,
    ] {
        let config = Config::default().with_address_policy(policy);
        for answer in ["SERVER_IP:127.0.0.1:80", "SERVER_IP:[::1]:80"] {
            let (found, _) = answered(&config, "10.0.1.7:9999", answer.as_bytes());
            assert!(found.iter().all(|server| !server.ip.is_loopback()));
        }
    }
}

#[test]
fn fault_22_a_claim_with_no_port_behind_its_colon_is_refused() {
    for port in ["0", "65536", "-1", "+80", "", "12345678901234567890"] {
        let answer = format!("SERVER_IP:10.0.1.7:{port}");
        let (found, counts) = answered(&Config::default(), "10.0.1.7:9999", answer.as_bytes());
        assert_eq!(found, [], "{port}");
        assert_eq!(counts.malformed, 1, "{port}");
    }
}

#[test]
fn fault_23_an_answer_after_the_end_is_late() {
    let mut sim = Sim::new(1, &Config::default());
    sim.run();
    let now = sim.now;
    sim.search
        .handle_datagram(now, 0, server(7), b"SERVER_IP:10.0.1.7");
    assert_eq!(sim.search.poll_event(), None);
    assert_eq!(sim.counts().late, 1);
    assert_eq!(sim.counts().accepted, 0);
}

#[test]
fn fault_24_an_answer_from_another_port_is_refused_unless_allowed() {
    let answer = b"SERVER_IP:10.0.1.7";
    let (found, counts) = answered(&Config::default(), "10.0.1.7:1234", answer);
    assert_eq!(found, []);
    assert_eq!(counts.wrong_source_port, 1);

    let config = Config::default().with_any_source_port(true);
    let (found, _) = answered(&config, "10.0.1.7:1234", answer);
    assert_eq!(found.len(), 1);
}

#[test]
fn what_is_no_response_is_counted_and_dropped() {
    let (found, counts) = answered(&Config::default(), "10.0.1.7:9999", b"DISCOVER_SERVER");
    assert_eq!((found.len(), counts.malformed), (0, 1));
    let (found, counts) = answered(&Config::default(), "10.0.1.7:9999", &[b' '; 300]);
    assert_eq!((found.len(), counts.too_long), (0, 1));
}

#[test]
fn the_same_address_with_other_ports_is_other_servers() {
    let mut sim = Sim::new(1, &Config::default());
    for answer in [
        "SERVER_IP:10.0.1.7",
        "SERVER_IP:10.0.1.7:1",
        "SERVER_IP:10.0.1.7:2",
    ] {
        sim.arrives(MS, server(7), answer);
    }
    sim.run();
    assert_eq!(sim.found.len(), 3);
}

#[test]
fn an_answer_without_a_port_gets_the_default_port() {
    let config = Config::default().with_default_port(8000);
    let mut sim = Sim::new(1, &config);
    for answer in [
        "SERVER_IP:10.0.1.7",
        "SERVER_IP:10.0.1.7:8000",
        "SERVER_IP:10.0.1.7:1",
    ] {
        sim.arrives(MS, server(7), answer);
    }
    sim.run();
    let found: Vec<_> = sim.found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["10.0.1.7:8000", "10.0.1.7:1"]);
    assert_eq!(sim.counts().duplicates, 1);
}

#[test]
fn port_0_is_an_error_when_a_search_starts() {
    for config in [
        Config::default().with_port(0),
        Config::default().with_default_port(0),
    ] {
        let search = Discovery::new(Instant::now(), &config, &[eth0()]);
        assert!(matches!(search, Err(DiscoverError::PortZero)));
    }
}

#[test]
fn the_report_keeps_the_first_malformed_datagram() {
    let mut sim = Sim::new(1, &Config::default());
    sim.arrives(MS, server(7), "SERVER_IP:10.0.1.7");
    sim.arrives(2 * MS, server(8), "OTHER:10.0.1.8");
    sim.arrives(3 * MS, server(9), "ANOTHER:10.0.1.9");
    sim.run();
    let malformed = sim.search.report().first_malformed.as_ref().unwrap();
    assert_eq!(malformed.source, server(8));
    assert_eq!(&malformed.payload[..], b"OTHER:10.0.1.8");
    assert_eq!(sim.counts().malformed, 2);
}

#[test]
fn a_server_that_two_networks_reach_is_listed_once() {
    let interfaces = [eth0(), interface("wlan0", "10.0.0.3", 16)];
    let now = Instant::now();
    let mut search = Discovery::new(now, &Config::default(), &interfaces).unwrap();
    for link in 0..2 {
        search.handle_datagram(now, link, server(7), b"SERVER_IP:10.0.1.7");
    }
    assert_eq!(search.poll_event().unwrap().interface, "eth0");
    assert_eq!(search.poll_event(), None);
}

#[test]
fn a_search_without_time_still_asks_once() {
    let config = Config::default().with_timeout(Duration::ZERO);
    let mut sim = Sim::new(1, &config);
    sim.run();
    assert_eq!(sim.search.report().links[0].probes_sent, 1);
    assert_eq!(sim.elapsed(), Duration::ZERO);
}

#[test]
fn a_search_may_last_longer_than_the_clock_can_tell() {
    let config = Config::default().with_timeout(Duration::MAX);
    let start = Instant::now();
    let search = Discovery::new(start, &config, &[eth0()]).unwrap();
    assert!(search.poll_timeout().is_some());
    let year = Duration::from_secs(365 * 24 * 3600);
    assert_eq!(search.deadline(), start + year, "it is cut to a year");
}

#[test]
fn fault_39_a_clock_that_goes_back_moves_nothing() {
    let start = Instant::now();
    let mut search = Discovery::new(start + 100 * MS, &Config::default(), &[eth0()]).unwrap();
    let deadline = search.deadline();
    assert!(search.poll_transmit(start).is_some());
    search.handle_datagram(start, 0, server(7), b"SERVER_IP:10.0.1.7");
    assert_eq!(search.poll_event().unwrap().rtt, Duration::ZERO);
    search.handle_timeout(start);
    assert_eq!(search.deadline(), deadline);
    search.handle_timeout(deadline);
    search.handle_timeout(start);
    assert_eq!(search.poll_timeout(), None);
}

/// Drives a search to its end. Returns the destinations of each round of probes; sending fails
/// where `fails` says so.
fn destinations(
    search: &mut Discovery,
    mut now: Instant,
    fails: impl Fn(Ipv4Addr) -> bool,
) -> Vec<Vec<String>> {
    let mut rounds = Vec::new();
    while let Some(timeout) = search.poll_timeout() {
        let mut round = Vec::new();
        while let Some(transmit) = search.poll_transmit(now) {
            let destination = *transmit.destination.ip();
            round.push(destination.to_string());
            if fails(destination) {
                search.handle_send_error(io::ErrorKind::NetworkUnreachable.into());
            }
        }
        rounds.push(round);
        now = timeout.max(now);
        search.handle_timeout(now);
    }
    rounds.retain(|round| !round.is_empty());
    rounds
}

#[test]
fn each_probe_is_one_broadcast_that_alternates_between_directed_and_limited() {
    let start = Instant::now();
    let interfaces = [eth0(), interface("eth1", "192.168.1.2", 24)];
    let mut search = Discovery::new(start, &Config::default(), &interfaces).unwrap();
    assert_eq!(
        destinations(&mut search, start, |_| false),
        [
            ["10.0.255.255", "192.168.1.255"],
            ["255.255.255.255", "255.255.255.255"],
            ["10.0.255.255", "192.168.1.255"],
        ]
    );
}

#[test]
fn a_server_with_another_prefix_hears_the_limited_broadcast() {
    let mut sim = Sim::new(1, &Config::default()).with_servers(10);
    sim.same_prefix = false;
    sim.run();
    assert_eq!(sim.found.len(), 10);
    assert_eq!(sim.counts().duplicates, 0);
}

#[test]
fn a_broadcast_that_cannot_be_sent_is_replaced_by_the_other_one() {
    let both = [DIRECTED, Ipv4Addr::BROADCAST];
    for (refused, sent) in [(both[0], both[1]), (both[1], both[0])] {
        let start = Instant::now();
        let mut search = Discovery::new(start, &Config::default(), &[eth0()]).unwrap();
        let rounds = destinations(&mut search, start, |destination| destination == refused);
        assert!(rounds.iter().all(|round| round.contains(&sent.to_string())));
        let link = &search.report().links[0];
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
    let start = Instant::now();
    let mut search = Discovery::new(start, &Config::default(), &[tun0]).unwrap();
    assert_eq!(
        destinations(&mut search, start, |_| false),
        [["10.8.0.1"]; 3]
    );
}

#[test]
fn a_send_error_is_about_the_last_datagram_and_counts_once() {
    let now = Instant::now();
    let mut search = Discovery::new(now, &Config::default(), &[eth0()]).unwrap();
    let error = || io::Error::from(io::ErrorKind::NetworkUnreachable);
    search.handle_send_error(error());
    assert_eq!(search.report().links[0].send_errors, 0, "nothing was sent");
    search.poll_transmit(now).unwrap();
    search.handle_send_error(error());
    search.handle_send_error(error());
    let link = &search.report().links[0];
    assert_eq!((link.probes_sent, link.send_errors), (0, 1));
}

#[test]
fn missed_probes_do_not_leave_the_limited_broadcast_out() {
    let start = Instant::now();
    let mut search = Discovery::new(start, &Config::default(), &[eth0()]).unwrap();
    let to = |search: &mut Discovery, now| *search.poll_transmit(now).unwrap().destination.ip();
    assert_eq!(to(&mut search, start), DIRECTED);
    search.handle_timeout(start + 300 * MS); // two probes late
    assert_eq!(to(&mut search, start + 300 * MS), Ipv4Addr::BROADCAST);
}

/// A search on two interfaces, of which sending fails where `fails` says so: the link, the probe.
fn with_send_errors(fails: impl Fn(usize, usize) -> bool) -> (Discovery, Duration) {
    let interfaces = [eth0(), interface("eth1", "10.1.0.2", 16)];
    let start = Instant::now();
    let mut now = start;
    let mut search = Discovery::new(now, &Config::default(), &interfaces).unwrap();
    for probe in 0..MAX_STEPS {
        while let Some(transmit) = search.poll_transmit(now) {
            if fails(transmit.link, probe) {
                let error = io::Error::from(io::ErrorKind::NetworkUnreachable);
                search.handle_send_error(error);
            }
        }
        let Some(timeout) = search.poll_timeout() else {
            return (search, now - start);
        };
        now = timeout;
        search.handle_timeout(now);
    }
    panic!("the search doesn't end");
}

#[test]
fn an_interface_that_fails_to_send_is_reported_and_stops_no_other() {
    let (search, elapsed) = with_send_errors(|link, _| link == 0);
    assert!(search.outcome().is_ok());
    assert_eq!(elapsed, 500 * MS);
    let [failed, fine] = &search.report().links[..] else {
        panic!("{:?}", search.report());
    };
    assert_eq!((failed.probes_sent, failed.send_errors), (0, 6));
    assert!(failed.last_send_error.is_some());
    assert_eq!((fine.probes_sent, fine.send_errors), (3, 0));
    assert!(fine.last_send_error.is_none());
}

#[test]
fn a_search_that_can_send_nothing_is_an_error_with_the_systems_reason() {
    let (search, elapsed) = with_send_errors(|_, _| true);
    match search.outcome() {
        Err(DiscoverError::NothingSent { source }) => {
            assert_eq!(source.kind(), io::ErrorKind::NetworkUnreachable);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(elapsed, 250 * MS, "it ends with the last probe");
}

#[test]
fn a_later_probe_makes_up_for_one_that_could_not_be_sent() {
    let (search, elapsed) = with_send_errors(|_, probe| probe < 2);
    assert!(search.outcome().is_ok());
    assert_eq!(search.report().links[0].probes_sent, 1);
    assert_eq!(elapsed, 500 * MS);
}

#[test]
fn a_round_trip_is_measured_from_the_last_probe_that_left() {
    let start = Instant::now();
    let mut search = Discovery::new(start, &Config::default(), &[eth0()]).unwrap();
    while search.poll_transmit(start).is_some() {}
    let second = search.poll_timeout().unwrap();
    search.handle_timeout(second);
    while search.poll_transmit(second).is_some() {
        search.handle_send_error(io::ErrorKind::NetworkUnreachable.into());
    }
    search.handle_datagram(second + MS, 0, server(7), b"SERVER_IP:10.0.1.7");
    let rtt = search.poll_event().unwrap().rtt;
    assert_eq!(rtt, second + MS - start);
}

#[test]
fn fault_30_a_search_without_any_socket_is_over_with_an_error() {
    let mut search = Discovery::new(Instant::now(), &Config::default(), &[eth0()]).unwrap();
    search.give_up(0, io::Error::other("no descriptors left"));
    assert_eq!(search.poll_transmit(Instant::now()), None);
    assert_eq!(search.poll_timeout(), None);
    assert!(matches!(
        search.outcome(),
        Err(DiscoverError::OpenSocket { .. })
    ));
}

/// The system's code for a datagram that is longer than the buffer: EMSGSIZE, WSAEMSGSIZE.
const TOO_LONG: i32 = if cfg!(windows) {
    10040
} else if cfg!(target_os = "linux") {
    90
} else {
    40
};

/// The system's code for a descriptor that is no socket: EBADF, WSAEBADF.
const NOT_A_SOCKET: i32 = if cfg!(windows) { 10009 } else { 9 };

#[test]
fn a_datagram_that_the_system_reports_as_too_long_is_one_that_came_in() {
    let mut search = Discovery::new(Instant::now(), &Config::default(), &[eth0()]).unwrap();
    for _ in 0..100 {
        search.handle_receive_error(0, io::Error::from_raw_os_error(TOO_LONG));
    }
    let counts = search.report().counts;
    assert_eq!((counts.too_long, counts.receive_errors), (100, 0));
    assert!(!search.is_given_up(0));
}

#[test]
fn a_socket_that_has_nothing_to_receive_has_no_error() {
    let mut search = Discovery::new(Instant::now(), &Config::default(), &[eth0()]).unwrap();
    for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
        search.handle_receive_error(0, kind.into());
    }
    assert_eq!(search.report().counts, Counts::default());
}

#[test]
fn a_link_whose_socket_is_none_is_given_up_at_once() {
    let mut search = Discovery::new(Instant::now(), &Config::default(), &[eth0()]).unwrap();
    search.handle_receive_error(0, io::Error::from_raw_os_error(NOT_A_SOCKET));
    assert!(search.is_given_up(0));
    assert_eq!(search.report().counts.receive_errors, 1);
}

#[test]
fn the_network_of_a_container_bridge_counts_only_if_the_bridge_is_asked_on() {
    let interfaces = [eth0(), interface("docker0", "172.17.0.1", 16)];
    for (config, expected) in [
        (Config::default(), "10.0.1.7"),
        (Config::default().with_interfaces(["eth0"]), "10.0.1.7"),
        (Config::default().with_interfaces(["*"]), "172.17.0.5"),
    ] {
        let now = Instant::now();
        let mut search = Discovery::new(now, &config, &interfaces).unwrap();
        search.handle_datagram(now, 0, server(7), b"SERVER_IP:172.17.0.5");
        assert_eq!(search.poll_event().unwrap().to_string(), expected);
    }
}

#[test]
fn a_link_is_given_up_after_64_unknown_errors_in_a_row() {
    let mut search = Discovery::new(Instant::now(), &Config::default(), &[eth0()]).unwrap();
    let unknown = || io::Error::from(io::ErrorKind::OutOfMemory);
    for _ in 0..63 {
        search.handle_receive_error(0, unknown());
    }
    search.handle_datagram(Instant::now(), 0, server(7), b"junk");
    for _ in 0..63 {
        search.handle_receive_error(0, unknown());
    }
    assert!(!search.is_given_up(0));
    search.handle_receive_error(0, unknown());
    assert!(search.is_given_up(0));
    assert_eq!(search.report().counts.receive_errors, 127);
}

#[test]
fn errors_that_belong_to_earlier_probes_give_no_link_up() {
    let mut search = Discovery::new(Instant::now(), &Config::default(), &[eth0()]).unwrap();
    for _ in 0..1000 {
        search.handle_receive_error(0, io::ErrorKind::ConnectionRefused.into());
        search.handle_receive_error(0, io::ErrorKind::ConnectionReset.into());
    }
    assert!(!search.is_given_up(0));
    assert_eq!(search.report().counts.receive_errors, 2000);
}

/// Something that happens to a search.
#[derive(Clone, Debug)]
enum Op {
    Advance(u16),
    Back(u16),
    Datagram {
        source: SocketAddr,
        payload: Vec<u8>,
    },
    SendAll {
        fails: bool,
    },
    ReceiveError(i32),
    TakeEvent,
    Timeout,
}

fn op() -> impl Strategy<Value = Op> {
    let source = (0..40_u8, prop_oneof![9 => Just(PORT), 1 => any::<u16>()])
        .prop_map(|(host, port)| SocketAddr::from(([10, 0, 1, host], port)));
    let payload = prop_oneof![
        (0..40_u8, 1..4_u16)
            .prop_map(|(host, port)| format!("SERVER_IP:10.0.1.{host}:{port}").into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..20),
        (250..300_usize).prop_map(|len| vec![b' '; len]),
    ];
    prop_oneof![
        2 => (0..50_u16).prop_map(Op::Advance),
        1 => any::<u16>().prop_map(Op::Back),
        8 => (source, payload).prop_map(|(source, payload)| Op::Datagram { source, payload }),
        2 => any::<bool>().prop_map(|fails| Op::SendAll { fails }),
        1 => (0..200_i32).prop_map(Op::ReceiveError),
        2 => Just(Op::TakeEvent),
        2 => Just(Op::Timeout),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_happens_the_deadline_stays_and_memory_is_bounded(
        ops in proptest::collection::vec(op(), 0..200),
    ) {
        const CAP: usize = 20;
        let config = Config::default()
            .with_max_servers(NonZeroUsize::new(CAP).unwrap());
        let start = Instant::now();
        let mut search = Discovery::new(start, &config, &[eth0()]).unwrap();
        let (mut now, mut received, mut ended) = (start, 0, false);
        let mut found = HashSet::new();
        for op in ops {
            match op {
                Op::Advance(ms) => now += MS * u32::from(ms),
                Op::Back(ms) => search.handle_timeout(now.checked_sub(MS * u32::from(ms)).unwrap_or(now)),
                Op::Datagram { source, payload } => {
                    received += 1;
                    search.handle_datagram(now, 0, source, &payload);
                }
                Op::SendAll { fails } => {
                    for _ in 0..3 {
                        if search.poll_transmit(now).is_some() && fails {
                            let error = io::ErrorKind::HostUnreachable.into();
                            search.handle_send_error(error);
                        }
                    }
                    prop_assert_eq!(search.poll_transmit(now), None);
                }
                Op::ReceiveError(code) => {
                    let error = io::Error::from_raw_os_error(code);
                    let counts = search.report().counts;
                    search.handle_receive_error(0, error);
                    // A datagram that was too long counts as one that was received.
                    received += search.report().counts.too_long - counts.too_long;
                }
                Op::TakeEvent => {
                    if let Some(server) = search.poll_event() {
                        prop_assert!(found.insert((server.ip, server.port)), "listed twice");
                    }
                }
                Op::Timeout => search.handle_timeout(now),
            }
            prop_assert_eq!(search.deadline(), start + 500 * MS);
            if let Some(timeout) = search.poll_timeout() {
                prop_assert!(timeout <= search.deadline());
                prop_assert!(!ended, "what is over stays over");
            } else {
                ended = true;
            }
            let counts = search.report().counts;
            prop_assert!(counts.accepted <= CAP as u64);
            let counted = counts.accepted + counts.duplicates + counts.malformed
                + counts.too_long + counts.wrong_source_port + counts.refused_address
                + counts.over_the_cap + counts.late;
            prop_assert_eq!(counted, received, "each datagram is counted once");
        }
        search.handle_timeout(start + 500 * MS);
        prop_assert_eq!(search.poll_timeout(), None);
        while let Some(server) = search.poll_event() {
            prop_assert!(found.insert((server.ip, server.port)), "listed twice");
        }
        prop_assert_eq!(found.len() as u64, search.report().counts.accepted);
    }
}
