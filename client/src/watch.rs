//! The watch without sockets: when to ask whom, and what comes and goes.

use std::collections::{HashSet, VecDeque};
use std::mem::{self, Discriminant};
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::config::Config;
use crate::discovery::{Discovery, LONGEST};
use crate::error::DiscoverError;
use crate::interval::SHORTEST_INTERVAL;
#[cfg(feature = "signed")]
use crate::report::Alarm;
use crate::report::Report;
use crate::select;
use crate::server::DiscoveredServer;
use crate::target::Target;

mod event;
mod known;
mod round;
mod table;
#[cfg(test)]
mod tests;

use known::{Identity, Known};
use table::Table;

pub use event::{WatchEvent, WatchLink};
pub use round::Round;

/// How often a server is asked before it is called gone.
const ASKED: NonZeroU8 = NonZeroU8::new(7).unwrap();

/// How long a round is at least that asks missing servers: its probes are 230 ms apart, and the last of
/// [`ASKED`] is sent 1.38 s after the first. The round and two of the shortest intervals take less than
/// 4 s.
const CONFIRMATION: Duration = Duration::from_millis(8 * 230);

/// How many missing servers a round asks by unicast. Of a host that is gone, each request takes 832 bytes
/// of the socket's send buffer for 3 s, of which Linux usually grants 416 KiB, and an entry of the
/// neighbor table, of which a third is 341.
const ASKED_AT_ONCE: usize = 64;

/// The same if a request for details, which takes 1,280 bytes, follows each request.
const ASKED_AT_ONCE_WITH_DETAILS: usize = 28;

/// How long there may be no network to ask a server on until it is called gone: a network needs some
/// seconds to come back after a host was suspended or has changed its access point.
const OUT_OF_REACH: Duration = Duration::from_secs(10);

/// How late the end of a round may be handled. Later, the process was stopped or the caller busy, and
/// who did not answer may have had no time to.
const LATEST: Duration = Duration::from_secs(1);

/// A watch, without sockets or a clock. It decides when a round of asking is due and whom it asks, and
/// what its answers mean: which servers are there, and which are gone.
///
/// # How to drive it
/// Repeat in this order:
/// 1. Wait until the time that [`poll_timeout`](Self::poll_timeout) returns.
/// 2. If [`poll_round`](Self::poll_round) returns a round, make it: list the interfaces, and start a
///    [`Discovery`](crate::Discovery) with fresh sockets, with the configuration of the round, on the
///    host that [`Round::on_host`] returns. Call [`handle_start`](Self::handle_start). If the search
///    cannot be started, call [`handle_failure`](Self::handle_failure), and go on with 5.
/// 3. Drive the search to its end. Pass each server to [`handle_server`](Self::handle_server) as it is
///    found.
/// 4. Call [`handle_end`](Self::handle_end).
/// 5. Take events from [`poll_event`](Self::poll_event), until it returns `None`. That is possible after
///    each of the other calls too.
///
/// `now` may come from any monotonic clock. If it goes back between two calls, the watch uses the latest
/// `now` so far.
///
/// ```
/// use std::time::Instant;
/// use udp_discovery_client::{Config, Discovery, Host, Watch, WatchEvent};
/// use udp_discovery_protocol::{Interface, InterfaceAddress};
///
/// let mut eth0 = Interface::new("eth0", 2);
/// eth0.flags.up = true;
/// eth0.flags.broadcast = true;
/// eth0.addresses.push(InterfaceAddress::new("192.168.1.2".parse()?, 24)?);
///
/// let now = Instant::now();
/// let mut watch = Watch::new(now, &Config::default())?;
/// let round = watch.poll_round(now).expect("the first round is due at once");
/// let host = round.on_host(Host::new([eth0]), []);
/// let mut search = Discovery::new(now, &round.config, &host, [0; 15])?;
/// watch.handle_start(now, &search);
///
/// let probe = search.poll_transmit(now).expect("the first probe is due at once");
/// let source = "192.168.1.7:9999".parse()?;
/// search.handle_datagram(now, probe.link, source, b"SERVER_IP:192.168.1.7:8000");
/// watch.handle_server(now, search.poll_event().expect("a server answered"));
/// assert!(matches!(watch.poll_event(), Some(WatchEvent::Appeared(_))));
///
/// let end = search.deadline();
/// watch.handle_end(end, &search);
/// assert_eq!(watch.servers().count(), 1);
/// assert!(watch.poll_timeout().is_some_and(|next| next > end));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    config: Config,
    /// The interval after a round without a change.
    interval: Duration,
    /// When the next round is due.
    due: Instant,
    now: Instant,
    running: Option<Running>,
    /// How many rounds were started.
    rounds: u64,
    known: Table,
    /// The runs of this round and of the last one that answered beside another run of the same server.
    second_runs: [HashSet<Identity>; 2],
    /// The servers that did not answer, the next ones to ask first.
    missing: VecDeque<Identity>,
    /// What the last round asked on.
    links: Option<Vec<WatchLink>>,
    /// Why the last round failed.
    failure: Option<Failure>,
    /// The alarms of the last round.
    #[cfg(feature = "signed")]
    alarms: Vec<Alarm>,
    events: VecDeque<WatchEvent>,
}

/// Why a watch cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// [`Settings::port`](udp_discovery_protocol::Settings::port) or
    /// [`Config::default_port`](crate::Config::default_port) is 0.
    #[error("the port and the default port of a client cannot be 0")]
    PortZero,
    /// A target is a network of more addresses than the limit, as in
    /// [`DiscoverError::NetworkTooLarge`].
    #[error("the target `{target}` has more than {limit} addresses")]
    NetworkTooLarge {
        /// The target.
        target: Target,
        /// The limit that it exceeds.
        limit: u32,
    },
}

/// A round that was started and has not ended.
#[derive(Debug)]
struct Running {
    start: Instant,
    deadline: Instant,
    /// The missing servers that it asks by unicast.
    asks: HashSet<Identity>,
    /// Whether anything changed.
    changed: bool,
}

/// Why a round failed.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    kind: Discriminant<DiscoverError>,
    /// Whether it failed only at its end, because nothing could be sent.
    at_end: bool,
}

/// What a round says about a server that did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// It was asked often enough.
    Asked,
    /// There was no network to ask it on.
    OutOfReach,
    /// It could not be asked, for another reason.
    Unknown,
}

impl Watch {
    /// Starts a watch. Its first round is due at once.
    ///
    /// # Errors
    /// [`WatchError`], if no round with this configuration can be made.
    pub fn new(now: Instant, config: &Config) -> Result<Self, WatchError> {
        if config.settings().port() == 0 || config.default_port() == Some(0) {
            return Err(WatchError::PortZero);
        }
        for target in config.targets() {
            if let Err((target, limit)) = select::check_size(config, target) {
                return Err(WatchError::NetworkTooLarge { target, limit });
            }
        }
        Ok(Self {
            config: config.of_a_round(),
            interval: config.interval().shortest(),
            due: now,
            now,
            running: None,
            rounds: 0,
            known: Table::default(),
            second_runs: Default::default(),
            missing: VecDeque::new(),
            links: None,
            failure: None,
            #[cfg(feature = "signed")]
            alarms: Vec::new(),
            events: VecDeque::new(),
        })
    }

    /// The servers that are there, in no order.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &DiscoveredServer> {
        self.known.values().map(|known| &known.server)
    }

    /// When the next round is due. `None` while one is being made.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.running.is_none().then_some(self.due)
    }

    /// The next round, if it is due and the last one has ended.
    pub fn poll_round(&mut self, now: Instant) -> Option<Round> {
        let now = self.advance(now);
        if self.running.is_some() || now < self.due {
            return None;
        }
        if now > self.due + LATEST {
            // The networks may have come back while nothing looked.
            self.forget_out_of_reach();
        }
        self.rounds += 1;
        self.second_runs.swap(0, 1);
        self.second_runs[0].clear();
        let asked = self.take_missing();
        let mut config = self.config.clone();
        if !asked.is_empty() {
            config = config
                .with_probes(self.config.probes().max(ASKED))
                .with_timeout(self.config.settings().timeout().max(CONFIRMATION))
                .with_targets(round::hosts(&self.config));
        }
        self.running = Some(Running {
            start: now,
            deadline: now + config.settings().timeout().min(LONGEST),
            asks: asked.iter().copied().collect(),
            changed: false,
        });
        let source = |identity: &Identity| self.known.get(identity)?.server.source;
        Some(Round {
            config,
            known: self.servers().cloned().collect(),
            asked: asked.iter().filter_map(source).collect(),
        })
    }

    /// The missing servers that the next round asks. They are asked again after the others, if the round
    /// does not tell what became of them.
    fn take_missing(&mut self) -> Vec<Identity> {
        let most = if self.config.details() {
            ASKED_AT_ONCE_WITH_DETAILS
        } else {
            ASKED_AT_ONCE
        };
        let known = &self.known;
        let is_missing = |it: &Identity| known.get(it).is_some_and(|it| it.missing);
        self.missing.retain(is_missing);
        let asked: Vec<Identity> = self.missing.iter().take(most).copied().collect();
        self.missing.rotate_left(asked.len());
        asked
    }

    /// Handles the start of the search of a round.
    pub fn handle_start(&mut self, now: Instant, search: &Discovery) {
        self.started(now, search.report());
    }

    fn started(&mut self, now: Instant, report: &Report) {
        self.advance(now);
        let links = report.links.iter().filter(|link| !link.targets_only);
        let mut links: Vec<WatchLink> = links
            .map(|link| WatchLink::new(&link.interface, link.local))
            .collect();
        links.sort_unstable();
        let is_other = self.links.as_ref().is_some_and(|before| *before != links);
        let was_unavailable = self.failure.take_if(|failure| !failure.at_end).is_some();
        self.links = Some(links);
        if is_other || was_unavailable {
            self.announce_links();
        }
    }

    /// Handles a server that the search of the round found.
    pub fn handle_server(&mut self, now: Instant, server: DiscoveredServer) {
        self.advance(now);
        let identity = Identity::of(&server);
        if let Some(known) = self.known.get_mut(&identity) {
            known.answered(self.rounds);
        } else if let Identity::Address(_) = identity {
            self.handle_plain(identity, server);
        } else {
            self.handle_instance(identity, server);
        }
    }

    /// Handles an answer without details from an address that is not known to answer so.
    fn handle_plain(&mut self, identity: Identity, server: DiscoveredServer) {
        let owner = self.known.owner(server.key());
        let Some((owner, known)) = owner.and_then(|it| Some((it, self.known.get_mut(&it)?))) else {
            return self.insert(identity, server, WatchEvent::Appeared);
        };
        if known.server.verified {
            // It is not proven that this is its answer.
            return;
        }
        known.answered(self.rounds);
        if known.is_plain(self.rounds) {
            self.known.remove(&owner);
            self.insert(identity, server, WatchEvent::Changed);
        }
    }

    /// Handles an answer with details of a server or of a run that is not known.
    fn handle_instance(&mut self, identity: Identity, server: DiscoveredServer) {
        let without_details = Identity::Address(server.key());
        if self.known.remove(&without_details).is_some() {
            return self.insert(identity, server, WatchEvent::Changed);
        }
        let other = self.known.other_run(&identity);
        let answers = |it: Identity| {
            let known = self.known.get(&it);
            (it, known.is_some_and(|known| known.seen == self.rounds))
        };
        match other.map(answers) {
            None => self.insert(identity, server, WatchEvent::Appeared),
            Some((other, false)) => {
                self.known.remove(&other);
                self.insert(identity, server, WatchEvent::Restarted);
            }
            // If the other run does not answer in the next round either, the server was started again in
            // the middle of this one. Otherwise there are two servers with one id.
            Some((_, true)) if self.second_runs[1].contains(&identity) => {
                self.insert(identity, server, WatchEvent::Appeared);
            }
            Some((_, true)) => {
                self.second_runs[0].insert(identity);
            }
        }
    }

    /// Adds a server, if there is room.
    fn insert(
        &mut self,
        identity: Identity,
        server: DiscoveredServer,
        event: fn(DiscoveredServer) -> WatchEvent,
    ) {
        if self.known.len() < self.config.max_servers().get() {
            let known = Known::new(server.clone(), self.rounds);
            self.known.insert(identity, known);
            self.notify(event(server));
        }
    }

    /// Handles the end of the search of the round.
    pub fn handle_end(&mut self, now: Instant, search: &Discovery) {
        match search.outcome() {
            Ok(()) => self.ended(now, search.report(), search.servers()),
            Err(error) => self.handle_failure(now, error),
        }
    }

    fn ended<'a>(
        &mut self,
        now: Instant,
        report: &Report,
        servers: impl Iterator<Item = &'a DiscoveredServer>,
    ) {
        let now = self.advance(now);
        let Some(running) = &self.running else {
            return;
        };
        let (start, is_late) = (running.start, now > running.deadline + LATEST);
        let needed = if running.asks.is_empty() {
            1
        } else {
            ASKED.get()
        };
        if self.failure.take().is_some() {
            self.announce_links();
        }
        for server in servers {
            // A plain answer may have been returned, and the details have come later.
            let known = self.known.get(&Identity::of(server));
            if known.is_none_or(|known| known.seen != self.rounds) {
                self.handle_server(now, server.clone());
            }
            if self.known.update(server, self.rounds) {
                self.notify(WatchEvent::Changed(server.clone()));
            }
        }
        #[cfg(feature = "signed")]
        self.handle_alarms(report);
        if is_late {
            self.forget_out_of_reach();
        } else {
            self.handle_silence(start, |known| silence(report, &known.server, needed.into()));
        }
        self.end_round();
    }

    #[cfg(feature = "signed")]
    fn handle_alarms(&mut self, report: &Report) {
        let before = mem::replace(&mut self.alarms, report.alarms.clone());
        for alarm in &report.alarms {
            let is_it = |it: &Alarm| it.name == alarm.name && it.id == alarm.id;
            if !before.iter().any(is_it) {
                self.notify(WatchEvent::Alarm(alarm.clone()));
            }
        }
    }

    /// Handles a round whose search could not be started. The next round is tried like any other.
    pub fn handle_failure(&mut self, now: Instant, error: DiscoverError) {
        let now = self.advance(now);
        let Some(running) = &self.running else {
            return;
        };
        let (start, is_late) = (running.start, now > running.deadline + LATEST);
        if is_late {
            self.forget_out_of_reach();
        } else if is_without_network(&error) {
            self.handle_silence(start, |_| Silence::OutOfReach);
        }
        let failure = Failure {
            kind: mem::discriminant(&error),
            at_end: matches!(error, DiscoverError::NothingSent { .. }),
        };
        if self.failure.as_ref() != Some(&failure) {
            self.failure = Some(failure);
            self.notify(WatchEvent::Unavailable { error });
        }
        self.end_round();
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<WatchEvent> {
        self.events.pop_front()
    }

    /// Decides what became of the servers that did not answer in the round.
    fn handle_silence(&mut self, start: Instant, silence: impl Fn(&Known) -> Silence) {
        let Some(running) = &self.running else {
            return;
        };
        let mut gone = Vec::new();
        for (identity, known) in self.known.iter_mut() {
            if known.seen == self.rounds {
                continue;
            }
            let is_gone = match silence(known) {
                Silence::Asked => {
                    known.out_of_reach = None;
                    running.asks.contains(identity)
                }
                Silence::OutOfReach => {
                    let since = *known.out_of_reach.get_or_insert(start);
                    self.now.saturating_duration_since(since) >= OUT_OF_REACH
                }
                Silence::Unknown => false,
            };
            if is_gone {
                gone.push(*identity);
            } else if !mem::replace(&mut known.missing, true) {
                self.missing.push_back(*identity);
            }
        }
        gone.sort_unstable();
        for identity in gone {
            if let Some(known) = self.known.remove(&identity) {
                self.notify(WatchEvent::Gone(known.server));
            }
        }
    }

    /// Plans the next round, at least a second after the start of this one.
    fn end_round(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        if running.changed {
            self.interval = self.config.interval().shortest();
        } else if running.asks.is_empty() {
            self.interval = (2 * self.interval).min(self.config.interval().longest());
        }
        let interval = if self.known.values().any(|known| known.missing) {
            SHORTEST_INTERVAL
        } else {
            self.interval
        };
        self.due = self.now.max(running.start + interval);
    }

    fn forget_out_of_reach(&mut self) {
        for (_, known) in self.known.iter_mut() {
            known.out_of_reach = None;
        }
    }

    fn announce_links(&mut self) {
        let links = self.links.clone().unwrap_or_default();
        self.notify(WatchEvent::NetworkChanged { links });
    }

    fn notify(&mut self, event: WatchEvent) {
        if let Some(running) = &mut self.running {
            running.changed = true;
        }
        self.events.push_back(event);
    }

    /// Returns the latest time so far.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}

/// Whether a round failed because there is no network to ask on.
fn is_without_network(error: &DiscoverError) -> bool {
    matches!(
        error,
        DiscoverError::NoSuchInterface { .. }
            | DiscoverError::NoUsableInterface { .. }
            | DiscoverError::NothingToAsk
            | DiscoverError::NothingSent { .. }
    )
}

/// What it means that no engine found a server that one found before. It cannot be asked itself, so it is
/// missing for a while before it is gone.
fn silence_of_engine(report: &Report, server: &DiscoveredServer) -> Silence {
    let mut engines = report.engines.iter();
    if engines.any(|it| it.origin == server.origin && it.error.is_some()) {
        Silence::Unknown
    } else {
        Silence::OutOfReach
    }
}

/// What the silence of `server` means in a round with this report, in which each link had to send
/// `needed` probes.
fn silence(report: &Report, server: &DiscoveredServer, needed: u32) -> Silence {
    let Some(source) = server.source else {
        return silence_of_engine(report, server);
    };
    let links = report.links.iter().filter(|link| {
        link.interface == server.interface && link.local.is_ipv4() == source.is_ipv4()
    });
    if links.clone().any(|link| link.probes_sent >= needed) {
        Silence::Asked
    } else if links.clone().any(|link| link.given_up.is_some()) {
        Silence::Unknown
    } else {
        Silence::OutOfReach
    }
}
