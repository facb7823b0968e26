use std::collections::HashMap;
use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;
use udp_discovery_protocol::{Interface, InterfaceAddress};

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 9999;
const LIMIT: usize = 7;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Silent,
    Answers(Duration),
    Refuses(Duration),
    NoRoom,
    Fails,
}

/// A sweep on virtual time, and a model of what it must keep to.
struct Run {
    sweep: Sweep,
    start: Instant,
    now: Instant,
    pace: u32,
    limit: usize,
    /// How many requests are sent together.
    batch: usize,
    /// Every request that was tried, whether or not the system sent it.
    asks: Vec<(Instant, Ask)>,
    /// The addresses that were sent to in each pass.
    passes: Vec<Vec<SocketAddr>>,
    /// Addresses on link that are silent, and when they were asked.
    silent: HashMap<SocketAddr, Instant>,
    settled: HashSet<SocketAddr>,
    /// Answers and refusals on their way.
    pending: Vec<(Instant, SocketAddr, bool)>,
}

impl Run {
    fn new(pace: u32, limit: usize, ranges: Vec<SweepRange>) -> Self {
        let now = Instant::now();
        let limits = [NonZeroUsize::new(limit).unwrap(); 2];
        let mut sweep = Sweep::new(now, NonZeroU32::new(pace).unwrap(), limits, false, ranges);
        sweep.start_pass(now);
        Self {
            sweep,
            start: now,
            now,
            pace,
            limit,
            batch: 1,
            asks: Vec::new(),
            passes: Vec::new(),
            silent: HashMap::new(),
            settled: HashSet::new(),
            pending: Vec::new(),
        }
    }

    /// Sends what is due now.
    fn send(&mut self, fate: &mut impl FnMut(&Ask, usize) -> Fate) {
        loop {
            self.sweep.update(self.now);
            let polled = (0..self.batch).map_while(|_| self.sweep.poll(self.now));
            let polled: Vec<Ask> = polled.collect();
            if polled.is_empty() {
                return;
            }
            for batch in polled.chunk_by(|a, b| a.link == b.link) {
                self.send_batch(batch, fate);
            }
        }
    }

    /// Sends requests of one link, until the system has no room.
    fn send_batch(&mut self, batch: &[Ask], fate: &mut impl FnMut(&Ask, usize) -> Fate) {
        for (at, ask) in batch.iter().enumerate() {
            self.asks.push((self.now, *ask));
            let address = ask.destination;
            let on_link = self.sweep.lanes[ask.lane].on_link;
            let fate = fate(ask, self.asks.len());
            match fate {
                Fate::NoRoom => {
                    for unsent in batch[at + 1..].iter().rev() {
                        self.sweep.take_back(unsent);
                    }
                    let kind = SendErrorKind::NoRoom;
                    self.sweep.handle_send_error(self.now, ask, kind);
                    return;
                }
                Fate::Fails => {
                    let kind = SendErrorKind::Refused;
                    self.sweep.handle_send_error(self.now, ask, kind);
                }
                Fate::Answers(delay) => self.pending.push((self.now + delay, address, true)),
                Fate::Refuses(delay) => self.pending.push((self.now + delay, address, false)),
                Fate::Silent => {}
            }
            let pass = self.sweep.begun as usize;
            self.passes.resize(pass.max(self.passes.len()), Vec::new());
            self.passes[pass - 1].push(address);
            if on_link && fate != Fate::Fails {
                self.silent.insert(address, self.now);
                let now = self.now;
                self.silent.retain(|_, asked| *asked + SILENT > now);
                assert!(self.silent.len() <= self.limit, "{}", self.silent.len());
            }
        }
    }

    /// Goes on until all passes are complete. The caller comes late by what `late` returns.
    fn run(
        mut self,
        mut late: impl FnMut() -> Duration,
        mut fate: impl FnMut(&Ask, usize) -> Fate,
    ) -> Self {
        for _ in 0..1_000_000 {
            self.send(&mut fate);
            let Some(due) = self.sweep.poll_timeout() else {
                assert!(self.sweep.is_over());
                self.check_pace();
                return self;
            };
            let arrival = self.pending.iter().map(|(at, ..)| *at).min();
            let next = arrival.map_or(due, |at| at.min(due));
            assert!(
                next > self.now || arrival.is_some_and(|at| at <= self.now),
                "busy"
            );
            self.now = next.max(self.now) + late();
            let now = self.now;
            let arrived: Vec<_> = self.pending.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, address, answers) in arrived {
                self.silent.remove(&address);
                self.settled.insert(address);
                if answers {
                    self.sweep.handle_answer(address);
                } else {
                    self.sweep.handle_refusal(address);
                }
            }
        }
        panic!("the sweep does not end");
    }

    /// In no second there are more requests than the pace, and no burst is longer than 10 ms worth.
    fn check_pace(&self) {
        let pace = self.pace as usize;
        let burst = pace.div_ceil(100) + 1;
        for (first, after) in self.asks.iter().zip(self.asks.iter().skip(pace)) {
            assert!(after.0 >= first.0 + SECOND);
        }
        for (first, after) in self.asks.iter().zip(self.asks.iter().skip(burst)) {
            assert!(after.0 > first.0);
        }
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

fn interface(name: &str, address: &str, prefix_len: u8) -> Interface {
    let mut interface = Interface::new(name, 2);
    interface.flags.up = true;
    let address = InterfaceAddress::new(address.parse().unwrap(), prefix_len).unwrap();
    interface.addresses.push(address);
    interface
}

/// The ranges of these networks, for a host that is 10.0.0.2/20 and 10.1.0.2/24, each on a link.
fn of(networks: &[&str]) -> Vec<SweepRange> {
    let interfaces = [
        interface("eth0", "10.0.0.2", 20),
        interface("eth1", "10.1.0.2", 24),
    ];
    let mut exclusions = Exclusions::of_host(&interfaces);
    let local = Ipv4Addr::new(10, 0, 0, 2).into();
    let mut ranges = Vec::new();
    for (target, network) in networks.iter().enumerate() {
        let network = network.parse().unwrap();
        for range in of_network(network, Some(local), &interfaces, &mut exclusions) {
            ranges.push(SweepRange {
                link: usize::from(range.local != local),
                range,
                port: PORT,
                target: Some(target),
                remembered: false,
            });
        }
    }
    ranges
}

fn silent(_: &Ask, _: usize) -> Fate {
    Fate::Silent
}

fn on_time() -> Duration {
    Duration::ZERO
}

fn ip(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), PORT)
}

#[test]
fn every_address_is_asked_once_in_order() {
    let run = Run::new(2000, 341, of(&["10.9.0.0/22"])).run(on_time, silent);
    let expected =
        (1..1023).map(|host| SocketAddr::new(Ipv4Addr::from(0x0a09_0000 + host).into(), PORT));
    assert_eq!(run.passes, [expected.collect::<Vec<_>>()]);
}

#[test]
fn fault_46_networks_that_overlap_are_swept_once_without_our_addresses() {
    let networks = [
        "10.9.0.0/30",
        "10.9.0.0/29",
        "10.1.0.0/29",
        "10.9.0.2/32",
        "10.1.0.0/30",
    ];
    let run = Run::new(2000, 341, of(&networks)).run(on_time, silent);
    let mut asked = run.passes[0].clone();
    asked.sort();
    let expected = [
        "10.1.0.1", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6", "10.1.0.7", "10.9.0.1",
        "10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6",
    ];
    assert_eq!(asked, expected.map(ip));
}

#[test]
fn the_neighbor_table_limits_those_on_link_and_the_pace_the_others() {
    let ranges = of(&["10.0.0.0/20", "10.9.0.0/16"]);
    let run = Run::new(2000, 341, ranges).run(on_time, silent);
    let on_link = |(_, ask): &&(Instant, Ask)| ask.target == Some(0);
    let first = run.asks.iter().take_while(on_link).count();
    assert_eq!(first, 341);
    let took = run.asks.iter().rfind(on_link).unwrap().0 - run.start;
    assert!(
        (36 * SECOND..36 * SECOND + 500 * MS).contains(&took),
        "{took:?}"
    );
}

#[test]
fn an_address_that_answers_or_refuses_frees_its_place_at_once() {
    let run = Run::new(2000, 5, of(&["10.0.0.0/22"])).run(on_time, |_, nth| {
        if nth % 2 == 0 {
            Fate::Refuses(MS)
        } else {
            Fate::Answers(MS)
        }
    });
    assert!(run.elapsed() < SECOND, "{:?}", run.elapsed());
}

#[test]
fn the_estimate_is_right_if_nobody_answers() {
    for (networks, pace, limit) in [
        (&["10.9.0.0/22"][..], 2000, 341),
        (&["10.9.0.0/24"], 50, 341),
        (&["10.0.0.0/20"], 2000, 341),
        (&["10.0.0.0/22"], 20, 341),
        (&["10.0.0.0/24", "10.9.0.0/20"], 1000, 50),
        (&["10.0.0.0/24", "10.1.0.0/24", "10.9.0.0/24"], 500, 33),
    ] {
        let run = Run::new(pace, limit, of(networks)).run(on_time, silent);
        let (estimate, took) = (
            run.sweep.estimate().as_secs_f64(),
            run.elapsed().as_secs_f64(),
        );
        assert!(
            (took / estimate - 1.0).abs() < 0.1,
            "{networks:?}: {estimate} {took}"
        );
    }
}

#[test]
fn later_passes_leave_out_who_answered_or_refused() {
    // So slow that the answers arrive in between.
    let mut run = Run::new(50, 341, of(&["10.9.0.0/29"]));
    run.sweep.start_pass(run.now);
    run.sweep.start_pass(run.now);
    let fate = |ask: &Ask, nth: usize| match ask.destination {
        it if it == ip("10.9.0.2") => Fate::Answers(Duration::ZERO),
        it if it == ip("10.9.0.3") && nth > 6 => Fate::Refuses(Duration::ZERO),
        _ => Fate::Silent,
    };
    let run = run.run(on_time, fate);
    let lens: Vec<usize> = run.passes.iter().map(Vec::len).collect();
    assert_eq!(lens, [6, 5, 4]);
    assert_eq!(run.sweep.passes(), 3);
}

#[test]
fn a_pass_waits_until_it_is_allowed() {
    let mut run = Run::new(2000, 341, of(&["10.9.0.0/30"])).run(on_time, silent);
    assert_eq!((run.sweep.passes(), run.asks.len()), (1, 2));
    assert_eq!(run.sweep.first_pass_over(), Some(run.now));
    run.now += SECOND;
    run.sweep.start_pass(run.now);
    assert!(run.sweep.poll_timeout().unwrap() <= run.now);
    let run = run.run(on_time, silent);
    assert_eq!((run.sweep.passes(), run.asks.len()), (2, 4));
}

#[test]
fn fault_45_without_room_the_sweep_slows_down_and_asks_that_address_again() {
    let ranges = of(&["10.0.0.0/28"]);
    let run = Run::new(2000, 341, ranges.clone()).run(on_time, |_, nth| match nth {
        3..=11 => Fate::NoRoom,
        _ => Fate::Silent,
    });
    let asked = run.asks.iter().map(|(_, ask)| ask.destination);
    assert_eq!(
        asked.skip(2).take(10).collect::<Vec<_>>(),
        [ip("10.0.0.4"); 10]
    );
    let gaps: Vec<Duration> = run.asks[2..12]
        .windows(2)
        .map(|it| it[1].0 - it[0].0)
        .collect();
    assert_eq!(
        gaps,
        [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000].map(|ms| ms * MS)
    );
    // What was asked is as without.
    let undisturbed = Run::new(2000, 341, ranges).run(on_time, silent);
    assert_eq!(run.passes, undisturbed.passes);
}

#[test]
fn fault_45_what_was_not_tried_for_lack_of_room_is_asked_in_order_and_the_wait_doubles_once() {
    let run = Run {
        batch: 5,
        ..Run::new(2000, 341, of(&["10.0.0.0/28"]))
    };
    let run = run.run(on_time, |_, nth| match nth {
        3 | 4 => Fate::NoRoom,
        _ => Fate::Silent,
    });
    let expected: Vec<_> = [1, 3, 4, 4, 4].into_iter().chain(5..16).collect();
    let asked = run.asks.iter().map(|(_, ask)| ask.destination);
    let expected = expected.iter().map(|host| ip(&format!("10.0.0.{host}")));
    assert_eq!(asked.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let at = |nth: usize| run.asks[nth].0 - run.start;
    assert_eq!([at(2), at(3), at(4)], [0, 50, 150].map(|ms| ms * MS));
}

#[test]
fn fault_45_other_links_and_lanes_go_on_while_one_has_no_room() {
    let ranges = of(&["10.0.0.0/28", "10.1.0.0/28", "10.9.0.0/28"]);
    let run = Run::new(2000, 341, ranges).run(on_time, |ask, nth| {
        if ask.target == Some(0) && nth < 40 {
            Fate::NoRoom
        } else {
            Fate::Silent
        }
    });
    let last_of = |target| {
        let ask = run.asks.iter().rfind(|(_, it)| it.target == Some(target));
        ask.unwrap().0 - run.start
    };
    assert!(last_of(1) < 50 * MS && last_of(2) < 50 * MS);
    assert!(last_of(0) > SECOND);
    assert_eq!(run.passes[0].len(), 14 + 14 + 14);
}

#[test]
fn an_error_that_is_not_for_lack_of_room_is_not_repeated_and_takes_no_place() {
    let run = Run::new(2000, 1, of(&["10.0.0.0/28"])).run(on_time, |_, _| Fate::Fails);
    assert_eq!(run.asks.len(), 14);
    assert!(run.elapsed() < SECOND);
}

#[test]
fn what_is_remembered_is_asked_first_on_every_link() {
    let mut ranges = of(&["10.0.0.0/24", "10.9.0.0/24"]);
    ranges.rotate_left(1);
    let last = ranges.len() - 1;
    ranges[last].remembered = true;
    let remembered = ranges[last].target;
    let run = Run::new(2000, 341, ranges).run(on_time, silent);
    assert_eq!(run.asks[0].1.target, remembered);
}

#[test]
fn a_link_that_is_given_up_is_not_asked() {
    let mut run = Run::new(2000, 341, of(&["10.0.0.0/28", "10.1.0.0/28"]));
    let mut fate = silent;
    run.send(&mut fate);
    let before = run.asks.len();
    run.sweep.give_up(0);
    let run = run.run(on_time, fate);
    assert!(run.asks[before..].iter().all(|(_, it)| it.link == 1));
    assert!(run.sweep.is_over());
}

#[test]
fn the_time_of_a_request_is_known_and_only_asked_addresses_are_contained() {
    let run = Run::new(2000, 341, of(&["10.9.0.0/29"])).run(on_time, silent);
    assert_eq!(run.sweep.asked_at(ip("10.9.0.1")), Some(run.asks[0].0));
    assert!(run.sweep.contains(ip("10.9.0.6")));
    for outside in [
        ip("10.9.0.0"),
        ip("10.9.0.7"),
        SocketAddr::new(ip("10.9.0.1").ip(), 1),
    ] {
        assert!(!run.sweep.contains(outside) && run.sweep.asked_at(outside).is_none());
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Silent),
        2 => (0_u32..4000).prop_map(|ms| Fate::Answers(ms * MS)),
        1 => (0_u32..4000).prop_map(|ms| Fate::Refuses(ms * MS)),
        1 => Just(Fate::NoRoom),
        1 => Just(Fate::Fails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `Run` checks the pace and the neighbor table.
    #[test]
    fn fault_45_whatever_happens_no_address_is_lost_or_asked_twice_in_a_pass(
        pace in 1_u32..3000,
        fates in vec(fate(), 1..40),
        late in vec(0_u32..50, 1..20),
        passes in 1_u32..4,
        batch in 1_usize..20,
        networks in vec(0_usize..6, 1..4),
    ) {
        let all = ["10.9.0.0/27", "10.0.0.0/27", "10.1.0.0/28", "10.0.15.240/28", "10.9.0.16/28", "10.1.0.3/32"];
        let networks: Vec<&str> = networks.into_iter().map(|at| all[at]).collect();
        let ranges = of(&networks);
        let expected: HashSet<SocketAddr> = ranges
            .iter()
            .flat_map(|it| (it.range.first..=it.range.last).map(|number| it.address(number)))
            .collect();
        let mut run = Run { batch, ..Run::new(pace, LIMIT, ranges) };
        (1..passes).for_each(|_| run.sweep.start_pass(run.now));
        let mut late = late.into_iter().cycle().map(|ms| ms * MS);
        let run = run.run(|| late.next().unwrap(), |_, nth| {
            // Not for ever, so that the sweep ends.
            match fates[nth % fates.len()] {
                Fate::NoRoom if nth > 200 => Fate::Silent,
                fate => fate,
            }
        });
        for (at, pass) in run.passes.iter().enumerate() {
            let distinct: HashSet<SocketAddr> = pass.iter().copied().collect();
            prop_assert_eq!(distinct.len(), pass.len());
            prop_assert!(distinct.is_subset(&expected));
            if at == 0 {
                prop_assert_eq!(&distinct, &expected);
            } else {
                prop_assert!(expected.difference(&distinct).all(|it| run.settled.contains(it)));
            }
        }
        prop_assert!(run.passes.len() <= passes as usize);
    }
}
