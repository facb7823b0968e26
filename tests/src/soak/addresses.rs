//! The addresses of the server's host, which come and go.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::counts::{Count, Counters};
use super::topology::{ALIASES, NETWORKS, Topology, alias_address, interface, server_address};
use crate::lab::{Host, Stop};

/// How long after an address is gone an answer that names it may still arrive: it may have been
/// under way.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The time between two changes.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many addresses of a network change at once, at most.
const AT_ONCE: u8 = 30;
/// After how many intervals a network loses its first address, for one interval.
const FIRST_ADDRESS_GOES: u32 = 20;

/// Which addresses the server's host has on which network, and when it lost the others.
///
/// An address is recorded before it is added and after it is removed, so that no answer counts as
/// wrong because of the moment of a change.
#[derive(Debug)]
pub(super) struct Addresses(Mutex<HashMap<(usize, IpAddr), Held>>);

#[derive(Clone, Copy, Debug)]
enum Held {
    Now,
    Until(Instant),
}

impl Addresses {
    /// At first each network has only its first IPv4 address.
    pub(super) fn new() -> Self {
        let addresses = Self(Mutex::default());
        (0..NETWORKS).for_each(|network| addresses.add(network, server_address(network)));
        addresses
    }

    /// Records the link-local IPv6 addresses. They go with the link and come back with it.
    pub(super) fn add_link_local(&self, topology: &Topology) {
        for network in 0..NETWORKS {
            self.add(network, topology.server_link_local(network));
        }
    }

    /// Whether an answer that arrives at `now` on that network may name the address.
    pub(super) fn permits(&self, now: Instant, network: usize, ip: IpAddr) -> bool {
        match self.lock().get(&(network, ip)) {
            Some(Held::Now) => true,
            Some(Held::Until(removed)) => now.saturating_duration_since(*removed) <= GRACE,
            None => false,
        }
    }

    /// How many addresses the host has.
    pub(super) fn count(&self) -> usize {
        let held = |it: &&Held| matches!(it, Held::Now);
        self.lock().values().filter(held).count()
    }

    /// Adds and removes some of them until the end.
    pub(super) fn change(&self, server: &Host, mut rng: Rng, counters: &Counters, stop: &Stop) {
        let mut held = HashSet::new();
        let mut without_first = None;
        for interval in 1_u32.. {
            if stop.wait(INTERVAL) {
                return;
            }
            let mut changes = Vec::new();
            for network in 0..NETWORKS {
                changes.extend(some_of(network, &mut held, &mut rng));
            }
            if let Some(network) = without_first.take() {
                changes.push(Change::of_first(network, true));
            } else if interval % FIRST_ADDRESS_GOES == 0 {
                let network = rng.usize(0..NETWORKS);
                changes.push(Change::of_first(network, false));
                without_first = Some(network);
            }
            self.apply(server, &changes);
            counters.add(Count::AddressChanges, changes.len() as u64);
        }
    }

    fn apply(&self, server: &Host, changes: &[Change]) {
        let mut batch = String::new();
        for change in changes {
            let Change { ip, prefix_len, .. } = change;
            let (verb, broadcast) = match (change.is_added, prefix_len) {
                (true, ..31) => ("add", "broadcast +"),
                (true, _) => ("add", ""),
                (false, _) => ("del", ""),
            };
            let interface = interface(change.network);
            let _ = writeln!(
                batch,
                "address {verb} {ip}/{prefix_len} {broadcast} dev {interface}"
            );
            if change.is_added {
                self.add(change.network, *ip);
            }
        }
        server.ip_batch(&batch);
        for change in changes.iter().filter(|change| !change.is_added) {
            self.remove(Instant::now(), change.network, change.ip);
        }
    }

    fn add(&self, network: usize, ip: impl Into<IpAddr>) {
        self.lock().insert((network, ip.into()), Held::Now);
    }

    fn remove(&self, now: Instant, network: usize, ip: Ipv4Addr) {
        self.lock().insert((network, ip.into()), Held::Until(now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(usize, IpAddr), Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that is added or removed.
struct Change {
    network: usize,
    ip: Ipv4Addr,
    prefix_len: u8,
    is_added: bool,
}

impl Change {
    fn of_first(network: usize, is_added: bool) -> Self {
        Self {
            network,
            ip: server_address(network),
            prefix_len: 20,
            is_added,
        }
    }
}

/// Removes those of some aliases that are there, and adds the others.
fn some_of(network: usize, held: &mut HashSet<(usize, u8)>, rng: &mut Rng) -> Vec<Change> {
    let count = rng.u8(0..=AT_ONCE);
    let chosen: HashSet<u8> = (0..count).map(|_| rng.u8(0..ALIASES[network])).collect();
    let change = |alias| {
        let is_added = !held.remove(&(network, alias));
        if is_added {
            held.insert((network, alias));
        }
        let (ip, prefix_len) = alias_address(network, alias);
        Change {
            network,
            ip,
            prefix_len,
            is_added,
        }
    };
    chosen.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_permitted_on_its_network_until_a_moment_after_it_is_gone() {
        let addresses = Addresses::new();
        let ip = alias_address(0, 1).0;
        let start = Instant::now();
        let permits = |now, network| addresses.permits(now, network, ip.into());
        assert!(!permits(start, 0));
        addresses.add(0, ip);
        assert!(permits(start, 0) && !permits(start, 1));
        assert_eq!(addresses.count(), NETWORKS + 1);

        addresses.remove(start, 0, ip);
        assert_eq!(addresses.count(), NETWORKS);
        assert!(permits(start + GRACE, 0));
        let later = start + GRACE + Duration::from_millis(1);
        assert!(!permits(later, 0));
        addresses.add(0, ip);
        assert!(permits(later, 0));
    }
}
