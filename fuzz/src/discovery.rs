//! A search, driven by any sequence of calls on virtual time.
//!
//! The input: the configuration, the host's interfaces, then calls to its end. Time may go back, a
//! link may not exist, and a datagram may have any bytes and source.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU16, NonZeroUsize};
use std::time::{Duration, Instant};

use udp_discovery_client::{
    AddressPolicy, Config, Counts, DestinationKind, DiscoverError, DiscoveredServer, Discovery,
    Family, Host, Link, ResolvedTarget, Route, TargetReport,
};
use udp_discovery_protocol::{Codec, Interface};

use crate::host;
use crate::input::Input;
use crate::who::{self, Who};
use crate::wire::{self, Reading};

const PORT: u16 = 9999;
const MESSAGE: &str = "DISCOVER_SERVER";
const PREFIX: &str = "SERVER_IP:";

/// The longest search.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The most calls of a run.
const MAX_CALLS: usize = 500;

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let config = config(&mut input);
    let interfaces = host::interfaces(&mut input);
    let targets = targets(&mut input, &config);
    let Some(mut run) = Run::new(config, interfaces, &targets) else {
        return;
    };
    for _ in 0..MAX_CALLS {
        if input.is_empty() {
            break;
        }
        run.call(&mut input);
        run.check();
    }
    run.finish();
}

/// Targets if the configuration asks only those, or by the lowest bits of a byte.
fn targets(input: &mut Input<'_>, config: &Config) -> Vec<ResolvedTarget> {
    if config.targets().is_empty() {
        return Vec::new();
    }
    let byte = input.byte();
    let route = |(at, (remote, local)): (usize, &(&str, &str))| {
        (byte >> at & 1 == 1).then(|| Route {
            remote: remote.parse().expect("it is an address"),
            local: local.parse().expect("it is an address"),
        })
    };
    let routes = ROUTES.iter().enumerate().filter_map(route);
    let routes: Vec<Route> = routes.collect();
    let (first, second) = routes.split_at(routes.len() / 2);
    let target = || config.targets()[0].clone();
    vec![
        ResolvedTarget::new(target(), first.to_vec()),
        // It shares the addresses of the first.
        ResolvedTarget::new(target(), [second, first].concat()),
    ]
}

/// Addresses of targets, and the addresses that they are asked from.
const ROUTES: [(&str, &str); 6] = [
    ("192.168.1.20:9999", "192.168.1.7"),
    ("192.168.1.20:50000", "192.168.1.7"),
    ("203.0.113.9:9999", "192.168.1.8"),
    ("172.17.0.5:9999", "172.17.0.1"),
    ("10.99.0.5:50000", "10.99.0.1"),
    ("[2001:db8::20]:9999", "2001:db8::7"),
];

fn config(input: &mut Input<'_>) -> Config {
    let timeout = input.choose(&[
        Duration::from_millis(500),
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_secs(2),
        Duration::MAX,
    ]);
    let mut config = Config::default()
        .with_timeout(timeout)
        .with_loopback(input.flag())
        .with_any_source_port(input.flag())
        .with_address_policy(input.choose(&[
            AddressPolicy::Auto,
            AddressPolicy::Claim,
            AddressPolicy::Source,
            AddressPolicy::Match,
        ]));
    if let Some(probes) = NonZeroU8::new(input.byte()) {
        config = config.with_probes(probes);
    }
    if let Some(max) = NonZeroUsize::new(usize::from(input.byte() % 8)) {
        config = config.with_max_servers(max);
    }
    // The high bits, so that files of the corpus keep their meaning.
    let byte = input.byte();
    if byte & 0x40 != 0 {
        config = config.with_first(true);
    }
    if byte & 0x80 != 0 {
        config = config
            .with_family(input.choose(&[Family::Auto, Family::V4, Family::V6, Family::Both]))
            .with_multicast(input.flag())
            .with_targets(["host.example".parse().expect("it is a name")])
            .with_broadcast(input.flag());
    }
    // Without a condition that ends it early.
    if byte & 0x70 == 0 && matches!(byte & 0x0f, 6 | 7) {
        return who::config(config, byte & 1 == 1);
    }
    config = match byte >> 4 & 3 {
        1 => config.with_expect(NonZeroUsize::new(3).expect("it is not 0")),
        2 => config.with_quiet_for(Duration::from_millis(100)),
        3 => config.with_quiet_for(timeout),
        _ => config,
    };
    match byte & 0x0f {
        1 => config.with_interfaces(["docker*"]),
        2 => config.with_interfaces(["lo"]),
        3 => config.with_excluded_interfaces(["eth?"]),
        4 => config.with_interfaces(["nothing*"]),
        5 => config.with_default_port(80),
        _ => config,
    }
}

/// A search, and a model of it.
struct Run {
    config: Config,
    interfaces: Vec<Interface>,
    search: Discovery,
    start: Instant,
    deadline: Instant,
    /// The latest time that was passed in.
    now: Instant,
    /// Whether the deadline was passed in.
    ended: bool,
    /// Whether the search has reported its end.
    over: bool,
    transmits: usize,
    /// How many of them could be sent.
    sent: usize,
    /// The servers that must be found, by address, scope and port.
    known: HashSet<(IpAddr, u32, Option<NonZeroU16>)>,
    /// Those that were not returned yet.
    expected: VecDeque<Expected>,
    counts: Counts,
    /// The source and the beginning of the first malformed datagram.
    first_malformed: Option<(SocketAddr, Vec<u8>)>,
    /// The addresses of the targets, those that refused, and those that answered.
    asked: HashSet<SocketAddr>,
    refused: HashSet<SocketAddr>,
    answered: HashSet<SocketAddr>,
    /// The model of a search for details.
    who: Who,
    /// How many probes were due so far.
    probes_due: u32,
    /// When the last probe was due or the last new server answered.
    quiet_since: Instant,
}

impl Run {
    /// A search, if `interfaces` allow one.
    fn new(config: Config, interfaces: Vec<Interface>, targets: &[ResolvedTarget]) -> Option<Self> {
        let start = Instant::now();
        let asked: HashSet<SocketAddr> = targets
            .iter()
            .flat_map(|target| &target.routes)
            .map(|route| route.remote)
            .collect();
        let host = Host::new(interfaces.clone()).with_targets(targets.iter().cloned());
        let search = match Discovery::new(start, &config, &host, [0; 15]) {
            Ok(search) => search,
            Err(DiscoverError::NoSuchInterface { available }) => {
                assert_eq!(available.len(), interfaces.len());
                return None;
            }
            Err(DiscoverError::NoUsableInterface { skipped }) => {
                assert_eq!(skipped.len(), interfaces.len());
                assert!(asked.is_empty());
                return None;
            }
            Err(DiscoverError::NothingToAsk) => {
                assert!(asked.is_empty() && !config.broadcast());
                return None;
            }
            Err(other) => panic!("{other}"),
        };
        Some(
            Self {
                deadline: start + config.settings().timeout().min(YEAR),
                config,
                interfaces,
                search,
                start,
                now: start,
                ended: false,
                over: false,
                transmits: 0,
                sent: 0,
                known: HashSet::new(),
                expected: VecDeque::new(),
                counts: Counts::default(),
                first_malformed: None,
                who: Who::default(),
                probes_due: 1,
                asked,
                refused: HashSet::new(),
                answered: HashSet::new(),
                quiet_since: start,
            }
            .through_the_first_probes(),
        )
    }

    fn through_the_first_probes(mut self) -> Self {
        self.take_probes();
        self
    }

    /// Counts the probes that are due by now.
    fn take_probes(&mut self) {
        let probes = u32::from(self.config.probes().get());
        let mut interval = (self.deadline - self.start) / (probes + 1);
        if let Some(quiet) = self.config.quiet_for() {
            interval = interval.min(quiet / 2);
        }
        while self.probes_due < probes && self.start + interval * self.probes_due <= self.now {
            self.probes_due += 1;
            self.quiet_since = self.now;
        }
    }

    /// Whether enough servers were found.
    fn has_enough(&self) -> bool {
        let found = self.known.len();
        let first = self.config.first() && found > 0;
        first || self.config.expect().is_some_and(|it| found >= it.get())
    }

    /// Whether every probe was due and no new server has answered for as long as configured.
    fn is_quiet(&self) -> bool {
        let probes = u32::from(self.config.probes().get());
        let quiet = self.config.quiet_for().map(|it| it.min(YEAR));
        self.probes_due == probes && quiet.is_some_and(|it| self.quiet_since + it <= self.now)
    }

    fn call(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0 | 1 => self.datagram(input),
            2 => self.transmit(input),
            3 => self.event(),
            4 => {
                let now = self.time(input);
                self.timeout(now);
            }
            5 => self.receive_error(input),
            6 => {
                let link = self.link(input);
                let at = self.search.poll_timeout();
                self.search
                    .give_up(link, io::ErrorKind::AddrNotAvailable.into());
                assert!(self.search.is_given_up(link));
                assert!(
                    self.search
                        .poll_timeout()
                        .is_none_or(|later| Some(later) == at)
                );
            }
            _ if input.flag() => {
                let refusing = input.socket_address(&host::ADDRESSES, &[PORT, 50_000]);
                self.search.handle_refusal(refusing);
                if self.asked.contains(&refusing) {
                    self.refused.insert(refusing);
                }
            }
            _ => assert!(self.search.outcome().is_ok() || self.is_over()),
        }
    }

    /// A time after the latest one, or before it.
    fn time(&mut self, input: &mut Input<'_>) -> Instant {
        let unit = input.choose(&[
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_millis(1),
            Duration::from_secs(1),
            self.deadline - self.start,
        ]);
        let now = match input.byte() {
            255 => self.start,
            count => self.now + unit.min(YEAR) * u32::from(count % 128),
        };
        self.now = self.now.max(now);
        now
    }

    /// A link, or one more than there are.
    fn link(&self, input: &mut Input<'_>) -> usize {
        usize::from(input.byte()) % (self.search.links().len() + 1)
    }

    fn datagram(&mut self, input: &mut Input<'_>) {
        let now = self.time(input);
        let link = self.link(input);
        let mut source = input.socket_address(&host::ADDRESSES, &[PORT, 50_000]);
        if let SocketAddr::V6(source) = &mut source
            && is_link_local(source.ip().to_owned().into())
        {
            // The system names the link, or the test another one.
            let index = self.search.links().get(link).map_or(0, |link| link.index);
            source.set_scope_id(index + u32::from(input.flag()));
        }
        let payload = if self.config.details() && input.flag() {
            who::answer(input)
        } else {
            payload(input)
        };
        self.who.datagrams += u64::from(link < self.search.links().len() || self.is_over());
        if self.is_over() {
            self.counts.late += 1;
        } else if link < self.search.links().len() {
            self.expect(link, source, &payload);
        }
        self.search.handle_datagram(now, link, source, &payload);
    }

    /// Updates the model for an answer, by the documentation.
    fn expect(&mut self, link: usize, source: SocketAddr, payload: &[u8]) {
        if !self.asked.contains(&source) {
            let link = &self.search.links()[link];
            let asks_host = link.destinations.iter().any(|it| it.ip == source.ip());
            if link.targets_only && !asks_host {
                self.counts.not_asked += 1;
                return;
            }
            let port_asked = !link.targets_only && source.port() == PORT;
            if !port_asked && !self.config.any_source_port() {
                self.counts.wrong_source_port += 1;
                return;
            }
        }
        if self.config.details() {
            self.expect_details(link, source, payload);
            return;
        }
        let counts = &mut self.counts;
        let (claim, port) = match wire::read(MESSAGE, PREFIX, payload) {
            Reading::Response(ip, port) => (ip, port),
            Reading::TooLong => {
                counts.too_long += 1;
                return;
            }
            _ => {
                counts.malformed += 1;
                let beginning = &payload[..payload.len().min(64)];
                let first = || (source, beginning.to_vec());
                self.first_malformed.get_or_insert_with(first);
                return;
            }
        };
        let Some((ip, scope_id, port)) = self.key(link, source, claim, port) else {
            self.counts.refused_address += 1;
            return;
        };
        self.answer_of(source);
        let counts = &mut self.counts;
        if self.known.contains(&(ip, scope_id, port)) {
            counts.duplicates += 1;
        } else if self.known.len() == self.config.max_servers().get() {
            counts.over_the_cap += 1;
        } else {
            counts.accepted += 1;
            self.known.insert((ip, scope_id, port));
            self.quiet_since = self.now;
            self.expected.push_back(Expected {
                ip,
                scope_id,
                port,
                claim,
                source,
                interface: self.search.links()[link].interface.clone(),
                raw: payload.to_vec(),
            });
            self.ended |= self.has_enough();
        }
    }

    /// Takes an answer to a search for details that counts, whatever it becomes.
    fn expect_details(&mut self, link: usize, source: SocketAddr, payload: &[u8]) {
        let is_pinned = !self.config.pinned_ids().is_empty();
        if let Reading::Response(claim, port) = wire::read(MESSAGE, PREFIX, payload) {
            if let Some(key) = self.key(link, source, claim, port).filter(|_| !is_pinned) {
                self.who.answered_plain(key);
                self.answer_of(source);
            }
        } else if let Ok(answer) = Codec::default().decode_details(payload)
            && self.who.is_asked(link, source.ip(), &answer)
        {
            let (claim, port) = (answer.response.ip(), answer.response.port());
            if let Some(key) = self.key(link, source, claim, port) {
                self.who.answered(&answer, key);
                self.answer_of(source);
            }
        }
    }

    fn answer_of(&mut self, source: SocketAddr) {
        if self.asked.contains(&source) {
            self.answered.insert(source);
        }
    }

    /// The address to use of an answer, its scope and its port. `None` if it is refused.
    fn key(
        &self,
        link: usize,
        source: SocketAddr,
        claim: IpAddr,
        port: Option<NonZeroU16>,
    ) -> Option<who::Key> {
        let port = port.or_else(|| NonZeroU16::new(self.config.default_port()?));
        let index = self.search.links()[link].index;
        let scope_of_source = match source {
            SocketAddr::V6(source) if is_link_local(source.ip().to_owned().into()) => {
                source.scope_id()
            }
            _ => index,
        };
        let address = self.address(claim, source.ip());
        let ip = address.filter(|_| index == 0 || scope_of_source == index)?;
        let scope_id = if is_link_local(ip) {
            scope_of_source
        } else {
            0
        };
        Some((ip, scope_id, port))
    }

    /// The address to use, by the policy.
    fn address(&self, claim: IpAddr, source: IpAddr) -> Option<IpAddr> {
        let from_this_host = self.is_this_host(source);
        let usable = match claim {
            _ if claim == source => true,
            _ if is_link_local(claim) && !is_link_local(source) => false,
            _ if self.is_this_host(claim) => from_this_host,
            // With pins, only answers of pinned servers count, which are trusted.
            _ => !self.config.pinned_ids().is_empty() || self.is_reachable(claim),
        };
        let address = match self.config.address_policy() {
            AddressPolicy::Auto if usable => Some(claim),
            AddressPolicy::Claim if claim.is_loopback() && !from_this_host => None,
            AddressPolicy::Claim => Some(claim),
            AddressPolicy::Match => (claim == source).then_some(claim),
            _ => Some(source),
        };
        address.filter(|_| wire::is_host(source))
    }

    fn is_this_host(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || host::holds(&self.interfaces, ip)
    }

    /// Whether `ip` can be a host's on a network of this host, without loopback, interfaces that are
    /// down, and bridges that were not asked on.
    fn is_reachable(&self, ip: IpAddr) -> bool {
        let asked = |interface: &Interface| {
            let links = self.search.links();
            links.iter().any(|link| link.interface == interface.name)
        };
        let counts = |it: &&Interface| {
            it.flags.up && !it.flags.loopback && (it.name != "docker0" || asked(it))
        };
        let mut interfaces = self.interfaces.iter().filter(counts);
        interfaces.any(|interface| host::can_be_on_link(interface, ip))
    }

    /// Takes the transmits, and reports them as failed or not.
    fn transmit(&mut self, input: &mut Input<'_>) {
        let now = self.time(input);
        let fails = input.flag();
        while let Some(transmit) = self.search.poll_transmit(now) {
            assert!(!self.over, "a probe after the end");
            let link = &self.search.links()[transmit.link];
            assert!(link.given_up.is_none());
            let destination = transmit.destination;
            let mut destinations = link.destinations.iter();
            let asked = destinations.find(|it| link.socket_addr(it) == destination);
            let asked = asked.expect("it is a destination of the link");
            self.check_family(link, destination);
            assert!(destination.port() == PORT || self.asked.contains(&destination));
            if transmit.payload.len() > MESSAGE.len() {
                assert!(self.config.details());
                let unicast = asked.kind == DestinationKind::Unicast;
                let unicast = unicast.then_some(destination.ip());
                self.who.sent(transmit.link, unicast, &transmit.payload);
                continue;
            }
            assert_eq!(&transmit.payload[..], MESSAGE.as_bytes());
            self.transmits += 1;
            if fails {
                let error = io::ErrorKind::NetworkUnreachable.into();
                self.search.handle_send_error(transmit, error);
            } else {
                self.sent += 1;
            }
        }
    }

    /// IPv6 waits for the second probe, and for a network without an answer, where IPv4 asks too.
    fn check_family(&self, link: &Link, destination: SocketAddr) {
        let family = self.config.family();
        assert_eq!(link.local.is_ipv6(), destination.is_ipv6());
        assert!(link.targets_only || family != Family::V4 || destination.is_ipv4());
        assert!(family == Family::Auto || !link.waits_for_ipv4);
        if link.waits_for_ipv4 && !self.asked.contains(&destination) {
            assert!(self.probes_due > 1);
        }
    }

    /// The next server is the next one expected.
    fn event(&mut self) {
        let event = self.search.poll_event();
        if self.config.details() {
            if let Some(server) = event {
                self.who.check_server(&server);
            }
            return;
        }
        let expected = self.expected.pop_front();
        assert_eq!(event.is_some(), expected.is_some());
        if let Some((event, expected)) = event.zip(expected) {
            assert!(event.rtt.expect("it answered") <= self.now - self.start);
            assert!(event.raw.as_ref().expect("it answered").len() <= wire::MAX_LEN);
            assert_eq!(expected, Expected::from(event));
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.search.handle_timeout(now);
        self.now = self.now.max(now);
        self.ended |= self.now >= self.deadline || self.is_quiet();
        if !self.ended {
            self.take_probes();
        }
        // Missed probes are not sent later.
        let next = self.search.poll_timeout();
        let no_quiet = self.config.quiet_for() == Some(Duration::ZERO);
        assert!(next.is_none_or(|next| next > self.now || no_quiet));
    }

    fn receive_error(&mut self, input: &mut Input<'_>) {
        let link = self.link(input);
        let kind = input.choose(&[
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::Other,
        ]);
        let exists = link < self.search.links().len();
        // After 64 unknown errors in a row the search gives the link up.
        for _ in 0..input.byte() % 70 {
            self.search.handle_receive_error(link, kind.into());
            self.counts.receive_errors += u64::from(exists);
        }
    }

    /// The rules that hold after any call.
    fn check(&mut self) {
        assert_eq!(self.search.deadline(), self.deadline, "the deadline moved");
        let at = self.search.poll_timeout();
        assert!(at.is_none_or(|at| at <= self.deadline));
        assert!(at.is_none() || !self.over, "a search that was over goes on");
        assert!(
            at.is_none() || !self.ended,
            "the search goes on after its deadline"
        );
        let links = self.search.links();
        let hopeless = self.sent == 0 || links.iter().all(|link| link.given_up.is_some());
        assert!(
            at.is_some() || self.ended || hopeless,
            "the search ends early"
        );
        self.over = at.is_none();
        let report = self.search.report();
        if self.config.details() {
            self.check_transmits();
            return;
        }
        assert_eq!(report.counts, self.counts);
        let malformed = report.first_malformed.as_ref();
        let malformed = malformed.map(|it| (it.source, it.payload.to_vec()));
        assert_eq!(malformed, self.first_malformed);
        assert_eq!(report.capped(), self.counts.over_the_cap > 0);
        assert!(self.expected.len() <= self.known.len());
        assert!(self.known.len() <= self.config.max_servers().get());
        self.check_targets();
        self.check_transmits();
    }

    /// Each address of a target counts once.
    fn check_targets(&self) {
        let targets = &self.search.report().targets;
        let sum = |count: fn(&TargetReport) -> u32| targets.iter().map(count).sum::<u32>() as usize;
        assert_eq!(sum(|it| it.addresses), self.asked.len());
        assert_eq!(sum(|it| it.refused), self.refused.len());
        assert_eq!(sum(|it| it.answered), self.answered.len());
        assert!(sum(|it| it.asked) <= self.asked.len());
    }

    /// Each probe goes to one broadcast address of a link and to each unicast one, and no
    /// destination is tried twice.
    fn check_transmits(&self) {
        let links = self.search.links();
        let probes = usize::from(self.config.probes().get());
        let destinations = || links.iter().flat_map(|link| &link.destinations);
        assert!(self.transmits <= probes * destinations().count());
        let sent: u32 = destinations().map(|destination| destination.sent).sum();
        assert_eq!(sent as usize, self.sent);
        for link in links {
            assert!(link.probes_sent as usize <= probes);
            let sent = |kind| {
                let of_kind = link.destinations.iter().filter(move |it| it.kind == kind);
                of_kind.map(|destination| destination.sent)
            };
            let broadcasts: u32 = sent(DestinationKind::Broadcast).sum();
            let multicasts: u32 = sent(DestinationKind::Multicast).sum();
            assert!(broadcasts + multicasts <= link.probes_sent);
            assert!(sent(DestinationKind::Unicast).all(|sent| sent <= link.probes_sent));
        }
    }

    /// A driver that follows the contract is done after the last probe, and has all servers.
    fn finish(&mut self) {
        let mut steps = 0;
        while let Some(at) = self.search.poll_timeout() {
            self.timeout(at);
            self.check();
            steps += 1;
            assert!(steps <= usize::from(self.config.probes().get()) + 1);
        }
        self.timeout(self.deadline);
        for _ in 0..=self.expected.len() {
            self.event();
        }
        assert!(self.search.poll_transmit(self.deadline).is_none());
        if self.config.details() {
            self.who.finish(&self.search, &self.config);
            if self.config.pinned_ids().is_empty() {
                self.check_targets();
            }
        }
    }

    fn is_over(&self) -> bool {
        self.search.poll_timeout().is_none()
    }
}

/// A server that must be found.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    ip: IpAddr,
    scope_id: u32,
    port: Option<NonZeroU16>,
    claim: IpAddr,
    source: SocketAddr,
    interface: String,
    raw: Vec<u8>,
}

impl From<DiscoveredServer> for Expected {
    fn from(server: DiscoveredServer) -> Self {
        Self {
            ip: server.ip,
            scope_id: server.scope_id,
            port: server.port,
            claim: server.claimed_ip,
            source: server.source.expect("it answered"),
            interface: server.interface,
            raw: server.raw.expect("it answered").to_vec(),
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] >> 6 == 0xfe80 >> 6)
}

/// A response with an address of a list and a port, or any bytes, or too many of them.
fn payload(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() % 4 {
        0 => input.bytes().to_vec(),
        1 => vec![input.byte(); 300],
        _ => {
            let ip = match input.ip_among(&host::ADDRESSES) {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            match input.byte() {
                0 => format!("{PREFIX}{ip}"),
                port => format!("{PREFIX}{ip}:{port}"),
            }
            .into_bytes()
        }
    }
}
