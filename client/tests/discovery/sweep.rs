//! Networks that are targets, and addresses that are remembered.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use udp_discovery_client::{
    Config, DiscoverError, Discovery, Host, LARGE_SWEEP_LIMIT, ResolvedTarget, Route, SWEEP_LIMIT,
    SweepReport,
};

use crate::sim::{MS, RANDOM, Sim, eth0};

const SECOND: Duration = Duration::from_secs(1);
const ANSWER: &[u8] = b"SERVER_IP:10.15.0.3";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A target behind a router, asked from `eth0`. A network is named by its first host.
fn target(text: &str, first: &str) -> ResolvedTarget {
    ResolvedTarget::new(text.parse().unwrap(), [route(first)])
}

fn route(remote: &str) -> Route {
    Route {
        remote: address(remote),
        local: "10.0.0.2".parse().unwrap(),
    }
}

/// 10.15.0.1 to 10.15.0.6.
fn far() -> ResolvedTarget {
    target("10.15.0.0/29", "10.15.0.1:9999")
}

/// Asks only targets, ten addresses a second, for 10 s.
fn slow() -> Config {
    Config::default()
        .with_broadcast(false)
        .with_timeout(10 * SECOND)
        .with_pace(NonZeroU32::new(10).unwrap())
}

fn host(targets: &[ResolvedTarget]) -> Host {
    Host::new([eth0()]).with_targets(targets.iter().cloned())
}

fn start(config: &Config, host: &Host) -> Result<Discovery, DiscoverError> {
    Discovery::new(Instant::now(), config, host, RANDOM)
}

fn sim(config: &Config, host: &Host) -> Sim {
    Sim::of(Instant::now(), |now| {
        Discovery::new(now, config, host, RANDOM).unwrap()
    })
}

impl Sim {
    fn sweep(&self) -> SweepReport {
        self.search.report().sweep.expect("there is a sweep")
    }

    /// Sends all that is due until `end`. Returns when each datagram was sent, and where to.
    fn until(&mut self, end: Duration) -> Vec<(Duration, SocketAddr)> {
        let mut sent = Vec::new();
        loop {
            while let Some(transmit) = self.search.poll_transmit(self.now) {
                sent.push((self.now - self.start, transmit.destination));
            }
            match self.search.poll_timeout() {
                Some(at) if at <= self.start + end => self.now = at,
                _ => return sent,
            }
            self.search.handle_timeout(self.now);
        }
    }
}

#[test]
fn a_network_is_asked_address_by_address_in_as_many_passes_as_there_are_probes() {
    let mut sim = sim(&slow(), &host(&[far()]));
    let sent = sim.until(10 * SECOND);
    assert_eq!(sent.len(), 18);
    let pass = |nth: usize| &sent[6 * nth..6 * (nth + 1)];
    for (nth, begins) in [0, 2500, 5000].into_iter().enumerate() {
        for (at, (when, to)) in pass(nth).iter().enumerate() {
            let host = format!("10.15.0.{}:9999", at + 1);
            let due = begins * MS + 100 * MS * u32::try_from(at).unwrap();
            assert_eq!((*when, *to), (due, address(&host)));
        }
    }
    let report = sim.search.report();
    let it = &report.targets[0];
    assert_eq!(
        (it.addresses, it.asked, it.answered, it.refused),
        (6, 6, 0, 0)
    );
    assert_eq!(report.links[0].probes_sent, 3);
    let it = sim.sweep();
    assert_eq!(
        (it.addresses, it.asked, it.passes, it.complete),
        (6, 6, 3, true)
    );
    assert_eq!(sim.elapsed(), 10 * SECOND);
}

#[test]
fn a_server_that_a_sweep_finds_has_the_time_since_its_address_was_asked() {
    let mut sim = sim(&slow(), &host(&[far()]));
    // 10.15.0.3 is asked after 200 ms, 10.15.0.6 after 500 ms.
    sim.arrives(650 * MS, address("10.15.0.3:9999"), ANSWER);
    sim.run();
    assert_eq!(sim.found[0].rtt, Some(450 * MS));
    assert_eq!(sim.search.report().targets[0].answered, 1);
}

#[test]
fn only_the_addresses_of_the_network_may_answer_from_the_port_that_was_asked() {
    let mut sim = sim(&slow(), &host(&[far()]));
    for (source, _) in [
        ("10.15.0.3:9999", "accepted"),
        ("10.15.0.3:1", "another port"),
        ("10.15.0.7:9999", "not asked: the broadcast address"),
        ("10.0.0.9:9999", "not asked: a neighbor"),
    ] {
        sim.arrives(MS, address(source), ANSWER);
    }
    sim.run();
    let counts = sim.counts();
    let expected = (1, 1, 2);
    assert_eq!(
        (counts.accepted, counts.wrong_source_port, counts.not_asked),
        expected
    );
    let any_port = slow().with_any_source_port(true);
    let mut sim = self::sim(&any_port, &host(&[far()]));
    sim.arrives(MS, address("10.15.0.3:1"), ANSWER);
    sim.run();
    assert_eq!(sim.counts().accepted, 1);
}

#[test]
fn who_answered_or_refused_is_not_asked_again() {
    let mut sim = sim(&slow(), &host(&[far()]));
    let mut sent = sim.until(SECOND);
    sim.search
        .handle_datagram(sim.now, 0, address("10.15.0.3:9999"), ANSWER);
    sim.search.handle_refusal(address("10.15.0.4:9999"));
    sim.search.handle_refusal(address("10.15.0.4:9999"));
    sim.search.handle_refusal(address("10.15.1.4:9999"));
    sent.extend(sim.until(10 * SECOND));
    assert_eq!(sent.len(), 6 + 4 + 4);
    let again: HashSet<SocketAddr> = sent[6..].iter().map(|(_, to)| *to).collect();
    assert!(!again.contains(&address("10.15.0.3:9999")));
    assert!(!again.contains(&address("10.15.0.4:9999")));
    let it = &sim.search.report().targets[0];
    assert_eq!((it.asked, it.answered, it.refused), (6, 1, 1));
}

#[test]
fn quiet_ends_a_search_only_after_the_first_pass() {
    let mut sim = sim(&slow().with_quiet_for(200 * MS), &host(&[far()]));
    sim.run();
    // The last address is asked after 500 ms.
    assert!(
        (700 * MS..=800 * MS).contains(&sim.elapsed()),
        "{:?}",
        sim.elapsed()
    );
    assert!(sim.sweep().complete);
}

#[test]
fn enough_servers_and_the_deadline_end_a_search_in_the_first_pass() {
    let one = NonZeroUsize::new(1).unwrap();
    for config in [
        slow().with_first(true),
        slow().with_expect(one),
        slow().with_timeout(250 * MS),
    ] {
        let mut sim = sim(&config, &host(&[far()]));
        sim.arrives(250 * MS, address("10.15.0.3:9999"), ANSWER);
        sim.run();
        assert_eq!(sim.elapsed(), 250 * MS);
        let it = sim.sweep();
        assert_eq!((it.asked, it.passes, it.complete), (3, 0, false));
        assert_eq!(it.estimate, 600 * MS);
    }
}

#[test]
fn fault_47_a_network_that_is_too_large_is_refused_and_one_limit_can_be_lifted() {
    let limit = |large: bool, network: &str, first: &str| {
        let config = slow().with_large_sweeps(large);
        match start(&config, &host(&[target(network, first)])) {
            Err(DiscoverError::NetworkTooLarge { target, limit }) => {
                assert_eq!(target.to_string(), network);
                Some(limit)
            }
            other => other.map(|_| None).unwrap(),
        }
    };
    for (network, first) in [
        ("10.32.0.0/15", "10.32.0.1:9999"),
        ("fd00::/111", "[fd00::1]:9999"),
    ] {
        assert_eq!(limit(false, network, first), Some(SWEEP_LIMIT));
        assert_eq!(limit(true, network, first), None);
    }
    for (network, first) in [
        ("12.0.0.0/7", "12.0.0.1:9999"),
        ("fd00::/8", "[fd00::1]:9999"),
    ] {
        for large in [false, true] {
            assert_eq!(limit(large, network, first), Some(LARGE_SWEEP_LIMIT));
        }
    }
    for (network, first) in [
        ("10.32.0.0/16", "10.32.0.1:9999"),
        ("fd00::/112", "[fd00::1]:9999"),
    ] {
        assert_eq!(limit(false, network, first), None);
    }
    assert_eq!(limit(true, "11.0.0.0/8", "11.0.0.1:9999"), None);
}

#[test]
fn fault_46_a_host_within_a_network_is_asked_once_and_counts_for_the_first_target() {
    let host_of = |first: bool| {
        let mut targets = [far(), target("10.15.0.3", "10.15.0.3:9999")];
        if first {
            targets.reverse();
        }
        let mut sim = sim(&slow(), &host(&targets));
        let sent = sim.until(SECOND);
        let distinct: HashSet<SocketAddr> = sent.iter().map(|(_, to)| *to).collect();
        assert_eq!((sent.len(), distinct.len()), (6, 6));
        sim.search
            .handle_datagram(sim.now, 0, address("10.15.0.3:9999"), ANSWER);
        let counts = sim.search.report().targets.iter();
        let counts = counts.map(|it| (it.addresses, it.asked, it.answered));
        counts.collect::<Vec<_>>()
    };
    assert_eq!(host_of(false), [(6, 6, 1), (0, 0, 0)]);
    assert_eq!(host_of(true), [(1, 1, 1), (5, 5, 0)]);
}

#[test]
fn fault_45_that_the_system_has_no_room_is_no_result_and_the_address_is_asked_later() {
    let mut search = start(&slow(), &host(&[far()])).unwrap();
    let mut now = Instant::now();
    let transmit = search.poll_transmit(now).unwrap();
    let first = transmit.destination;
    search.handle_send_error(transmit, io::ErrorKind::OutOfMemory.into());
    let report = search.report();
    assert_eq!(
        (report.sweep.unwrap().asked, report.sweep.unwrap().no_room),
        (0, 1)
    );
    assert_eq!(
        (report.links[0].send_errors, report.links[0].probes_sent),
        (0, 0)
    );
    assert!(report.links[0].last_send_error.is_none());
    assert!(search.poll_transmit(now).is_none());
    now = search.poll_timeout().unwrap();
    search.handle_timeout(now);
    assert_eq!(search.poll_transmit(now).unwrap().destination, first);
    assert_eq!(search.report().sweep.unwrap().asked, 1);
}

#[test]
fn another_error_counts_and_the_sweep_goes_on() {
    let host = host(&[far()]);
    let mut sim = sim(&slow().with_timeout(SECOND), &host).refusing(|_, _| true);
    sim.run();
    let report = sim.search.report();
    assert_eq!(
        (report.targets[0].asked, report.links[0].probes_sent),
        (0, 0)
    );
    assert!(report.links[0].send_errors >= 6);
    let outcome = sim.search.outcome();
    assert!(matches!(outcome, Err(DiscoverError::NothingSent { .. })));
}

#[test]
fn a_network_on_link_is_asked_beside_the_broadcast_from_the_same_address() {
    let config = slow().with_broadcast(true);
    // `eth0` is 10.0.0.2/16.
    let mut sim = sim(&config, &host(&[target("10.0.0.0/29", "10.0.0.1:9999")]));
    let sent = sim.until(SECOND);
    let to: Vec<String> = sent.iter().map(|(_, to)| to.ip().to_string()).collect();
    let expected = [
        "10.0.255.255",
        "10.0.0.1",
        "10.0.0.3",
        "10.0.0.4",
        "10.0.0.5",
        "10.0.0.6",
        "10.0.0.7",
    ];
    assert_eq!(to, expected);
    assert_eq!(sim.search.links().len(), 1);
}

#[test]
fn a_network_without_a_route_is_nothing_to_ask() {
    let nowhere = ResolvedTarget::new("10.15.0.0/29".parse().unwrap(), []);
    let error = start(&slow(), &host(&[nowhere])).unwrap_err();
    assert!(matches!(error, DiscoverError::NothingToAsk));
}

#[test]
fn what_is_remembered_is_asked_first_and_needs_no_target() {
    let config = slow().with_remember("unused");
    let remembered = ["10.15.0.5:9999", "10.20.0.9:7777", "10.20.0.9:7777"].map(route);
    for (targets, addresses) in [(vec![], 2), (vec![far()], 7)] {
        let host = host(&targets).with_remembered(remembered);
        let mut sim = sim(&config, &host);
        let sent = sim.until(SECOND);
        assert_eq!(sent.len(), addresses);
        assert_eq!(
            [sent[0].1, sent[1].1],
            [remembered[0].remote, remembered[1].remote]
        );
        let source = address("10.20.0.9:7777");
        sim.search
            .handle_datagram(sim.now, 0, source, b"SERVER_IP:10.20.0.9");
        assert_eq!(sim.counts().accepted, 1);
        let report = sim.search.report();
        let it = report.remembered.as_ref().unwrap();
        assert_eq!((it.addresses, it.asked, it.answered), (3, 2, 1));
        let counts = |it: &udp_discovery_client::TargetReport| (it.addresses, it.asked);
        assert!(report.targets.iter().map(counts).all(|it| it == (6, 6)));
    }
}
