//! The sweep: every address of whole networks, in order, at a bounded pace.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use udp_discovery_protocol::{IpNet, SendErrorKind};

mod pace;
mod ranges;
mod recent;
mod requests;

pub(crate) use ranges::{Exclusions, Range, hosts_here, is_neighbor, number, of_network};

use crate::nonces::probe_number;
use pace::Pace;
use ranges::{address, hosts};
use recent::Recent;
use requests::Requests;

/// How long an address on link that does not answer holds its place. Linux asks three times for a
/// neighbor, a second apart, before it gives up (`neigh/*/mcast_solicit`, arp(7)).
const SILENT: Duration = Duration::from_secs(3);

/// How many addresses that answered or refused are remembered. Others are asked again.
const SETTLED: usize = 1 << 16;

/// How long a lane waits after the system had no room for a datagram: at first, and at most. The time
/// doubles with each failure, until a datagram is sent.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Asks every address of its ranges once in each pass.
///
/// There are as many passes as [`start_pass`](Self::start_pass) allows. A pass begins when it is allowed
/// and the pass before is complete. The second and later ones leave out who answered or refused.
#[derive(Debug)]
pub(crate) struct Sweep {
    ranges: Vec<SweepRange>,
    /// The positions of the ranges, sorted by port and address.
    by_address: Vec<usize>,
    lanes: Vec<Lane>,
    pace: Pace,
    /// The system's neighbor tables for IPv4 and IPv6.
    tables: [Table; 2],
    /// The number of the first address of each range, counted over all ranges, and of all addresses.
    firsts: Vec<u64>,
    addresses: u64,
    /// The last requests, by the numbers of their addresses.
    recent: Recent,
    /// The last requests for details, by those numbers counted over all passes.
    recent_details: Recent,
    /// Whether a request for details follows each request.
    details: bool,
    /// The request whose request for details is due next.
    owed: Option<Ask>,
    answered: HashSet<SocketAddr>,
    refused: HashSet<SocketAddr>,
    start: Instant,
    /// How many passes are allowed, and how many have begun.
    allowed: u32,
    begun: u32,
    /// When the first pass was complete.
    first_pass_over: Option<Instant>,
}

/// A range with the way to ask it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepRange {
    pub(crate) range: Range,
    pub(crate) port: u16,
    /// The link that asks it.
    pub(crate) link: usize,
    /// The position in the report of the target that it counts for.
    pub(crate) target: Option<usize>,
    /// Whether it is an address that answered an earlier search.
    pub(crate) remembered: bool,
}

/// A request of a sweep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) destination: SocketAddr,
    pub(crate) link: usize,
    pub(crate) target: Option<usize>,
    /// Whether it belongs to the first pass.
    pub(crate) first: bool,
    /// The number of the pass, counted from 0, if it asks for details.
    pub(crate) details: Option<u8>,
    /// The positions of its range and its lane.
    range: usize,
    lane: usize,
    /// Whether it took a place in a neighbor table.
    took_place: bool,
}

/// A neighbor table, as far as a sweep fills it.
#[derive(Debug)]
struct Table {
    /// Requests that were not answered, each of which may hold an entry.
    silent: Requests,
    /// How many there may be.
    limit: usize,
}

impl Sweep {
    /// `limits` are the numbers of silent addresses on link, for IPv4 and IPv6. With `details`, a request
    /// for them follows each request.
    pub(crate) fn new(
        now: Instant,
        pace: NonZeroU32,
        limits: [NonZeroUsize; 2],
        details: bool,
        ranges: Vec<SweepRange>,
    ) -> Self {
        let mut lanes: Vec<Lane> = Vec::new();
        for (at, range) in ranges.iter().enumerate() {
            let key = (range.link, range.range.on_link);
            match lanes
                .iter_mut()
                .find(|lane| (lane.link, lane.on_link) == key)
            {
                Some(lane) => lane.ranges.push(at),
                None => lanes.push(Lane::new(range.link, range.range.on_link, at)),
            }
        }
        let mut by_address: Vec<usize> = (0..ranges.len()).collect();
        by_address.sort_by_key(|at| (ranges[*at].port, ranges[*at].range.first));
        let mut addresses = 0;
        let mut firsts = Vec::with_capacity(ranges.len());
        for range in &ranges {
            firsts.push(addresses);
            addresses += u64::from(range.len());
        }
        let table = |limit: NonZeroUsize| Table {
            silent: Requests::default(),
            limit: limit.get(),
        };
        Self {
            lanes,
            by_address,
            ranges,
            pace: Pace::new(now, pace),
            tables: limits.map(table),
            firsts,
            addresses,
            recent: Recent::default(),
            recent_details: Recent::default(),
            details,
            owed: None,
            answered: HashSet::new(),
            refused: HashSet::new(),
            start: now,
            allowed: 0,
            begun: 0,
            first_pass_over: None,
        }
    }

    /// Each range, and how many addresses it has.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (SweepRange, u32)> + '_ {
        self.ranges.iter().map(|range| (*range, range.len()))
    }

    /// How many addresses they have together.
    pub(crate) fn addresses(&self) -> u64 {
        self.addresses
    }

    /// How long a pass takes, if nobody answers: the time that the pace takes for all addresses, or the
    /// time that those on link hold their places, whichever is longer.
    pub(crate) fn estimate(&self) -> Duration {
        let on_link = |table: usize| {
            let ranges = self.ranges();
            let ranges = ranges.filter(|(it, _)| it.range.on_link && it.table() == table);
            let count: u64 = ranges.map(|(_, len)| u64::from(len)).sum();
            let limit = self.tables[table].limit as u64;
            let last = count.saturating_sub(1);
            let waits = u32::try_from(last / limit).unwrap_or(u32::MAX);
            SILENT.saturating_mul(waits) + self.time_for(last % limit)
        };
        self.time_for(self.addresses)
            .max(on_link(0))
            .max(on_link(1))
    }

    /// How long the pace takes to ask this many addresses.
    fn time_for(&self, addresses: u64) -> Duration {
        self.pace
            .time_for(addresses * if self.details { 2 } else { 1 })
    }

    /// Allows another pass.
    pub(crate) fn start_pass(&mut self, now: Instant) {
        self.allowed += 1;
        self.update(now);
    }

    /// The next request, if one is due. It counts as sent unless
    /// [`handle_send_error`](Self::handle_send_error) or [`take_back`](Self::take_back) follows. Until
    /// [`update`](Self::update) they are all of one pass.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Ask> {
        self.free_places(now);
        if self.pace.ready() > now {
            return None;
        }
        if let Some(owed) = self.owed.take() {
            return Some(self.ask_details(now, owed));
        }
        let lanes = self.lanes.iter().enumerate();
        let ready = lanes.filter_map(|(at, lane)| {
            let (range, next) = lane.next(&self.ranges)?;
            let is_ready = self.lane_ready(lane)? <= now;
            is_ready.then_some((at, lane, range, next))
        });
        // What is remembered first. Then those on link: their own limit leaves the pace to the others.
        let (lane, _, range, destination) = ready.min_by_key(|(_, lane, range, _)| {
            (!self.ranges[*range].remembered, !lane.on_link, *range)
        })?;
        self.pace.take(now);
        self.lanes[lane].take(&self.ranges);
        self.recent.insert(now, self.number(range, destination));
        let SweepRange { link, target, .. } = self.ranges[range];
        let mut took_place = false;
        if self.lanes[lane].on_link {
            let silent = &mut self.tables[self.ranges[range].table()].silent;
            took_place = silent.get(destination).is_none();
            silent.insert(now, destination);
        }
        self.skip_settled();
        let ask = Ask {
            destination,
            link,
            target,
            first: self.begun == 1,
            details: None,
            range,
            lane,
            took_place,
        };
        self.owed = self.details.then_some(ask);
        Some(ask)
    }

    /// The request for details that follows `ask`, which is in the same pass.
    fn ask_details(&mut self, now: Instant, ask: Ask) -> Ask {
        self.pace.take(now);
        let pass = probe_number(self.begun as usize - 1);
        let number = self.number(ask.range, ask.destination);
        self.recent_details.insert(now, self.in_pass(number, pass));
        let lane = &mut self.lanes[ask.lane];
        lane.unfailed = lane.unfailed.saturating_add(1);
        Ask {
            details: Some(pass),
            ..ask
        }
    }

    /// When the next request is due. `None` if there is none until another pass is allowed.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.owed.is_some() || (self.begun < self.allowed && self.is_pass_over()) {
            return Some(self.pace.ready());
        }
        let ready = self.lanes.iter().filter_map(|lane| self.lane_ready(lane));
        Some(ready.min()?.max(self.pace.ready()))
    }

    /// Handles the time: skips who answered, and begins the next pass if it is due.
    pub(crate) fn update(&mut self, now: Instant) {
        self.free_places(now);
        while self.is_pass_over() {
            if self.begun > 0 && self.first_pass_over.is_none() {
                self.first_pass_over = Some(now);
            }
            if self.begun == self.allowed {
                break;
            }
            self.begun += 1;
            self.lanes.iter_mut().for_each(Lane::restart);
            self.skip_settled();
        }
    }

    /// Frees the places of those that were silent for long enough, and skips who answered.
    fn free_places(&mut self, now: Instant) {
        for table in &mut self.tables {
            table.silent.forget_before(now.checked_sub(SILENT));
        }
        self.skip_settled();
    }

    /// Handles that the system did not send `ask`. Returns whether its address doesn't count as asked
    /// any more.
    ///
    /// If the system had no room, which means on link that its neighbor table is full, the address is
    /// asked again after a while.
    pub(crate) fn handle_send_error(
        &mut self,
        now: Instant,
        ask: &Ask,
        kind: SendErrorKind,
    ) -> bool {
        if kind != SendErrorKind::NoRoom {
            self.forget(ask);
            return ask.details.is_none();
        }
        let taken_back = self.take_back(ask);
        self.lanes[ask.lane].wait(now);
        taken_back
    }

    /// Takes back `ask`, which was not sent, and has its address asked again, by a plain request too if
    /// it is one for details. Of several requests the last must be taken back first. Returns whether its
    /// address doesn't count as asked any more since.
    pub(crate) fn take_back(&mut self, ask: &Ask) -> bool {
        self.forget(ask);
        let lane = &mut self.lanes[ask.lane];
        let repeat = (ask.range, ask.destination);
        if lane.repeats.front() == Some(&repeat) {
            return false;
        }
        // A link that was given up has no ranges any more.
        if !lane.ranges.is_empty() {
            lane.repeats.push_front(repeat);
        }
        true
    }

    /// Forgets `ask`, which was not sent.
    fn forget(&mut self, ask: &Ask) {
        self.owed = self.owed.filter(|owed| owed.destination != ask.destination);
        let number = self.number(ask.range, ask.destination);
        match ask.details {
            None => self.recent.take(number),
            Some(pass) => self.recent_details.take(self.in_pass(number, pass)),
        }
        // The request before one for details was sent.
        if ask.took_place && ask.details.is_none() {
            let table = self.ranges[ask.range].table();
            self.tables[table].silent.take(ask.destination);
        }
        let lane = &mut self.lanes[ask.lane];
        lane.unfailed = lane.unfailed.saturating_sub(1);
    }

    /// Whether `address` is one that is asked.
    pub(crate) fn contains(&self, address: SocketAddr) -> bool {
        self.position(address).is_some()
    }

    /// When `address` was asked, if that is among the last requests.
    pub(crate) fn asked_at(&self, address: SocketAddr) -> Option<Instant> {
        let range = self.position(address)?;
        self.recent.get(self.number(range, address))
    }

    /// When `address` was asked for details in the pass with the number `pass`. If that may be forgotten,
    /// the time is that of the first request.
    pub(crate) fn asked_details_at(&self, address: SocketAddr, pass: u8) -> Option<Instant> {
        let range = self.position(address)?;
        let number = self.in_pass(self.number(range, address), pass);
        let may_be_forgotten = self.recent_details.forgets() && u32::from(pass) < self.begun;
        let recent = self.recent_details.get(number);
        recent.or_else(|| may_be_forgotten.then_some(self.start))
    }

    /// Handles an answer of `address`. Returns its range if it is the first.
    pub(crate) fn handle_answer(&mut self, address: SocketAddr) -> Option<SweepRange> {
        let range = self.settle(address)?;
        let answered = &mut self.answered;
        (answered.len() < SETTLED && answered.insert(canonical(address))).then_some(range)
    }

    /// Handles that `address` refused a request. Returns its range if it is the first time.
    pub(crate) fn handle_refusal(&mut self, address: SocketAddr) -> Option<SweepRange> {
        let range = self.settle(address)?;
        let refused = &mut self.refused;
        (refused.len() < SETTLED && refused.insert(canonical(address))).then_some(range)
    }

    /// Asks nothing more on `link`.
    pub(crate) fn give_up(&mut self, link: usize) {
        self.owed = self.owed.filter(|owed| owed.link != link);
        for lane in self.lanes.iter_mut().filter(|lane| lane.link == link) {
            *lane = Lane {
                ranges: Vec::new(),
                ..Lane::new(lane.link, lane.on_link, 0)
            };
        }
    }

    /// When the first pass was complete, if it is.
    pub(crate) fn first_pass_over(&self) -> Option<Instant> {
        self.first_pass_over
    }

    /// Whether every pass that is allowed is complete.
    pub(crate) fn is_over(&self) -> bool {
        self.begun == self.allowed && self.is_pass_over()
    }

    /// How many passes are complete.
    pub(crate) fn passes(&self) -> u32 {
        self.begun.saturating_sub(u32::from(!self.is_pass_over()))
    }

    fn is_pass_over(&self) -> bool {
        self.owed.is_none() && self.lanes.iter().all(Lane::is_empty)
    }

    /// Frees the place of an address. Returns the range that asks it.
    fn settle(&mut self, address: SocketAddr) -> Option<SweepRange> {
        let range = self.ranges[self.position(address)?];
        self.tables[range.table()].silent.take(canonical(address));
        Some(range)
    }

    /// In the second and later passes, skips who answered or refused.
    fn skip_settled(&mut self) {
        if self.begun < 2 {
            return;
        }
        let settled = |it: &SocketAddr| self.answered.contains(it) || self.refused.contains(it);
        for lane in &mut self.lanes {
            lane.skip(&self.ranges, settled);
        }
    }

    /// When a lane may send, as far as the pace allows. `None` if it has nothing to send.
    fn lane_ready(&self, lane: &Lane) -> Option<Instant> {
        let (range, next) = lane.next(&self.ranges)?;
        let Table { silent, limit } = &self.tables[self.ranges[range].table()];
        let waits = lane.on_link && silent.len() >= *limit && silent.get(next).is_none();
        let free = waits.then(|| silent.first()).flatten();
        let ready = lane.not_before.max(free.map(|first| first + SILENT));
        Some(ready.unwrap_or_else(|| self.pace.ready()))
    }

    /// The number of an address of a range, counted over all ranges.
    fn number(&self, range: usize, address: SocketAddr) -> u64 {
        let within = number(address.ip()) - self.ranges[range].range.first;
        // Networks are bounded.
        self.firsts[range].saturating_add(u64::try_from(within).unwrap_or(u64::MAX))
    }

    /// The same, counted over all passes.
    fn in_pass(&self, number: u64, pass: u8) -> u64 {
        number.saturating_add(self.addresses.saturating_mul(pass.into()))
    }

    /// The position of the range that asks `address`.
    fn position(&self, address: SocketAddr) -> Option<usize> {
        let (port, number) = (address.port(), number(address.ip()));
        let key = |at: &usize| (self.ranges[*at].port, self.ranges[*at].range.first);
        let after = self
            .by_address
            .partition_point(|at| key(at) <= (port, number));
        let at = *self.by_address.get(after.checked_sub(1)?)?;
        let found = &self.ranges[at];
        (found.port == port && number <= found.range.last).then_some(at)
    }
}

impl SweepRange {
    /// How many addresses it has.
    fn len(&self) -> u32 {
        let last = self.range.last - self.range.first;
        // Networks are bounded.
        u32::try_from(last + 1).unwrap_or(u32::MAX)
    }

    fn address(&self, number: u128) -> SocketAddr {
        SocketAddr::new(address(number), self.port)
    }

    /// The neighbor table of its family.
    fn table(&self) -> usize {
        usize::from(address(self.range.first).is_ipv6())
    }
}

/// The first host of a network.
pub(crate) fn first_host(network: IpNet) -> IpAddr {
    address(hosts(network).0)
}

/// The address without the scope and flow label that the system may add.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// Ranges that are asked one after the other, on one link, all on link or none.
#[derive(Debug)]
struct Lane {
    link: usize,
    on_link: bool,
    /// Their positions.
    ranges: Vec<usize>,
    /// The position in `ranges` of the current one, and how many of its addresses were asked.
    current: usize,
    asked: u128,
    /// Addresses that the system had no room to ask, with the positions of their ranges.
    repeats: VecDeque<(usize, SocketAddr)>,
    /// When it may send again after a failure, and how long it waits after the next.
    not_before: Option<Instant>,
    back_off: Duration,
    /// How many requests were sent since the last failure.
    unfailed: u32,
}

impl Lane {
    /// A lane whose pass is over.
    fn new(link: usize, on_link: bool, range: usize) -> Self {
        Self {
            link,
            on_link,
            ranges: vec![range],
            current: usize::MAX,
            asked: 0,
            repeats: VecDeque::new(),
            not_before: None,
            back_off: BACK_OFF.0,
            unfailed: 0,
        }
    }

    fn restart(&mut self) {
        self.current = 0;
        self.asked = 0;
    }

    fn is_empty(&self) -> bool {
        self.repeats.is_empty() && self.current >= self.ranges.len()
    }

    /// The next address, with the position of its range.
    fn next(&self, ranges: &[SweepRange]) -> Option<(usize, SocketAddr)> {
        if let Some(repeat) = self.repeats.front() {
            return Some(*repeat);
        }
        let at = *self.ranges.get(self.current)?;
        let range = &ranges[at];
        Some((at, range.address(range.range.first + self.asked)))
    }

    /// Goes on after the next address.
    fn take(&mut self, ranges: &[SweepRange]) {
        self.not_before = None;
        self.unfailed = self.unfailed.saturating_add(1);
        if self.repeats.pop_front().is_none() {
            self.advance(ranges);
        }
    }

    fn advance(&mut self, ranges: &[SweepRange]) {
        let Some(at) = self.ranges.get(self.current) else {
            return;
        };
        let range = &ranges[*at].range;
        if self.asked == range.last - range.first {
            self.current += 1;
            self.asked = 0;
        } else {
            self.asked += 1;
        }
    }

    /// Skips the next addresses as long as `settled` holds for them.
    fn skip(&mut self, ranges: &[SweepRange], settled: impl Fn(&SocketAddr) -> bool) {
        self.repeats.retain(|(_, address)| !settled(address));
        while let Some((_, next)) = self.next(ranges)
            && settled(&next)
        {
            self.advance(ranges);
        }
    }

    /// Waits after a failure.
    fn wait(&mut self, now: Instant) {
        if mem::take(&mut self.unfailed) > 0 {
            self.back_off = BACK_OFF.0;
        }
        self.not_before = Some(now + self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
    }
}

#[cfg(test)]
mod tests;
