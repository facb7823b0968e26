//! The search without sockets: which probes to send and when, and what each answer means.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use udp_discovery_protocol::{
    Codec, DecodeError, Interface, Message, ReceiveErrorKind, Request, Response,
};

use crate::address::AddressSelector;
use crate::config::Config;
use crate::error::DiscoverError;
use crate::probes::{Pending, Schedule};
use crate::report::{
    Destination, DestinationKind, DropReason, Link, MalformedDatagram, Report, TargetReport,
};
use crate::select::{Asked, Selection};
use crate::server::{DiscoveredServer, ServerKey};
use crate::target::ResolvedTarget;
use crate::trace::Trace;

/// The longest timeout: a year. Longer ones are cut, so that the clock can represent every
/// deadline.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How many consecutive errors of unknown meaning give a link up.
const UNKNOWN_ERRORS: u32 = 64;

/// One search, without sockets or a clock. It decides when to send which probe, and what each
/// received datagram means.
///
/// # How to drive it
/// 1. [`new`](Self::new) starts the search. Its deadline is `now` plus the timeout; nothing moves
///    it.
/// 2. Open a socket for each of the [`links`](Self::links), bound to its
///    [`local_addr`](Link::local_addr), with `SO_BROADCAST`. Multicasts must leave by the interface of
///    the link, with a time to live of 1. If that fails, call
///    [`give_up`](Self::give_up).
/// 3. Until [`poll_timeout`](Self::poll_timeout) returns `None`, repeat in this order:
///    - Send what [`poll_transmit`](Self::poll_transmit) returns, until it returns `None`. If a
///      datagram cannot be sent, call [`handle_send_error`](Self::handle_send_error) before the next
///      `poll_transmit`.
///    - Wait until a socket is readable, or until the time that `poll_timeout` returns.
///    - Receive from the sockets, a bounded number of times. Pass datagrams to
///      [`handle_datagram`](Self::handle_datagram), and errors to
///      [`handle_receive_error`](Self::handle_receive_error).
///    - Take servers from [`poll_event`](Self::poll_event), until it returns `None`.
///    - Call [`handle_timeout`](Self::handle_timeout), whether or not the time has come.
///
/// The first `handle_timeout` at or after the deadline ends the search, unless it ends earlier, as
/// [`Config::first`], [`Config::expect`] or [`Config::quiet_for`] say. Datagrams passed in after it
/// are dropped. Datagrams passed in between the deadline and that call count as in time, because
/// they may have arrived while the system did not run the driver.
///
/// `now` may come from any monotonic clock. If it goes back between two calls, the search uses the
/// latest `now` so far.
///
/// ```
/// use std::time::Instant;
/// use udp_discovery_client::{Config, Discovery};
/// use udp_discovery_protocol::{Interface, InterfaceAddress};
///
/// let mut eth0 = Interface::new("eth0", 2);
/// eth0.flags.up = true;
/// eth0.flags.broadcast = true;
/// eth0.addresses.push(InterfaceAddress::new("192.168.1.2".parse()?, 24)?);
///
/// let now = Instant::now();
/// let mut search = Discovery::new(now, &Config::default(), &[eth0])?;
/// let probe = search.poll_transmit(now).expect("the first probe is due at once");
/// assert_eq!(&probe.payload[..], b"DISCOVER_SERVER");
/// assert_eq!(probe.destination, "192.168.1.255:9999".parse()?);
///
/// let source = "192.168.1.7:9999".parse()?;
/// search.handle_datagram(now, probe.link, source, b"SERVER_IP:192.168.1.7:8000");
/// let server = search.poll_event().expect("a server answered");
/// assert_eq!(server.to_string(), "192.168.1.7:8000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Discovery {
    codec: Codec,
    request: Bytes,
    port: u16,
    default_port: Option<NonZeroU16>,
    any_source_port: bool,
    max_servers: usize,
    /// The number of servers that ends the search.
    goal: usize,
    quiet: Option<Quiet>,
    addresses: AddressSelector,
    schedule: Schedule,
    deadline: Instant,
    now: Instant,
    ended: bool,
    links: Vec<LinkState>,
    /// How many probes have been started.
    probes: usize,
    last_transmit: Option<LastTransmit>,
    /// The names of the interfaces on which a server was found.
    answered: HashSet<String>,
    known: HashSet<ServerKey>,
    /// The addresses of the targets.
    asked: HashMap<SocketAddr, Asked>,
    found: VecDeque<DiscoveredServer>,
    report: Report,
    trace: Trace,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transmit {
    /// The position in [`Discovery::links`] of the link to send it on.
    pub link: usize,
    /// The address to send it to.
    pub destination: SocketAddr,
    /// Its bytes.
    pub payload: Bytes,
}

/// The end of a search by [`Config::quiet_for`].
#[derive(Clone, Copy, Debug)]
struct Quiet {
    duration: Duration,
    /// When the last probe was due or the last new server answered.
    since: Instant,
}

/// The state of a link, besides what the report has.
#[derive(Debug)]
struct LinkState {
    /// When the last datagram left.
    sent_at: Instant,
    /// The destinations that the current probe has not been sent to.
    pending: Pending,
    /// Whether the current probe was sent to at least one destination.
    probe_sent: bool,
    /// The number of consecutive errors of unknown meaning.
    unknown_errors: u32,
}

/// The datagram that `poll_transmit` returned last, and what to restore if it cannot be sent.
#[derive(Debug)]
struct LastTransmit {
    link: usize,
    destination: usize,
    sent_before: Instant,
    probe_sent_before: bool,
}

impl Discovery {
    /// Starts a search without [targets](Config::targets). `interfaces` are all interfaces of this
    /// host. `config` selects those to ask on.
    ///
    /// # Errors
    /// As [`with_targets`](Self::with_targets).
    pub fn new(
        now: Instant,
        config: &Config,
        interfaces: &[Interface],
    ) -> Result<Self, DiscoverError> {
        Self::with_targets(now, config, interfaces, &[])
    }

    /// Starts a search. `interfaces` are all interfaces of this host. `config` selects those to ask
    /// on. `targets` are the [targets](Config::targets) of `config`, resolved.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchInterface`], [`DiscoverError::NoUsableInterface`],
    /// [`DiscoverError::NotAHost`], [`DiscoverError::NothingToAsk`] and [`DiscoverError::PortZero`].
    pub fn with_targets(
        now: Instant,
        config: &Config,
        interfaces: &[Interface],
        targets: &[ResolvedTarget],
    ) -> Result<Self, DiscoverError> {
        let settings = config.settings();
        if settings.port() == 0 || config.default_port() == Some(0) {
            return Err(DiscoverError::PortZero);
        }
        let (selection, asked) = Selection::with_targets(config, interfaces, targets)?;
        let mut target_reports: Vec<TargetReport> = targets
            .iter()
            .map(|target| TargetReport::new(target.target.clone()))
            .collect();
        for asked in asked.values() {
            target_reports[asked.target].addresses += 1;
        }
        let addresses = AddressSelector::new(config.address_policy(), interfaces, |interface| {
            selection.asks_on(interface)
        });
        let timeout = settings.timeout().min(LONGEST);
        let mut request = BytesMut::new();
        settings
            .codec()
            .encode(Message::Request(Request), &mut request);
        let state = |_: &Link| LinkState {
            sent_at: now,
            pending: Pending::default(),
            probe_sent: false,
            unknown_errors: 0,
        };
        let mut discovery = Self {
            codec: settings.codec().clone(),
            request: request.freeze(),
            port: settings.port(),
            default_port: config.default_port().and_then(NonZeroU16::new),
            any_source_port: config.any_source_port(),
            max_servers: config.max_servers().get(),
            goal: goal(config),
            quiet: config.quiet_for().map(|duration| Quiet {
                duration: duration.min(LONGEST),
                since: now,
            }),
            addresses,
            schedule: Schedule::new(
                now,
                timeout,
                config.probes(),
                config.quiet_for().map_or(Duration::MAX, |it| it / 2),
            ),
            deadline: now + timeout,
            now,
            ended: false,
            links: selection.links.iter().map(state).collect(),
            probes: 0,
            last_transmit: None,
            answered: HashSet::new(),
            known: HashSet::new(),
            asked,
            found: VecDeque::new(),
            report: Report {
                targets: target_reports,
                links: selection.links,
                skipped: selection.skipped,
                last_resort: selection.last_resort,
                ..Report::default()
            },
            trace: Trace::new(settings.logging()),
        };
        discovery.trace.started(&discovery.report);
        discovery.start_probe_if_due();
        Ok(discovery)
    }

    /// The interface addresses to ask from. The other methods identify a link by its index here.
    pub fn links(&self) -> &[Link] {
        &self.report.links
    }

    /// When the search ends, at the latest.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the search has done so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether the search could send a probe.
    ///
    /// # Errors
    /// If the search is over and sent no probe: [`DiscoverError::NothingSent`], or
    /// [`DiscoverError::OpenSocket`] if it had no usable socket.
    pub fn outcome(&self) -> Result<(), DiscoverError> {
        if !self.is_over() || !self.nothing_was_sent() {
            return Ok(());
        }
        let links = &self.report.links;
        let unsent = links
            .iter()
            .rev()
            .find_map(|link| link.last_send_error.clone());
        let unopened = links.iter().rev().find_map(|link| link.given_up.clone());
        match (unsent, unopened) {
            (Some(source), _) => Err(DiscoverError::NothingSent { source }),
            (None, Some(source)) => Err(DiscoverError::OpenSocket { source }),
            // The driver sent nothing.
            (None, None) => Ok(()),
        }
    }

    /// The next datagram to send, if one is due. It counts as sent unless
    /// [`handle_send_error`](Self::handle_send_error) follows.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let now = self.advance(now);
        let (link, destination) = self
            .links
            .iter_mut()
            .enumerate()
            .find_map(|(at, state)| Some((at, state.pending.next()?)))?;
        let state = &mut self.links[link];
        let report = &mut self.report.links[link];
        self.last_transmit = Some(LastTransmit {
            link,
            destination,
            sent_before: mem::replace(&mut state.sent_at, now),
            probe_sent_before: state.probe_sent,
        });
        if !mem::replace(&mut state.probe_sent, true) {
            report.probes_sent += 1;
        }
        let destination = &mut report.destinations[destination];
        destination.sent += 1;
        let (address, first) = (*destination, destination.sent == 1);
        let address = report.socket_addr(&address);
        if first
            && let Some(asked) = self.asked.get(&address)
            && asked.link == link
        {
            self.report.targets[asked.target].asked += 1;
        }
        Some(Transmit {
            link,
            destination: address,
            payload: self.request.clone(),
        })
    }

    /// Handles an error from sending the datagram that [`poll_transmit`](Self::poll_transmit)
    /// returned last. If it was a broadcast or multicast, the probe goes to another such address of the
    /// link instead, which `poll_transmit` returns next.
    pub fn handle_send_error(&mut self, error: io::Error) {
        let Some(last) = self.last_transmit.take() else {
            return;
        };
        let state = &mut self.links[last.link];
        let report = &mut self.report.links[last.link];
        let address = report.socket_addr(&report.destinations[last.destination]);
        let destination = &mut report.destinations[last.destination];
        destination.sent -= 1;
        if destination.sent == 0
            && let Some(asked) = self.asked.get(&address)
            && asked.link == last.link
        {
            self.report.targets[asked.target].asked -= 1;
        }
        if destination.kind != DestinationKind::Unicast {
            state.pending.fall_back();
        }
        if !last.probe_sent_before {
            state.probe_sent = false;
            report.probes_sent -= 1;
        }
        state.sent_at = last.sent_before;
        report.send_errors = report.send_errors.saturating_add(1);
        self.trace.send_failed(report, &error);
        report.last_send_error = Some(Arc::new(error));
    }

    /// Handles a datagram that the socket of `link` received from `source`. The
    /// [`report`](Self::report) counts it once, whatever it is. If it is from a new server,
    /// [`poll_event`](Self::poll_event) returns that server.
    ///
    /// Of a datagram longer than the buffer, pass the beginning. It is recognized as too long,
    /// because a buffer is longer than every response.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        link: usize,
        source: SocketAddr,
        payload: &[u8],
    ) {
        let now = self.advance(now);
        if self.is_over() {
            self.report.counts.late += 1;
            return;
        }
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        state.unknown_errors = 0;
        let rtt = now.saturating_duration_since(state.sent_at);
        let result = self.new_server(link, source, payload);
        if matches!(
            &result,
            Ok(_) | Err(DropReason::Duplicate | DropReason::OverTheCap)
        ) {
            self.target_answered(source);
        }
        match result {
            Ok((key, response)) => {
                let server = DiscoveredServer {
                    ip: key.ip,
                    port: key.port,
                    claimed_ip: response.ip(),
                    source,
                    interface: self.report.links[link].interface.clone(),
                    scope_id: key.scope_id,
                    rtt,
                    raw: Bytes::copy_from_slice(payload),
                };
                self.trace.found(&server);
                self.report.counts.accepted += 1;
                self.known.insert(key);
                self.answered.insert(server.interface.clone());
                self.found.push_back(server);
                if let Some(quiet) = &mut self.quiet {
                    quiet.since = now;
                }
                if self.known.len() >= self.goal {
                    self.end();
                }
            }
            Err(reason) => self.drop_datagram(reason, link, source, payload),
        }
    }

    /// Handles a refusal: the host with the address `destination` of a target has nobody who listens
    /// on that port (ICMP "port unreachable").
    pub fn handle_refusal(&mut self, destination: SocketAddr) {
        if let Some(asked) = self.asked.get(&destination) {
            let report = &mut self.report.links[asked.link].destinations[asked.destination];
            if !mem::replace(&mut report.refused, true) {
                self.report.targets[asked.target].refused += 1;
            }
        }
    }

    fn target_answered(&mut self, source: SocketAddr) {
        if let Some(asked) = self.asked.get(&source) {
            let report = &mut self.report.links[asked.link].destinations[asked.destination];
            if !mem::replace(&mut report.answered, true) {
                self.report.targets[asked.target].answered += 1;
            }
        }
    }

    /// Handles an error from receiving on the socket of `link`. An interrupted call and the lack of
    /// anything to receive do not count as errors.
    ///
    /// The link is given up if the descriptor is not a socket, or after 64 consecutive errors of
    /// unknown meaning.
    pub fn handle_receive_error(&mut self, link: usize, error: io::Error) {
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        let give_up = match ReceiveErrorKind::of(&error) {
            ReceiveErrorKind::TooLong => {
                self.report.counts.too_long += 1;
                return;
            }
            ReceiveErrorKind::Interrupted | ReceiveErrorKind::WouldBlock => return,
            ReceiveErrorKind::EarlierSend => false,
            ReceiveErrorKind::NotASocket => true,
            _ => {
                state.unknown_errors += 1;
                state.unknown_errors >= UNKNOWN_ERRORS
            }
        };
        self.report.counts.receive_errors += 1;
        if give_up {
            self.give_up(link, error);
        }
    }

    /// Gives up a link whose socket cannot be opened or used. Nothing more is sent on it. The search
    /// is over once all links are given up.
    pub fn give_up(&mut self, link: usize, error: io::Error) {
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        state.pending = Pending::default();
        let report = &mut self.report.links[link];
        if report.given_up.is_none() {
            self.trace.gave_up(report, &error);
            report.given_up = Some(Arc::new(error));
        }
    }

    /// Whether a link was given up, so that its socket can be closed.
    pub fn is_given_up(&self, link: usize) -> bool {
        self.report
            .links
            .get(link)
            .is_none_or(|link| link.given_up.is_some())
    }

    /// The next new server, in the order of their answers.
    pub fn poll_event(&mut self) -> Option<DiscoveredServer> {
        self.found.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), at the latest. Never after the
    /// [`deadline`](Self::deadline). `None` if the search is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let due = self.schedule.due().or_else(|| self.quiet_end());
        Some(due.map_or(self.deadline, |due| due.min(self.deadline)))
    }

    /// Starts the next probe if it is due, and ends the search at the deadline or after
    /// [`Config::quiet_for`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        if now >= self.deadline || self.quiet_end().is_some_and(|end| end <= now) {
            self.end();
        } else if !self.ended {
            self.start_probe_if_due();
        }
    }

    fn end(&mut self) {
        if !mem::replace(&mut self.ended, true) {
            self.trace.ended(&self.report);
        }
        for state in &mut self.links {
            state.pending = Pending::default();
        }
    }

    /// When the search ends if no other server answers. `None` while probes remain to be sent.
    fn quiet_end(&self) -> Option<Instant> {
        let quiet = self.quiet.filter(|_| self.schedule.due().is_none())?;
        Some(quiet.since + quiet.duration)
    }

    fn start_probe_if_due(&mut self) {
        if !self.schedule.take(self.now) {
            return;
        }
        let first = self.probes == 0;
        for (state, link) in self.links.iter_mut().zip(&self.report.links) {
            let waits = link.waits_for_ipv4 && (first || self.answered.contains(&link.interface));
            if link.given_up.is_none() && !waits {
                state.pending = Pending::new(self.probes, &link.destinations);
                state.probe_sent = false;
            }
        }
        self.probes += 1;
        if let Some(quiet) = &mut self.quiet {
            quiet.since = self.now;
        }
    }

    /// Returns the latest time so far.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Whether no further server can be found.
    fn is_over(&self) -> bool {
        let every_probe_was_tried =
            || self.schedule.due().is_none() && self.links.iter().all(|it| it.pending.is_empty());
        self.ended
            || self.report.links.iter().all(|link| link.given_up.is_some())
            || (self.nothing_was_sent() && every_probe_was_tried())
    }

    fn nothing_was_sent(&self) -> bool {
        self.report.links.iter().all(|link| link.probes_sent == 0)
    }

    /// On a link that asks its network, anybody may answer from the port that was asked. The targets
    /// may answer too, each from its address and port.
    fn check_source(&self, link: &Link, source: SocketAddr) -> Result<(), DropReason> {
        if self.asked.contains_key(&source) {
            return Ok(());
        }
        let is_target = |it: &Destination| it.ip == source.ip();
        let may_answer = !link.targets_only || link.destinations.iter().any(is_target);
        let from_port = !link.targets_only && source.port() == self.port;
        if !may_answer {
            Err(DropReason::NotAsked)
        } else if self.any_source_port || from_port {
            Ok(())
        } else {
            Err(DropReason::WrongSourcePort)
        }
    }

    /// The key and the answer of a new server.
    fn new_server(
        &self,
        link: usize,
        source: SocketAddr,
        payload: &[u8],
    ) -> Result<(ServerKey, Response), DropReason> {
        self.check_source(&self.report.links[link], source)?;
        let response = match self.codec.decode(payload) {
            Ok(Message::Response(response)) => response,
            Err(DecodeError::TooLong { .. }) => return Err(DropReason::TooLong),
            Ok(Message::Request(_)) | Err(_) => return Err(DropReason::Malformed),
        };
        let index = self.report.links[link].index;
        let (ip, scope_id) = self
            .addresses
            .select(response.ip(), source, index)
            .ok_or(DropReason::RefusedAddress)?;
        let key = ServerKey {
            ip,
            scope_id,
            port: response.port().or(self.default_port),
        };
        if self.known.contains(&key) {
            Err(DropReason::Duplicate)
        } else if self.known.len() >= self.max_servers {
            Err(DropReason::OverTheCap)
        } else {
            Ok((key, response))
        }
    }

    fn drop_datagram(
        &mut self,
        reason: DropReason,
        link: usize,
        source: SocketAddr,
        payload: &[u8],
    ) {
        let report = &mut self.report;
        let nth = report.counts.count(reason);
        if matches!(reason, DropReason::Malformed) && nth == 1 {
            report.first_malformed = Some(MalformedDatagram::new(source, payload));
        }
        self.trace
            .dropped(reason, nth, &report.links[link], source, payload);
    }
}

/// The number of servers that ends a search.
fn goal(config: &Config) -> usize {
    let expected = config.expect().map_or(usize::MAX, NonZeroUsize::get);
    if config.first() { 1 } else { expected }
}
