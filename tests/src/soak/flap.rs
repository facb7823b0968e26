//! Links that go down and up again each second.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::links::Links;
use super::tally::{Count, Tally};
use super::world::{NETWORKS, World, interface};
use crate::lab::{Host, Network, Stop};

/// How long each network rests in turn, so that it is seen to recover.
const REST: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// The links, and how to put them down and up.
pub(super) struct Flapper {
    server: Host,
    networks: Vec<Network>,
    rng: Rng,
}

impl Flapper {
    pub(super) fn new(world: &World, rng: Rng) -> Self {
        Self {
            server: world.server.clone(),
            networks: world.networks.clone(),
            rng,
        }
    }

    /// Each second puts every network but the resting one down for a while, at the server's
    /// interface or at the network itself.
    pub(super) fn run(mut self, links: &Links, tally: &Tally, stop: &Stop) {
        let start = Instant::now();
        let mut second = start;
        while !stop.is_stopped() {
            let rests = (second - start).as_secs() / REST.as_secs();
            let resting = usize::try_from(rests).unwrap_or(0) % NETWORKS;
            for network in (0..NETWORKS).filter(|&network| network != resting) {
                self.flap(network, links, tally, stop);
            }
            second += SECOND;
            stop.wait(second.saturating_duration_since(Instant::now()));
        }
    }

    fn flap(&mut self, network: usize, links: &Links, tally: &Tally, stop: &Stop) {
        let at_the_server = self.rng.bool();
        let down_for = Duration::from_millis(self.rng.u64(50..350));
        links.goes_down(network);
        if at_the_server {
            self.set_server_link(network, "down");
        } else {
            self.networks[network].set_down();
        }
        stop.wait(down_for);
        if at_the_server {
            self.set_server_link(network, "up");
        } else {
            self.networks[network].set_up();
        }
        links.is_up(Instant::now(), network);
        tally.add(Count::LinkChanges, 2);
    }

    fn set_server_link(&self, network: usize, state: &str) {
        self.server
            .ip(&format!("link set dev {} {state}", interface(network)));
    }
}
