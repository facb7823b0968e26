//! The server's links, which go down and come up again each second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::counts::{Count, Counters};
use super::topology::{NETWORKS, Topology, interface};
use crate::lab::Stop;

/// How long a link must have been up before a search on it must find the server.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long each network in turn stays up, so that its recovery is seen.
const REST: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// Which links are up, and since when.
///
/// A link is recorded as down before it goes down, and as up after it comes up.
#[derive(Debug)]
pub(super) struct Links(Mutex<[Option<Instant>; NETWORKS]>);

impl Links {
    /// All are up.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new([Some(now); NETWORKS]))
    }

    /// Since when the link has been up, if that was long enough before `begin`.
    ///
    /// A search that began then and sees the same value at its end must find the server.
    pub(super) fn settled(&self, begin: Instant, network: usize) -> Option<Instant> {
        self.lock()[network].filter(|&up| begin.saturating_duration_since(up) >= RECOVERY)
    }

    /// Each second takes every network but the resting one down for a while, at the server's
    /// interface or at the network itself.
    pub(super) fn flap(&self, topology: &Topology, mut rng: Rng, counters: &Counters, stop: &Stop) {
        let start = Instant::now();
        let mut second = start;
        while !stop.is_stopped() {
            let rests = (second - start).as_secs() / REST.as_secs();
            let resting = usize::try_from(rests).unwrap_or(0) % NETWORKS;
            for network in (0..NETWORKS).filter(|&network| network != resting) {
                let at_the_server = rng.bool();
                self.lock()[network] = None;
                set_link(topology, network, at_the_server, "down");
                stop.wait(Duration::from_millis(rng.u64(50..350)));
                set_link(topology, network, at_the_server, "up");
                self.lock()[network] = Some(Instant::now());
                counters.add(Count::LinkChanges, 2);
            }
            second += SECOND;
            stop.wait(second.saturating_duration_since(Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Instant>; NETWORKS]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_link(topology: &Topology, network: usize, at_the_server: bool, state: &str) {
    let network_link = &topology.networks[network];
    match (at_the_server, state) {
        (true, _) => {
            let interface = interface(network);
            topology
                .server
                .ip(&format!("link set dev {interface} {state}"));
        }
        (false, "down") => network_link.set_down(),
        (false, _) => network_link.set_up(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_settled_when_it_was_up_for_long_enough() {
        let start = Instant::now();
        let links = Links::new(start);
        assert_eq!(links.settled(start, 0), None);
        let later = start + RECOVERY;
        assert_eq!(links.settled(later, 0), Some(start));
        links.lock()[0] = None;
        assert_eq!(links.settled(later, 0), None);
        assert_eq!(links.settled(later, 1), Some(start));
        links.lock()[0] = Some(later);
        assert_eq!(links.settled(later, 0), None);
        assert_eq!(links.settled(later + RECOVERY, 0), Some(later));
    }
}
