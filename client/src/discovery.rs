//! The search without sockets: which probes to send and when, and what each answer means.

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use udp_discovery_protocol::{
    Codec, DecodeError, DetailsAnswer, DetailsError, Message, ReceiveErrorKind, Request, Response,
    SendErrorKind,
};

use crate::address::{AddressSelector, is_of_any_link};
use crate::config::{Config, Family};
use crate::error::DiscoverError;
use crate::found::{Found, Identity};
use crate::host::Host;
use crate::nonces::{Nonces, probe_number};
use crate::origins::{Event, Instance, NOT_IN_TIME, Service};
use crate::probes::{Pending, Schedule};
use crate::report::{
    Destination, DestinationKind, DropReason, EngineReport, Link, MalformedDatagram, Remembered,
    Report, SweepReport, TargetReport,
};
use crate::select::{Asked, Selection};
use crate::server::{DiscoveredServer, Origin, ServerKey};
use crate::sweep::{Ask, Sweep, SweepRange};
use crate::trace::Trace;
use crate::trust::Trust;
use crate::wanted::Wanted;

/// The longest timeout: a year. Longer ones are cut, so that the clock can represent every
/// deadline.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How many consecutive errors of unknown meaning give a link up.
const UNKNOWN_ERRORS: u32 = 64;

/// How many addresses that answered are kept to be remembered.
pub(crate) const MAX_REMEMBERED: usize = 4096;

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
///      datagram cannot be sent, pass it to [`handle_send_error`](Self::handle_send_error) before the
///      next `poll_transmit`. Receive in between if there are many, so that answers are not lost.
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
/// use udp_discovery_client::{Config, Discovery, Host};
/// use udp_discovery_protocol::{Interface, InterfaceAddress};
///
/// let mut eth0 = Interface::new("eth0", 2);
/// eth0.flags.up = true;
/// eth0.flags.broadcast = true;
/// eth0.addresses.push(InterfaceAddress::new("192.168.1.2".parse()?, 24)?);
///
/// let now = Instant::now();
/// let mut search = Discovery::new(now, &Config::default(), &Host::new([eth0]), [0; 15])?;
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
    /// The names of the interfaces on which a server was found.
    answered: HashSet<String>,
    /// The addresses of the targets that are hosts.
    asked: HashMap<SocketAddr, Asked>,
    sweep: Option<Sweep>,
    memory: Memory,
    found: Found,
    /// The requests for details, if there are any.
    nonces: Option<Nonces>,
    /// The request for details that follows the last probe.
    owed: Option<Owed>,
    trust: Trust,
    wanted: Wanted,
    family: Family,
    report: Report,
    trace: Trace,
}

/// A datagram to send.
#[derive(Debug)]
#[non_exhaustive]
pub struct Transmit {
    /// The position in [`Discovery::links`] of the link to send it on.
    pub link: usize,
    /// The address to send it to.
    pub destination: SocketAddr,
    /// Its bytes.
    pub payload: Bytes,
    kind: TransmitKind,
}

impl Transmit {
    /// Whether it is a request of a sweep. What is polled next does not depend on whether it is sent.
    pub(crate) fn is_of_sweep(&self) -> bool {
        matches!(self.kind, TransmitKind::Ask(_))
    }
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
    /// How many datagrams of the current probe were sent.
    sent: u32,
    /// The number of consecutive errors of unknown meaning.
    unknown_errors: u32,
}

/// What a datagram is for.
#[derive(Clone, Copy, Debug)]
enum TransmitKind {
    /// A probe.
    Probe {
        /// The position of its destination in those of the link.
        destination: usize,
        /// When the datagram before it left.
        sent_before: Instant,
    },
    /// The request for details after it.
    Details(Owed),
    /// A request of the sweep.
    Ask(Ask),
}

/// A request for details that follows a probe to the same destination.
#[derive(Clone, Copy, Debug)]
struct Owed {
    link: usize,
    destination: SocketAddr,
    /// The address of a unicast destination.
    host: Option<IpAddr>,
    /// The number of the probe.
    probe: u8,
}

/// What an answer says.
enum Answer<'a> {
    Plain(Response),
    Details(DetailsAnswer<'a>),
}

/// How an answer came.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    now: Instant,
    link: usize,
    source: SocketAddr,
    payload: &'a [u8],
}

/// The addresses that answered, and how often those of earlier searches were asked.
#[derive(Debug, Default)]
struct Memory {
    answered: Vec<SocketAddr>,
    distinct: HashSet<SocketAddr>,
    times_asked: HashMap<SocketAddr, u32>,
}

impl Discovery {
    /// Starts a search. `host` has the interfaces, of which `config` selects those to ask on, and the
    /// [targets](Config::targets) of `config`.
    ///
    /// `random` makes the nonces of requests for [details](Config::details). It must be fresh for each
    /// search, from the secure source of the system: an answer counts only if it has these bytes. Without
    /// details it is not used.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchInterface`], [`DiscoverError::NoUsableInterface`],
    /// [`DiscoverError::NotAHost`], [`DiscoverError::NetworkTooLarge`],
    /// [`DiscoverError::NothingToAsk`] and [`DiscoverError::PortZero`].
    pub fn new(
        now: Instant,
        config: &Config,
        host: &Host,
        random: [u8; 15],
    ) -> Result<Self, DiscoverError> {
        let settings = config.settings();
        if settings.port() == 0 || config.default_port() == Some(0) {
            return Err(DiscoverError::PortZero);
        }
        let interfaces = &host.interfaces;
        let mut selection = Selection::of_host(config, host)?;
        let asked = mem::take(&mut selection.asked);
        let sweep = sweep(now, config, host, mem::take(&mut selection.ranges));
        let targets = host.targets.iter().map(|it| it.target.clone());
        let mut target_reports: Vec<TargetReport> = targets.map(TargetReport::new).collect();
        for asked in asked.values() {
            target_reports[asked.target].addresses += 1;
        }
        for (range, len) in sweep.iter().flat_map(Sweep::ranges) {
            if let Some(target) = range.target {
                target_reports[target].addresses += len;
            }
        }
        let engines = Service::all(config).into_iter();
        let engines = engines.map(EngineReport::new);
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
            sent: 0,
            unknown_errors: 0,
        };
        let mut discovery = Self {
            codec: settings.codec().clone(),
            request: request.freeze(),
            port: settings.port(),
            default_port: config.default_port().and_then(NonZeroU16::new),
            any_source_port: config.any_source_port(),
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
            answered: interfaces_with_ipv4(&host.expected),
            asked,
            memory: Memory {
                times_asked: host.remembered.iter().map(|it| (it.remote, 0)).collect(),
                ..Memory::default()
            },
            found: Found::new(config.max_servers().get(), &host.expected),
            nonces: config.details().then(|| Nonces::new(random)),
            owed: None,
            trust: Trust::new(config, host),
            wanted: Wanted::new(config),
            family: config.family(),
            report: Report {
                targets: target_reports,
                sweep: sweep.as_ref().map(SweepReport::new),
                remembered: config.remember().map(|_| Remembered {
                    addresses: u32::try_from(host.remembered.len()).unwrap_or(u32::MAX),
                    ..Remembered::default()
                }),
                links: selection.links,
                skipped: selection.skipped,
                unmatched: selection.unmatched,
                last_resort: selection.last_resort,
                engines: engines.collect(),
                ..Report::default()
            },
            sweep,
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

    /// The servers found so far, in the order of their answers, with the details and
    /// [endpoints](DiscoveredServer::endpoints) that answered since [`poll_event`](Self::poll_event)
    /// returned them.
    pub fn servers(&self) -> impl Iterator<Item = &DiscoveredServer> {
        self.found.iter()
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
        let engines = &self.report.engines;
        let has_worked = |it: &EngineReport| it.found > 0 || it.error.is_none();
        if !self.is_over() || !self.nothing_was_sent() || engines.iter().any(has_worked) {
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
            (None, None) => self.engines_outcome(),
        }
    }

    /// The error of the first engine.
    fn engines_outcome(&self) -> Result<(), DiscoverError> {
        match self.report.engines.first() {
            Some(EngineReport {
                service,
                error: Some(message),
                ..
            }) => Err(DiscoverError::Engine {
                service: service.clone(),
                message: message.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The next datagram to send, if one is due. With [details](Config::details), the request for them
    /// follows each request. It counts as sent unless
    /// [`handle_send_error`](Self::handle_send_error) follows.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let now = self.advance(now);
        self.poll_details(now)
            .or_else(|| self.poll_probe(now))
            .or_else(|| self.poll_sweep(now))
    }

    /// The request for details after the last probe.
    fn poll_details(&mut self, now: Instant) -> Option<Transmit> {
        let owed = self.owed.take()?;
        let nonces = self.nonces.as_mut()?;
        nonces.sent(now, (owed.link, owed.host, owed.probe));
        let payload = nonces.request(&self.codec, owed.probe);
        self.count_sent(owed.link);
        Some(Transmit {
            link: owed.link,
            destination: owed.destination,
            payload,
            kind: TransmitKind::Details(owed),
        })
    }

    fn poll_probe(&mut self, now: Instant) -> Option<Transmit> {
        let (link, position) = self
            .links
            .iter_mut()
            .enumerate()
            .find_map(|(at, state)| Some((at, state.pending.next()?)))?;
        self.count_sent(link);
        let sent_before = mem::replace(&mut self.links[link].sent_at, now);
        let report = &mut self.report.links[link];
        let destination = &mut report.destinations[position];
        destination.sent += 1;
        let (address, first, kind) = (*destination, destination.sent == 1, destination.kind);
        let address = report.socket_addr(&address);
        if first
            && let Some(asked) = self.asked.get(&address)
            && asked.link == link
        {
            self.report.targets[asked.target].asked += 1;
        }
        self.count_remembered(address, true);
        self.owed = self.nonces.as_ref().map(|_| Owed {
            link,
            destination: address,
            host: (kind == DestinationKind::Unicast).then_some(address.ip()),
            probe: probe_number(self.probes - 1),
        });
        Some(Transmit {
            link,
            destination: address,
            payload: self.request.clone(),
            kind: TransmitKind::Probe {
                destination: position,
                sent_before,
            },
        })
    }

    fn poll_sweep(&mut self, now: Instant) -> Option<Transmit> {
        if self.is_over() || now >= self.deadline {
            return None;
        }
        let ask = self.sweep.as_mut()?.poll(now);
        self.report_passes();
        let ask = ask?;
        self.count_sent(ask.link);
        let payload = match (&self.nonces, ask.details) {
            (Some(nonces), Some(pass)) => nonces.request(&self.codec, pass),
            _ => self.request.clone(),
        };
        if ask.details.is_none() {
            self.count_asked(&ask, true);
        }
        Some(Transmit {
            link: ask.link,
            destination: ask.destination,
            payload,
            kind: TransmitKind::Ask(ask),
        })
    }

    /// Counts a datagram on `link` for its current probe.
    fn count_sent(&mut self, link: usize) {
        let state = &mut self.links[link];
        state.sent = state.sent.saturating_add(1);
        if state.sent == 1 {
            self.report.links[link].probes_sent += 1;
        }
    }

    /// Takes that back.
    fn count_unsent(&mut self, link: usize) {
        let state = &mut self.links[link];
        if state.sent == 1 {
            self.report.links[link].probes_sent -= 1;
        }
        state.sent = state.sent.saturating_sub(1);
    }

    /// Handles that `transmit`, which is of this search, could not be sent. If it was a broadcast or
    /// multicast, the probe goes to another such address of the link instead, which
    /// [`poll_transmit`](Self::poll_transmit) returns next. If the system had no room for a request of a
    /// sweep, that address is asked again later, and the error does not count.
    #[expect(clippy::needless_pass_by_value, reason = "no datagram can fail twice")]
    pub fn handle_send_error(&mut self, transmit: Transmit, error: io::Error) {
        let link = transmit.link;
        self.count_unsent(link);
        match transmit.kind {
            TransmitKind::Probe {
                destination,
                sent_before,
            } => {
                self.links[link].sent_at = sent_before;
                self.take_back_probe(link, destination);
            }
            TransmitKind::Details(Owed { host, probe, .. }) => {
                if let Some(nonces) = &mut self.nonces {
                    nonces.not_sent((link, host, probe));
                }
            }
            TransmitKind::Ask(ask) => {
                let kind = SendErrorKind::of(&error);
                let sweep = self.sweep.as_mut();
                if sweep.is_some_and(|it| it.handle_send_error(self.now, &ask, kind)) {
                    self.count_asked(&ask, false);
                }
                if kind == SendErrorKind::NoRoom {
                    if let Some(report) = &mut self.report.sweep {
                        report.no_room += 1;
                    }
                    return;
                }
            }
        }
        let report = &mut self.report.links[link];
        report.send_errors = report.send_errors.saturating_add(1);
        self.trace.send_failed(report, &error);
        report.last_send_error = Some(Arc::new(error));
        self.end_if_over();
    }

    /// Takes back a request of the sweep that was not tried. Its address is asked later. Of several the
    /// last must be taken back first.
    pub(crate) fn take_back(&mut self, transmit: &Transmit) {
        let TransmitKind::Ask(ask) = transmit.kind else {
            return;
        };
        self.count_unsent(ask.link);
        if let Some(sweep) = &mut self.sweep
            && sweep.take_back(&ask)
        {
            self.count_asked(&ask, false);
        }
    }

    fn take_back_probe(&mut self, link: usize, destination: usize) {
        self.owed = None;
        let report = &mut self.report.links[link];
        let address = report.socket_addr(&report.destinations[destination]);
        let destination = &mut report.destinations[destination];
        destination.sent -= 1;
        if destination.sent == 0
            && let Some(asked) = self.asked.get(&address)
            && asked.link == link
        {
            self.report.targets[asked.target].asked -= 1;
        }
        if destination.kind != DestinationKind::Unicast {
            self.links[link].pending.fall_back();
        }
        self.count_remembered(address, false);
    }

    /// Counts a request of the sweep, or takes it back.
    fn count_asked(&mut self, ask: &Ask, asked: bool) {
        self.count_remembered(ask.destination, asked);
        let Some(report) = self.report.sweep.as_mut().filter(|_| ask.first) else {
            return;
        };
        report.asked = if asked {
            report.asked + 1
        } else {
            report.asked - 1
        };
        if let Some(target) = ask.target {
            let count = &mut self.report.targets[target].asked;
            *count = if asked { *count + 1 } else { *count - 1 };
        }
    }

    /// Counts that an address was asked, or takes that back, if it is one that is remembered.
    fn count_remembered(&mut self, address: SocketAddr, asked: bool) {
        let Some(times) = self.memory.times_asked.get_mut(&address) else {
            return;
        };
        let before = mem::replace(times, if asked { *times + 1 } else { *times - 1 });
        if let Some(report) = &mut self.report.remembered {
            match (before, *times) {
                (0, 1) => report.asked += 1,
                (1, 0) => report.asked -= 1,
                _ => {}
            }
        }
    }

    fn report_passes(&mut self) {
        if let (Some(sweep), Some(report)) = (&self.sweep, &mut self.report.sweep) {
            report.passes = sweep.passes();
            report.complete = sweep.first_pass_over().is_some();
        }
    }

    /// The addresses to remember, in the order of their answers.
    pub(crate) fn answered(&self) -> &[SocketAddr] {
        &self.memory.answered
    }

    /// How often an address of [`Host::remembered`] was asked.
    pub(crate) fn times_asked(&self, remembered: SocketAddr) -> u32 {
        let times = self.memory.times_asked.get(&remembered);
        times.copied().unwrap_or_default()
    }

    /// What the report says about the remembered addresses.
    pub(crate) fn remembered_mut(&mut self) -> Option<&mut Remembered> {
        self.report.remembered.as_mut()
    }

    /// Handles a datagram that the socket of `link` received from `source`. The
    /// [`report`](Self::report) counts it once, whatever it is. If it is from a new server,
    /// [`poll_event`](Self::poll_event) returns that server. With [details](Config::details), a plain answer
    /// is held until the next probe is due or the search ends, and counted then or when its details replace
    /// it.
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
        let arrival = Arrival {
            now,
            link,
            source,
            payload,
        };
        let result = self.handle_answer(arrival);
        if matches!(
            &result,
            Ok(()) | Err(DropReason::Duplicate | DropReason::OverTheCap | DropReason::Unwanted)
        ) {
            self.target_answered(source);
        }
        if let Err(reason) = result {
            self.drop_datagram(reason, link, source, payload);
        }
    }

    fn handle_answer(&mut self, arrival: Arrival<'_>) -> Result<(), DropReason> {
        self.check_source(&self.report.links[arrival.link], arrival.source)?;
        match self.decode(arrival.payload)? {
            Answer::Plain(response) => self.handle_plain(arrival, response),
            Answer::Details(answer) => self.handle_details(arrival, &answer),
        }
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Answer<'a>, DropReason> {
        let error = match self.codec.decode(payload) {
            Ok(Message::Response(response)) => return Ok(Answer::Plain(response)),
            Ok(Message::Request(_)) => return Err(DropReason::Malformed),
            Err(error) => error,
        };
        if self.nonces.is_none() {
            return Err(match error {
                DecodeError::TooLong { .. } => DropReason::TooLong,
                _ => DropReason::Malformed,
            });
        }
        match self.codec.decode_details(payload) {
            Ok(answer) => Ok(Answer::Details(answer)),
            Err(DetailsError::TooLong { .. }) => Err(DropReason::TooLong),
            Err(_) => Err(DropReason::Malformed),
        }
    }

    fn handle_plain(&mut self, arrival: Arrival<'_>, response: Response) -> Result<(), DropReason> {
        if self.trust.pins() {
            return Err(DropReason::Unsigned);
        }
        let key = self.key(arrival, response)?;
        if !self.wanted.is_anybody() {
            return Err(DropReason::Unwanted);
        }
        self.found.check_plain(arrival.source, key)?;
        let swept_at = self.sweep.as_ref();
        let swept_at = swept_at.and_then(|it| it.asked_at(arrival.source));
        let sent_at = swept_at.unwrap_or(self.links[arrival.link].sent_at);
        let server = self.server(arrival, key, response.ip(), sent_at);
        if self.nonces.is_some() {
            self.found.hold(server);
        } else {
            self.list_plain(server);
        }
        Ok(())
    }

    /// Lists a server by its plain answer. It counts from now.
    fn list_plain(&mut self, server: DiscoveredServer) {
        self.trace.found(&server);
        self.answered.insert(server.interface.clone());
        self.found.list_plain(server);
        self.count_new();
    }

    fn handle_details(
        &mut self,
        arrival: Arrival<'_>,
        answer: &DetailsAnswer<'_>,
    ) -> Result<(), DropReason> {
        let Arrival { link, source, .. } = arrival;
        let nonces = self.nonces.as_ref();
        let nonces = nonces.filter(|nonces| nonces.contains(answer.nonce));
        let nonces = nonces.ok_or(DropReason::WrongNonce)?;
        let probe = answer.nonce.probe();
        let sent_at = nonces.sent_at(link, source.ip(), probe);
        let sent_at = sent_at.or_else(|| self.swept_at(source, probe));
        let sent_at = sent_at.ok_or(DropReason::WrongNonce)?;
        self.trust.check_pins(answer)?;
        let key = self.key(arrival, answer.response)?;
        if !self.wanted.contains(answer) {
            return Err(DropReason::Unwanted);
        }
        let verified = (answer.id, answer.run, true);
        // A server is not verified again for each probe.
        if answer.signature.is_some() && self.found.has_endpoint(&verified, &key) {
            return Err(DropReason::Duplicate);
        }
        let request = nonces.request(&self.codec, probe);
        let is_verified = self
            .trust
            .verify(answer, &request, source, &mut self.report)
            .inspect_err(|_| {
                if self.found.distrust(source, key) {
                    self.report.counts.unsigned += 1;
                }
            })?;
        let identity = (answer.id, answer.run, is_verified);
        if self.found.has_endpoint(&identity, &key) {
            return Err(DropReason::Duplicate);
        }
        let server = self.server(arrival, key, answer.response.ip(), sent_at);
        self.add_details(
            identity,
            server.with_details(&answer.details(), is_verified),
        )
    }

    fn add_details(
        &mut self,
        identity: Identity,
        server: DiscoveredServer,
    ) -> Result<(), DropReason> {
        let (trace, interface) = (self.trace, server.interface.clone());
        let change = self.found.add_details(identity, server)?;
        if change.replaced_held {
            self.report.counts.duplicates += 1;
        }
        if change.repeats_id {
            self.report.repeated_ids.push(identity.0);
        }
        if !change.is_new {
            return Err(DropReason::Duplicate);
        }
        if let Some(server) = self.found.iter().next_back() {
            trace.found(server);
        }
        self.answered.insert(interface);
        self.count_new();
        Ok(())
    }

    /// Counts a server that was listed. Enough of them end the search.
    fn count_new(&mut self) {
        self.report.counts.accepted += 1;
        if let Some(quiet) = &mut self.quiet {
            quiet.since = self.now;
        }
        if self.found.len() >= self.goal {
            self.end();
        }
    }

    /// Lists the plain answers that were held, until there are enough servers.
    fn release_held(&mut self) {
        for server in self.found.take_held() {
            if self.found.len() < self.goal {
                self.list_plain(server);
            } else {
                self.report.counts.late += 1;
            }
        }
    }

    /// What identifies the server of an answer, if the address policy accepts it.
    fn key(&self, arrival: Arrival<'_>, response: Response) -> Result<ServerKey, DropReason> {
        let index = self.report.links[arrival.link].index;
        let trusted = self.trust.pins();
        let (ip, scope_id) = self
            .addresses
            .select(response.ip(), arrival.source, index, trusted)
            .ok_or(DropReason::RefusedAddress)?;
        Ok(ServerKey {
            ip,
            scope_id,
            port: response.port().or(self.default_port),
        })
    }

    fn server(
        &self,
        arrival: Arrival<'_>,
        key: ServerKey,
        claimed_ip: IpAddr,
        sent_at: Instant,
    ) -> DiscoveredServer {
        DiscoveredServer {
            ip: key.ip,
            scope_id: key.scope_id,
            port: key.port,
            claimed_ip,
            source: Some(arrival.source),
            interface: self.report.links[arrival.link].interface.clone(),
            rtt: Some(arrival.now.saturating_duration_since(sent_at)),
            raw: Some(Bytes::copy_from_slice(arrival.payload)),
            origin: Origin::Answer,
            id: None,
            run: None,
            name: None,
            properties: Vec::new(),
            verified: false,
            endpoints: Vec::new(),
        }
    }

    /// When the sweep asked `source` for details in the pass with the number `probe`.
    fn swept_at(&self, source: SocketAddr, probe: u8) -> Option<Instant> {
        let sweep = self.sweep.as_ref()?;
        let asked = if sweep.contains(source) {
            source
        } else {
            SocketAddr::new(source.ip(), self.port)
        };
        sweep.asked_details_at(asked, probe)
    }

    /// Handles a server that another engine found. If it is new, [`poll_event`](Self::poll_event) returns it.
    ///
    /// It is not verified. If servers are pinned or its name is that of a known server, it is dropped.
    pub fn handle_instance(&mut self, now: Instant, origin: Origin, instance: Instance) {
        self.advance(now);
        let family = self.family;
        let is_wanted = |ip: IpAddr| match family {
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
            _ => true,
        };
        let links = &self.report.links;
        let interface = |index: u32| {
            let link = links.iter().find(|it| it.index == index && index != 0);
            link.map_or_else(String::new, |it| it.interface.clone())
        };
        let server = instance.server(origin, is_wanted, interface);
        let Some(server) = server.filter(|_| !self.is_over()) else {
            return;
        };
        let properties = server.properties.iter();
        let properties = properties.map(|(key, value)| (key.as_str(), value.as_str()));
        let name = server.name.as_deref();
        if !self.trust.accepts_unsigned(name) || !self.wanted.contains_server(name, &properties) {
            self.report.counts.unwanted += 1;
            return;
        }
        match self.found.add_instance(server.clone()) {
            Ok(true) => {
                self.trace.found(&server);
                self.count_new();
            }
            Ok(false) => {}
            Err(_) => self.report.counts.over_the_cap += 1,
        }
    }

    /// Handles what an engine of [`Report::engines`] says.
    pub(crate) fn handle_engine(&mut self, now: Instant, engine: usize, event: Event) {
        let Some(report) = self.report.engines.get_mut(engine) else {
            return;
        };
        match event {
            Event::Found(instance) => {
                report.found += 1;
                let origin = report.origin;
                self.handle_instance(now, origin, instance);
            }
            Event::Failed(error) => {
                report.error.get_or_insert(error);
            }
            Event::Ended => {
                report.ended = true;
                self.end_if_over();
            }
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
        } else if let Some(sweep) = &mut self.sweep
            && let Some(range) = sweep.handle_refusal(destination)
            && let Some(target) = range.target
        {
            self.report.targets[target].refused += 1;
        }
    }

    fn target_answered(&mut self, source: SocketAddr) {
        self.remember(source);
        if let Some(asked) = self.asked.get(&source) {
            let report = &mut self.report.links[asked.link].destinations[asked.destination];
            if !mem::replace(&mut report.answered, true) {
                self.report.targets[asked.target].answered += 1;
            }
        } else if let Some(sweep) = &mut self.sweep
            && let Some(range) = sweep.handle_answer(source)
            && let Some(target) = range.target
        {
            self.report.targets[target].answered += 1;
        }
    }

    /// Keeps the address that answered, with the port that it is asked on.
    fn remember(&mut self, source: SocketAddr) {
        let ip = source.ip();
        if self.report.remembered.is_none() || !is_of_any_link(ip) {
            return;
        }
        let asked = self.asked.contains_key(&source) || self.sweeps(source);
        let port = if asked { source.port() } else { self.port };
        let address = SocketAddr::new(ip, port);
        if self.memory.answered.len() < MAX_REMEMBERED && self.memory.distinct.insert(address) {
            self.memory.answered.push(address);
            if let Some(report) = &mut self.report.remembered
                && self.memory.times_asked.contains_key(&address)
            {
                report.answered += 1;
            }
        }
    }

    /// Whether the sweep asks `address`.
    fn sweeps(&self, address: SocketAddr) -> bool {
        let sweep = self.sweep.as_ref();
        sweep.is_some_and(|sweep| sweep.contains(address))
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
        self.owed = self.owed.filter(|owed| owed.link != link);
        if let Some(sweep) = &mut self.sweep {
            sweep.give_up(link);
        }
        let report = &mut self.report.links[link];
        if report.given_up.is_none() {
            self.trace.gave_up(report, &error);
            report.given_up = Some(Arc::new(error));
        }
        self.end_if_over();
    }

    /// Ends a search that can find nothing more.
    fn end_if_over(&mut self) {
        if self.is_over() {
            self.update_sweep();
            self.end();
        }
    }

    fn update_sweep(&mut self) {
        if let Some(sweep) = self.sweep.as_mut().filter(|_| !self.ended) {
            sweep.update(self.now);
            self.report_passes();
        }
    }

    /// Whether a link was given up, so that its socket can be closed.
    pub fn is_given_up(&self, link: usize) -> bool {
        self.report
            .links
            .get(link)
            .is_none_or(|link| link.given_up.is_some())
    }

    /// The next new server, in the order of their answers, with the endpoints that it has by now.
    pub fn poll_event(&mut self) -> Option<DiscoveredServer> {
        self.found.next_new()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), at the latest. Never after the
    /// [`deadline`](Self::deadline). `None` if the search is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let due = self.schedule.due().or_else(|| self.quiet_end());
        let swept = self.sweep.as_ref().and_then(Sweep::poll_timeout);
        due.into_iter().chain(swept).chain([self.deadline]).min()
    }

    /// Starts the next probe if it is due, and ends the search at the deadline or after
    /// [`Config::quiet_for`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.update_sweep();
        if now >= self.deadline {
            self.report_late_engines();
            self.end();
        } else if self.quiet_end().is_some_and(|end| end <= now) {
            self.end();
        } else if !self.ended {
            self.start_probe_if_due();
        }
    }

    /// At the deadline, the DNS should have answered. Multicast DNS never ends.
    fn report_late_engines(&mut self) {
        let engines = self.report.engines.iter_mut().filter(|_| !self.ended);
        for engine in engines.filter(|it| it.origin == Origin::Dns && !it.ended) {
            engine.error.get_or_insert_with(|| NOT_IN_TIME.to_owned());
        }
    }

    fn end(&mut self) {
        if !mem::replace(&mut self.ended, true) {
            self.release_held();
            self.trace.ended(&self.report);
        }
        self.owed = None;
        for state in &mut self.links {
            state.pending = Pending::default();
        }
    }

    /// When the search ends if no other server answers. `None` while probes remain to be sent, and in
    /// the first pass of a sweep.
    fn quiet_end(&self) -> Option<Instant> {
        let quiet = self.quiet.filter(|_| self.schedule.due().is_none())?;
        let since = match &self.sweep {
            Some(sweep) => quiet.since.max(sweep.first_pass_over()?),
            None => quiet.since,
        };
        Some(since + quiet.duration)
    }

    fn start_probe_if_due(&mut self) {
        if !self.schedule.take(self.now) {
            return;
        }
        self.release_held();
        if self.ended {
            return;
        }
        let first = self.probes == 0;
        for (state, link) in self.links.iter_mut().zip(&self.report.links) {
            let waits = link.waits_for_ipv4 && (first || self.answered.contains(&link.interface));
            if link.given_up.is_none() && !waits {
                state.pending = Pending::new(self.probes, &link.destinations);
                state.sent = 0;
            }
        }
        self.probes += 1;
        if let Some(sweep) = &mut self.sweep {
            sweep.start_pass(self.now);
        }
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
        let every_probe_was_tried = || {
            self.schedule.due().is_none()
                && self.links.iter().all(|it| it.pending.is_empty())
                && self.sweep.as_ref().is_none_or(Sweep::is_over)
        };
        let given_up = |link: &Link| link.given_up.is_some();
        let none_can_be_found = || {
            self.report.links.iter().all(given_up)
                || (self.nothing_was_sent() && every_probe_was_tried())
        };
        self.ended || (self.report.engines.iter().all(|it| it.ended) && none_can_be_found())
    }

    fn nothing_was_sent(&self) -> bool {
        self.report.links.iter().all(|link| link.probes_sent == 0)
    }

    /// On a link that asks its network, anybody may answer from the port that was asked. The targets
    /// may answer too, each from its address and port.
    fn check_source(&self, link: &Link, source: SocketAddr) -> Result<(), DropReason> {
        if self.asked.contains_key(&source) || self.sweeps(source) {
            return Ok(());
        }
        let is_target = |it: &Destination| it.ip == source.ip();
        let may_answer = !link.targets_only
            || link.destinations.iter().any(is_target)
            || self.sweeps(SocketAddr::new(source.ip(), self.port));
        let from_port = !link.targets_only && source.port() == self.port;
        if !may_answer {
            Err(DropReason::NotAsked)
        } else if self.any_source_port || from_port {
            Ok(())
        } else {
            Err(DropReason::WrongSourcePort)
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

/// The interfaces on which a server is known by IPv4.
fn interfaces_with_ipv4(known: &[DiscoveredServer]) -> HashSet<String> {
    let sources = known.iter().flat_map(DiscoveredServer::sources);
    let by_ipv4 = sources.filter(|(source, _)| source.is_ipv4());
    by_ipv4.map(|(_, interface)| interface.to_owned()).collect()
}

/// The sweep of `ranges`, if there are any.
fn sweep(now: Instant, config: &Config, host: &Host, ranges: Vec<SweepRange>) -> Option<Sweep> {
    let limits = [host.max_silent_v4, host.max_silent_v6];
    (!ranges.is_empty()).then(|| Sweep::new(now, config.pace(), limits, config.details(), ranges))
}

/// The number of servers that ends a search.
fn goal(config: &Config) -> usize {
    let expected = config.expect().map_or(usize::MAX, NonZeroUsize::get);
    if config.first() { 1 } else { expected }
}
