//! Addresses of the server's host that come and go.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::ledger::Ledger;
use super::tally::{Count, Tally};
use super::world::{ALIASES, NETWORKS, alias_address, interface, ip_batch, server_address};
use crate::lab::{Host, Stop};

/// How often some of them change.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many of a network's at a time at the most.
const AT_ONCE: u8 = 30;
/// How often, in intervals, a network loses its first address, for one interval.
const FIRST_ADDRESS_GOES: u32 = 20;

/// The addresses, and which of them are there.
pub(super) struct Churn {
    server: Host,
    held: HashSet<(usize, u8)>,
    rng: Rng,
}

/// An address that comes or goes.
struct Change {
    network: usize,
    ip: Ipv4Addr,
    prefix_len: u8,
    comes: bool,
}

impl Churn {
    /// None of the addresses is there yet, but the first one of each network.
    pub(super) fn new(server: &Host, ledger: &Ledger, rng: Rng) -> Self {
        (0..NETWORKS).for_each(|network| ledger.comes(network, server_address(network)));
        Self {
            server: server.clone(),
            held: HashSet::new(),
            rng,
        }
    }

    /// Adds and removes some of them again and again.
    pub(super) fn run(mut self, ledger: &Ledger, tally: &Tally, stop: &Stop) {
        let mut gone = None;
        for interval in 1_u32.. {
            if stop.wait(INTERVAL) {
                return;
            }
            let mut changes: Vec<Change> = (0..NETWORKS)
                .flat_map(|network| self.some_of(network))
                .collect();
            if let Some(network) = gone.take() {
                changes.push(first_address(network, true));
            } else if interval % FIRST_ADDRESS_GOES == 0 {
                let network = self.rng.usize(0..NETWORKS);
                changes.push(first_address(network, false));
                gone = Some(network);
            }
            make(&self.server, &changes, ledger);
            tally.add(Count::AddressChanges, changes.len() as u64);
        }
    }

    /// Those that are there go, the others come.
    fn some_of(&mut self, network: usize) -> Vec<Change> {
        let count = self.rng.u8(0..=AT_ONCE);
        let chosen: HashSet<u8> = (0..count)
            .map(|_| self.rng.u8(0..ALIASES[network]))
            .collect();
        let change = |alias| {
            let comes = !self.held.remove(&(network, alias));
            if comes {
                self.held.insert((network, alias));
            }
            let (ip, prefix_len) = alias_address(network, alias);
            Change {
                network,
                ip,
                prefix_len,
                comes,
            }
        };
        chosen.into_iter().map(change).collect()
    }
}

fn first_address(network: usize, comes: bool) -> Change {
    Change {
        network,
        ip: server_address(network),
        prefix_len: 20,
        comes,
    }
}

fn make(server: &Host, changes: &[Change], ledger: &Ledger) {
    let mut batch = String::new();
    for change in changes {
        let Change { ip, prefix_len, .. } = change;
        let verb = if change.comes { "add" } else { "del" };
        let broadcast = if change.comes && *prefix_len < 31 {
            "broadcast +"
        } else {
            ""
        };
        let interface = interface(change.network);
        let _ = writeln!(
            batch,
            "address {verb} {ip}/{prefix_len} {broadcast} dev {interface}"
        );
        if change.comes {
            ledger.comes(change.network, *ip);
        }
    }
    ip_batch(server, &batch);
    for change in changes.iter().filter(|change| !change.comes) {
        ledger.is_gone(Instant::now(), change.network, change.ip);
    }
}
