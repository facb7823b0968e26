//! Servers that tell their id.

use udp_discovery_protocol::{Details, RunId, ServerId};

use super::*;

/// A server with an id, in a run, at these addresses of the last byte.
fn instance(id: u8, run: u8, addresses: &[u8]) -> DiscoveredServer {
    let details = Details::new(ServerId::new([id; 32]), RunId::new([run; 8]));
    let mut endpoints = Vec::new();
    for address in addresses.iter().rev() {
        let one = server(u32::from(*address)).with_details(&details, false);
        endpoints.insert(0, one.endpoints[0].clone());
    }
    let first = server(u32::from(addresses[0])).with_details(&details, false);
    DiscoveredServer { endpoints, ..first }
}

fn named(server: DiscoveredServer, name: &str) -> DiscoveredServer {
    DiscoveredServer {
        name: Some(name.into()),
        ..server
    }
}

/// A watch whose rounds find what the test says.
struct Rounds(Watch);

impl Rounds {
    fn new() -> Self {
        Self(Watch::new(Instant::now(), &Config::default()).unwrap())
    }

    /// Makes a round that finds `servers`. Returns the events.
    fn find(&mut self, servers: &[DiscoveredServer]) -> Vec<String> {
        self.find_merged(servers, servers)
    }

    /// Makes a round that finds `servers`, and knows more about them at its end.
    fn find_merged(
        &mut self,
        servers: &[DiscoveredServer],
        merged: &[DiscoveredServer],
    ) -> Vec<String> {
        let watch = &mut self.0;
        let round = watch.poll_round(watch.due).unwrap();
        let mut link = Link::new("eth0", 2, [10, 0, 0, 1].into(), Vec::new());
        link.probes_sent = round.config.probes().get().into();
        let report = Report {
            links: vec![link],
            ..Report::default()
        };
        watch.started(watch.now, &report);
        for server in servers {
            watch.handle_server(watch.now, server.clone());
        }
        let end = watch.now + round.config.settings().timeout();
        watch.ended(end, &report, merged.iter());
        let events = std::iter::from_fn(|| watch.poll_event());
        events
            .map(|event| event.to_string().replace(" on eth0", ""))
            .collect()
    }

    /// The events of a number of rounds that find `servers`.
    fn find_times(&mut self, times: usize, servers: &[DiscoveredServer]) -> Vec<String> {
        (0..times).flat_map(|_| self.find(servers)).collect()
    }
}

const NOTHING: [String; 0] = [];

#[test]
fn a_new_run_of_a_known_id_is_a_restart() {
    let mut rounds = Rounds::new();
    assert_eq!(
        rounds.find(&[instance(1, 1, &[7])]),
        ["appeared: 10.0.0.7:8000"]
    );
    assert_eq!(
        rounds.find(&[instance(1, 2, &[8])]),
        ["restarted: 10.0.0.8:8000"]
    );
    assert_eq!(rounds.find_times(5, &[instance(1, 2, &[8])]), NOTHING);
    assert_eq!(rounds.0.servers().len(), 1);
}

#[test]
fn a_restart_in_the_middle_of_a_round_is_one_restart() {
    let mut rounds = Rounds::new();
    let [before, after] = [1, 2].map(|run| instance(1, run, &[7]));
    rounds.find(std::slice::from_ref(&before));
    assert_eq!(rounds.find(&[before, after.clone()]), NOTHING);
    assert_eq!(rounds.find(&[after]), ["restarted: 10.0.0.7:8000"]);
}

#[test]
fn fault_63_two_servers_with_one_id_are_two_servers() {
    let mut rounds = Rounds::new();
    let copies = [instance(1, 1, &[7]), instance(1, 2, &[8])];
    let events = rounds.find_times(10, &copies);
    assert_eq!(
        events,
        ["appeared: 10.0.0.7:8000", "appeared: 10.0.0.8:8000"]
    );
    let reversed = [copies[1].clone(), copies[0].clone()];
    assert_eq!(rounds.find_times(10, &reversed), NOTHING);
}

#[test]
fn a_changed_name_or_port_or_a_new_endpoint_is_a_change() {
    let mut rounds = Rounds::new();
    let one = instance(1, 1, &[7]);
    rounds.find(std::slice::from_ref(&one));
    let renamed = named(one, "printer");
    assert_eq!(
        rounds.find_times(3, std::slice::from_ref(&renamed)),
        ["changed: 10.0.0.7:8000"]
    );
    let more = named(instance(1, 1, &[7, 8]), "printer");
    assert_eq!(rounds.find_times(3, &[more]), ["changed: 10.0.0.7:8000"]);
    let mut moved = named(instance(1, 1, &[7, 8]), "printer");
    moved.port = std::num::NonZeroU16::new(8001);
    moved.endpoints[0].port = moved.port;
    assert_eq!(rounds.find_times(3, &[moved]), ["changed: 10.0.0.7:8001"]);
}

#[test]
fn an_endpoint_that_is_missing_in_a_few_rounds_is_not_lost() {
    let mut rounds = Rounds::new();
    let both = instance(1, 1, &[7, 8]);
    let one = instance(1, 1, &[8]);
    rounds.find(std::slice::from_ref(&both));
    for _ in 0..5 {
        assert_eq!(rounds.find_times(2, std::slice::from_ref(&one)), NOTHING);
        assert_eq!(rounds.find(std::slice::from_ref(&both)), NOTHING);
    }
    assert_eq!(rounds.find_times(4, &[one]), ["changed: 10.0.0.8:8000"]);
}

#[test]
fn a_plain_answer_of_a_server_that_told_its_id_is_its_answer() {
    let mut rounds = Rounds::new();
    let (plain, told) = (server(7), instance(1, 1, &[7]));
    // Its details were lost in the first round.
    assert_eq!(
        rounds.find(std::slice::from_ref(&plain)),
        ["appeared: 10.0.0.7:8000"]
    );
    assert_eq!(
        rounds.find(std::slice::from_ref(&told)),
        ["changed: 10.0.0.7:8000"]
    );
    for _ in 0..5 {
        assert_eq!(rounds.find_times(2, std::slice::from_ref(&plain)), NOTHING);
        assert_eq!(rounds.find(std::slice::from_ref(&told)), NOTHING);
    }
    // It tells them no more.
    let events = rounds.find_times(20, &[plain]);
    assert_eq!(events, ["changed: 10.0.0.7:8000"]);
    assert_eq!(rounds.0.servers().next().unwrap().id, None);
    assert_eq!(rounds.0.servers().len(), 1);
}

#[test]
fn an_unverified_answer_never_stands_for_a_verified_server() {
    let mut rounds = Rounds::new();
    let verified = DiscoveredServer {
        verified: true,
        ..instance(1, 1, &[7])
    };
    rounds.find(std::slice::from_ref(&verified));
    assert_eq!(rounds.find_times(2, &[server(7), verified]), NOTHING);
    // One with the same id is another server, and no restart.
    let forged = instance(1, 2, &[7]);
    assert_eq!(rounds.find(&[forged]), ["appeared: 10.0.0.7:8000"]);
    let events = rounds.find_times(4, &[server(7), instance(1, 2, &[7])]);
    assert_eq!(events, ["gone: 10.0.0.7:8000"]);
    let left: Vec<_> = rounds.0.servers().map(|server| server.verified).collect();
    assert_eq!(left, [false]);
}

#[test]
fn details_that_come_after_a_plain_answer_in_a_round_count() {
    let mut rounds = Rounds::new();
    let plain = [server(7)];
    let told = [DiscoveredServer {
        verified: true,
        ..instance(1, 1, &[7])
    }];
    let events = rounds.find_merged(&plain, &told);
    assert_eq!(
        events,
        ["appeared: 10.0.0.7:8000", "changed: 10.0.0.7:8000"]
    );
    for _ in 0..10 {
        assert_eq!(rounds.find_merged(&plain, &told), NOTHING);
    }
    assert_eq!(rounds.0.servers().len(), 1);
}

#[cfg(feature = "signed")]
#[test]
fn an_alarm_is_an_event_once_while_every_round_has_it() {
    let alarm = Alarm {
        name: "print\ner".into(),
        id: ServerId::new([2; 32]),
        source: "10.0.0.9:9999".parse().unwrap(),
        known_id: ServerId::new([1; 32]),
        known_answered: false,
    };
    let mut watch = Watch::new(Instant::now(), &Config::default()).unwrap();
    let mut events = Vec::new();
    for alarms in [1, 1, 0, 1] {
        watch.poll_round(watch.due).unwrap();
        let report = Report {
            alarms: vec![alarm.clone(); alarms],
            ..Report::default()
        };
        watch.ended(watch.now, &report, [].iter());
        events.push(std::iter::from_fn(|| watch.poll_event()).count());
        let text = WatchEvent::Alarm(alarm.clone()).to_string();
        let expected = "alarm: 10.0.0.9:9999 answers as \"print\\ner\" with another id: ";
        assert!(text.starts_with(expected), "{text}");
    }
    assert_eq!(events, [1, 0, 0, 1]);
}
