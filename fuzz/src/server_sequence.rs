//! A sequence of datagrams to one server, with time between them and interfaces that change. It checks
//! the limits and the size of the answers.
//!
//! The input: the limits, whether details are offered and signed, then steps to its end. Each has a time, a source, an arrival, bytes, and a
//! number of repetitions.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use udp_discovery_protocol::Interface;
use udp_discovery_server::{Config, Datagram, DropReason, RateLimit, Reply, Responder};

use crate::host;
use crate::input::Input;
use crate::responder::{PORT, Rules, allow, arrival, details_request, offering, source};

const REQUEST: &[u8] = b"DISCOVER_SERVER";

/// The payloads: the request, the request for details, and datagrams that resemble one of them.
fn payload(kind: u8) -> Vec<u8> {
    let details = details_request("DISCOVER_SERVER", "YWJjZGVmZ2hpamtsbW5vAw");
    match kind % 16 {
        0..4 => REQUEST.into(),
        4 => Vec::new(),
        5 => b"DISCOVER_SERVE".into(),
        6 => b"DISCOVER_SERVER\n".into(),
        7 => b"SERVER_IP:192.168.1.20".into(),
        8..13 => details,
        13 => details[..511].into(),
        14 => [&details[..], b" "].concat(),
        _ => details_request("DISCOVER_SERVER", "YWJjZGVmZ2hpamtsbW5vAx"),
    }
}

/// Answers per second. Each divides a second into whole nanoseconds, so that the buckets are exact.
const RATES: [u32; 8] = [1, 2, 5, 10, 50, 100, 1000, 1_000_000];

/// The most steps of a run.
const MAX_STEPS: usize = 200;

/// The most datagrams of a run.
const MAX_DATAGRAMS: usize = 3000;

/// The most answers of a run if they are signed, which takes long without optimization.
const MAX_SIGNED: usize = 40;

/// As many sources as one set of the server's table has room for, so that none is ever forgotten.
const MAX_SOURCES: usize = 8;

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut run = Run::new(&mut input);
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        run.step(&mut input);
    }
    assert!(run.answers <= run.requests);
}

/// A server, and a model of it.
struct Run {
    config: Config,
    interfaces: Vec<Interface>,
    responder: Responder,
    now: Instant,
    plain: Limits,
    details: Limits,
    datagrams: usize,
    requests: usize,
    answers: usize,
}

impl Run {
    fn new(input: &mut Input<'_>) -> Self {
        let limit = limit(input);
        let total = limit.and(self::limit(input));
        let config = Config::default()
            .with_allow(allow(input))
            .with_rate_limit(limit)
            .with_total_limit(total);
        let interfaces = host::interfaces(input);
        let offer = input.byte();
        let (details_limit, signature_limit) = (self::limit(input), self::limit(input));
        let config = offering(config, offer & 1 != 0, offer & 2 != 0)
            .with_details_limit(details_limit)
            .with_signature_limit(signature_limit);
        let signature_limit = signature_limit.filter(|_| config.signing_key().is_some());
        let responder = Responder::new(config.clone(), PORT, [3, 4]);
        let mut responder = responder.expect("the details fit");
        responder.set_interfaces(interfaces.clone());
        Self {
            config,
            interfaces,
            responder,
            now: Instant::now(),
            plain: Limits::new(limit, total, None),
            details: Limits::new(details_limit, total, signature_limit),
            datagrams: 0,
            requests: 0,
            answers: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        if kind == 255 {
            self.interfaces = host::interfaces(input);
            self.responder.set_interfaces(self.interfaces.clone());
            return;
        }
        let pause = duration(input);
        let (source, arrival) = (source(input), arrival(input));
        let payload = match kind {
            253 => input.bytes().into(),
            _ => payload(kind),
        };
        let datagram = Datagram {
            source,
            arrival,
            truncated: kind == 254,
            payload: &payload,
        };
        for _ in 0..=input.byte() {
            self.datagrams += 1;
            let signed = self.config.signing_key().is_some() && self.answers >= MAX_SIGNED;
            if self.datagrams > MAX_DATAGRAMS || signed {
                return;
            }
            self.now += pause;
            self.datagram(&datagram);
        }
    }

    fn datagram(&mut self, datagram: &Datagram<'_>) {
        let rules = Rules {
            config: &self.config,
            interfaces: &self.interfaces,
        };
        let key = Key::of(datagram.source, rules.came_on_link(datagram));
        let limits = if rules.asks_for_details(datagram) {
            &mut self.details
        } else {
            &mut self.plain
        };
        if limits.is_full_for(key) {
            return;
        }
        let outcome = self.responder.handle_datagram(self.now, datagram);
        let limited = matches!(
            outcome,
            Err(DropReason::RateLimited
                | DropReason::TotalLimited
                | DropReason::DetailsLimited
                | DropReason::SignatureLimited)
        );
        rules.check(datagram, outcome.as_ref().ok(), !limited);
        // A limit is no reason to drop a datagram that may not be answered at all.
        assert!(!limited || rules.may_answer(datagram), "{outcome:?}");
        let by_details = matches!(
            outcome,
            Err(DropReason::DetailsLimited | DropReason::SignatureLimited)
        );
        assert!(!by_details || rules.asks_for_details(datagram));
        let by_plain = matches!(outcome, Err(DropReason::RateLimited));
        assert!(!by_plain || datagram.payload == REQUEST);
        let is_request = datagram.payload == REQUEST || rules.asks_for_details(datagram);
        self.requests += usize::from(is_request);
        self.answers += usize::from(outcome.is_ok());
        limits.check(self.now, key, outcome.as_ref());
    }
}

/// The limits of one kind of answers, and what is left of them.
struct Limits {
    limit: Option<RateLimit>,
    sources: HashMap<Key, Bucket>,
    total: Option<Bucket>,
    signatures: Option<Bucket>,
}

impl Limits {
    fn new(
        limit: Option<RateLimit>,
        total: Option<RateLimit>,
        signatures: Option<RateLimit>,
    ) -> Self {
        Self {
            limit,
            sources: HashMap::new(),
            total: total.map(Bucket::new),
            signatures: signatures.map(Bucket::new),
        }
    }

    /// Whether the server may have forgotten a source if this one is new.
    fn is_full_for(&self, key: Key) -> bool {
        !self.sources.contains_key(&key) && self.sources.len() == MAX_SOURCES
    }

    /// No source gets more answers than its limits, and none gets fewer.
    fn check(&mut self, now: Instant, key: Key, outcome: Result<&Reply, &DropReason>) {
        let source = self.limit.map(|limit| {
            let bucket = self
                .sources
                .entry(key)
                .or_insert_with(|| Bucket::new(limit));
            bucket.fill(now);
            bucket
        });
        for bucket in self.total.iter_mut().chain(&mut self.signatures) {
            bucket.fill(now);
        }
        match outcome {
            Ok(reply) => {
                // Without a port, at most 25 bytes for 15, and 51 in IPv6.
                let most = match reply.response.ip() {
                    _ if reply.details => 512,
                    IpAddr::V4(_) => 25,
                    IpAddr::V6(_) => 51,
                };
                assert!(reply.payload.len() <= most);
                let shared = self.total.iter_mut().chain(&mut self.signatures);
                for bucket in source.into_iter().chain(shared) {
                    bucket.take();
                }
            }
            // A limit that is checked later may use up a share of an earlier one without an answer.
            Err(DropReason::RateLimited | DropReason::DetailsLimited) => {
                let source = source.expect("there is a limit");
                let is_last = self.total.is_none() && self.signatures.is_none();
                assert!(!is_last || source.is_empty(), "refused too early");
            }
            Err(DropReason::TotalLimited) => {
                let total = self.total.as_ref().expect("there is a limit");
                let is_last = self.signatures.is_none();
                assert!(!is_last || total.is_empty(), "refused too early");
            }
            Err(DropReason::SignatureLimited) => {
                let signatures = self.signatures.as_ref().expect("there is a limit");
                assert!(signatures.is_empty(), "refused too early");
            }
            Err(_) => (),
        }
    }
}

/// No limit, or a rate and a burst.
fn limit(input: &mut Input<'_>) -> Option<RateLimit> {
    if !input.flag() {
        return None;
    }
    let rate = NonZeroU32::new(input.choose(&RATES))?;
    let burst = NonZeroU32::new(u32::from(input.byte()) + 1)?;
    Some(RateLimit::per_second(rate).with_burst(burst))
}

/// None, or up to 255 of a unit between a nanosecond and an hour.
fn duration(input: &mut Input<'_>) -> Duration {
    let unit = input.choose(&[
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_micros(1),
        Duration::from_millis(1),
        Duration::from_secs(1),
        Duration::from_secs(60 * 60),
    ]);
    unit * u32::from(input.byte())
}

/// What counts as one source: an IPv4 address; an IPv6 address on the link with its scope, and off
/// the link its first 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    V4([u8; 4]),
    V6OnLink([u16; 8], u32),
    V6([u16; 4]),
}

impl Key {
    fn of(source: SocketAddr, on_link: bool) -> Self {
        match source {
            SocketAddr::V4(source) => Self::V4(source.ip().octets()),
            SocketAddr::V6(source) if on_link => {
                Self::V6OnLink(source.ip().segments(), source.scope_id())
            }
            SocketAddr::V6(source) => {
                let [a, b, c, d, ..] = source.ip().segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// A token bucket. A token has as many parts as a second has nanoseconds, so that `rate` parts per
/// nanosecond fill it exactly.
struct Bucket {
    parts: u128,
    limit: RateLimit,
    filled_at: Option<Instant>,
}

const PARTS: u128 = 1_000_000_000;

impl Bucket {
    fn new(limit: RateLimit) -> Self {
        Self {
            parts: u128::from(limit.burst().get()) * PARTS,
            limit,
            filled_at: None,
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = now - self.filled_at.replace(now).unwrap_or(now);
        let parts = since.as_nanos() * u128::from(self.limit.rate().get());
        let all = u128::from(self.limit.burst().get()) * PARTS;
        self.parts = all.min(self.parts + parts);
    }

    fn is_empty(&self) -> bool {
        self.parts < PARTS
    }

    fn take(&mut self) {
        assert!(!self.is_empty(), "more answers than the limit");
        self.parts -= PARTS;
    }
}
