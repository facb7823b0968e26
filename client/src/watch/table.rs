//! All servers that a watch knows.

use std::collections::{BTreeSet, HashMap};

use udp_discovery_protocol::{RunId, ServerId};

use super::known::{Identity, Known};
use crate::server::{DiscoveredServer, Endpoint, ServerKey};

/// The known servers by their identities. No look-up takes longer the more there are.
#[derive(Debug, Default)]
pub(super) struct Table {
    servers: HashMap<Identity, Known>,
    /// Which server that told its id answers from an address.
    owners: HashMap<ServerKey, Identity>,
    /// The known runs of each server, verified or not.
    runs: HashMap<(ServerId, bool), BTreeSet<RunId>>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }

    pub(super) fn get(&self, identity: &Identity) -> Option<&Known> {
        self.servers.get(identity)
    }

    pub(super) fn get_mut(&mut self, identity: &Identity) -> Option<&mut Known> {
        self.servers.get_mut(identity)
    }

    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = &Known> {
        self.servers.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Identity, &mut Known)> {
        self.servers.iter_mut()
    }

    /// The server that told its id and answers from this address.
    pub(super) fn owner(&self, key: ServerKey) -> Option<Identity> {
        self.owners.get(&key).copied()
    }

    /// Another run of the same server.
    pub(super) fn other_run(&self, identity: &Identity) -> Option<Identity> {
        let Identity::Instance { id, verified, .. } = *identity else {
            return None;
        };
        let run = *self.runs.get(&(id, verified))?.first()?;
        Some(Identity::Instance { id, verified, run })
    }

    /// Adds a server that is not known.
    pub(super) fn insert(&mut self, identity: Identity, known: Known) {
        self.add_owner(identity, &known.server);
        if let Identity::Instance { id, verified, run } = identity {
            self.runs.entry((id, verified)).or_default().insert(run);
        }
        self.servers.insert(identity, known);
    }

    pub(super) fn remove(&mut self, identity: &Identity) -> Option<Known> {
        let known = self.servers.remove(identity)?;
        self.remove_owner(*identity, &known.server);
        if let Identity::Instance { id, verified, run } = *identity
            && let Some(runs) = self.runs.get_mut(&(id, verified))
        {
            runs.remove(&run);
            if runs.is_empty() {
                self.runs.remove(&(id, verified));
            }
        }
        Some(known)
    }

    /// Takes over what a known server told in this round. Returns whether anything changed.
    pub(super) fn update(&mut self, server: &DiscoveredServer, round: u64) -> bool {
        let identity = Identity::of(server);
        let Some(known) = self.servers.get_mut(&identity) else {
            return false;
        };
        let before = known.server.clone();
        let changed = known.update(server, round);
        if changed {
            let after = known.server.clone();
            self.remove_owner(identity, &before);
            self.add_owner(identity, &after);
        }
        changed
    }

    fn add_owner(&mut self, identity: Identity, server: &DiscoveredServer) {
        let keys = server.endpoints.iter().map(Endpoint::key);
        self.owners.extend(keys.map(|key| (key, identity)));
    }

    fn remove_owner(&mut self, identity: Identity, server: &DiscoveredServer) {
        for key in server.endpoints.iter().map(Endpoint::key) {
            if self.owners.get(&key) == Some(&identity) {
                self.owners.remove(&key);
            }
        }
    }
}
