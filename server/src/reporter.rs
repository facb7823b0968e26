//! Counts what happens and reports it: to the event handler, and with the feature `tracing` to the
//! application's subscriber.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::stats::{Counter, DropReason, LiveStats};

/// How many panics of the event handler end the server, unless an hour passes between two.
pub(crate) const HANDLER_PANICS: u32 = 16;
const PANICS_FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// The caller's event handler.
pub(crate) type Handler = Box<dyn FnMut(&Event<'_>) + Send>;

pub(crate) struct Reporter {
    stats: Arc<LiveStats>,
    handler: Option<Handler>,
    #[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "for tracing"))]
    logging: bool,
    handler_panics: u32,
    last_panic: Option<Instant>,
}

impl Reporter {
    /// A reporter that logs, with the feature `tracing`, if `logging` is set.
    pub(crate) fn new(stats: Arc<LiveStats>, logging: bool) -> Self {
        Self {
            stats,
            handler: None,
            logging,
            handler_panics: 0,
            last_panic: None,
        }
    }

    pub(crate) fn set_handler(&mut self, handler: Handler) {
        self.handler = Some(handler);
    }

    pub(crate) fn panicked_too_often(&self) -> bool {
        self.handler_panics >= HANDLER_PANICS
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.stats.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: Counter, count: u64) {
        if count > 0 {
            self.stats.add(counter, count);
        }
    }

    pub(crate) fn dropped(
        &mut self,
        source: Option<SocketAddr>,
        reason: DropReason,
        payload: &[u8],
    ) {
        self.stats.count_drop(reason);
        self.report(&Event::Dropped {
            source,
            reason,
            payload,
        });
    }

    pub(crate) fn receive_failed(&mut self, error: &io::Error) {
        self.count(Counter::ReceiveErrors);
        self.report(&Event::ReceiveFailed { error });
    }

    /// Calls the event handler. A panic in it is caught: a failing log must not end the server.
    pub(crate) fn report(&mut self, event: &Event<'_>) {
        #[cfg(feature = "tracing")]
        if self.logging {
            trace(event);
        }
        if let Some(handler) = &mut self.handler
            && catch_unwind(AssertUnwindSafe(|| handler(event))).is_err()
        {
            self.count(Counter::HandlerPanics);
            let now = Instant::now();
            let long_ago = self
                .last_panic
                .is_none_or(|last| now.saturating_duration_since(last) > PANICS_FORGOTTEN_AFTER);
            self.handler_panics = if long_ago { 1 } else { self.handler_panics + 1 };
            self.last_panic = Some(now);
        }
    }
}

/// Emits a tracing event. What anybody on the network can cause has the level `debug`; what the
/// operator of this host can mend is a warning.
#[cfg(feature = "tracing")]
fn trace(event: &Event<'_>) {
    use tracing::{debug, info, warn};

    use crate::event::Escaped;

    match event {
        Event::Answered {
            client,
            response,
            local,
        } => debug!(%client, %response, %local, "answered a request"),
        Event::DetailsAnswered {
            client,
            response,
            local,
        } => debug!(%client, %response, %local, "answered a request for details"),
        Event::Dropped {
            source,
            reason,
            payload,
        } => debug!(
            source = source.map(tracing::field::display),
            %reason,
            payload = %Escaped(payload),
            "dropped a datagram"
        ),
        Event::SendFailed { client, error } => debug!(%client, %error, "could not send an answer"),
        Event::ReceiveFailed { error } => warn!(%error, "could not receive"),
        Event::InterfacesChanged => info!("the interfaces have changed"),
        Event::InterfacesUnavailable { error } => warn!(%error, "cannot list the interfaces"),
        Event::Ipv6Unavailable { error } => warn!(%error, "cannot answer on IPv6"),
        Event::MulticastUnavailable {
            interface,
            group,
            error,
        } => warn!(interface, %group, %error, "cannot join a multicast group"),
        Event::KernelFilterUnavailable { error } => {
            warn!(%error, "cannot filter datagrams in the kernel");
        }
        Event::ChangesUnavailable { error } => {
            warn!(%error, "cannot watch for changes of addresses and routes");
        }
    }
}
