//! What a server does when its socket is readable: receive, decide, reply. The blocking server and
//! the one on tokio wait for the socket and then call [`EventLoop::step`].

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use udp_discovery_protocol::{Interface, ReceiveErrorKind, SendErrorKind};

use crate::error::RunError;
use crate::event::Event;
use crate::memberships::Memberships;
use crate::reporter::Reporter;
use crate::responder::{Datagram, Reply, Responder};
use crate::stats::{Counter, DropReason};
use crate::sys::{BATCH, Changes, Family, GoneLinks, Received, Transport};

/// How many errors in a row receiving may fail with for an unknown reason.
const UNKNOWN_FAILURES: u32 = 64;
/// How many errors in a row it may fail with because the descriptor is not a socket.
const BROKEN_FAILURES: u32 = 8;
/// The first and the longest pause after a failure. Each failure doubles it.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// How many batches of each socket are handled in a step. What a server does between two steps takes
/// system calls.
const BATCHES: usize = 4;

/// What to do after a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take another step: there may be more datagrams.
    More,
    /// Wait until the socket is readable.
    Wait,
    /// Pause, then take another step.
    BackOff(Duration),
}

/// The server without what it waits with.
pub(crate) struct EventLoop<T> {
    sockets: Vec<Monitored<T>>,
    responder: Responder,
    interfaces: InterfaceReader,
    pub(crate) reporter: Reporter,
    /// The replies to one batch, with room for all of them.
    replies: Vec<Reply>,
}

/// A socket, and how receiving from it goes.
struct Monitored<T> {
    socket: T,
    /// `None` if it joins no multicast group.
    memberships: Option<Memberships>,
    /// Whether there may be datagrams.
    readable: bool,
    /// Consecutive failures to receive.
    failures: u32,
    /// Consecutive errors of earlier sends.
    earlier_sends: u32,
}

impl<T: Transport> EventLoop<T> {
    /// An event loop on `sockets`, each with the family whose multicast group it joins.
    pub(crate) fn new(
        sockets: impl IntoIterator<Item = (T, Option<Family>)>,
        responder: Responder,
        interfaces: InterfaceReader,
        reporter: Reporter,
    ) -> Self {
        Self {
            sockets: sockets
                .into_iter()
                .map(|(socket, group)| Monitored::new(socket, group))
                .collect(),
            responder,
            interfaces,
            reporter,
            replies: Vec::with_capacity(BATCH),
        }
    }

    /// Attaches the kernel filter, unless the configuration says not to.
    pub(crate) fn filter_in_kernel(&self) -> io::Result<()> {
        let config = self.responder.config();
        if !config.kernel_filter() {
            return Ok(());
        }
        let message = config.settings().codec().message();
        let details = self.responder.offers_details();
        self.sockets
            .iter()
            .try_for_each(|it| it.socket.filter(message, details))
    }

    /// Records that the socket at `index` may have datagrams.
    pub(crate) fn set_readable(&mut self, index: usize) {
        self.sockets[index].readable = true;
    }

    pub(crate) fn responder(&self) -> &Responder {
        &self.responder
    }

    /// Reads the interfaces, once before the first step, with notifications of `changes` from then
    /// on if the system has them.
    pub(crate) fn start(&mut self, now: Instant, changes: Option<Changes>) {
        self.interfaces.changes = changes;
        self.read_interfaces(now);
    }

    /// Reads the interfaces after a notification that a link or an address has changed.
    pub(crate) fn read_interfaces(&mut self, now: Instant) {
        self.interfaces
            .read(now, &mut self.responder, &mut self.reporter);
        self.update_memberships();
    }

    /// After the interfaces were read.
    fn update_memberships(&mut self) {
        self.interfaces.fresh = false;
        let gone = mem::take(&mut self.interfaces.gone);
        let interfaces = self.responder.interfaces();
        for Monitored {
            socket,
            memberships,
            ..
        } in &mut self.sockets
        {
            if let Some(memberships) = memberships {
                memberships.update(socket, interfaces, &gone, &mut self.reporter);
            }
        }
    }

    /// Handles at most [`BATCHES`] batches of each socket.
    ///
    /// # Errors
    /// [`RunError`], if the server cannot go on.
    pub(crate) fn step(&mut self, now: Instant) -> Result<Step, RunError> {
        self.interfaces.checked = false;
        let mut next = Step::Wait;
        for at in 0..self.sockets.len() {
            if self.sockets[at].readable {
                next = next.or_sooner(self.serve(at, now)?);
            }
        }
        if self.interfaces.fresh {
            self.update_memberships();
        }
        Ok(next)
    }

    /// Receives datagrams of the socket at `at` and sends the replies to them, a batch at a time.
    fn serve(&mut self, at: usize, now: Instant) -> Result<Step, RunError> {
        for _ in 0..BATCHES {
            let received = self.receive(at, now);
            self.send_replies(at, now);
            if self.reporter.panicked_too_often() {
                return Err(RunError::HandlerPanicked);
            }
            if let Err(error) = received {
                return self.sockets[at].receive_failed(error, &mut self.reporter);
            }
        }
        Ok(Step::More)
    }

    fn receive(&mut self, at: usize, now: Instant) -> io::Result<()> {
        let Self {
            sockets,
            responder,
            interfaces,
            reporter,
            replies,
            ..
        } = self;
        let mut progress = false;
        let result = sockets[at].socket.receive(&mut |received| {
            if !progress && interfaces.may_have_changed(now) {
                interfaces.read(now, responder, reporter);
            }
            progress = true;
            if let Some(reply) = handle(now, &received, responder, interfaces, reporter) {
                replies.push(reply);
            }
        });
        if progress {
            sockets[at].forget_failures();
        }
        result
    }

    fn send_replies(&mut self, at: usize, now: Instant) {
        let reporter = &mut self.reporter;
        let mut refused = false;
        let socket = &mut self.sockets[at].socket;
        socket.send(&self.replies, &mut |reply, result| {
            refused |= report_sent(reporter, reply, result);
        });
        self.replies.clear();
        if refused && self.interfaces.is_due(now, READ_AGAIN_AFTER) {
            self.read_interfaces(now);
        }
    }
}

impl Step {
    /// The step that comes sooner.
    fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::More, _) | (_, Self::More) => Self::More,
            (Self::BackOff(a), Self::BackOff(b)) => Self::BackOff(a.min(b)),
            (Self::BackOff(pause), Self::Wait) | (Self::Wait, Self::BackOff(pause)) => {
                Self::BackOff(pause)
            }
            (Self::Wait, Self::Wait) => Self::Wait,
        }
    }
}

impl<T> Monitored<T> {
    fn new(socket: T, group: Option<Family>) -> Self {
        Self {
            socket,
            memberships: group.map(Memberships::new),
            readable: true,
            failures: 0,
            earlier_sends: 0,
        }
    }

    fn forget_failures(&mut self) {
        self.failures = 0;
        self.earlier_sends = 0;
    }

    fn receive_failed(
        &mut self,
        error: io::Error,
        reporter: &mut Reporter,
    ) -> Result<Step, RunError> {
        let allowed = match ReceiveErrorKind::of(&error) {
            ReceiveErrorKind::Interrupted => return Ok(Step::More),
            ReceiveErrorKind::WouldBlock => {
                self.forget_failures();
                self.readable = false;
                return Ok(Step::Wait);
            }
            ReceiveErrorKind::TooLong => {
                self.forget_failures();
                reporter.count(Counter::Received);
                reporter.dropped(None, DropReason::TooLong, &[]);
                return Ok(Step::More);
            }
            ReceiveErrorKind::EarlierSend => {
                reporter.receive_failed(&error);
                self.earlier_sends += 1;
                // So many errors cannot belong to earlier sends.
                return Ok(if self.earlier_sends > UNKNOWN_FAILURES {
                    Step::BackOff(BACK_OFF.1)
                } else {
                    Step::More
                });
            }
            ReceiveErrorKind::NotASocket => BROKEN_FAILURES,
            _ => UNKNOWN_FAILURES,
        };
        reporter.receive_failed(&error);
        self.failures += 1;
        if self.failures >= allowed {
            return Err(RunError::SocketFailed { source: error });
        }
        let (first, longest) = BACK_OFF;
        let doublings = (self.failures - 1).min(16);
        Ok(Step::BackOff((first * 2_u32.pow(doublings)).min(longest)))
    }
}

/// Counts and reports the result of sending `reply`. Returns whether the system refused to send it.
fn report_sent(reporter: &mut Reporter, reply: &Reply, result: io::Result<()>) -> bool {
    let Err(error) = result else {
        let Reply {
            destination: client,
            response,
            local,
            ..
        } = *reply;
        if reply.details {
            reporter.count(Counter::DetailsAnswered);
            reporter.report(&Event::DetailsAnswered {
                client,
                response,
                local,
            });
        } else {
            reporter.count(Counter::Answered);
            reporter.report(&Event::Answered {
                client,
                response,
                local,
            });
        }
        return false;
    };
    let refused = SendErrorKind::of(&error) == SendErrorKind::Refused;
    reporter.count(if refused {
        Counter::SendRefused
    } else {
        Counter::SendOverloaded
    });
    reporter.report(&Event::SendFailed {
        client: reply.destination,
        error: &error,
    });
    refused
}

/// Decides about one datagram, and counts and reports it if it is dropped.
fn handle(
    now: Instant,
    received: &Received<'_>,
    responder: &mut Responder,
    interfaces: &mut InterfaceReader,
    reporter: &mut Reporter,
) -> Option<Reply> {
    reporter.count(Counter::Received);
    reporter.add(Counter::KernelDrops, received.kernel_drops.into());
    let (Some(source), Some(arrival)) = (received.source, received.arrival) else {
        reporter.dropped(received.source, DropReason::NoPacketInfo, received.payload);
        return None;
    };
    let datagram = Datagram {
        payload: received.payload,
        truncated: received.truncated,
        source,
        arrival,
    };
    let mut decision = responder.handle_datagram(now, &datagram);
    let pause = if interfaces.failed {
        Duration::ZERO
    } else {
        READ_AGAIN_AFTER
    };
    if responder.needs_interfaces()
        && interfaces.is_due(now, pause)
        && interfaces.read(now, responder, reporter)
    {
        decision = responder.handle_datagram(now, &datagram);
    }
    decision
        .inspect_err(|reason| reporter.dropped(Some(source), *reason, datagram.payload))
        .ok()
}

/// How old the interfaces must be before a datagram that does not fit them, or a reply that the
/// system refuses, makes the server read them again.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How old the interfaces may be where the system reports no changes.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// Reading the interfaces takes at most one part in so many of the time, unless a link or an
/// address changes. A router with a full table of the internet's routes takes 25 ms for it.
const READING_SHARE: u32 = 20;
/// How much of the pauses between reads may be skipped after a quiet time.
const READING_BURST: Duration = Duration::from_secs(1);

/// Lists the interfaces of the system.
type List = Box<dyn FnMut() -> io::Result<Vec<Interface>> + Send>;

/// Reads the interfaces, and decides when to read them again.
pub(crate) struct InterfaceReader {
    list: List,
    changes: Option<Changes>,
    reads: Reads,
    /// Whether the last read failed.
    failed: bool,
    /// Whether this step has asked for changes.
    checked: bool,
    /// Whether they were read since the memberships were updated.
    fresh: bool,
    /// Those that are gone since then.
    gone: GoneLinks,
}

/// When the interfaces were read, and when the share of the time for it permits the next read: a
/// leaky bucket.
#[derive(Debug, Default)]
struct Reads {
    last: Option<Instant>,
    /// When the pauses after all reads are over.
    paused_until: Option<Instant>,
}

impl Reads {
    fn add(&mut self, now: Instant, took: Duration) {
        self.last = Some(now);
        let from = self.paused_until.map_or(now, |until| until.max(now));
        self.paused_until = Some(from + took * READING_SHARE);
    }

    /// Whether the interfaces are at least `age` old, and may be read again.
    fn is_due(&self, now: Instant, age: Duration) -> bool {
        let old = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= age);
        let permitted = self
            .paused_until
            .is_none_or(|until| until <= now + READING_BURST);
        old && permitted
    }
}

impl InterfaceReader {
    pub(crate) fn new(list: impl FnMut() -> io::Result<Vec<Interface>> + Send + 'static) -> Self {
        Self {
            list: Box::new(list),
            changes: None,
            reads: Reads::default(),
            failed: false,
            checked: false,
            fresh: false,
            gone: GoneLinks::default(),
        }
    }

    fn is_due(&self, now: Instant, age: Duration) -> bool {
        self.reads.is_due(now, age)
    }

    /// Whether a request that arrives now should have the interfaces read first. It asks the system
    /// once in a step.
    fn may_have_changed(&mut self, now: Instant) -> bool {
        if mem::replace(&mut self.checked, true) {
            return false;
        }
        match &self.changes {
            Some(changes) => self.is_due(now, Duration::ZERO) && changes.routes_changed(),
            None => self.is_due(now, STALE_AFTER),
        }
    }

    /// Reads the interfaces. Returns whether they have changed.
    fn read(&mut self, now: Instant, responder: &mut Responder, reporter: &mut Reporter) -> bool {
        if let Some(changes) = &self.changes {
            // Before listing, so that a change during it counts.
            changes.drain(&mut self.gone);
        }
        let first = self.reads.last.is_none();
        let started = Instant::now();
        let listed = (self.list)();
        self.reads.add(now, started.elapsed());
        self.failed = listed.is_err();
        reporter.count(Counter::InterfaceReads);
        match listed {
            Ok(interfaces) => {
                self.fresh = true;
                let changed = responder.set_interfaces(interfaces);
                if changed && !first {
                    reporter.report(&Event::InterfacesChanged);
                }
                changed
            }
            Err(error) => {
                reporter.count(Counter::InterfaceErrors);
                reporter.report(&Event::InterfacesUnavailable { error: &error });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
