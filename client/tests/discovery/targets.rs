//! Hosts that are asked by unicast.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use udp_discovery_client::{
    Config, DiscoverError, Discovery, Host, ResolvedTarget, Route, Target, TargetReport,
};
use udp_discovery_protocol::Interface;

use crate::sim::{MS, RANDOM, Sim, eth0, interface};

/// A target with addresses, each with the address that it is asked from.
fn target(text: &str, routes: &[(&str, &str)]) -> ResolvedTarget {
    let route = |&(remote, local): &(&str, &str)| Route {
        remote: remote.parse().unwrap(),
        local: local.parse().unwrap(),
    };
    ResolvedTarget::new(text.parse().unwrap(), routes.iter().map(route))
}

/// 10.15.0.7 behind a router, asked from `eth0`.
fn far() -> ResolvedTarget {
    target("10.15.0.7", &[("10.15.0.7:9999", "10.0.0.2")])
}

fn only_targets() -> Config {
    Config::default().with_broadcast(false)
}

fn start(
    config: &Config,
    interfaces: &[Interface],
    targets: &[ResolvedTarget],
) -> Result<Discovery, DiscoverError> {
    Discovery::new(Instant::now(), config, &host(interfaces, targets), RANDOM)
}

fn host(interfaces: &[Interface], targets: &[ResolvedTarget]) -> Host {
    Host::new(interfaces).with_targets(targets.iter().cloned())
}

fn sim(config: &Config, targets: &[ResolvedTarget]) -> Sim {
    Sim::of(Instant::now(), |now| {
        Discovery::new(now, config, &host(&[eth0()], targets), RANDOM).unwrap()
    })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Sim {
    /// The destinations of the first probe.
    fn first_probe(&mut self) -> Vec<String> {
        self.send();
        let first = self.probes[0].iter();
        first.map(ToString::to_string).collect()
    }

    fn target(&self, at: usize) -> (u32, u32, u32, u32) {
        let it: &TargetReport = &self.search.report().targets[at];
        (it.addresses, it.asked, it.answered, it.refused)
    }
}

#[test]
fn a_target_is_asked_together_with_the_broadcasts_or_alone() {
    let first = sim(&Config::default(), &[far()]).first_probe();
    assert_eq!(first, ["10.0.255.255", "10.15.0.7"]);

    let mut sim = sim(&only_targets(), &[far()]);
    sim.run();
    assert_eq!(sim.probes, [[address("10.15.0.7:9999").ip()]; 3]);
    assert_eq!(sim.elapsed(), 500 * MS);
    assert_eq!(sim.target(0), (1, 1, 0, 0));
}

#[test]
fn a_target_with_a_port_is_asked_and_answers_there() {
    let printer = target("printer.example:77", &[("10.15.0.7:77", "10.0.0.2")]);
    let mut sim = sim(&Config::default(), &[printer]);
    let mut destinations = Vec::new();
    while let Some(transmit) = sim.search.poll_transmit(sim.now) {
        destinations.push(transmit.destination.to_string());
    }
    assert_eq!(destinations, ["10.0.255.255:9999", "10.15.0.7:77"]);
    sim.receive(0, address("10.15.0.7:77"), b"SERVER_IP:10.15.0.7:80");
    assert_eq!(sim.found(), ["10.15.0.7:80"]);
    assert_eq!(sim.found[0].interface, "eth0");
    assert_eq!(sim.target(0), (1, 1, 1, 0));
    // Another host on the network did not listen on that port.
    sim.receive(0, address("10.0.1.7:77"), b"SERVER_IP:10.0.1.7");
    assert_eq!(sim.counts().wrong_source_port, 1);
}

#[test]
fn without_broadcasts_only_the_address_and_port_that_were_asked_may_answer() {
    let answer = b"SERVER_IP:10.15.0.7";
    for (source, found, wrong_port, not_asked) in [
        ("10.15.0.7:9999", 1, 0, 0),
        ("10.15.0.7:9998", 0, 1, 0),
        ("10.15.0.8:9999", 0, 0, 1),
        ("10.0.1.7:9999", 0, 0, 1),
    ] {
        let mut sim = sim(&only_targets(), &[far()]);
        sim.receive(0, address(source), answer);
        assert_eq!(sim.found.len(), found, "{source}");
        let counts = sim.counts();
        assert_eq!(
            (counts.wrong_source_port, counts.not_asked),
            (wrong_port, not_asked),
            "{source}"
        );
    }
    let mut sim = sim(&only_targets().with_any_source_port(true), &[far()]);
    sim.receive(0, address("10.15.0.7:1"), answer);
    sim.receive(0, address("10.15.0.8:1"), answer);
    assert_eq!((sim.found.len(), sim.counts().not_asked), (1, 1));
}

#[test]
fn fault_46_an_address_that_several_targets_share_is_asked_once() {
    let mut sim = sim(
        &only_targets(),
        &[
            far(),
            target(
                "printer.example",
                &[
                    ("10.15.0.7:9999", "10.0.0.2"),
                    ("10.15.0.8:9999", "10.0.0.2"),
                    ("10.15.0.8:9999", "10.0.0.2"),
                ],
            ),
            far(),
        ],
    );
    assert_eq!(sim.first_probe(), ["10.15.0.7", "10.15.0.8"]);
    assert_eq!(sim.target(0), (1, 1, 0, 0));
    assert_eq!(sim.target(1), (1, 1, 0, 0));
    assert_eq!(sim.target(2), (0, 0, 0, 0));
}

#[test]
fn fault_46_a_network_or_broadcast_address_is_an_error_that_names_the_target() {
    for text in ["10.0.0.0", "10.0.255.255"] {
        let remote = format!("{text}:9999");
        let target = target(text, &[(&remote, "10.0.0.2")]);
        let error = start(&Config::default(), &[eth0()], &[target]).unwrap_err();
        assert!(matches!(error, DiscoverError::NotAHost { .. }));
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn fault_46_this_host_is_asked_if_it_is_a_target() {
    let itself = target("10.0.0.2", &[("10.0.0.2:9999", "10.0.0.2")]);
    let mut sim = sim(&only_targets(), &[itself]);
    assert_eq!(sim.first_probe(), ["10.0.0.2"]);
}

#[test]
fn a_host_that_refuses_is_in_the_report() {
    let mut sim = sim(&only_targets(), &[far()]);
    sim.send();
    for _ in 0..2 {
        sim.search.handle_refusal(address("10.15.0.7:9999"));
        sim.search.handle_refusal(address("10.15.0.9:9999"));
    }
    assert_eq!(sim.target(0), (1, 1, 0, 1));
    assert!(sim.search.links()[0].destinations[0].refused);
}

#[test]
fn a_target_that_could_not_be_asked_does_not_count_as_asked() {
    let mut sim = sim(&only_targets(), &[far()]).refusing(|_, _| true);
    sim.run();
    assert_eq!(sim.target(0), (1, 0, 0, 0));
    assert!(matches!(
        sim.search.outcome(),
        Err(DiscoverError::NothingSent { source })
            if source.kind() == io::ErrorKind::NetworkUnreachable
    ));
}

#[test]
fn a_target_is_asked_on_an_interface_that_the_search_skips() {
    let interfaces = [eth0(), interface("docker0", "172.17.0.1", 16)];
    let container = target("172.17.0.5", &[("172.17.0.5:9999", "172.17.0.1")]);
    let mut sim = Sim::of(Instant::now(), |now| {
        Discovery::new(
            now,
            &Config::default(),
            &host(&interfaces, &[container]),
            RANDOM,
        )
        .unwrap()
    });
    let links = sim.search.links().iter();
    let links: Vec<_> = links
        .map(|it| (it.interface.as_str(), it.targets_only))
        .collect();
    assert_eq!(links, [("eth0", false), ("docker0", true)]);
    sim.receive(1, address("172.17.0.5:9999"), b"SERVER_IP:172.17.0.6");
    assert_eq!(sim.found(), ["172.17.0.6"], "its network is asked");
}

#[test]
fn targets_are_asked_where_no_interface_can_be_used() {
    let search = start(&Config::default(), &[], &[far()]).unwrap();
    assert_eq!(search.links().len(), 1);
    assert_eq!(search.links()[0].interface, "");
}

#[test]
fn a_search_that_has_nothing_to_ask_is_an_error() {
    let unreachable = target("10.15.0.7", &[]);
    for targets in [&[][..], &[unreachable]] {
        let error = start(&only_targets(), &[eth0()], targets).unwrap_err();
        assert!(matches!(error, DiscoverError::NothingToAsk));
    }
}

#[test]
fn a_target_counts_as_answered_if_another_way_found_its_server_first() {
    let mut sim = sim(&Config::default(), &[far()]);
    sim.receive(0, address("10.0.1.7:9999"), b"SERVER_IP:10.0.1.9");
    sim.receive(0, address("10.15.0.7:9999"), b"SERVER_IP:10.0.1.9");
    assert_eq!((sim.found.len(), sim.counts().duplicates), (1, 1));
    assert_eq!(sim.target(0).2, 1);
}

#[test]
fn a_target_is_made_from_text() {
    let config = Config::default().with_targets(["10.15.0.7".parse::<Target>().unwrap()]);
    assert_eq!(config.targets()[0].to_string(), "10.15.0.7");
}

#[test]
fn the_report_says_why_no_network_was_asked_beside_the_targets() {
    let mut down = eth0();
    down.flags.up = false;
    let search = start(&Config::default(), &[down], &[far()]).unwrap();
    let skipped = search.report().skipped.iter().map(ToString::to_string);
    assert_eq!(skipped.collect::<Vec<_>>(), ["eth0: down"]);
}
