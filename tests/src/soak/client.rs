//! The clients of this project, which search all the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use udp_discovery_client::{AddressPolicy, Client, Config, DiscoveredServer};

use super::ledger::Ledger;
use super::links::Links;
use super::tally::{Count, Tally};
use super::world::{NETWORKS, PORT, network_of};
use crate::lab::Stop;

const TIMEOUT: Duration = Duration::from_millis(400);

/// What a client on a host judges its searches by.
pub(super) struct Searcher {
    pub(super) networks: Vec<usize>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) links: Arc<Links>,
    pub(super) tally: Arc<Tally>,
}

impl Searcher {
    /// Searches again and again.
    pub(super) fn run(&self, stop: &Stop) {
        // By this policy a wrong claim is a server of its own, and not a duplicate.
        let config = Config::default()
            .with_timeout(TIMEOUT)
            .with_address_policy(AddressPolicy::Claim);
        let client = Client::new(config);
        while !stop.is_stopped() {
            self.search(&client);
        }
    }

    fn search(&self, client: &Client) {
        let begin = Instant::now();
        let settled: Vec<_> = self.settled(begin).collect();
        let mut found = [false; NETWORKS];
        self.tally.count(Count::Searches);
        let outcome = client.search().and_then(|mut search| {
            for server in &mut search {
                if let Some(network) = self.check(&server) {
                    found[network] = true;
                }
            }
            search.outcome()
        });
        if found.contains(&true) {
            self.tally.count(Count::Found);
        }
        let still_settled: Vec<_> = self.settled(begin).collect();
        for owed in settled.iter().filter(|it| still_settled.contains(it)) {
            self.tally.count(Count::Owed);
            if !found[owed.0] {
                self.tally.fault(Count::Silent, || {
                    format!("nothing found on network {}: {outcome:?}", owed.0)
                });
            }
        }
    }

    /// The networks whose links were up for long enough at `begin`, and since when.
    fn settled(&self, begin: Instant) -> impl Iterator<Item = (usize, Instant)> {
        self.networks
            .iter()
            .filter_map(move |&network| Some((network, self.links.settled(begin, network)?)))
    }

    /// Checks one answer; the network it came by.
    fn check(&self, server: &DiscoveredServer) -> Option<usize> {
        let network = network_of(&server.interface)?;
        let claim = server.claimed_ip;
        let held = self.ledger.permits(Instant::now(), network, claim);
        let from_there = server.source == (claim, PORT).into();
        if held && from_there {
            self.tally.count(Count::Right);
        } else {
            self.tally.fault(Count::Wrong, || {
                format!("on network {network}, held: {held}: {server:?}")
            });
        }
        Some(network)
    }
}
