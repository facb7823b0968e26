//! Searches that end before their deadline.

use std::num::NonZeroUsize;
use std::time::Duration;

use udp_discovery_client::Config;

use crate::sim::{MS, Sim, server, server_ip};

fn expecting(servers: usize) -> Config {
    Config::default().with_expect(NonZeroUsize::new(servers).unwrap())
}

/// A search with an answer of another server every 50 ms from the start.
fn one_every_50_ms(config: &Config) -> Sim {
    let mut sim = Sim::new(config);
    for number in 0..10 {
        let answer = format!("SERVER_IP:{}", server_ip(number));
        sim.arrives(50 * MS * u32::from(number), server(number), answer);
    }
    sim.run();
    sim
}

#[test]
fn the_first_server_ends_the_search_before_the_next_probe() {
    let mut sim = Sim::new(&Config::default().with_first(true));
    sim.arrives(50 * MS, server(7), "junk");
    sim.arrives(100 * MS, server(7), "SERVER_IP:10.0.1.7");
    sim.arrives(100 * MS, server(8), "SERVER_IP:10.0.1.8");
    sim.run();
    assert_eq!(sim.found(), ["10.0.1.7"]);
    assert_eq!(sim.elapsed(), 100 * MS);
    assert_eq!(sim.probes.len(), 1);
    sim.receive(0, server(8), b"SERVER_IP:10.0.1.8");
    assert_eq!((sim.found.len(), sim.counts().late), (1, 1));
}

#[test]
fn the_last_expected_server_ends_the_search() {
    let sim = one_every_50_ms(&expecting(5));
    assert_eq!(sim.found.len(), 5);
    assert_eq!(sim.elapsed(), 200 * MS);
    assert_eq!(sim.probes.len(), 2);
}

#[test]
fn a_repeated_answer_is_no_other_server() {
    let mut sim = Sim::new(&expecting(2));
    for _ in 0..3 {
        sim.arrives(MS, server(7), "SERVER_IP:10.0.1.7");
    }
    sim.run();
    assert_eq!(sim.elapsed(), 500 * MS);
}

#[test]
fn a_probe_that_is_due_is_not_sent_once_the_goal_is_reached() {
    let mut sim = Sim::new(&Config::default().with_first(true));
    sim.receive(0, server(7), b"SERVER_IP:10.0.1.7");
    assert!(sim.search.poll_transmit(sim.now).is_none());
    assert_eq!(sim.search.poll_timeout(), None);
    assert!(sim.search.outcome().is_ok());
}

#[test]
fn a_quiet_search_sends_every_probe_at_most_half_the_time_apart() {
    let config = Config::default()
        .with_timeout(Duration::from_secs(60))
        .with_quiet_for(100 * MS);
    let mut sim = Sim::new(&config);
    sim.run();
    assert_eq!(sim.probes.len(), 3);
    // The last of three probes, and the quiet time.
    assert_eq!(sim.elapsed(), 100 * MS + 100 * MS);
}

#[test]
fn the_quiet_time_runs_from_the_last_new_server() {
    let quiet = |milliseconds| Config::default().with_quiet_for(MS * milliseconds);
    // Servers at 0, 50, … 450 ms, and probes at 0, 30 and 60 ms.
    let sim = one_every_50_ms(&quiet(60));
    assert_eq!(sim.found.len(), 10);
    assert_eq!(sim.elapsed(), 500 * MS, "the deadline bounds it");
    // Probes at 0, 20 and 40 ms; at 90 ms nobody has answered for 40 ms.
    let sim = one_every_50_ms(&quiet(40));
    assert_eq!(sim.found.len(), 2);
    assert_eq!(sim.elapsed(), 90 * MS);
}

#[test]
fn repeated_answers_and_junk_are_quiet() {
    let mut sim = Sim::new(&Config::default().with_quiet_for(100 * MS));
    for after in 0..500 {
        sim.arrives(MS * after, server(7), "SERVER_IP:10.0.1.7");
        sim.arrives(MS * after, server(7), "junk");
    }
    sim.run();
    assert_eq!(sim.elapsed(), 200 * MS);
}

#[test]
fn a_short_search_keeps_its_probes_and_its_deadline() {
    let mut sim = Sim::new(&Config::default().with_quiet_for(Duration::from_secs(60)));
    sim.run();
    assert_eq!(sim.probes.len(), 3);
    assert_eq!(sim.elapsed(), 500 * MS);

    let mut sim = Sim::new(&Config::default().with_quiet_for(Duration::MAX));
    sim.run();
    assert_eq!(sim.elapsed(), 500 * MS);
}

#[test]
fn without_a_quiet_time_the_search_ends_with_its_probe() {
    let mut sim = Sim::new(&Config::default().with_quiet_for(Duration::ZERO));
    sim.run();
    assert_eq!(sim.probes.len(), 1);
    assert_eq!(sim.elapsed(), Duration::ZERO);
}

#[test]
fn of_several_ends_the_first_that_is_met_counts() {
    let config = expecting(5).with_quiet_for(60 * MS);
    assert_eq!(one_every_50_ms(&config).found.len(), 5);
    assert_eq!(one_every_50_ms(&config.with_first(true)).found.len(), 1);
    let config = expecting(5).with_quiet_for(40 * MS);
    assert_eq!(one_every_50_ms(&config).found.len(), 2);
}
