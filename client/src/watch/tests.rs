//! The watch in virtual time, on a simulated network.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use super::*;
use crate::interval::WatchInterval;
use crate::report::Link;

mod engines;
mod ids;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// A watch on a network with servers, in virtual time.
struct Network {
    watch: Watch,
    start: Instant,
    now: Instant,
    /// How many of 100 datagrams are lost, each way.
    loss: u64,
    random: u64,
    /// The servers, and when each of them ends.
    servers: Vec<(DiscoveredServer, Option<Instant>)>,
    /// The address of this host's only interface at a time; `None` if it has none then.
    address: fn(Duration) -> Option<u8>,
    /// How long the process is stopped in the middle of the next round.
    stopped: Duration,
    /// The starts of the rounds.
    rounds: Vec<Duration>,
    /// How many servers each round asked by unicast.
    asked: Vec<usize>,
    events: Vec<(Duration, WatchEvent)>,
}

impl Network {
    fn new(config: &Config) -> Self {
        let start = Instant::now();
        Self {
            watch: Watch::new(start, config).unwrap(),
            start,
            now: start,
            loss: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            servers: Vec::new(),
            address: |_| Some(1),
            stopped: Duration::ZERO,
            rounds: Vec::new(),
            asked: Vec::new(),
            events: Vec::new(),
        }
    }

    fn with_servers(numbers: Range<u32>) -> Self {
        let mut network = Self::new(&Config::default());
        network.servers = numbers.map(|number| (server(number), None)).collect();
        network
    }

    /// Ends a server at this time after the start.
    fn kill(&mut self, number: usize, at: Duration) {
        self.servers[number].1 = Some(self.start + at);
    }

    fn time(&self) -> Duration {
        self.now - self.start
    }

    /// The number of times that an event of this kind came.
    fn count(&self, kind: &str) -> usize {
        let kinds = self.events.iter().map(|(_, event)| event.to_string());
        kinds.filter(|text| text.starts_with(kind)).count()
    }

    /// When the first event of this kind came.
    fn first(&self, kind: &str) -> Option<Duration> {
        let is_it = |(_, event): &&(Duration, WatchEvent)| event.to_string().starts_with(kind);
        self.events.iter().find(is_it).map(|(time, _)| *time)
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.watch.poll_timeout().is_some_and(|due| due < end) {
            self.round();
        }
        self.now = self.now.max(end);
    }

    /// Waits for the next round and makes it.
    fn round(&mut self) {
        self.now = self
            .now
            .max(self.watch.poll_timeout().expect("no round runs"));
        let round = self.watch.poll_round(self.now).expect("it is due");
        self.rounds.push(self.time());
        self.asked.push(round.asked.len());
        let probes = u32::from(round.config.probes().get());
        let timeout = round.config.settings().timeout();
        let times = (0..probes).map(|probe| self.now + probe * timeout / (probes + 1));
        let Some(address) = (self.address)(self.time()) else {
            let skipped = Vec::new();
            let error = DiscoverError::NoUsableInterface { skipped };
            self.watch.handle_failure(self.now, error);
            return self.take_events();
        };
        // A probe is lost if the interface is down. While the process is stopped none is sent.
        let mut times: Vec<Instant> = times
            .filter(|time| (self.address)(*time - self.start).is_some())
            .collect();
        if !self.stopped.is_zero() {
            times.truncate(1);
        }
        let mut link = Link::new("eth0", 2, [10, 0, 0, address].into(), Vec::new());
        link.probes_sent = u32::try_from(times.len()).unwrap();
        let report = Report {
            links: vec![link],
            ..Report::default()
        };
        self.watch.started(self.now, &report);
        let asked: HashSet<_> = round.asked.iter().collect();
        let mut found = Vec::new();
        for at in 0..self.servers.len() {
            let (server, end) = &self.servers[at];
            let (source, end) = (server.source, *end);
            let alive = times
                .iter()
                .filter(|time| end.is_none_or(|end| **time < end));
            let asks = alive.count() * (1 + usize::from(asked.contains(&source.unwrap())));
            if (0..asks).any(|_| self.arrives() && self.arrives()) {
                let server = self.servers[at].0.clone();
                found.push(server.clone());
                self.watch.handle_server(self.now, server);
            }
        }
        self.take_events();
        self.now += timeout + mem::take(&mut self.stopped);
        self.watch.ended(self.now, &report, found.iter());
        self.take_events();
    }

    /// Whether a datagram arrives (xorshift).
    fn arrives(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 >= self.loss
    }

    fn take_events(&mut self) {
        let time = self.time();
        while let Some(event) = self.watch.poll_event() {
            self.events.push((time, event));
        }
    }

    /// The shortest time between the starts of two rounds.
    fn shortest_interval(&self) -> Duration {
        let pairs = self.rounds.windows(2);
        pairs
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .min()
            .unwrap()
    }
}

fn server(number: u32) -> DiscoveredServer {
    let [_, a, b, c] = number.to_be_bytes();
    DiscoveredServer::new([10, a, b, c], 8000).with_interface("eth0")
}

#[test]
fn a_server_appears_once_and_its_silence_is_asked_about_before_it_is_gone() {
    let mut network = Network::with_servers(7..9);
    network.run_for(20 * S);
    assert_eq!(network.count("appeared"), 2);
    assert_eq!(network.watch.servers().len(), 2);
    assert!(network.asked.iter().all(|asked| *asked == 0));

    network.kill(0, 21 * S);
    network.run_for(20 * S);
    let gone: Vec<_> = network.events.iter().skip(2).collect();
    let [(_, WatchEvent::Gone(gone))] = gone[..] else {
        panic!("{gone:?}");
    };
    assert_eq!(gone.key(), server(7).key());
    assert_eq!(network.asked.iter().sum::<usize>(), 1);
    assert_eq!(network.watch.servers().len(), 1);
}

#[test]
fn a_missing_server_is_asked_seven_times_over_more_than_a_second_by_both_ways() {
    let target = |text: &str| text.parse::<Target>().unwrap();
    let config = Config::default().with_targets([target("10.9.0.0/24"), target("10.8.0.1")]);
    let mut watch = Watch::new(Instant::now(), &config).unwrap();
    let round = watch.poll_round(watch.now).unwrap();
    assert_eq!(round.config, config);
    assert!(watch.poll_round(watch.now).is_none(), "one at a time");
    let mut link = Link::new("eth0", 2, [10, 0, 0, 1].into(), Vec::new());
    link.probes_sent = 3;
    let report = Report {
        links: vec![link],
        ..Report::default()
    };
    watch.handle_server(watch.now, server(7));
    watch.ended(watch.now, &report, [].iter());
    let _silent = watch.poll_round(watch.due).unwrap();
    watch.ended(watch.now, &report, [].iter());

    let round = watch.poll_round(watch.due).unwrap();
    assert_eq!(round.asked, [server(7).source.unwrap()]);
    assert_eq!(round.known, [server(7)]);
    // Networks would take too long.
    assert_eq!(round.config.targets(), [target("10.8.0.1")]);
    assert!(round.config.broadcast());
    let probes = u32::from(round.config.probes().get());
    let between = round.config.settings().timeout() / (probes + 1);
    assert!(probes >= 7 && between * 6 >= S);
}

#[test]
fn only_the_answer_of_its_own_address_and_port_counts() {
    let mut network = Network::with_servers(7..8);
    network.run_for(5 * S);
    network.kill(0, 5 * S);
    // Another program of the same host.
    let other = DiscoveredServer::new([10, 0, 0, 7], 8001).with_interface("eth0");
    network.servers.push((other, None));
    network.run_for(15 * S);
    assert_eq!((network.count("appeared"), network.count("gone")), (2, 1));
}

#[test]
fn the_interval_grows_while_nothing_changes_and_falls_back() {
    let mut network = Network::with_servers(7..8);
    network.run_for(20 * S);
    let seconds =
        |network: &Network| -> Vec<u64> { network.rounds.iter().map(Duration::as_secs).collect() };
    assert_eq!(seconds(&network), [0, 1, 3, 7, 12, 17]);
    network.servers.push((server(8), None));
    network.run_for(20 * S);
    assert_eq!(seconds(&network)[6..], [22, 23, 25, 29, 34, 39]);
}

#[test]
fn a_round_that_is_longer_than_the_interval_ends_first() {
    let mut network = Network::new(&Config::default().with_timeout(8 * S));
    network.run_for(30 * S);
    assert_eq!(network.rounds, [0, 8, 16, 24].map(|second| second * S));
}

/// 100 servers in 10,000 rounds.
#[test]
fn fault_50_at_10_percent_loss_at_most_one_in_10_000_is_falsely_gone() {
    let mut network = Network::with_servers(0..100);
    network.loss = 10;
    let mut server_rounds = 0;
    while server_rounds < 1_000_000 {
        network.round();
        server_rounds += network.servers.len();
    }
    assert!(
        network.asked.iter().sum::<usize>() > 1000,
        "some are missing"
    );
    let gone = network.count("gone");
    assert!(gone <= server_rounds / 10_000, "{gone}");
}

#[test]
fn fault_50_the_loss_of_a_bad_network_is_noticed() {
    let mut network = Network::with_servers(0..100);
    network.loss = 70;
    network.run_for(1000 * S);
    assert!(network.count("gone") > 0, "the simulation loses something");
}

#[test]
fn fault_50_a_killed_server_is_gone_within_two_rounds_and_2_s() {
    for (shortest, longest) in [(S, S), (S, 5 * S), (3 * S, 3 * S)] {
        for after in (0..12_000).step_by(97) {
            let interval = WatchInterval::new(shortest, longest).unwrap();
            let mut network = Network::new(&Config::default().with_interval(interval));
            network.servers = vec![(server(7), None)];
            let killed = 30 * S + after * MS;
            network.kill(0, killed);
            network.run_for(60 * S);
            let gone = network.first("gone").expect("it is gone");
            assert!(gone > killed, "{gone:?}");
            let limit = killed + 2 * longest + 2 * S;
            assert!(gone <= limit, "{gone:?}, killed after {killed:?}");
        }
    }
}

#[test]
fn fault_51_an_interface_that_flaps_every_100_ms_costs_one_round_a_second() {
    let mut network = Network::with_servers(7..8);
    network.run_for(5 * S);
    network.address = |time| (time.as_millis() / 100 % 2 == 0).then_some(1);
    network.run_for(600 * S);
    assert!(network.shortest_interval() >= S);
    assert_eq!(network.count("gone"), 0, "{:?}", network.events);
    assert_eq!(network.watch.known.len(), 1);
    assert!(network.watch.missing.len() <= 1);
    assert!(network.watch.events.is_empty());
}

#[test]
fn fault_51_an_address_that_changes_every_second_costs_one_round_a_second() {
    let mut network = Network::with_servers(7..8);
    network.address = |time| u8::try_from(time.as_secs() % 200 + 1).ok();
    network.run_for(600 * S);
    assert!(network.shortest_interval() >= S);
    assert!(network.count("network changed: eth0 10.0.0.") > 300);
    assert_eq!(network.count("gone"), 0);
    assert_eq!(network.watch.known.len(), 1);
}

#[test]
fn a_host_that_starts_before_its_network_waits_for_it() {
    let mut network = Network::with_servers(7..8);
    network.address = |time| (time >= 30 * S).then_some(1);
    network.run_for(40 * S);
    let texts: Vec<String> = network
        .events
        .iter()
        .map(|(_, it)| it.to_string())
        .collect();
    assert!(
        texts[0].starts_with("unavailable: no network interface"),
        "{texts:?}"
    );
    let rest = [
        "network changed: eth0 10.0.0.1",
        "appeared: 10.0.0.7:8000 on eth0",
    ];
    assert_eq!(texts[1..], rest);
    assert!(network.first("appeared") <= Some(36 * S));
}

#[test]
fn a_network_that_is_away_for_less_than_ten_seconds_loses_no_server() {
    let mut network = Network::with_servers(7..8);
    network.address = |time| (time < 20 * S || time > 29 * S).then_some(1);
    network.run_for(60 * S);
    assert_eq!(
        (network.count("gone"), network.count("unavailable")),
        (0, 1)
    );

    let mut network = Network::with_servers(7..8);
    network.address = |time| (time < 20 * S).then_some(1);
    network.run_for(60 * S);
    let gone = network.first("gone").unwrap();
    assert!((30 * S..=37 * S).contains(&gone), "{gone:?}");
}

#[test]
fn an_error_that_is_not_of_the_network_makes_no_server_gone() {
    let mut network = Network::with_servers(7..8);
    network.run_for(5 * S);
    for _ in 0..100 {
        network.now = network.watch.poll_timeout().unwrap();
        network.watch.poll_round(network.now).unwrap();
        let source = Arc::new(io::Error::other("no descriptors"));
        network
            .watch
            .handle_failure(network.now, DiscoverError::OpenSocket { source });
        network.take_events();
    }
    assert_eq!(
        (network.count("gone"), network.count("unavailable")),
        (0, 1)
    );
    network.round();
    assert_eq!(network.count("network changed"), 1);
}

#[test]
fn a_link_that_cannot_send_is_out_of_reach_and_reported_once() {
    let mut watch = Watch::new(Instant::now(), &Config::default()).unwrap();
    let report = Report {
        links: vec![Link::new("eth0", 2, [10, 0, 0, 1].into(), Vec::new())],
        ..Report::default()
    };
    let mut events = Vec::new();
    for nothing_sent in [true, true, false] {
        watch.poll_round(watch.due).unwrap();
        watch.started(watch.now, &report);
        if nothing_sent {
            let source = Arc::new(io::ErrorKind::NetworkUnreachable.into());
            watch.handle_failure(watch.now, DiscoverError::NothingSent { source });
        } else {
            watch.ended(watch.now, &report, [].iter());
        }
        events.extend(std::iter::from_fn(|| watch.poll_event()));
    }
    let texts: Vec<String> = events.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "unavailable: cannot send a probe on any network interface: network unreachable",
            "network changed: eth0 10.0.0.1"
        ]
    );
}

#[test]
fn fault_52_made_up_servers_do_not_push_out_those_that_are_known() {
    let mut network = Network::with_servers(0..50);
    network.run_for(3 * S);
    let made_up = (1000..101_000).map(|number| (server(number), None));
    let real = mem::take(&mut network.servers);
    // They answer first.
    network.servers = made_up.chain(real).collect();
    for _ in 0..10 {
        network.round();
        assert_eq!(network.watch.known.len(), 4096);
    }
    assert!((0..50).all(|number| {
        network
            .watch
            .known
            .get(&Identity::of(&server(number)))
            .is_some()
    }));
    let queued = network.watch.missing.len() + network.watch.events.len();
    assert!(queued <= 4096, "{queued}");

    // Each time others: those of before are gone in time.
    network.servers.drain(..100_000);
    network.run_for(600 * S);
    assert_eq!(network.watch.known.len(), 50);
    assert_eq!(network.asked.iter().max(), Some(&ASKED_AT_ONCE));
    assert!(network.shortest_interval() >= S);
}

#[test]
fn a_limit_on_the_servers_holds() {
    let limit = NonZeroUsize::new(3).unwrap();
    let mut network = Network::new(&Config::default().with_max_servers(limit));
    network.servers = (0..5).map(|number| (server(number), None)).collect();
    network.run_for(10 * S);
    assert_eq!(
        (network.count("appeared"), network.watch.servers().len()),
        (3, 3)
    );
    network.kill(0, 10 * S);
    network.run_for(20 * S);
    assert_eq!((network.count("appeared"), network.count("gone")), (4, 1));
}

#[test]
fn fault_53_a_process_that_was_stopped_calls_nobody_gone_and_sends_no_burst() {
    for at in (0..20_000).step_by(333) {
        let mut network = Network::with_servers(0..20);
        network.loss = 10;
        network.run_for(10 * S + at * MS);
        // Either between two rounds or in one.
        if at % 2 == 0 {
            network.now += 30 * S;
        } else {
            network.stopped = 30 * S;
        }
        let before = network.rounds.len();
        network.run_for(35 * S);
        assert_eq!(network.count("gone"), 0);
        assert!(network.shortest_interval() >= S);
        assert!(network.rounds.len() - before <= 35);
    }
}

#[test]
fn fault_53_while_missing_servers_are_asked_a_stopped_process_asks_again() {
    let mut network = Network::with_servers(7..8);
    network.run_for(5 * S);
    let loss = mem::replace(&mut network.loss, 100);
    while network.asked.last() != Some(&1) {
        // The last round of these is the one that asks.
        network.round();
        if network.watch.known.values().any(|known| known.missing) {
            network.stopped = 30 * S;
        }
    }
    network.loss = loss;
    network.run_for(10 * S);
    assert_eq!(network.count("gone"), 0);
}

#[test]
fn a_configuration_without_a_possible_round_is_an_error() {
    let new = |config: &Config| Watch::new(Instant::now(), config).err();
    assert_eq!(
        new(&Config::default().with_port(0)),
        Some(WatchError::PortZero)
    );
    let network: Target = "10.0.0.0/8".parse().unwrap();
    let too_large = WatchError::NetworkTooLarge {
        target: network.clone(),
        limit: 65_536,
    };
    let config = Config::default().with_targets([network]);
    assert_eq!(new(&config), Some(too_large));
    assert_eq!(new(&config.with_large_sweeps(true)), None);
}

#[test]
fn a_round_may_last_for_ever() {
    let config = Config::default().with_timeout(Duration::MAX);
    let mut watch = Watch::new(Instant::now(), &config).unwrap();
    assert!(watch.poll_round(watch.now).is_some());
}

#[test]
fn what_ends_a_search_does_not_end_a_round() {
    let config = Config::default()
        .with_first(true)
        .with_expect(NonZeroUsize::MIN)
        .with_quiet_for(MS)
        .with_remember("file");
    let mut watch = Watch::new(Instant::now(), &config).unwrap();
    let round = watch.poll_round(watch.now).unwrap();
    assert_eq!(round.config, Config::default());
}
