//! This project's client, which searches all the time.

use std::time::{Duration, Instant};

use udp_discovery_client::{AddressPolicy, Client, Config, DiscoveredServer, Family};

use super::counts::Count;
use super::run::Shared;
use super::topology::{NETWORKS, PORT, network_of};
use crate::lab::Stop;

const TIMEOUT: Duration = Duration::from_millis(400);

/// A client on a host that is on some of the networks.
pub(super) struct Searcher<'a> {
    pub(super) networks: Vec<usize>,
    pub(super) family: Family,
    pub(super) shared: &'a Shared,
}

impl Searcher<'_> {
    /// Searches again and again.
    pub(super) fn run(&self, stop: &Stop) {
        // With this policy a wrong claim is a server of its own, and not a duplicate.
        let config = Config::default()
            .with_family(self.family)
            .with_timeout(TIMEOUT)
            .with_address_policy(AddressPolicy::Claim);
        let client = Client::new(config);
        while !stop.is_stopped() {
            self.search(&client);
        }
    }

    fn search(&self, client: &Client) {
        let counters = &self.shared.counters;
        let begin = Instant::now();
        let settled = self.settled(begin);
        let mut found = [false; NETWORKS];
        counters.count(Count::Searches);
        let outcome = client.search().and_then(|mut search| {
            for server in &mut search {
                if let Some(network) = self.check(&server) {
                    found[network] = true;
                }
            }
            search.outcome()
        });
        if found.contains(&true) {
            counters.count(Count::Found);
        }
        let still_settled = self.settled(begin);
        for (network, _) in settled.iter().filter(|it| still_settled.contains(it)) {
            counters.count(Count::MustFind);
            if !found[*network] {
                counters.failure(Count::NothingFound, || {
                    format!("nothing found on network {network}: {outcome:?}")
                });
            }
        }
    }

    /// The networks whose links were up for long enough at `begin`, and since when.
    fn settled(&self, begin: Instant) -> Vec<(usize, Instant)> {
        let links = &self.shared.links;
        let networks = self.networks.iter();
        networks
            .filter_map(|&network| Some((network, links.settled(begin, network)?)))
            .collect()
    }

    /// Checks one answer, and returns the network on which it came.
    fn check(&self, server: &DiscoveredServer) -> Option<usize> {
        let counters = &self.shared.counters;
        let network = network_of(&server.interface)?;
        let claim = server.claimed_ip;
        let held = self
            .shared
            .addresses
            .permits(Instant::now(), network, claim);
        if held && server.source.map(|it| (it.ip(), it.port())) == Some((claim, PORT)) {
            counters.count(Count::Right);
        } else {
            counters.failure(Count::Wrong, || {
                format!("on network {network}, held: {held}: {server:?}")
            });
        }
        Some(network)
    }
}
