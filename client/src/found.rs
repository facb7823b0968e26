//! The servers found so far: which answers are of one server, and which plain answers wait for details.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use udp_discovery_protocol::{RunId, ServerId};

use crate::address::is_link_local;
use crate::report::DropReason;
use crate::server::{DiscoveredServer, Endpoint, Origin, ServerKey};

/// How many endpoints of one server are kept.
const MAX_ENDPOINTS: usize = 16;

/// Who answered: the id, the run, and whether the answer was verified.
pub(crate) type Identity = (ServerId, RunId, bool);

/// A server that announces itself: its name and port.
type Announced = (Option<String>, Option<NonZeroU16>);

/// The servers found so far.
///
/// A plain answer has no identity but its key. It is the same server as one with details that has an
/// endpoint with this key.
#[derive(Debug)]
pub(crate) struct Found {
    /// How many servers are kept, listed or held.
    max: usize,
    /// The keys and the identities of servers that earlier rounds of a watch know, which the limit does not
    /// keep out.
    expected: (HashSet<ServerKey>, HashSet<Identity>),
    /// In the order of their answers. `None` is a plain answer whose details came later, and were those
    /// of another one.
    listed: Vec<Option<DiscoveredServer>>,
    len: usize,
    /// The positions of those that were not returned yet.
    new: VecDeque<usize>,
    keys: HashMap<ServerKey, Owner>,
    identities: HashMap<Identity, usize>,
    /// What multicast DNS told of, at most `max`.
    announced: HashMap<Announced, usize>,
    /// The first run of each id, verified or not, and whether there was another.
    runs: HashMap<(ServerId, bool), (RunId, bool)>,
    /// Plain answers that wait for details, with their numbers.
    held: HashMap<ServerKey, (u64, DiscoveredServer)>,
    /// How many were held so far.
    held_before: u64,
    /// The sources and keys of answers with details that are not trusted, at most `max`.
    distrusted: HashSet<(SocketAddr, ServerKey)>,
}

/// Who has a key.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// The plain answer, or what another engine found, at this position.
    Plain(usize),
    /// At least one server with details, and whether all of them are verified.
    Details { all_verified: bool },
}

/// What an answer with details changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whether it is a new server.
    pub(crate) is_new: bool,
    /// Whether it replaced a plain answer that was held.
    pub(crate) replaced_held: bool,
    /// Whether the id has more than one run now, and had one before.
    pub(crate) repeats_id: bool,
}

impl Found {
    /// `expected` are servers that earlier rounds of a watch know.
    pub(crate) fn new(max: usize, expected: &[DiscoveredServer]) -> Self {
        let keys = expected.iter().flat_map(|server| {
            let endpoints = server.endpoints.iter().map(Endpoint::key);
            endpoints.chain([server.key()])
        });
        let identities = expected
            .iter()
            .filter_map(|server| Some((server.id?, server.run?, server.verified)));
        Self {
            max,
            expected: (keys.collect(), identities.collect()),
            listed: Vec::new(),
            len: 0,
            new: VecDeque::new(),
            keys: HashMap::new(),
            identities: HashMap::new(),
            announced: HashMap::new(),
            runs: HashMap::new(),
            held: HashMap::new(),
            held_before: 0,
            distrusted: HashSet::new(),
        }
    }

    /// How many servers are listed.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Those that are listed, in the order of their answers.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &DiscoveredServer> {
        self.listed.iter().flatten()
    }

    /// The next server that was not returned yet.
    pub(crate) fn next_new(&mut self) -> Option<DiscoveredServer> {
        while let Some(at) = self.new.pop_front() {
            if let Some(server) = &self.listed[at] {
                return Some(server.clone());
            }
        }
        None
    }

    /// Whether a plain answer with this key would be a new server.
    pub(crate) fn check_plain(&self, source: SocketAddr, key: ServerKey) -> Result<(), DropReason> {
        if self.distrusted.contains(&(source, key)) {
            Err(DropReason::Unsigned)
        } else if self.keys.contains_key(&key) || self.held.contains_key(&key) {
            Err(DropReason::Duplicate)
        } else {
            self.check_cap(self.expected.0.contains(&key))
        }
    }

    fn check_cap(&self, is_expected: bool) -> Result<(), DropReason> {
        if is_expected || self.len + self.held.len() < self.max {
            Ok(())
        } else {
            Err(DropReason::OverTheCap)
        }
    }

    /// Lists a new server by a plain answer.
    pub(crate) fn list_plain(&mut self, server: DiscoveredServer) {
        self.keys
            .insert(server.key(), Owner::Plain(self.listed.len()));
        self.list(server);
    }

    fn list(&mut self, server: DiscoveredServer) {
        self.new.push_back(self.listed.len());
        self.listed.push(Some(server));
        self.len += 1;
    }

    /// Lists a server that another engine found. If there is one at an address of it that is not verified,
    /// or multicast DNS told of it before, they are one server, which gets the name, the properties and the
    /// endpoints that it lacks. Returns whether it is new.
    pub(crate) fn add_instance(
        &mut self,
        mut server: DiscoveredServer,
    ) -> Result<bool, DropReason> {
        let keys: Vec<ServerKey> = server.endpoints.iter().map(Endpoint::key).collect();
        // The addresses of an announcement may come one after the other. Its name is unique on the link.
        let announced = (server.origin == Origin::Mdns).then(|| (server.name.clone(), server.port));
        let told_before = announced.as_ref().and_then(|it| self.announced.get(it));
        if let Some(at) = told_before.copied()
            && let Some(mut told) = self.listed[at].take_if(|it| !it.verified)
        {
            complete(&mut told, server);
            let other = keys
                .iter()
                .find_map(|key| self.plain_at(key).filter(|it| *it != at));
            let at = if let Some(other) = other
                && let Some(listed) = &mut self.listed[other]
            {
                // It turns out to be a server that answered.
                complete(listed, told);
                self.len -= 1;
                self.note_announced(announced, other);
                other
            } else {
                self.listed[at] = Some(told);
                at
            };
            for key in keys {
                self.keys.entry(key).or_insert(Owner::Plain(at));
            }
            return Ok(false);
        }
        let owners = keys.iter().filter_map(|key| self.keys.get(key).copied());
        for owner in owners {
            match owner {
                Owner::Plain(at) => {
                    if let Some(listed) = &mut self.listed[at] {
                        complete(listed, server);
                        for key in keys {
                            self.keys.entry(key).or_insert(owner);
                        }
                        self.note_announced(announced, at);
                        return Ok(false);
                    }
                }
                Owner::Details {
                    all_verified: false,
                } => return Ok(false),
                Owner::Details { all_verified: true } => {}
            }
        }
        let held = keys.iter().find_map(|key| self.held.remove(key));
        if let Some((_, mut held)) = held {
            complete(&mut held, server);
            server = held;
        } else {
            self.check_cap(keys.iter().any(|key| self.expected.0.contains(key)))?;
        }
        let at = self.listed.len();
        for key in keys {
            self.keys.entry(key).or_insert(Owner::Plain(at));
        }
        self.note_announced(announced, at);
        self.list(server);
        Ok(true)
    }

    fn plain_at(&self, key: &ServerKey) -> Option<usize> {
        match self.keys.get(key) {
            Some(Owner::Plain(at)) => Some(*at),
            _ => None,
        }
    }

    fn note_announced(&mut self, announced: Option<Announced>, at: usize) {
        if let Some(announced) = announced.filter(|_| self.announced.len() < self.max) {
            self.announced.insert(announced, at);
        }
    }

    /// Holds a new server of a plain answer until its details come, or [`take_held`](Self::take_held).
    pub(crate) fn hold(&mut self, server: DiscoveredServer) {
        self.held.insert(server.key(), (self.held_before, server));
        self.held_before += 1;
    }

    /// Takes those that are held, in the order of their answers.
    pub(crate) fn take_held(&mut self) -> Vec<DiscoveredServer> {
        let mut held: Vec<_> = self.held.drain().map(|(_, held)| held).collect();
        held.sort_unstable_by_key(|(number, _)| *number);
        held.into_iter().map(|(_, server)| server).collect()
    }

    /// Drops the plain answer of a server whose details are not trusted, and later ones too. Returns
    /// whether it was held.
    pub(crate) fn distrust(&mut self, source: SocketAddr, key: ServerKey) -> bool {
        if self.distrusted.len() < self.max {
            self.distrusted.insert((source, key));
        }
        let held = self.held.get(&key);
        if held.is_some_and(|(_, it)| it.source == Some(source)) {
            return self.held.remove(&key).is_some();
        }
        if let Some(Owner::Plain(at)) = self.keys.get(&key)
            && self.listed[*at]
                .take_if(|it| it.source == Some(source))
                .is_some()
        {
            self.keys.remove(&key);
            self.len -= 1;
        }
        false
    }

    /// Whether a server has this endpoint, or cannot have another.
    pub(crate) fn has_endpoint(&self, identity: &Identity, key: &ServerKey) -> bool {
        let server = self.identities.get(identity);
        let server = server.and_then(|at| self.listed[*at].as_ref());
        server.is_some_and(|server| {
            server.endpoints.len() >= MAX_ENDPOINTS
                || server.endpoints.iter().any(|it| it.key() == *key)
        })
    }

    /// Adds a server with details, with one endpoint that it does not have yet, or only the endpoint if the
    /// server is known. What a plain answer with the same key listed is replaced.
    pub(crate) fn add_details(
        &mut self,
        identity: Identity,
        server: DiscoveredServer,
    ) -> Result<Change, DropReason> {
        let key = server.key();
        let replaced_held = self.held.remove(&key).is_some();
        let (plain, all_verified) = match self.keys.get(&key) {
            Some(Owner::Plain(at)) => {
                let may_be = self.listed[*at]
                    .as_ref()
                    .is_some_and(|it| may_replace(it, &server));
                (Some(*at).filter(|_| may_be), true)
            }
            Some(Owner::Details { all_verified }) => (None, *all_verified),
            None => (None, true),
        };
        let known = self.identities.get(&identity).copied();
        if let Some(at) = known {
            if let Some(plain) = plain.and_then(|plain| self.listed.get_mut(plain)) {
                *plain = None;
                self.len -= 1;
            }
            if let Some(known) = &mut self.listed[at] {
                add_endpoint(known, server);
            }
        } else if let Some(at) = plain {
            let mut server = server;
            if let Some(replaced) = &self.listed[at] {
                server.origin = replaced.origin;
            }
            self.listed[at] = Some(server);
            self.identities.insert(identity, at);
        } else {
            self.check_cap(self.expected.1.contains(&identity))?;
            self.identities.insert(identity, self.listed.len());
            self.list(server);
        }
        let all_verified = all_verified && identity.2;
        self.keys.insert(key, Owner::Details { all_verified });
        Ok(Change {
            is_new: known.is_none() && plain.is_none(),
            replaced_held,
            repeats_id: self.repeats_id(identity),
        })
    }

    /// Whether another run of the id answers for the first time.
    fn repeats_id(&mut self, (id, run, verified): Identity) -> bool {
        let (first, repeated) = self.runs.entry((id, verified)).or_insert((run, false));
        *first != run && !mem::replace(repeated, true)
    }
}

/// Whether an answer with details and what is listed at its address are one server: a plain answer, or what
/// another engine found, unless the answer is verified.
fn may_replace(listed: &DiscoveredServer, answer: &DiscoveredServer) -> bool {
    listed.source.is_some() || !answer.verified
}

/// Adds to a server what it lacks and another engine found.
fn complete(server: &mut DiscoveredServer, found: DiscoveredServer) {
    if server.name.is_none() && server.properties.is_empty() {
        server.name = found.name;
        server.properties = found.properties;
    }
    if server.endpoints.is_empty() {
        server.endpoints.push(server.endpoint());
    }
    for endpoint in found.endpoints {
        let has_it = server.endpoints.iter().any(|it| it.key() == endpoint.key());
        if !has_it && server.endpoints.len() < MAX_ENDPOINTS {
            server.endpoints.push(endpoint);
        }
    }
    if server.source.is_none() {
        server.prefer_best_endpoint();
    }
}

/// Adds the endpoint of `answer` to `server`. If it is the best one, the answer describes the server.
fn add_endpoint(server: &mut DiscoveredServer, mut answer: DiscoveredServer) {
    let mut endpoints = mem::take(&mut server.endpoints);
    let Some(endpoint) = answer.endpoints.pop() else {
        return;
    };
    let at = endpoints.partition_point(|it| rank(it) <= rank(&endpoint));
    endpoints.insert(at, endpoint);
    if at == 0 {
        *server = answer;
    }
    server.endpoints = endpoints;
}

/// The lower, the more surely it is reachable: an address that an answer came from, and one that needs no
/// scope.
fn rank(endpoint: &Endpoint) -> (bool, bool) {
    (
        endpoint.source.map(|it| it.ip()) != Some(endpoint.ip),
        is_link_local(endpoint.ip),
    )
}
