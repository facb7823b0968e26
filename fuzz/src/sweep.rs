//! A search that sweeps networks, driven by any times, answers and errors.
//!
//! The input: the pace, the limits and the times, the host, the targets, what is remembered, then
//! steps to its end. Each step is a time, then some requests with what becomes of them, an answer, a
//! refusal, or nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use udp_discovery_client::{Config, DiscoverError, Discovery, Host, ResolvedTarget, Route};
use udp_discovery_protocol::{DETAILS_LEN, Interface, InterfaceAddress, IpNet};

use crate::input::Input;

const PORT: u16 = 9999;
const SECOND: Duration = Duration::from_secs(1);

/// How long an address on link that does not answer holds its place.
const SILENT: Duration = Duration::from_secs(3);

/// The least time that the sweep waits after the system had no room.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The most steps of a run.
const MAX_STEPS: usize = 300;

/// The host: the name and address of each interface.
const INTERFACES: [(&str, &str); 5] = [
    ("eth0", "192.168.1.7/24"),
    ("eth0", "fd00:1::7/120"),
    ("eth1", "10.0.0.2/29"),
    ("tun0", "10.9.0.1/30"),
    ("lo", "127.0.0.1/8"),
];

const TARGETS: [&str; 12] = [
    "192.168.1.16/28",
    "192.168.1.0/27",
    "10.0.0.0/28",
    "203.0.113.0/28",
    "203.0.113.8/29",
    "203.0.113.4/31",
    "203.0.113.9",
    "192.168.1.20",
    "fd00:1::/123",
    "fd00:2::10/127",
    "10.9.0.0/29",
    "127.0.0.0/28",
];

const REMEMBERED: [&str; 6] = [
    "203.0.113.10:9999",
    "203.0.113.15:9999",
    "192.168.1.20:9999",
    "198.51.100.7:7777",
    "192.168.1.255:9999", // a broadcast address
    "[fd00:1::20]:9999",
];

/// Addresses that nothing asks.
const OTHERS: [&str; 4] = [
    "192.168.1.7:9999",
    "203.0.113.10:1",
    "198.51.100.8:9999",
    "192.168.1.16:9999",
];

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(mut run) = Run::new(&mut input) else {
        return;
    };
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        run.step(&mut input);
        run.check();
    }
    run.finish();
}

/// An address that is asked.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent")]
struct Asked {
    /// The target that it counts for.
    target: Option<usize>,
    /// Whether it takes an entry of the neighbor table.
    on_link: bool,
    /// Whether it is asked with the probes, and not swept.
    probed: bool,
    /// How often it was asked.
    times: u32,
    answered: bool,
    refused: bool,
    /// When the system had no room for it, if nothing was sent to it since.
    no_room: Option<Instant>,
}

/// A search, and a model of it.
struct Run {
    search: Discovery,
    start: Instant,
    /// The latest time that was passed in.
    now: Instant,
    timeout: Duration,
    probes: u32,
    pace: usize,
    /// For IPv4 and IPv6.
    limits: [usize; 2],
    addresses: BTreeMap<SocketAddr, Asked>,
    /// The times of the sweep's requests.
    requests: Vec<Instant>,
    /// Addresses on link that are silent, and when they were asked.
    silent: HashMap<SocketAddr, Instant>,
    no_room: u64,
    /// Whether a request for details follows each request.
    details: bool,
    /// The addresses whose requests for details are next, of the sweep and of the probes.
    owed: [Option<SocketAddr>; 2],
}

impl Run {
    fn new(input: &mut Input<'_>) -> Option<Self> {
        let pace = input.choose(&[2000, 1, 10, 100, 101, 5000, u32::MAX]);
        let limits = [
            1 + usize::from(input.byte() % 8),
            1 + usize::from(input.byte() % 8),
        ];
        let timeout = input.choose(&[10, 1, 100, 1000]) * SECOND;
        let byte = input.byte();
        let probes = 1 + byte % 4;
        // The high bit, so that files of the corpus keep their meaning.
        let details = byte & 0x80 != 0;
        let interfaces = interfaces(input.byte());
        let targets = targets(input, &interfaces);
        let remembered = remembered(input.byte());
        let not_zero = |limit| NonZeroUsize::new(limit).expect("it is at least 1");
        let host = Host::new(interfaces.clone())
            .with_targets(targets.iter().cloned())
            .with_remembered(remembered.iter().copied())
            .with_max_silent(not_zero(limits[0]), not_zero(limits[1]));
        let config = Config::default()
            .with_broadcast(false)
            .with_timeout(timeout)
            .with_probes(NonZeroU8::new(probes).expect("it is at least 1"))
            .with_pace(NonZeroU32::new(pace).expect("it is not 0"))
            .with_details(details)
            .with_remember("not opened by the core");
        let start = Instant::now();
        let addresses = expected(&interfaces, &targets, &remembered);
        let search = match Discovery::new(start, &config, &host, [0; 15]) {
            Ok(search) => search,
            Err(DiscoverError::NothingToAsk) => {
                assert!(addresses.is_empty());
                return None;
            }
            Err(other) => panic!("{other}"),
        };
        let report = search.report();
        for (at, target) in report.targets.iter().enumerate() {
            let all = addresses.values().filter(|it| it.target == Some(at));
            assert_eq!(usize::try_from(target.addresses), Ok(all.count()));
        }
        let swept = addresses.values().filter(|it| !it.probed).count() as u64;
        assert_eq!(report.sweep.map_or(0, |it| it.addresses), swept);
        Some(Self {
            search,
            start,
            now: start,
            timeout,
            probes: probes.into(),
            pace: usize::try_from(pace).unwrap_or(usize::MAX),
            limits,
            addresses,
            requests: Vec::new(),
            silent: HashMap::new(),
            no_room: 0,
            details,
            owed: [None; 2],
        })
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let unit = input.choose(&[
            Duration::ZERO,
            Duration::from_micros(100),
            Duration::from_millis(3),
            Duration::from_millis(250),
            SECOND,
        ]);
        let now = match input.byte() {
            255 => self.start,
            254 => self.search.poll_timeout().unwrap_or(self.now),
            count => self.now + unit * u32::from(count % 16),
        };
        self.now = self.now.max(now);
        match input.byte() % 8 {
            0 => self.answer(input, now),
            1 => {
                self.search.handle_timeout(now);
                self.refuse(input);
            }
            2 => self.search.handle_timeout(now),
            _ => {
                for _ in 0..input.byte() % 64 {
                    let fate = input.byte() % 16;
                    if !self.send(now, fate) {
                        break;
                    }
                }
                self.search.handle_timeout(now);
            }
        }
    }

    /// Sends the next datagram, if one is due. Fails for want of room at the fate 0, and otherwise at 1.
    fn send(&mut self, now: Instant, fate: u8) -> bool {
        let Some(transmit) = self.search.poll_transmit(now) else {
            return false;
        };
        let address = transmit.destination;
        let found = self.addresses.get(&address);
        let asked = *found.unwrap_or_else(|| panic!("{address} is not to be asked"));
        let is_for_details = transmit.payload.len() == DETAILS_LEN;
        assert_eq!(
            is_for_details.then_some(address),
            self.owed[usize::from(asked.probed)].take()
        );
        if !asked.probed {
            if !is_for_details {
                self.check_pass(address, asked);
            }
            self.check_pace();
        }
        let kind = match fate {
            0 => Some(io::ErrorKind::OutOfMemory),
            1 => Some(io::ErrorKind::PermissionDenied),
            _ => None,
        };
        if let Some(kind) = kind {
            self.search.handle_send_error(transmit, kind.into());
        }
        let (was_sent, now) = (kind.is_none(), self.now);
        let repeats = fate == 0 && !asked.probed;
        if is_for_details {
            // Without room for it, both requests are repeated.
            if repeats {
                let model = self.addresses.get_mut(&address).expect("it is asked");
                model.no_room = Some(now);
                model.times -= 1;
                self.no_room += 1;
            }
            return true;
        }
        self.owed[usize::from(asked.probed)] = Some(address).filter(|_| self.details && was_sent);
        let model = self.addresses.get_mut(&address).expect("it is asked");
        model.no_room = repeats.then_some(now);
        if repeats {
            self.no_room += 1;
        } else {
            model.times += 1;
        }
        if was_sent && asked.on_link && !asked.probed {
            self.check_neighbors(address);
        }
        true
    }

    /// Each address is asked once in a pass, and the next pass begins after that. Settled addresses are
    /// asked in the first pass only.
    fn check_pass(&self, address: SocketAddr, asked: Asked) {
        let settled = |it: &Asked| it.answered || it.refused;
        assert!(asked.times == 0 || !settled(&asked), "{address} is settled");
        let swept = self.addresses.values().filter(|it| !it.probed);
        let unsettled = swept.filter(|it| it.times == 0 || !settled(it));
        let fewest = unsettled.map(|it| it.times).min().unwrap_or(0);
        assert!(asked.times <= fewest, "{address} is asked twice in a pass");
        let interval = self.timeout / (self.probes + 1);
        let elapsed = (self.now - self.start).as_nanos() / interval.as_nanos();
        assert!(asked.times < self.probes && u128::from(asked.times) <= elapsed);
        let waits = asked.no_room.is_some_and(|at| self.now < at + BACK_OFF);
        assert!(!waits, "{address} is asked again too soon");
    }

    fn check_pace(&mut self) {
        self.requests.push(self.now);
        let last = self.requests.len() - 1;
        if let Some(at) = last.checked_sub(self.pace) {
            assert!(self.requests[at] + SECOND <= self.now, "above the pace");
        }
        let burst = self.pace.div_ceil(100) + 1;
        if let Some(at) = last.checked_sub(burst) {
            assert!(self.requests[at] < self.now, "too many at once");
        }
    }

    fn check_neighbors(&mut self, address: SocketAddr) {
        let now = self.now;
        self.silent.insert(address, now);
        self.silent.retain(|_, asked| *asked + SILENT > now);
        let same_family = |it: &&SocketAddr| it.is_ipv6() == address.is_ipv6();
        let silent = self.silent.keys().filter(same_family).count();
        assert!(
            silent <= self.limits[usize::from(address.is_ipv6())],
            "{silent} are silent"
        );
    }

    /// One of the addresses that are asked, or another.
    fn some_address(&self, input: &mut Input<'_>) -> SocketAddr {
        let at = usize::from(input.byte()) % (self.addresses.len() + OTHERS.len());
        let mut asked = self.addresses.keys();
        asked
            .nth(at)
            .copied()
            .unwrap_or_else(|| parsed(OTHERS[at - self.addresses.len()]))
    }

    fn answer(&mut self, input: &mut Input<'_>, now: Instant) {
        let source = self.some_address(input);
        let link = usize::from(input.byte()) % self.search.links().len();
        let payload = format!("SERVER_IP:{}", SocketAddr::new(source.ip(), 8000));
        let before = self.search.report().counts;
        let over = self.search.poll_timeout().is_none();
        self.search
            .handle_datagram(now, link, source, payload.as_bytes());
        let after = self.search.report().counts;
        if over {
            assert_eq!(after.late, before.late + 1);
        } else if let Some(asked) = self.addresses.get_mut(&source) {
            let counted = after.accepted + after.duplicates - before.accepted - before.duplicates;
            // With details it is held at first, and counts later.
            assert!(counted == 1 || counted == 0 && self.details);
            asked.answered = true;
            self.silent.remove(&source);
        } else {
            assert_eq!(after.accepted, before.accepted, "{source}");
        }
    }

    fn refuse(&mut self, input: &mut Input<'_>) {
        let address = self.some_address(input);
        self.search.handle_refusal(address);
        if let Some(asked) = self.addresses.get_mut(&address) {
            asked.refused = true;
            self.silent.remove(&address);
        }
    }

    /// The report says what was done.
    fn check(&self) {
        let report = self.search.report();
        let count =
            |of: &dyn Fn(&Asked) -> bool| self.addresses.values().filter(|it| of(it)).count();
        for (at, target) in report.targets.iter().enumerate() {
            let of = |it: &Asked| it.target == Some(at);
            assert_eq!(target.answered as usize, count(&|it| of(it) && it.answered));
            assert_eq!(target.refused as usize, count(&|it| of(it) && it.refused));
            assert!(target.asked <= target.addresses);
        }
        if let Some(sweep) = report.sweep {
            assert_eq!(sweep.no_room, self.no_room);
            let tried = count(&|it| !it.probed && it.times > 0) as u64;
            assert!(sweep.asked <= tried);
            assert!(u32::min(sweep.passes, 1) == u32::from(sweep.complete));
            if sweep.complete {
                assert_eq!(count(&|it| !it.probed && it.times == 0), 0);
            }
        }
        if let Some(due) = self.search.poll_timeout() {
            assert!(due <= self.search.deadline());
        }
    }

    /// A driver that follows the contract ends at the deadline, and completes a pass if there is time.
    fn finish(mut self) {
        let estimate = self
            .search
            .report()
            .sweep
            .map_or(Duration::ZERO, |it| it.estimate);
        let is_time = self.now + 2 * estimate + 10 * SECOND < self.search.deadline();
        let is_over = self.search.poll_timeout().is_none();
        let mut idle = 0;
        while let Some(due) = self.search.poll_timeout() {
            let before = self.now;
            self.now = self.now.max(due);
            while self.send(self.now, u8::MAX) {
                idle = 0;
            }
            self.search.handle_timeout(self.now);
            self.check();
            idle = if self.now == before { idle + 1 } else { 0 };
            assert!(idle < 10, "nothing is due");
        }
        assert!(!self.send(self.now, u8::MAX));
        if let Some(sweep) = self.search.report().sweep {
            assert!(sweep.complete || is_over || !is_time);
        }
    }
}

/// The interfaces of the bits that are set, and eth1 down by the highest bit.
fn interfaces(bits: u8) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for (at, (name, address)) in INTERFACES.iter().enumerate() {
        if bits >> at & 1 == 1 {
            continue;
        }
        let net: IpNet = address.parse().expect("it is an address with a prefix");
        let address = InterfaceAddress::new(net.addr(), net.prefix_len()).expect("it is valid");
        if let Some(interface) = interfaces.iter_mut().find(|it| it.name == *name) {
            interface.addresses.push(address);
            continue;
        }
        let mut interface = Interface::new(*name, 1 + u32::try_from(at).expect("it is small"));
        interface.flags.up = *name != "eth1" || bits >> 7 == 0;
        interface.flags.loopback = *name == "lo";
        interface.flags.point_to_point = *name == "tun0";
        interface.addresses.push(address);
        interfaces.push(interface);
    }
    interfaces
}

/// Some of [`TARGETS`], in any order, with or without a route from an address of the host.
fn targets(input: &mut Input<'_>, interfaces: &[Interface]) -> Vec<ResolvedTarget> {
    let mut chosen = HashSet::new();
    let mut targets = Vec::new();
    for _ in 0..input.byte() % 5 {
        let text = input.choose(&TARGETS);
        let has_route = input.byte() % 4 != 3;
        if !chosen.insert(text) {
            continue;
        }
        let net = net(text);
        let first = if hosts(interfaces, net).len() == 1 {
            net.addr()
        } else {
            hosts(interfaces, net)[0]
        };
        let mut own = interfaces
            .iter()
            .flat_map(|it| &it.addresses)
            .map(InterfaceAddress::ip);
        let local = own.find(|ip| ip.is_ipv6() == first.is_ipv6());
        let route = local.filter(|_| has_route).map(|local| Route {
            remote: SocketAddr::new(first, PORT),
            local,
        });
        targets.push(ResolvedTarget::new(
            text.parse().expect("it is a target"),
            route,
        ));
    }
    targets
}

fn remembered(bits: u8) -> Vec<Route> {
    let chosen = REMEMBERED
        .iter()
        .enumerate()
        .filter(|(at, _)| bits >> at & 1 == 1);
    let route = |(_, text): (usize, &&str)| {
        let remote = parsed(text);
        let local = if remote.is_ipv6() {
            "fd00:1::7"
        } else {
            "192.168.1.7"
        };
        let local = local.parse().expect("it is an address");
        Route { remote, local }
    };
    chosen.map(route).collect()
}

/// The addresses that must be asked, by the documentation.
fn expected(
    interfaces: &[Interface],
    targets: &[ResolvedTarget],
    remembered: &[Route],
) -> BTreeMap<SocketAddr, Asked> {
    let networks = || {
        let all = targets.iter().enumerate();
        all.map(|(at, it)| (at, it, net(&it.target.to_string())))
            .filter(|(_, it, _)| it.target.to_string().contains('/'))
    };
    let on_link = |ip: IpAddr| {
        let leads_there =
            |it: &&Interface| it.addresses.iter().any(|it| it.network().contains(&ip));
        interfaces.iter().filter(|it| it.flags.up).find(leads_there)
    };
    let is_neighbor = |ip: IpAddr| {
        let interface = on_link(ip);
        interface.is_some_and(|it| !it.flags.loopback && !it.flags.point_to_point)
    };
    let mut expected = BTreeMap::new();
    // Hosts are asked with the probes, and count for an earlier network that they are in.
    for (at, target) in targets.iter().enumerate() {
        if target.target.to_string().contains('/') {
            continue;
        }
        for route in &target.routes {
            let mut earlier = networks().take_while(|(network, ..)| *network < at);
            let network =
                earlier.find(|(.., net)| hosts(interfaces, *net).contains(&route.remote.ip()));
            let asked = Asked {
                target: Some(network.map_or(at, |(network, ..)| network)),
                probed: true,
                ..Asked::default()
            };
            expected.entry(route.remote).or_insert(asked);
        }
    }
    for route in remembered {
        let ip = route.remote.ip();
        let network = networks().find(|(.., net)| hosts(interfaces, *net).contains(&ip));
        let asked = Asked {
            target: network
                .map(|(at, ..)| at)
                .filter(|_| route.remote.port() == PORT),
            on_link: is_neighbor(ip),
            ..Asked::default()
        };
        if !is_edge_of_ours(interfaces, ip) {
            expected.entry(route.remote).or_insert(asked);
        }
    }
    for (at, target, net) in networks() {
        for ip in hosts(interfaces, net) {
            let mut own = interfaces.iter().flat_map(|it| &it.addresses);
            let is_own = own.any(|it| it.ip() == ip);
            let leads_there = on_link(ip).is_some() || !target.routes.is_empty();
            if !is_own && !is_edge_of_ours(interfaces, ip) && leads_there {
                let asked = Asked {
                    target: Some(at),
                    on_link: is_neighbor(ip),
                    ..Asked::default()
                };
                expected.entry(SocketAddr::new(ip, PORT)).or_insert(asked);
            }
        }
    }
    expected
}

fn is_edge_of_ours(interfaces: &[Interface], ip: IpAddr) -> bool {
    let mut networks = interfaces
        .iter()
        .flat_map(|it| &it.addresses)
        .map(InterfaceAddress::network);
    networks.any(|net| {
        let first = net.network() == ip && net.prefix_len() + 1 < net.max_prefix_len();
        let last = net.broadcast() == ip && net.prefix_len() < 31 && ip.is_ipv4();
        first || last
    })
}

/// The hosts of a small network. Of a part of a network of ours, its first and last address too.
fn hosts(interfaces: &[Interface], net: IpNet) -> Vec<IpAddr> {
    let up = interfaces.iter().filter(|it| it.flags.up);
    let mut ours = up.flat_map(|it| &it.addresses);
    let is_part = ours.any(|it| it.network().contains(&net));
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let (mut first, mut last) = (number(net.network()), number(net.broadcast()));
    if last - first > 1 && !is_part {
        first += 1;
        last -= u128::from(net.addr().is_ipv4());
    }
    let address = |number: u128| match net {
        IpNet::V4(_) => IpAddr::V4(u32::try_from(number).expect("it is IPv4").into()),
        IpNet::V6(_) => IpAddr::V6(number.into()),
    };
    (first..=last).map(address).collect()
}

/// A network, or the network of one address.
fn net(text: &str) -> IpNet {
    let net = text.parse();
    net.unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().expect("it is an address")))
}

fn parsed(text: &str) -> SocketAddr {
    text.parse().expect("it is an address with a port")
}
