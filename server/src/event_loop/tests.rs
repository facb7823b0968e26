//! The event loop on a socket that fails on demand: the table of socket errors in docs/faults.md,
//! row by row.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use udp_discovery_protocol::{InterfaceAddress, Word};

use super::*;
use crate::config::Config;
use crate::reporter::HANDLER_PANICS;
use crate::responder::Arrival;
use crate::stats::{LiveStats, Stats};
use crate::sys::Link;

const REQUEST: &[u8] = b"DISCOVER_SERVER";

/// What the socket does at the next receive or send.
enum Act {
    /// Hands over a datagram from this last octet of the network, by interface 2.
    Receive(&'static [u8], u8),
    /// Hands over a datagram without saying where it arrived.
    ReceiveWithoutInfo,
    Fail(io::Error),
    /// Delivers a request from this last octet, then fails in the same call.
    ReceiveThenFail(u8, io::Error),
}

#[derive(Default)]
struct FailingSocket {
    receives: VecDeque<Act>,
    sends: VecDeque<io::Error>,
    sent: Vec<Reply>,
    /// Joins and leaves, as `+2` and `-2` with the index of the interface.
    memberships: RefCell<Vec<String>>,
    /// The interfaces on which no group can be joined.
    refused: Vec<u32>,
}

impl Transport for FailingSocket {
    fn receive(&mut self, each: &mut dyn FnMut(Received<'_>)) -> io::Result<()> {
        match self.receives.pop_front() {
            None => return Err(io::ErrorKind::WouldBlock.into()),
            Some(Act::Fail(error)) => return Err(error),
            Some(Act::ReceiveWithoutInfo) => each(Received {
                source: None,
                arrival: None,
                ..from(9, REQUEST)
            }),
            Some(Act::Receive(payload, host)) => each(from(host, payload)),
            Some(Act::ReceiveThenFail(host, error)) => {
                each(from(host, REQUEST));
                return Err(error);
            }
        }
        Ok(())
    }

    fn filter(&self, _message: &Word, _details: bool) -> io::Result<()> {
        Ok(())
    }

    fn join(&self, link: Link) -> io::Result<()> {
        let mut memberships = self.memberships.borrow_mut();
        memberships.push(format!("+{}", link.index));
        if self.refused.contains(&link.index) {
            return Err(io::Error::other("too many"));
        }
        Ok(())
    }

    fn leave(&self, link: Link) -> io::Result<()> {
        let mut memberships = self.memberships.borrow_mut();
        memberships.push(format!("-{}", link.index));
        Ok(())
    }

    fn send(&mut self, replies: &[Reply], sent: &mut dyn FnMut(&Reply, io::Result<()>)) {
        for reply in replies {
            if let Some(error) = self.sends.pop_front() {
                sent(reply, Err(error));
            } else {
                self.sent.push(reply.clone());
                sent(reply, Ok(()));
            }
        }
    }
}

/// A datagram from this last octet of the network, on interface 2.
fn from(host: u8, payload: &[u8]) -> Received<'_> {
    Received {
        payload,
        truncated: false,
        source: Some(([10, 0, 0, host], 4000).into()),
        arrival: Some(Arrival {
            interface: Some(2),
            ..Arrival::default()
        }),
        kernel_drops: 0,
    }
}

type Listed = io::Result<Vec<Interface>>;

/// An event loop on a failing socket, on virtual time, and the events that it reports.
struct Bench {
    event_loop: EventLoop<FailingSocket>,
    interfaces: Arc<Mutex<Listed>>,
    stats: Arc<LiveStats>,
    events: Arc<Mutex<Vec<String>>>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let interfaces = Arc::new(Mutex::new(Listed::Ok(vec![eth0("10.0.0.1")])));
        let list = Arc::clone(&interfaces);
        let list_interfaces = move || match &*list.lock().unwrap() {
            Ok(interfaces) => Ok(interfaces.clone()),
            Err(error) => Err(io::Error::from(error.kind())),
        };
        let stats = Arc::new(LiveStats::new());
        let mut event_loop = EventLoop::new(
            [(FailingSocket::default(), Some(Family::V4))],
            Responder::new(Config::default(), 9999, [1, 2]).unwrap(),
            InterfaceReader::new(list_interfaces),
            Reporter::new(Arc::clone(&stats), true),
        );
        let now = Instant::now();
        event_loop.start(now, None);
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        event_loop.reporter.set_handler(Box::new(move |event| {
            log.lock().unwrap().push(format!("{event:?}"));
        }));
        Self {
            event_loop,
            interfaces,
            stats,
            events,
            now,
        }
    }

    fn receives(&mut self, acts: impl IntoIterator<Item = Act>) {
        self.event_loop.sockets[0].socket.receives.extend(acts);
    }

    fn step(&mut self) -> Result<Step, RunError> {
        self.event_loop.set_readable(0);
        self.event_loop.step(self.now)
    }

    /// Steps until there is nothing left to receive; the steps' results.
    fn run(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        while !self.event_loop.sockets[0].socket.receives.is_empty() {
            steps.push(self.step().expect("it goes on"));
        }
        steps
    }

    /// A request comes; whether it is answered.
    fn answers(&mut self) -> bool {
        let before = self.event_loop.sockets[0].socket.sent.len();
        self.receives([Act::Receive(REQUEST, 9)]);
        self.run();
        self.event_loop.sockets[0].socket.sent.len() > before
    }

    fn stats(&self) -> Stats {
        self.stats.snapshot()
    }

    fn reported(&self, what: &str) -> bool {
        let events = self.events.lock().unwrap();
        events.iter().any(|event| event.contains(what))
    }
}

fn eth0(address: &str) -> Interface {
    let mut eth0 = Interface::new("eth0", 2);
    eth0.flags.up = true;
    let address = InterfaceAddress::new(address.parse().unwrap(), 24).unwrap();
    eth0.addresses.push(address);
    eth0
}

fn kind(kind: io::ErrorKind) -> Act {
    Act::Fail(kind.into())
}

#[cfg(unix)]
fn code(errno: nix::errno::Errno) -> Act {
    Act::Fail(errno.into())
}

#[test]
fn an_interrupted_receive_is_tried_again() {
    let mut bench = Bench::new();
    bench.receives([kind(io::ErrorKind::Interrupted)]);
    assert_eq!(bench.run(), [Step::More]);
    assert!(bench.answers());
    assert_eq!(bench.stats().counter(Counter::ReceiveErrors), 0);
}

#[test]
fn with_nothing_there_it_waits() {
    assert_eq!(Bench::new().step().unwrap(), Step::Wait);
}

#[test]
#[cfg(unix)]
fn errors_of_earlier_sends_are_counted_and_the_next_request_is_answered() {
    use nix::errno::Errno::{
        EACCES, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETDOWN, ENETUNREACH, EPROTO,
    };
    let errors = [
        ECONNREFUSED,
        EHOSTUNREACH,
        ENETUNREACH,
        ENETDOWN,
        EACCES,
        EPROTO,
        ECONNRESET,
    ];
    for (before, errno) in errors.into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.receives(std::iter::repeat_with(|| code(errno)).take(200));
        let steps = bench.run();
        let (few, many) = steps.split_at(64);
        assert!(few.iter().all(|step| *step == Step::More), "{errno}");
        let longest = Step::BackOff(Duration::from_millis(100));
        assert!(
            many.iter().all(|step| *step == longest),
            "{errno}: no busy loop"
        );
        assert!(bench.answers(), "{errno}, after {before} others");
        assert_eq!(bench.stats().counter(Counter::ReceiveErrors), 200);
    }
}

#[test]
#[cfg(unix)]
fn a_datagram_that_is_too_long_for_the_system_is_dropped() {
    let mut bench = Bench::new();
    bench.receives([code(nix::errno::Errno::EMSGSIZE)]);
    assert_eq!(bench.run(), [Step::More]);
    assert_eq!(bench.stats().dropped(DropReason::TooLong), 1);
    assert!(bench.answers());
}

#[test]
#[cfg(unix)]
fn answers_that_cannot_be_sent_are_dropped_and_counted() {
    use nix::errno::Errno::{
        EACCES, EADDRNOTAVAIL, EAGAIN, EINVAL, ENETDOWN, ENETUNREACH, ENOBUFS, ENOMEM, EPERM,
    };
    let overloaded = [EAGAIN, ENOBUFS, ENOMEM].map(|errno| (errno, Counter::SendOverloaded));
    let refused = [EPERM, EACCES, ENETDOWN, EADDRNOTAVAIL, EINVAL, ENETUNREACH]
        .map(|errno| (errno, Counter::SendRefused));
    for (errno, counter) in overloaded.into_iter().chain(refused) {
        let mut bench = Bench::new();
        bench.now += READ_AGAIN_AFTER;
        let reads = bench.stats().counter(Counter::InterfaceReads);
        bench.event_loop.sockets[0]
            .socket
            .sends
            .push_back(errno.into());
        assert!(!bench.answers(), "{errno}");
        assert_eq!(bench.stats().counter(counter), 1, "{errno}");
        assert!(bench.reported("SendFailed"), "{errno}");
        let read_again = bench.stats().counter(Counter::InterfaceReads) > reads;
        assert_eq!(read_again, counter == Counter::SendRefused, "{errno}");
        assert!(bench.answers(), "{errno}");
    }
}

#[test]
#[cfg(unix)]
fn a_descriptor_that_is_not_a_socket_fails_after_a_few_tries() {
    for errno in [nix::errno::Errno::EBADF, nix::errno::Errno::ENOTSOCK] {
        let mut bench = Bench::new();
        bench.receives(std::iter::repeat_with(|| code(errno)).take(100));
        let mut waits = Vec::new();
        let failed = loop {
            match bench.step() {
                Ok(Step::BackOff(wait)) => waits.push(wait),
                Ok(step) => panic!("{step:?}"),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(failed, RunError::SocketFailed { source } if source.raw_os_error()
            == Some(errno as i32))
        );
        let expected = [1, 2, 4, 8, 16, 32, 64].map(Duration::from_millis);
        assert_eq!(waits, expected);
    }
}

#[test]
fn unknown_errors_are_fatal_only_64_in_a_row() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.receives(std::iter::repeat_with(|| kind(io::ErrorKind::Other)).take(63));
        let longest = Step::BackOff(Duration::from_millis(100));
        assert_eq!(bench.run().last(), Some(&longest));
        assert!(bench.answers());
    }
    bench.receives(std::iter::repeat_with(|| kind(io::ErrorKind::Other)).take(64));
    let failed = std::iter::repeat_with(|| bench.step()).take(64).last();
    assert!(matches!(failed, Some(Err(RunError::SocketFailed { .. }))));
}

/// A request from each of 200 hosts, each followed by an error in the same call.
fn errors_after_datagrams(kind: io::ErrorKind) -> Bench {
    let mut bench = Bench::new();
    let acts = (2..202).map(|host| Act::ReceiveThenFail(host, kind.into()));
    bench.receives(acts);
    bench
}

#[test]
fn errors_of_earlier_sends_between_datagrams_never_slow_the_server() {
    let mut bench = errors_after_datagrams(io::ErrorKind::ConnectionReset);
    assert!(bench.run().iter().all(|step| *step == Step::More));
    assert_eq!(bench.event_loop.sockets[0].socket.sent.len(), 200);
}

#[test]
fn unknown_errors_between_datagrams_never_end_the_server() {
    let mut bench = errors_after_datagrams(io::ErrorKind::Other);
    let shortest = Step::BackOff(Duration::from_millis(1));
    assert!(bench.run().iter().all(|step| *step == shortest));
    assert_eq!(bench.event_loop.sockets[0].socket.sent.len(), 200);
}

#[test]
#[cfg(unix)]
fn a_datagram_that_is_too_long_is_progress() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.receives(std::iter::repeat_with(|| kind(io::ErrorKind::Other)).take(63));
        bench.receives([code(nix::errno::Errno::EMSGSIZE)]);
    }
    bench.run();
    assert!(bench.answers());
}

#[test]
fn a_datagram_without_packet_info_is_dropped() {
    let mut bench = Bench::new();
    bench.receives([Act::ReceiveWithoutInfo]);
    bench.run();
    assert!(bench.event_loop.sockets[0].socket.sent.is_empty());
    assert_eq!(bench.stats().dropped(DropReason::NoPacketInfo), 1);
}

#[test]
fn a_request_that_does_not_fit_the_interfaces_has_them_read_again_once_a_second() {
    let mut bench = Bench::new();
    *bench.interfaces.lock().unwrap() = Ok(vec![eth0("10.7.0.1")]);
    assert!(
        bench.answers(),
        "10.0.0.9 is still on the link, as far as is known"
    );

    bench.receives([Act::Receive(REQUEST, 9)]);
    *bench.interfaces.lock().unwrap() = Ok(vec![]);
    bench.event_loop.read_interfaces(bench.now);
    bench.run();
    assert_eq!(bench.stats().dropped(DropReason::UnknownInterface), 1);

    *bench.interfaces.lock().unwrap() = Ok(vec![eth0("10.0.0.1")]);
    let reads = bench.stats().counter(Counter::InterfaceReads);
    assert!(!bench.answers(), "they were read a moment ago");
    assert_eq!(bench.stats().counter(Counter::InterfaceReads), reads);
    bench.now += READ_AGAIN_AFTER;
    assert!(bench.answers());
    assert_eq!(bench.stats().counter(Counter::InterfaceReads), reads + 1);
}

#[test]
fn where_changes_are_not_reported_a_request_has_old_interfaces_read_again() {
    let mut bench = Bench::new();
    *bench.interfaces.lock().unwrap() = Ok(vec![eth0("10.0.0.8")]);
    let named = |bench: &mut Bench| {
        assert!(bench.answers());
        bench.event_loop.sockets[0]
            .socket
            .sent
            .last()
            .unwrap()
            .local
            .to_string()
    };
    assert_eq!(named(&mut bench), "10.0.0.1", "they were read a moment ago");
    bench.now += STALE_AFTER;
    assert_eq!(named(&mut bench), "10.0.0.8");
}

#[test]
fn without_a_list_of_interfaces_it_works_on_with_the_last() {
    let mut bench = Bench::new();
    *bench.interfaces.lock().unwrap() = Err(io::ErrorKind::Other.into());
    bench.event_loop.read_interfaces(bench.now);
    assert!(bench.reported("InterfacesUnavailable"));
    assert_eq!(bench.stats().counter(Counter::InterfaceErrors), 1);
    assert!(bench.answers());
}

#[test]
fn a_panic_of_the_handler_is_caught_and_the_sixteenth_ends_the_server() {
    let mut bench = Bench::new();
    bench
        .event_loop
        .reporter
        .set_handler(Box::new(|_| std::panic::resume_unwind(Box::new("handler"))));
    for _ in 1..HANDLER_PANICS {
        assert!(bench.answers());
    }
    bench.receives([Act::Receive(REQUEST, 9)]);
    assert!(matches!(bench.step(), Err(RunError::HandlerPanicked)));
    let panics = bench.stats().counter(Counter::HandlerPanics);
    assert_eq!(panics, u64::from(HANDLER_PANICS));
}

#[test]
fn reading_the_interfaces_takes_at_most_a_twentieth_of_the_time() {
    let start = Instant::now();
    let took = Duration::from_millis(25);
    let mut reads = Reads::default();
    let mut count = 0;
    // A route changes and a request arrives every millisecond, for a minute.
    for millis in 0..60_000 {
        let now = start + Duration::from_millis(millis);
        if reads.is_due(now, Duration::ZERO) {
            reads.add(now, took);
            count += 1;
        }
    }
    // A twentieth of a minute, and the burst.
    assert_eq!(count, 60_000 / 20 / 25 + 2);
}

#[test]
fn the_interfaces_are_due_at_the_age_that_is_asked_for() {
    let start = Instant::now();
    let mut reads = Reads::default();
    assert!(reads.is_due(start, STALE_AFTER));
    reads.add(start, Duration::from_micros(100));
    assert!(reads.is_due(start, Duration::ZERO));
    assert!(!reads.is_due(start + Duration::from_millis(999), READ_AGAIN_AFTER));
    assert!(reads.is_due(start + READ_AGAIN_AFTER, READ_AGAIN_AFTER));
}

#[test]
fn a_socket_without_datagrams_is_left_alone_until_it_is_readable() {
    let mut bench = Bench::new();
    let second = Monitored::new(FailingSocket::default(), None);
    bench.event_loop.sockets.push(second);
    assert_eq!(bench.step().unwrap(), Step::Wait);
    let second = &mut bench.event_loop.sockets[1].socket;
    second.receives.push_back(Act::Receive(REQUEST, 9));
    assert_eq!(bench.step().unwrap(), Step::Wait);
    bench.event_loop.set_readable(1);
    assert_eq!(bench.step().unwrap(), Step::Wait);
    let sent = |at: usize| bench.event_loop.sockets[at].socket.sent.len();
    assert_eq!((sent(0), sent(1)), (0, 1), "it answers by the same socket");
}

#[test]
fn a_step_ends_though_datagrams_keep_coming_and_handles_them_in_batches() {
    let mut bench = Bench::new();
    bench.receives((0..=BATCHES).map(|_| Act::Receive(REQUEST, 9)));
    assert_eq!(bench.step().unwrap(), Step::More);
    assert_eq!(bench.event_loop.sockets[0].socket.sent.len(), BATCHES);
    assert_eq!(bench.step().unwrap(), Step::Wait);
    assert_eq!(bench.event_loop.sockets[0].socket.sent.len(), BATCHES + 1);
}

#[test]
fn a_socket_that_fails_does_not_keep_the_other_from_answering() {
    let mut bench = Bench::new();
    let mut failing = FailingSocket::default();
    let errors = std::iter::repeat_with(|| Act::Fail(io::ErrorKind::OutOfMemory.into()));
    failing.receives.extend(errors.take(3));
    bench.event_loop.sockets.push(Monitored::new(failing, None));
    bench.receives([Act::Receive(REQUEST, 9)]);
    for pause in [1, 2] {
        let pause = Duration::from_millis(pause);
        assert_eq!(bench.step().unwrap(), Step::BackOff(pause));
    }
    assert_eq!(bench.event_loop.sockets[0].socket.sent.len(), 1);
}

// FAULTS R43

/// An interface that is up.
fn up(name: &str, index: u32, address: &str) -> Interface {
    let mut interface = Interface::new(name, index);
    interface.flags.up = true;
    let address = InterfaceAddress::new(address.parse().unwrap(), 24).unwrap();
    interface.addresses.push(address);
    interface
}

impl Bench {
    /// Has the interfaces read. Returns how the memberships change.
    fn changes_to(&mut self, interfaces: impl IntoIterator<Item = Interface>) -> Vec<String> {
        *self.interfaces.lock().unwrap() = Ok(interfaces.into_iter().collect());
        self.event_loop.read_interfaces(self.now);
        let socket = &self.event_loop.sockets[0].socket;
        socket.memberships.take()
    }
}

#[test]
fn a_group_is_joined_once_where_an_interface_is_up_and_left_where_it_goes() {
    let mut bench = Bench::new();
    assert_eq!(bench.changes_to([]), ["+2", "-2"]);
    let mut lo = up("lo", 1, "127.0.0.1");
    lo.flags.loopback = true;
    let mut down = up("eth1", 3, "10.1.0.1");
    down.flags.up = false;
    let bridge = up("docker0", 4, "172.17.0.1");
    let wlan0 = up("wlan0", 5, "10.2.0.1");
    let ipv6_only = up("eth6", 6, "fe80::1");
    let all = [lo, down.clone(), bridge.clone(), wlan0.clone(), ipv6_only];
    assert_eq!(bench.changes_to(all.clone()), ["+5", "+4"]);
    assert_eq!(bench.changes_to(all), [""; 0], "no duplicates");
    down.flags.up = true;
    assert_eq!(bench.changes_to([down, bridge.clone()]), ["-5", "+3"]);
    assert_eq!(bench.changes_to([bridge, wlan0]), ["-3", "+5"]);
}

#[test]
fn a_refused_membership_is_reported_once_and_tried_again() {
    let mut bench = Bench::new();
    bench.event_loop.sockets[0].socket.refused = vec![3];
    let eth = || [up("eth0", 2, "10.0.0.1"), up("eth1", 3, "10.1.0.1")];
    assert_eq!(bench.changes_to(eth()), ["+2", "+3"]);
    assert_eq!(bench.changes_to(eth()), ["+3"]);
    bench.event_loop.sockets[0].socket.refused.clear();
    assert_eq!(bench.changes_to(eth()), ["+3"]);
    assert_eq!(bench.changes_to(eth()), [""; 0]);
    let events = bench.events.lock().unwrap();
    let reports = events
        .iter()
        .filter(|it| it.starts_with("MulticastUnavailable"));
    let reports: Vec<_> = reports.collect();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("eth1"), "{reports:?}");
}

#[test]
fn a_group_is_left_and_joined_again_where_another_interface_has_the_index() {
    let mut bench = Bench::new();
    let eth = || [up("eth0", 2, "10.0.0.1"), up("eth1", 3, "10.1.0.1")];
    bench.changes_to(eth());
    bench.event_loop.interfaces.gone.indices = vec![3, 9];
    assert_eq!(bench.changes_to(eth()), ["-3", "+3"]);
    assert_eq!(bench.changes_to(eth()), [""; 0], "once");
    bench.event_loop.interfaces.gone.any = true;
    assert_eq!(bench.changes_to(eth()), ["-2", "-3", "+2", "+3"]);
}
