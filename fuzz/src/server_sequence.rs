//! Datagrams in a row to one server, with time between them and interfaces that change: who is
//! answered how often, and with how much.
//!
//! The input: the limits, then steps to its end. Each has a time, a source, an arrival, bytes, and
//! how many times it comes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use udp_discovery_protocol::Interface;
use udp_discovery_server::{Config, Datagram, DropReason, RateLimit, Reply, Responder};

use crate::host;
use crate::input::Input;
use crate::responder::{PORT, Rules, allow, arrival, source};

const REQUEST: &[u8] = b"DISCOVER_SERVER";

/// What is sent now and then: the request twice as often as all that is nearly it.
const PAYLOADS: [&[u8]; 8] = [
    REQUEST,
    REQUEST,
    REQUEST,
    REQUEST,
    b"",
    b"DISCOVER_SERVE",
    b"DISCOVER_SERVER\n",
    b"SERVER_IP:192.168.1.20",
];

/// Answers a second. Each divides a second into whole nanoseconds, so that what is left is known
/// exactly.
const RATES: [u32; 8] = [1, 2, 5, 10, 50, 100, 1000, 1_000_000];

/// More steps than these are not looked at.
const MAX_STEPS: usize = 200;

/// More datagrams than these are not sent.
const MAX_DATAGRAMS: usize = 3000;

/// As many sources as one set of the server's table has room for: none of them is ever forgotten.
const MAX_SOURCES: usize = 8;

/// Holds the rules for one input.
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

/// A server, and what is known of it from outside.
struct Run {
    config: Config,
    interfaces: Vec<Interface>,
    responder: Responder,
    now: Instant,
    sources: HashMap<Key, Bucket>,
    total: Option<Bucket>,
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
        let mut responder = Responder::new(config.clone(), PORT, [3, 4]);
        responder.set_interfaces(interfaces.clone());
        Self {
            config,
            interfaces,
            responder,
            now: Instant::now(),
            sources: HashMap::new(),
            total: total.map(Bucket::new),
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
        let datagram = Datagram {
            source: source(input),
            arrival: arrival(input),
            truncated: kind == 254,
            payload: match kind {
                253 => input.bytes(),
                _ => PAYLOADS[usize::from(kind) % PAYLOADS.len()],
            },
        };
        for _ in 0..=input.byte() {
            self.datagrams += 1;
            if self.datagrams > MAX_DATAGRAMS {
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
        if !self.sources.contains_key(&key) && self.sources.len() == MAX_SOURCES {
            return;
        }
        let outcome = self.responder.handle_datagram(self.now, datagram);
        let limited = matches!(
            outcome,
            Err(DropReason::RateLimited | DropReason::TotalLimited)
        );
        rules.check(datagram, outcome.as_ref().ok(), !limited);
        // Who may not be answered at all is not told of by a limit either.
        assert!(!limited || rules.may_answer(datagram), "{outcome:?}");
        self.requests += usize::from(datagram.payload == REQUEST);
        self.limits(key, outcome.as_ref());
    }

    /// Nobody gets more than is there, and nobody less.
    fn limits(&mut self, key: Key, outcome: Result<&Reply, &DropReason>) {
        let now = self.now;
        let source = self.config.rate_limit().map(|limit| {
            let bucket = self
                .sources
                .entry(key)
                .or_insert_with(|| Bucket::new(limit));
            bucket.fill(now);
            bucket
        });
        if let Some(total) = &mut self.total {
            total.fill(now);
        }
        match outcome {
            Ok(reply) => {
                self.answers += 1;
                // The wire's own, without a port: 25 bytes for 15, and 51 in IPv6.
                let most = if reply.response.ip().is_ipv4() {
                    25
                } else {
                    51
                };
                assert!(reply.payload.len() <= most);
                for bucket in source.into_iter().chain(&mut self.total) {
                    bucket.take();
                }
            }
            Err(DropReason::RateLimited) => {
                let source = source.expect("there is a limit");
                // A limit in total may use up a source's share without an answer.
                assert!(
                    self.total.is_some() || source.is_empty(),
                    "refused too early"
                );
            }
            Err(DropReason::TotalLimited) => {
                let total = self.total.as_ref().expect("there is a limit");
                assert!(total.is_empty(), "refused too early");
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

/// A bucket of answers, each cut into as many drops as a second has nanoseconds, so that `rate`
/// drops a nanosecond fill it exactly.
struct Bucket {
    drops: u128,
    limit: RateLimit,
    filled_at: Option<Instant>,
}

const DROPS: u128 = 1_000_000_000;

impl Bucket {
    fn new(limit: RateLimit) -> Self {
        Self {
            drops: u128::from(limit.burst().get()) * DROPS,
            limit,
            filled_at: None,
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = now - self.filled_at.replace(now).unwrap_or(now);
        let drops = since.as_nanos() * u128::from(self.limit.rate().get());
        let all = u128::from(self.limit.burst().get()) * DROPS;
        self.drops = all.min(self.drops + drops);
    }

    fn is_empty(&self) -> bool {
        self.drops < DROPS
    }

    fn take(&mut self) {
        assert!(!self.is_empty(), "more answers than the limit");
        self.drops -= DROPS;
    }
}
