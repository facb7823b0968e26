//! The sweep: every address of whole networks, in order, at a bounded pace.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use udp_discovery_protocol::SendErrorKind;

mod pace;
mod ranges;

pub(crate) use ranges::{Exclusions, Range, of_network};

use pace::Pace;
use ranges::{address, number};

/// How long an address on link that does not answer holds its place. Linux asks three times for a
/// neighbor, a second apart, before it gives up (`neigh/*/mcast_solicit`, arp(7)).
const SILENT: Duration = Duration::from_secs(3);

/// How many recent requests are remembered behind routers, to measure round-trip times.
const RECENT: usize = 1 << 16;

/// How many addresses that answered or refused are remembered. Others are asked again.
const SETTLED: usize = 1 << 16;

/// How long a lane waits after the system had no room for a datagram: at first, and at most. The time
/// doubles with each failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Asks every address of its ranges once in each pass.
///
/// There are as many passes as the search has probes. The first begins at once, a later one when its
/// probe is due and the pass before is over. Later passes leave out who answered or refused.
#[derive(Debug)]
pub(crate) struct Sweep {
    ranges: Vec<SweepRange>,
    /// The positions of the ranges, sorted by port and address.
    by_address: Vec<usize>,
    on_link: Lane,
    routed: Lane,
    pace: Pace,
    /// Requests on link that were not answered, each of which may hold an entry of the neighbor table.
    silent: Requests,
    /// How many there may be.
    max_silent: usize,
    /// The last requests behind routers.
    recent: Requests,
    answered: HashSet<SocketAddr>,
    refused: HashSet<SocketAddr>,
    /// How many passes may have begun, and how many have.
    due: usize,
    passes: usize,
    /// When the first pass was over.
    first_pass_over: Option<Instant>,
    last: Option<Ask>,
}

/// A range with the way to ask it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepRange {
    pub(crate) range: Range,
    pub(crate) port: u16,
    /// The link that asks it.
    pub(crate) link: usize,
    /// The position of its target in the report. `None` for an address that is remembered.
    pub(crate) target: Option<usize>,
}

/// A request of a sweep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) destination: SocketAddr,
    pub(crate) link: usize,
    pub(crate) target: Option<usize>,
    /// Whether it belongs to the first pass.
    pub(crate) first: bool,
    on_link: bool,
}

impl Sweep {
    pub(crate) fn new(
        now: Instant,
        pace: NonZeroU32,
        max_silent: NonZeroUsize,
        ranges: Vec<SweepRange>,
    ) -> Self {
        let of_lane = |on_link| {
            let all = ranges.iter().enumerate();
            Lane::new(
                all.filter(|(_, it)| it.range.on_link == on_link)
                    .map(|(at, _)| at),
            )
        };
        let mut by_address: Vec<usize> = (0..ranges.len()).collect();
        by_address.sort_by_key(|at| (ranges[*at].port, ranges[*at].range.first));
        Self {
            on_link: of_lane(true),
            routed: of_lane(false),
            by_address,
            ranges,
            pace: Pace::new(now, pace),
            silent: Requests::default(),
            max_silent: max_silent.get(),
            recent: Requests::default(),
            answered: HashSet::new(),
            refused: HashSet::new(),
            due: 0,
            passes: 0,
            first_pass_over: None,
            last: None,
        }
    }

    /// How many addresses there are.
    pub(crate) fn addresses(&self) -> u64 {
        self.ranges.iter().map(SweepRange::len).sum()
    }

    /// How long a pass takes, if nobody answers: the time that the pace takes for all addresses, or the
    /// time that those on link hold their places, whichever is longer.
    pub(crate) fn estimate(&self) -> Duration {
        let on_link = self.ranges.iter().filter(|it| it.range.on_link);
        let on_link: u64 = on_link.map(SweepRange::len).sum();
        let (waits, rest) = match on_link.checked_sub(1) {
            Some(last) => (last / self.max_silent as u64, last % self.max_silent as u64),
            None => (0, 0),
        };
        let waits = SILENT.saturating_mul(u32::try_from(waits).unwrap_or(u32::MAX));
        let on_link = waits.saturating_add(self.pace.time_for(rest));
        self.pace.time_for(self.addresses()).max(on_link)
    }

    /// Allows another pass.
    pub(crate) fn start_pass(&mut self) {
        self.due += 1;
    }

    /// The next request, if one is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Ask> {
        if let Some(sent) = self.last.take() {
            self.lane_mut(sent.on_link).back_off = BACK_OFF.0;
        }
        self.update(now);
        if self.pace.ready() > now {
            return None;
        }
        // Those on link first: their own limit leaves the pace to the others.
        let (on_link, (at, destination)) = [true, false].into_iter().find_map(|on_link| {
            let ready = self.lane_ready(on_link).is_some_and(|ready| ready <= now);
            let lane = self.lane(on_link);
            let next = ready.then(|| lane.next(&self.ranges)).flatten()?;
            Some((on_link, next))
        })?;
        self.pace.take(now);
        self.lane_mut(on_link).take();
        if on_link {
            self.silent.insert(now, destination);
        } else {
            self.recent.insert(now, destination);
        }
        let SweepRange { link, target, .. } = self.ranges[at];
        let ask = Ask {
            destination,
            link,
            target,
            first: self.passes == 1,
            on_link,
        };
        self.last = Some(ask);
        Some(ask)
    }

    /// When the next request is due. `None` if there is none until another pass is allowed.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.passes < self.due && self.is_pass_over() {
            return Some(self.pace.ready());
        }
        let ready = [true, false]
            .into_iter()
            .filter_map(|it| self.lane_ready(it));
        Some(ready.min()?.max(self.pace.ready()))
    }

    /// Handles that the system did not send the last request. Returns that request.
    ///
    /// If the system had no room, which means on link that its neighbor table is full, the address is
    /// asked again after a while.
    pub(crate) fn handle_send_error(&mut self, now: Instant, kind: SendErrorKind) -> Option<Ask> {
        let ask = self.last.take()?;
        self.silent.take(ask.destination);
        if kind == SendErrorKind::NoRoom
            && let Some(range) = position(&self.ranges, &self.by_address, ask.destination)
        {
            self.lane_mut(ask.on_link)
                .repeat(now, range, ask.destination);
        }
        Some(ask)
    }

    /// Whether `address` is one that is asked.
    pub(crate) fn contains(&self, address: SocketAddr) -> bool {
        position(&self.ranges, &self.by_address, address).is_some()
    }

    /// When `address` was asked, if it was recently and did not answer since.
    pub(crate) fn asked_at(&self, address: SocketAddr) -> Option<Instant> {
        self.silent
            .get(address)
            .or_else(|| self.recent.get(address))
    }

    /// Handles an answer of `address`. Returns its range if it is the first.
    pub(crate) fn handle_answer(&mut self, address: SocketAddr) -> Option<SweepRange> {
        let at = position(&self.ranges, &self.by_address, address)?;
        self.silent.take(address);
        let is_new = self.answered.len() < SETTLED && self.answered.insert(address);
        is_new.then_some(self.ranges[at])
    }

    /// Handles that `address` refused a request. Returns its range if it is the first time.
    pub(crate) fn handle_refusal(&mut self, address: SocketAddr) -> Option<SweepRange> {
        let at = position(&self.ranges, &self.by_address, address)?;
        self.silent.take(address);
        let is_new = self.refused.len() < SETTLED && self.refused.insert(address);
        is_new.then_some(self.ranges[at])
    }

    /// Asks nothing more on `link`.
    pub(crate) fn give_up(&mut self, link: usize) {
        let lost = |at: &usize| self.ranges[*at].link == link;
        self.on_link.leave_out(&lost);
        self.routed.leave_out(&lost);
    }

    /// When the first pass was over, if it is.
    pub(crate) fn first_pass_over(&self) -> Option<Instant> {
        self.first_pass_over
    }

    /// Whether every pass that is allowed is over.
    pub(crate) fn is_over(&self) -> bool {
        self.passes == self.due && self.is_pass_over()
    }

    /// How many passes are over.
    pub(crate) fn passes_over(&self) -> usize {
        self.passes
            .saturating_sub(usize::from(!self.is_pass_over()))
    }

    /// The addresses that are remembered, did not answer, and were not asked in `passes` passes.
    pub(crate) fn unanswered(&self, passes: usize) -> impl Iterator<Item = SocketAddr> {
        let remembered = self.ranges.iter().filter(|range| range.target.is_none());
        remembered
            .filter(move |_| self.passes_over() < passes)
            .map(|range| range.address(range.range.first))
            .filter(|address| !self.answered.contains(address))
    }

    fn is_pass_over(&self) -> bool {
        self.on_link.is_empty() && self.routed.is_empty()
    }

    /// Skips who answered or refused, and begins the next pass if it is allowed.
    fn update(&mut self, now: Instant) {
        self.silent.expire(now);
        self.recent.expire(now);
        self.skip_settled();
        if !self.is_pass_over() {
            return;
        }
        if self.passes > 0 && self.first_pass_over.is_none() {
            self.first_pass_over = Some(now);
        }
        if self.passes < self.due {
            self.passes += 1;
            self.on_link.restart();
            self.routed.restart();
            self.skip_settled();
        }
    }

    fn skip_settled(&mut self) {
        let Self {
            ranges,
            on_link,
            routed,
            answered,
            refused,
            ..
        } = self;
        for lane in [on_link, routed] {
            let settled =
                |address: &SocketAddr| answered.contains(address) || refused.contains(address);
            lane.skip(ranges, settled);
        }
    }

    fn lane(&self, on_link: bool) -> &Lane {
        if on_link { &self.on_link } else { &self.routed }
    }

    fn lane_mut(&mut self, on_link: bool) -> &mut Lane {
        if on_link {
            &mut self.on_link
        } else {
            &mut self.routed
        }
    }

    /// When a lane may send, as far as the pace allows. `None` if it has nothing to send.
    fn lane_ready(&self, on_link: bool) -> Option<Instant> {
        let lane = self.lane(on_link);
        let (_, next) = lane.next(&self.ranges)?;
        let waits =
            on_link && self.silent.len() >= self.max_silent && self.silent.get(next).is_none();
        let free = waits.then(|| self.silent.first_end()).flatten();
        Some(
            lane.not_before
                .max(free)
                .unwrap_or_else(|| self.pace.ready()),
        )
    }
}

impl SweepRange {
    pub(crate) fn len(&self) -> u64 {
        let last = self.range.last - self.range.first;
        u64::try_from(last).map_or(u64::MAX, |last| last.saturating_add(1))
    }

    fn address(&self, number: u128) -> SocketAddr {
        SocketAddr::new(address(number), self.port)
    }
}

/// The position of the range that asks `address`.
fn position(ranges: &[SweepRange], by_address: &[usize], address: SocketAddr) -> Option<usize> {
    let (port, number) = (address.port(), number(address.ip()));
    let key = |at: &usize| (ranges[*at].port, ranges[*at].range.first);
    let after = by_address.partition_point(|at| key(at) <= (port, number));
    let at = *by_address.get(after.checked_sub(1)?)?;
    let found = &ranges[at];
    (found.port == port && number <= found.range.last).then_some(at)
}

/// Ranges that are asked one after the other.
#[derive(Debug)]
struct Lane {
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
}

impl Lane {
    fn new(ranges: impl Iterator<Item = usize>) -> Self {
        let ranges: Vec<usize> = ranges.collect();
        Self {
            current: ranges.len(),
            ranges,
            asked: 0,
            repeats: VecDeque::new(),
            not_before: None,
            back_off: BACK_OFF.0,
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
    fn take(&mut self) {
        if self.repeats.pop_front().is_none() {
            self.asked += 1;
        }
        self.not_before = None;
    }

    /// Skips addresses for which `settled` holds, and goes to the next range at the end of one.
    fn skip(&mut self, ranges: &[SweepRange], settled: impl Fn(&SocketAddr) -> bool) {
        self.repeats.retain(|(_, address)| !settled(address));
        while let Some(at) = self.ranges.get(self.current) {
            let range = &ranges[*at];
            let next = range.range.first + self.asked;
            if next > range.range.last {
                self.current += 1;
                self.asked = 0;
            } else if settled(&range.address(next)) {
                self.asked += 1;
            } else {
                break;
            }
        }
    }

    fn repeat(&mut self, now: Instant, range: usize, address: SocketAddr) {
        self.repeats.push_front((range, address));
        self.not_before = Some(now + self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
    }

    fn leave_out(&mut self, lost: &impl Fn(&usize) -> bool) {
        self.repeats.retain(|(at, _)| !lost(at));
        let before = self.ranges.iter().take(self.current);
        let lost_before = before.filter(|at| lost(at)).count();
        if self.ranges.get(self.current).is_some_and(lost) {
            self.asked = 0;
        }
        self.current -= lost_before;
        self.ranges.retain(|at| !lost(at));
    }
}

/// When addresses were asked, for as long as they may be silent.
#[derive(Debug, Default)]
struct Requests {
    times: HashMap<SocketAddr, Instant>,
    /// In the order of time. What is not in `times` with the same time is obsolete.
    order: VecDeque<(Instant, SocketAddr)>,
}

impl Requests {
    fn insert(&mut self, now: Instant, address: SocketAddr) {
        self.times.insert(address, now);
        self.order.push_back((now, address));
        if self.times.len() > RECENT {
            self.forget_first();
        }
        if self.order.len() > 2 * RECENT {
            let times = &self.times;
            self.order
                .retain(|(at, address)| times.get(address) == Some(at));
        }
    }

    fn take(&mut self, address: SocketAddr) {
        self.times.remove(&address);
    }

    fn get(&self, address: SocketAddr) -> Option<Instant> {
        self.times.get(&address).copied()
    }

    fn len(&self) -> usize {
        self.times.len()
    }

    /// When the first of them has been silent for long enough.
    fn first_end(&self) -> Option<Instant> {
        let current = |(at, address): &&(Instant, _)| self.times.get(address) == Some(at);
        self.order.iter().find(current).map(|(at, _)| *at + SILENT)
    }

    fn expire(&mut self, now: Instant) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| *at + SILENT <= now)
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((at, address)) = self.order.pop_front()
            && self.times.get(&address) == Some(&at)
        {
            self.times.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;
    use udp_discovery_protocol::{Interface, InterfaceAddress, IpNet};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn eth0() -> Vec<Interface> {
        let mut eth0 = Interface::new("eth0", 2);
        eth0.flags.up = true;
        let address = InterfaceAddress::new(LOCAL, 20).unwrap();
        eth0.addresses.push(address);
        vec![eth0]
    }

    /// A sweep of `networks` on a host with the network 10.0.0.0/20, and the requests that it sent.
    struct Run {
        sweep: Sweep,
        start: Instant,
        now: Instant,
        asked: Vec<(Duration, SocketAddr)>,
    }

    impl Run {
        fn new(networks: &[&str], pace: u32, max_silent: usize) -> Self {
            let interfaces = eth0();
            let mut exclusions = Exclusions::of_host(&interfaces);
            let ranges = networks.iter().enumerate().flat_map(|(target, network)| {
                let network = network.parse().unwrap();
                of_network(network, Some(LOCAL), &interfaces, &mut exclusions)
                    .into_iter()
                    .map(move |range| SweepRange {
                        range,
                        port: 9999,
                        link: usize::from(range.on_link),
                        target: Some(target),
                    })
            });
            let start = Instant::now();
            let pace = NonZeroU32::new(pace).unwrap();
            let max_silent = NonZeroUsize::new(max_silent).unwrap();
            let mut sweep = Sweep::new(start, pace, max_silent, ranges.collect());
            sweep.start_pass();
            Self {
                sweep,
                start,
                now: start,
                asked: Vec::new(),
            }
        }

        /// Sends what is due until nothing is, as a driver does that comes late by `late`. `on_sent` may
        /// answer.
        fn pass(&mut self, late: Duration, mut on_sent: impl FnMut(&mut Sweep, Ask, Instant)) {
            loop {
                while let Some(ask) = self.sweep.poll(self.now) {
                    self.asked.push((self.now - self.start, ask.destination));
                    on_sent(&mut self.sweep, ask, self.now);
                }
                let Some(at) = self.sweep.poll_timeout() else {
                    break;
                };
                self.now = self.now.max(at) + late;
            }
        }

        fn addresses(&self) -> Vec<IpAddr> {
            self.asked.iter().map(|(_, address)| address.ip()).collect()
        }
    }

    fn silence(_: &mut Sweep, _: Ask, _: Instant) {}

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_is_asked_once_in_order() {
        let mut run = Run::new(&["192.0.2.0/29", "10.0.0.0/30"], 10_000, 9);
        run.pass(Duration::ZERO, silence);
        let near = ["10.0.0.1", "10.0.0.3"];
        let far = (1..7).map(|host| ip(&format!("192.0.2.{host}")));
        let expected: Vec<IpAddr> = near.into_iter().map(ip).chain(far).collect();
        assert_eq!(
            run.addresses(),
            expected,
            "10.0.0.0 is no host, 10.0.0.2 is ours"
        );
        assert!(run.sweep.is_over());
    }

    #[test]
    fn a_later_pass_leaves_out_who_answered_or_refused() {
        let mut run = Run::new(&["192.0.2.0/29"], 10_000, 9);
        run.pass(Duration::ZERO, |sweep, ask, _| {
            if ask.destination.ip() == ip("192.0.2.3") {
                assert!(sweep.handle_answer(ask.destination).is_some());
                assert!(sweep.handle_answer(ask.destination).is_none(), "once");
            } else if ask.destination.ip() == ip("192.0.2.5") {
                assert!(sweep.handle_refusal(ask.destination).is_some());
            }
        });
        assert_eq!((run.asked.len(), run.sweep.passes_over()), (6, 1));
        run.sweep.start_pass();
        run.pass(Duration::ZERO, silence);
        let second = ["1", "2", "4", "6"].map(|host| ip(&format!("192.0.2.{host}")));
        assert_eq!(run.addresses()[6..], second);
        assert_eq!(run.sweep.passes_over(), 2);
    }

    #[test]
    fn a_pass_that_is_due_waits_for_the_one_before() {
        let mut run = Run::new(&["192.0.2.0/29"], 100, 9);
        assert!(run.sweep.poll(run.now).is_some());
        run.sweep.start_pass();
        run.pass(Duration::ZERO, silence);
        let addresses = run.addresses();
        assert_eq!(addresses.len(), 5 + 6);
        assert_eq!(addresses[..5], addresses[6..]);
    }

    #[test]
    fn fault_45_an_address_without_room_is_asked_again_ever_more_slowly() {
        let mut run = Run::new(&["10.0.1.0/28"], 10_000, 100);
        let mut refused = 0;
        run.pass(Duration::ZERO, |sweep, ask, now| {
            if refused < 8 && ask.destination.ip() == ip("10.0.1.4") {
                refused += 1;
                assert!(
                    sweep
                        .handle_send_error(now, SendErrorKind::NoRoom)
                        .is_some()
                );
            }
        });
        let tries = run.asked.iter().filter(|(_, it)| it.ip() == ip("10.0.1.4"));
        let times: Vec<u128> = tries.map(|(at, _)| at.as_millis()).collect();
        let waits: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        let sent: HashSet<IpAddr> = run.addresses().into_iter().collect();
        assert_eq!(sent.len(), 16, "no address is lost");
    }

    #[test]
    fn an_address_that_the_system_refuses_to_ask_is_passed_over() {
        let mut run = Run::new(&["192.0.2.0/29"], 10_000, 9);
        run.pass(Duration::ZERO, |sweep, _, now| {
            let failed = sweep.handle_send_error(now, SendErrorKind::Refused);
            assert!(failed.is_some_and(|ask| ask.first));
        });
        assert_eq!(run.asked.len(), 6);
    }

    #[test]
    fn what_a_lost_link_would_ask_is_left_out() {
        let mut run = Run::new(&["10.0.1.0/28", "192.0.2.0/28"], 1000, 100);
        for _ in 0..5 {
            run.sweep.poll(run.now);
        }
        run.sweep.give_up(1);
        run.pass(Duration::ZERO, silence);
        assert!(
            run.addresses()
                .iter()
                .all(|it| !it.to_string().starts_with("10."))
        );
        assert_eq!(run.asked.len(), 14);
    }

    /// The neighbor rule: of the requests on link in any 3 s, at most `max` are silent.
    fn check_silent(asked: &[(Duration, SocketAddr)], answered: &HashSet<SocketAddr>, max: usize) {
        let near: IpNet = "10.0.0.0/20".parse().unwrap();
        let on_link =
            |it: &&(Duration, SocketAddr)| near.contains(&it.1.ip()) && !answered.contains(&it.1);
        let silent: Vec<Duration> = asked.iter().filter(on_link).map(|it| it.0).collect();
        for pair in silent.windows(max + 1) {
            assert!(pair[max] >= pair[0] + SILENT, "{pair:?}");
        }
    }

    #[test]
    fn fault_45_on_link_a_third_of_the_neighbor_table_is_silent_at_most() {
        let mut run = Run::new(&["10.0.0.0/22"], 2000, 341);
        let estimate = run.sweep.estimate();
        run.pass(Duration::ZERO, silence);
        assert_eq!(run.asked.len(), 1022);
        check_silent(&run.asked, &HashSet::new(), 341);
        let took = run.asked.last().unwrap().0.as_secs_f64();
        assert!(
            (estimate.as_secs_f64() / took - 1.0).abs() < 0.1,
            "{estimate:?} {took}"
        );
    }

    #[test]
    fn who_answers_leaves_the_place_to_the_next() {
        let mut run = Run::new(&["10.0.0.0/22"], 2000, 341);
        run.pass(Duration::ZERO, |sweep, ask, _| {
            sweep.handle_answer(ask.destination);
        });
        assert!(run.asked.last().unwrap().0 < 600 * MS);
    }

    #[test]
    fn what_is_behind_a_router_does_not_wait_for_what_is_on_link() {
        let mut run = Run::new(&["10.0.0.0/22", "192.0.2.0/24"], 2000, 100);
        run.pass(Duration::ZERO, silence);
        let last = run
            .asked
            .iter()
            .rfind(|(_, it)| it.ip() == ip("192.0.2.254"));
        assert!(last.unwrap().0 < 250 * MS);
    }

    #[test]
    fn of_a_large_network_nothing_is_listed_in_advance() {
        let run = Run::new(&["11.0.0.0/8", "fd00::/104"], 2000, 100);
        assert_eq!(run.sweep.addresses(), (1 << 25) - 3);
        assert_eq!(run.sweep.ranges.len(), 2);
        let hours = run.sweep.estimate().as_secs_f64() / 3600.0;
        assert!((4.6..4.8).contains(&hours), "{hours}");
    }

    proptest! {
        #[test]
        fn in_any_order_of_events_no_rule_is_broken(
            networks in prop::collection::vec(
                (0..8_u32, 24..=32_u8).prop_map(|(net, len)| match net {
                    0..4 => format!("10.0.{net}.77/{len}"),
                    _ => format!("192.0.{net}.77/{len}"),
                }),
                1..4,
            ),
            pace in 50..5000_u32,
            max_silent in 1..300_usize,
            late in 0..50_u64,
            fate in prop::collection::vec(0..20_u8, 64),
        ) {
            let networks: Vec<IpNet> = networks
                .into_iter()
                .map(|text| text.parse::<IpNet>().unwrap().trunc())
                .collect();
            let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut run = Run::new(&texts, pace, max_silent);
            let all = usize::try_from(run.sweep.addresses()).unwrap();
            let mut answered = HashSet::new();
            let mut failed = 0;
            let mut number = 0;
            run.pass(Duration::from_millis(late), |sweep, ask, now| {
                number += 1;
                match fate[number % fate.len()] {
                    0..3 => {
                        sweep.handle_answer(ask.destination);
                        answered.insert(ask.destination);
                    }
                    3 if failed < 20 => {
                        failed += 1;
                        sweep.handle_send_error(now, SendErrorKind::NoRoom);
                    }
                    _ => {}
                }
            });
            let distinct: HashSet<IpAddr> = run.addresses().into_iter().collect();
            prop_assert_eq!(distinct.len(), all);
            prop_assert_eq!(run.asked.len(), all + failed);
            let inside = |ip: &IpAddr| networks.iter().any(|network| network.contains(ip));
            prop_assert!(distinct.iter().all(inside));
            for more in run.asked.windows(pace as usize + 1) {
                prop_assert!(more[pace as usize].0 >= more[0].0 + Duration::from_secs(1));
            }
            if failed == 0 {
                check_silent(&run.asked, &answered, max_silent);
            }
        }
    }
}
