//! What a server does when its socket is ready: receive, decide, answer. Both faces, the
//! blocking one and tokio's, wait for the socket and then call this.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use udp_discovery_protocol::{Interface, ReceiveErrorKind, SendErrorKind};

use crate::error::RunError;
use crate::event::Event;
use crate::responder::{Datagram, Reply, Responder};
use crate::stats::{Counter, DropReason, LiveStats};
use crate::transport::{Arrived, Transport};

/// How often at the most the interfaces are read because something didn't fit them.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How old the interfaces may be when a request comes, where the system doesn't tell of changes.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// How often in a row receiving may fail for a reason that isn't known.
const UNKNOWN_FAILURES: u32 = 64;
/// How often in a row it may fail because the socket is no socket.
const BROKEN_FAILURES: u32 = 8;
/// How long to wait after a failure: doubled with each, from the first to the last of these.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));
/// How many panics of the event handler end the server, unless an hour passes between two.
const HANDLER_PANICS: u32 = 16;
const PANICS_FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

/// The caller's event handler.
pub(crate) type Handler = Box<dyn FnMut(&Event<'_>) + Send>;
/// Where the interfaces come from.
pub(crate) type ListInterfaces = Box<dyn FnMut() -> io::Result<Vec<Interface>> + Send>;

/// What to do after a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take another: there may be more.
    More,
    /// Wait until the socket is ready again.
    Wait,
    /// Wait that long, then try again.
    BackOff(Duration),
}

pub(crate) struct Engine<T> {
    transport: T,
    desk: Desk,
    replies: Vec<Reply>,
    failures: u32,
    /// How many errors of earlier sends came in a row.
    harmless: u32,
}

/// Everything but the socket.
struct Desk {
    responder: Responder,
    list_interfaces: ListInterfaces,
    interfaces_read: Option<Instant>,
    /// Whether the system tells when the interfaces or addresses change.
    changes_are_told: bool,
    stats: Arc<LiveStats>,
    handler: Option<Handler>,
    handler_panics: u32,
    last_panic: Option<Instant>,
}

impl<T: Transport> Engine<T> {
    pub(crate) fn new(
        transport: T,
        responder: Responder,
        list_interfaces: ListInterfaces,
        stats: Arc<LiveStats>,
    ) -> Self {
        let desk = Desk {
            responder,
            list_interfaces,
            interfaces_read: None,
            changes_are_told: false,
            stats,
            handler: None,
            handler_panics: 0,
            last_panic: None,
        };
        Self {
            transport,
            desk,
            replies: Vec::new(),
            failures: 0,
            harmless: 0,
        }
    }

    pub(crate) fn responder(&self) -> &Responder {
        &self.desk.responder
    }

    pub(crate) fn set_handler(&mut self, handler: Handler) {
        self.desk.handler = Some(handler);
    }

    /// From now on [`read_interfaces`](Self::read_interfaces) is called when they change.
    #[cfg(target_os = "linux")]
    pub(crate) fn changes_are_told(&mut self) {
        self.desk.changes_are_told = true;
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn tell(&mut self, event: &Event<'_>) {
        self.desk.tell(event);
    }

    /// Reads the interfaces: before the first step, and when the system says that they changed.
    pub(crate) fn read_interfaces(&mut self, now: Instant) {
        self.desk.read_interfaces(now);
    }

    /// Answers one batch of what is there.
    ///
    /// # Errors
    /// [`RunError`], if it makes no sense to go on.
    pub(crate) fn step(&mut self, now: Instant) -> Result<Step, RunError> {
        let Self {
            transport,
            desk,
            replies,
            ..
        } = self;
        let mut progress = false;
        let received = transport.receive(&mut |arrived| {
            progress = true;
            desk.take_in(now, arrived, replies);
        });
        if progress {
            self.forget_failures();
        }
        self.send_replies(now);
        if self.desk.handler_panics >= HANDLER_PANICS {
            return Err(RunError::HandlerPanicked);
        }
        match received {
            Ok(kernel_drops) => {
                self.desk.stats.add(Counter::KernelDrops, kernel_drops);
                Ok(Step::More)
            }
            Err(error) => self.receive_failed(error),
        }
    }

    fn send_replies(&mut self, now: Instant) {
        let Self {
            transport,
            desk,
            replies,
            ..
        } = self;
        // What leaves from one address can go in one call.
        replies.sort_by_key(|reply| (reply.local, reply.interface));
        let mut refused = false;
        transport.send(replies, &mut |reply, result| {
            refused |= desk.sent(reply, result);
        });
        replies.clear();
        if refused {
            desk.read_interfaces_again(now);
        }
    }

    /// The socket works: what failed before was not in a row with what may fail next.
    fn forget_failures(&mut self) {
        self.failures = 0;
        self.harmless = 0;
    }

    fn receive_failed(&mut self, error: io::Error) -> Result<Step, RunError> {
        let allowed = match ReceiveErrorKind::of(&error) {
            ReceiveErrorKind::Interrupted => return Ok(Step::More),
            ReceiveErrorKind::WouldBlock => {
                self.forget_failures();
                return Ok(Step::Wait);
            }
            ReceiveErrorKind::TooLong => {
                self.forget_failures();
                self.desk.stats.count(Counter::Received);
                self.desk.dropped(None, DropReason::TooLong, &[]);
                return Ok(Step::More);
            }
            ReceiveErrorKind::EarlierSend => {
                self.desk.receive_failed(&error);
                self.harmless += 1;
                // Sends can't have left so many: the system refuses, and may go on to.
                let lasting = self.harmless > UNKNOWN_FAILURES;
                return Ok(if lasting {
                    Step::BackOff(BACK_OFF.1)
                } else {
                    Step::More
                });
            }
            ReceiveErrorKind::NotASocket => BROKEN_FAILURES,
            _ => UNKNOWN_FAILURES,
        };
        self.desk.receive_failed(&error);
        self.failures += 1;
        if self.failures >= allowed {
            return Err(RunError::SocketFailed { source: error });
        }
        let (first, last) = BACK_OFF;
        let doublings = (self.failures - 1).min(16);
        Ok(Step::BackOff((first * 2_u32.pow(doublings)).min(last)))
    }
}

impl Desk {
    fn take_in(&mut self, now: Instant, arrived: Arrived<'_>, replies: &mut Vec<Reply>) {
        self.stats.count(Counter::Received);
        let datagram = match arrived {
            Arrived::Datagram(datagram) => datagram,
            Arrived::NoPacketInfo { source, payload } => {
                return self.dropped(source, DropReason::NoPacketInfo, payload);
            }
        };
        match self.decide(now, &datagram) {
            Ok(reply) => replies.push(reply),
            Err(reason) => self.dropped(Some(datagram.source), reason, datagram.payload),
        }
    }

    /// Decides; if the datagram doesn't fit the interfaces that are known, they are read again.
    fn decide(&mut self, now: Instant, datagram: &Datagram<'_>) -> Result<Reply, DropReason> {
        if !self.changes_are_told {
            self.read_interfaces_if_older(now, STALE_AFTER);
        }
        match self.responder.handle_datagram(now, datagram) {
            Err(
                DropReason::UnknownInterface | DropReason::NoLocalAddress | DropReason::OffLink,
            ) if self.read_interfaces_again(now) => self.responder.handle_datagram(now, datagram),
            decided => decided,
        }
    }

    /// Counts and tells what became of a reply; whether its address or route may be gone.
    fn sent(&mut self, reply: &Reply, result: io::Result<()>) -> bool {
        let Err(error) = result else {
            self.stats.count(Counter::Answered);
            self.tell(&Event::Answered {
                client: reply.destination,
                response: reply.response,
                local: reply.local,
            });
            return false;
        };
        let refused = SendErrorKind::of(&error) == SendErrorKind::Refused;
        self.stats.count(if refused {
            Counter::SendRefused
        } else {
            Counter::SendOverloaded
        });
        self.tell(&Event::SendFailed {
            client: reply.destination,
            error: &error,
        });
        refused
    }

    fn dropped(&mut self, source: Option<SocketAddr>, reason: DropReason, payload: &[u8]) {
        self.stats.count_drop(reason);
        self.tell(&Event::Dropped {
            source,
            reason,
            payload,
        });
    }

    fn receive_failed(&mut self, error: &io::Error) {
        self.stats.count(Counter::ReceiveErrors);
        self.tell(&Event::ReceiveFailed { error });
    }

    /// Reads the interfaces unless that was done a moment ago; whether they are other ones now.
    fn read_interfaces_again(&mut self, now: Instant) -> bool {
        self.read_interfaces_if_older(now, READ_AGAIN_AFTER)
    }

    fn read_interfaces_if_older(&mut self, now: Instant, age: Duration) -> bool {
        let due = self
            .interfaces_read
            .is_none_or(|read| now.saturating_duration_since(read) >= age);
        due && self.read_interfaces(now)
    }

    /// Reads the interfaces; whether they are other ones now.
    fn read_interfaces(&mut self, now: Instant) -> bool {
        self.interfaces_read = Some(now);
        self.stats.count(Counter::InterfaceReads);
        match (self.list_interfaces)() {
            Ok(interfaces) => {
                let changed = self.responder.set_interfaces(interfaces);
                if changed {
                    self.tell(&Event::InterfacesChanged);
                }
                changed
            }
            Err(error) => {
                self.stats.count(Counter::InterfaceErrors);
                self.tell(&Event::InterfacesUnavailable { error: &error });
                false
            }
        }
    }

    /// Calls the event handler. A panic in it is caught: a log must not end the service.
    fn tell(&mut self, event: &Event<'_>) {
        if let Some(handler) = &mut self.handler
            && catch_unwind(AssertUnwindSafe(|| handler(event))).is_err()
        {
            self.stats.count(Counter::HandlerPanics);
            let now = Instant::now();
            let long_ago = self
                .last_panic
                .is_none_or(|last| now.saturating_duration_since(last) > PANICS_FORGOTTEN_AFTER);
            self.handler_panics = if long_ago { 1 } else { self.handler_panics + 1 };
            self.last_panic = Some(now);
        }
    }
}

#[cfg(test)]
mod tests;
