//! A server that a watch knows, and what makes it the same one in two rounds.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use udp_discovery_protocol::{RunId, ServerId};

use crate::server::{DiscoveredServer, Endpoint, ServerKey};

/// In how many rounds after each other an endpoint, or the details of a server, must be missing until
/// they are gone. With 10 % loss each way and three probes, that happens by chance in one of 3,000,000.
const ROUNDS: u64 = 3;

/// What makes a server the same one in two rounds: its id and run if it told them, otherwise its address
/// and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Identity {
    Address(ServerKey),
    Instance {
        id: ServerId,
        /// An unverified answer never stands for a verified server.
        verified: bool,
        run: RunId,
    },
}

impl Identity {
    pub(super) fn of(server: &DiscoveredServer) -> Self {
        match (server.id, server.run) {
            (Some(id), Some(run)) => Self::Instance {
                id,
                verified: server.verified,
                run,
            },
            _ => Self::Address(server.key()),
        }
    }
}

/// A server that is there, as far as is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) server: DiscoveredServer,
    /// The last round in which it answered.
    pub(super) seen: u64,
    /// Whether it is among those to ask.
    pub(super) missing: bool,
    /// Since when there is no network to ask it on.
    pub(super) out_of_reach: Option<Instant>,
    /// The last round in which it told its details.
    told: u64,
    /// The last round in which each endpoint answered.
    endpoints: HashMap<Place, u64>,
}

/// Where an endpoint is: it may change its port.
type Place = (IpAddr, u32);

fn place(endpoint: &Endpoint) -> Place {
    (endpoint.ip, endpoint.scope_id)
}

impl Known {
    pub(super) fn new(server: DiscoveredServer, round: u64) -> Self {
        let endpoints = server.endpoints.iter().map(|it| (place(it), round));
        Self {
            seen: round,
            missing: false,
            out_of_reach: None,
            told: round,
            endpoints: endpoints.collect(),
            server,
        }
    }

    /// It answered in this round.
    pub(super) fn answered(&mut self, round: u64) {
        self.seen = round;
        self.missing = false;
        self.out_of_reach = None;
    }

    /// Whether it answers for some time, but without its details.
    pub(super) fn is_plain(&self, round: u64) -> bool {
        round.saturating_sub(self.told) >= ROUNDS
    }

    /// Takes over what the server told in this round. Returns whether anything changed.
    pub(super) fn update(&mut self, server: &DiscoveredServer, round: u64) -> bool {
        self.told = round;
        let mut server = server.clone();
        for endpoint in &server.endpoints {
            self.endpoints.insert(place(endpoint), round);
        }
        let answers = |it: &Endpoint| {
            server
                .endpoints
                .iter()
                .any(|other| place(it) == place(other))
        };
        let is_lost = |it: &Endpoint| round.saturating_sub(self.endpoints[&place(it)]) >= ROUNDS;
        let before = self.server.endpoints.iter();
        let kept: Vec<Endpoint> = before
            .filter(|it| !answers(it) && !is_lost(it))
            .cloned()
            .collect();
        server.endpoints.extend(kept);
        let places: BTreeSet<Place> = server.endpoints.iter().map(place).collect();
        self.endpoints.retain(|place, _| places.contains(place));
        let changed = server.name != self.server.name
            || server.properties != self.server.properties
            || keys(&server) != keys(&self.server);
        self.server = server;
        changed
    }
}

fn keys(server: &DiscoveredServer) -> BTreeSet<ServerKey> {
    server.endpoints.iter().map(Endpoint::key).collect()
}
