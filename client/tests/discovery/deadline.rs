//! The deadline, which nothing moves.

use std::time::Duration;

use udp_discovery_client::Config;

use crate::sim::{MS, Sim, server, server_ip};

#[test]
fn fault_18_an_answer_now_and_then_for_ever_does_not_move_the_deadline() {
    let mut sim = Sim::new(&Config::default().with_timeout(1000 * MS));
    for number in 0..1000 {
        let answer = format!("SERVER_IP:{}", server_ip(number));
        sim.arrives(400 * MS * u32::from(number), server(number), answer);
    }
    sim.run();
    assert_eq!(sim.elapsed(), 1000 * MS);
    assert_eq!(sim.found.len(), 3, "at 0, 0.4 and 0.8 s");
}

#[test]
fn a_timeout_that_the_clock_cannot_represent_is_cut_to_a_year() {
    let sim = Sim::new(&Config::default().with_timeout(Duration::MAX));
    assert!(sim.search.poll_timeout().is_some());
    let year = Duration::from_secs(365 * 24 * 3600);
    assert_eq!(sim.search.deadline(), sim.start + year);
}

#[test]
fn fault_39_a_clock_that_goes_back_moves_nothing() {
    let mut sim = Sim::new(&Config::default());
    let deadline = sim.search.deadline();
    sim.now += 100 * MS;
    sim.search.handle_timeout(sim.now);
    sim.now = sim.start;
    assert!(sim.search.poll_transmit(sim.now).is_some());
    sim.receive(0, server(7), b"SERVER_IP:10.0.1.7");
    assert_eq!(sim.found[0].rtt, Some(Duration::ZERO));
    sim.search.handle_timeout(sim.now);
    assert_eq!(sim.search.deadline(), deadline);
    sim.search.handle_timeout(deadline);
    sim.search.handle_timeout(sim.now);
    assert_eq!(sim.search.poll_timeout(), None);
}
