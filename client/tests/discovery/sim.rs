//! A simulated network in virtual time. Loss, delay, duplicates and reordering come from a seed, so
//! that every run is the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use udp_discovery_client::{Config, Counts, DiscoveredServer, Discovery, Host, Transmit};
use udp_discovery_protocol::{Interface, InterfaceAddress, InterfaceFlags};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const PORT: u16 = 9999;

/// The random bytes of every search.
pub(crate) const RANDOM: [u8; 15] = *b"abcdefghijklmno";

/// The directed broadcast address of [`eth0`].
pub(crate) const DIRECTED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 255, 255));

/// More steps than any search here takes. A search that does not end fails.
const MAX_STEPS: usize = 1_000_000;

/// What the network does to each datagram.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    /// In percent, each way.
    pub(crate) loss: u64,
    /// In percent, each way.
    pub(crate) duplicates: u64,
    /// The longest delay. The delays differ, so that datagrams overtake each other.
    pub(crate) delay: Duration,
}

pub(crate) const CALM: Faults = Faults {
    loss: 0,
    duplicates: 0,
    delay: MS,
};

/// Whether the system refuses to send a datagram of the probe with this number.
type Refuses = dyn Fn(usize, &Transmit) -> bool;

/// The answer of a server to a request for details, if it offers them.
type Offers = dyn Fn(Ipv4Addr, &[u8]) -> Option<Vec<u8>>;

/// A search of the host 10.0.0.2/16, and the servers that may receive its probes.
pub(crate) struct Sim {
    pub(crate) search: Discovery,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    /// The servers found so far.
    pub(crate) found: Vec<DiscoveredServer>,
    /// The destinations of each probe, including those that the system refused.
    pub(crate) probes: Vec<Vec<IpAddr>>,
    rng: Rng,
    faults: Faults,
    /// The addresses of the servers. Each answers every probe that it receives.
    servers: Vec<Ipv4Addr>,
    /// Whether the servers have the prefix of the client, and so receive its directed broadcast.
    same_prefix: bool,
    refuses: Box<Refuses>,
    offers: Option<Box<Offers>>,
    /// The datagrams on their way to the client: when each arrives, its source, its bytes.
    to_client: BinaryHeap<Reverse<(Instant, SocketAddr, Vec<u8>)>>,
}

impl Sim {
    pub(crate) fn new(config: &Config) -> Self {
        Self::on(config, &[eth0()])
    }

    pub(crate) fn on(config: &Config, interfaces: &[Interface]) -> Self {
        Self::of(Instant::now(), |now| {
            Discovery::new(now, config, &Host::new(interfaces), RANDOM).unwrap()
        })
    }

    /// A search that starts at `start`.
    pub(crate) fn of(start: Instant, search: impl FnOnce(Instant) -> Discovery) -> Self {
        Self {
            search: search(start),
            start,
            now: start,
            found: Vec::new(),
            probes: Vec::new(),
            rng: Rng::new(1),
            faults: CALM,
            servers: Vec::new(),
            same_prefix: true,
            refuses: Box::new(|_, _| false),
            offers: None,
            to_client: BinaryHeap::new(),
        }
    }

    /// Runs a search with one datagram from `source`.
    pub(crate) fn answered(config: &Config, source: &str, payload: &[u8]) -> Self {
        let mut sim = Self::new(config);
        sim.arrives(MS, source.parse().unwrap(), payload);
        sim.run();
        sim
    }

    pub(crate) fn with_servers(mut self, count: u16) -> Self {
        self.servers = (0..count).map(server_ip).collect();
        self
    }

    pub(crate) fn with_another_prefix(mut self) -> Self {
        self.same_prefix = false;
        self
    }

    pub(crate) fn with_faults(mut self, seed: u64, faults: Faults) -> Self {
        self.rng = Rng::new(seed);
        self.faults = faults;
        self
    }

    /// Makes sending fail, depending on the number of the probe and the datagram.
    pub(crate) fn refusing(mut self, refuses: impl Fn(usize, &Transmit) -> bool + 'static) -> Self {
        self.refuses = Box::new(refuses);
        self
    }

    /// Makes servers answer requests for details.
    pub(crate) fn offering(
        mut self,
        offers: impl Fn(Ipv4Addr, &[u8]) -> Option<Vec<u8>> + 'static,
    ) -> Self {
        self.offers = Some(Box::new(offers));
        self
    }

    /// Adds an answer that arrives `after` the start, whatever the network does.
    pub(crate) fn arrives(
        &mut self,
        after: Duration,
        source: SocketAddr,
        payload: impl Into<Vec<u8>>,
    ) {
        let at = self.start + after;
        self.to_client.push(Reverse((at, source, payload.into())));
    }

    /// Drives the search to its end, as its contract says.
    pub(crate) fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            self.send();
            let Some(timeout) = self.search.poll_timeout() else {
                return;
            };
            let arrival = self.to_client.peek().map(|Reverse((at, ..))| *at);
            self.now = arrival.map_or(timeout, |at| at.min(timeout)).max(self.now);
            if arrival.is_some_and(|at| at <= self.now) {
                let Reverse((_, source, payload)) = self.to_client.pop().unwrap();
                self.receive(0, source, &payload);
            }
            self.search.handle_timeout(self.now);
        }
        panic!("the search does not end");
    }

    /// Receives a datagram on a link now.
    pub(crate) fn receive(&mut self, link: usize, source: SocketAddr, payload: &[u8]) {
        self.search.handle_datagram(self.now, link, source, payload);
        while let Some(server) = self.search.poll_event() {
            self.found.push(server);
        }
    }

    /// Sends what is due.
    pub(crate) fn send(&mut self) {
        let mut destinations = Vec::new();
        while let Some(transmit) = self.search.poll_transmit(self.now) {
            destinations.push(transmit.destination.ip());
            if (self.refuses)(self.probes.len(), &transmit) {
                let error = io::ErrorKind::NetworkUnreachable.into();
                self.search.handle_send_error(transmit, error);
            } else {
                self.deliver(&transmit);
            }
        }
        if !destinations.is_empty() {
            self.probes.push(destinations);
        }
    }

    /// Delivers a probe to the servers, and their answers to the client.
    fn deliver(&mut self, transmit: &Transmit) {
        let is_plain = &transmit.payload[..] == b"DISCOVER_SERVER";
        assert!(is_plain || transmit.payload.len() == 512);
        if transmit.destination.ip() == DIRECTED && !self.same_prefix {
            return;
        }
        for server in self.servers.clone() {
            let answer = match &self.offers {
                Some(offers) if !is_plain => offers(server, &transmit.payload),
                None if !is_plain => None,
                _ => Some(format!("SERVER_IP:{server}:8000").into_bytes()),
            };
            let Some(answer) = answer else { continue };
            for request_delay in self.carry() {
                for answer_delay in self.carry() {
                    let arrives = self.now + request_delay + answer_delay;
                    let answer = answer.clone();
                    let source = SocketAddr::from((server, PORT));
                    self.to_client.push(Reverse((arrives, source, answer)));
                }
            }
        }
    }

    /// The delay of each copy of a datagram that arrives.
    fn carry(&mut self) -> Vec<Duration> {
        let copies = if self.rng.below(100) < self.faults.loss {
            0
        } else if self.rng.below(100) < self.faults.duplicates {
            2
        } else {
            1
        };
        let limit = u64::try_from(self.faults.delay.as_micros()).unwrap() + 1;
        (0..copies)
            .map(|_| Duration::from_micros(self.rng.below(limit)))
            .collect()
    }

    /// The servers found, as they are displayed.
    pub(crate) fn found(&self) -> Vec<String> {
        self.found.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn counts(&self) -> Counts {
        self.search.report().counts
    }
}

/// Xorshift64*, which is random enough for a test.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % limit
    }
}

pub(crate) fn eth0() -> Interface {
    interface("eth0", "10.0.0.2", 16)
}

pub(crate) fn interface(name: &str, ip: &str, prefix_len: u8) -> Interface {
    let mut interface = Interface::new(name, 2);
    interface.flags = InterfaceFlags {
        up: true,
        broadcast: true,
        ..InterfaceFlags::default()
    };
    let address = InterfaceAddress::new(ip.parse().unwrap(), prefix_len).unwrap();
    interface.addresses.push(address);
    interface
}

pub(crate) fn server_ip(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 0, high + 1, low)
}

pub(crate) fn server(number: u16) -> SocketAddr {
    SocketAddr::from((server_ip(number), PORT))
}
