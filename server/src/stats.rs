//! Counters of all that a server does, and why it drops what it drops.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes an enum of counters: its variants, each with a name for people, and an array of all.
macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in the order in which they are printed.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// A name of a few words.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

counters! {
    /// Why a datagram is not answered.
    DropReason {
        /// It has no bytes.
        Empty => "empty",
        /// It is longer than any valid one, or than the receive buffer.
        TooLong => "too long",
        /// It is not the request, to the byte.
        NotRequest => "not the request",
        /// It is a response; a server answers none.
        IsResponse => "a response",
        /// Its source port is 0, to which nothing can be sent.
        SourcePortZero => "source port 0",
        /// Its source is unspecified, broadcast, multicast or reserved.
        SourceNotAHost => "source not a host",
        /// Its source is a loopback address, but it came by a real interface.
        SourceLoopback => "loopback source from a network",
        /// Its source is this server's own socket.
        SourceIsSelf => "source is this server",
        /// Its source is in no network of the interface it came by, and isn't allowed.
        OffLink => "source not on the link",
        /// It came by an interface that is not known, or not any more.
        UnknownInterface => "interface not known",
        /// This host has no address there to name.
        NoLocalAddress => "no address to name",
        /// Its source has had its share of answers for now.
        RateLimited => "source over its limit",
        /// All sources together have had theirs.
        TotalLimited => "over the limit in total",
        /// The system didn't tell where it arrived.
        NoPacketInfo => "arrival not told",
    }
}

impl std::error::Error for DropReason {}

counters! {
    /// What else is counted.
    Counter {
        /// Datagrams that were received.
        Received => "received",
        /// Answers that were sent.
        Answered => "answered",
        /// Answers that the system had no room for (`ENOBUFS`, `ENOMEM`, `EAGAIN`).
        SendOverloaded => "answers without room to send",
        /// Answers that the system refused to send for another reason.
        SendRefused => "answers refused by the system",
        /// Datagrams that the kernel dropped: what is not the request, and what the receive buffer
        /// had no room for (`SO_RXQ_OVFL`, socket(7); Linux alone). It is told with the next
        /// datagram that comes through.
        KernelDrops => "dropped by the kernel",
        /// Errors on receiving that belong to an earlier send or pass by themselves.
        ReceiveErrors => "receive errors",
        /// How often the list of interfaces was read.
        InterfaceReads => "interface lists read",
        /// How often the system couldn't give that list.
        InterfaceErrors => "interface lists failed",
        /// Panics in the event handler.
        HandlerPanics => "panics of the event handler",
    }
}

/// What a server has done so far. A snapshot: it stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    counters: [u64; Counter::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// How many datagrams were received.
    pub fn received(&self) -> u64 {
        self.counter(Counter::Received)
    }

    /// How many answers were sent.
    pub fn answered(&self) -> u64 {
        self.counter(Counter::Answered)
    }

    /// How often `counter` was counted.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// How many datagrams were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many datagrams were dropped for whatever reason.
    pub fn dropped_in_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

/// One line: what was received and answered, then every other count that isn't 0.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for counter in Counter::ALL {
            let count = self.counter(*counter);
            let always = matches!(counter, Counter::Received | Counter::Answered);
            if always || count > 0 {
                let comma = if *counter == Counter::Received {
                    ""
                } else {
                    ", "
                };
                write!(f, "{comma}{counter}: {count}")?;
            }
        }
        for reason in DropReason::ALL {
            let count = self.dropped(*reason);
            if count > 0 {
                write!(f, ", dropped ({reason}): {count}")?;
            }
        }
        Ok(())
    }
}

/// The counters themselves: one thread counts, others look.
#[derive(Debug)]
pub(crate) struct LiveStats {
    counters: [AtomicU64; Counter::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl LiveStats {
    pub(crate) fn new() -> Self {
        Self {
            counters: [const { AtomicU64::new(0) }; Counter::ALL.len()],
            dropped: [const { AtomicU64::new(0) }; DropReason::ALL.len()],
        }
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: Counter, count: u64) {
        self.counters[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count_drop(&self, reason: DropReason) {
        self.dropped[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            counters: std::array::from_fn(|at| self.counters[at].load(Ordering::Relaxed)),
            dropped: std::array::from_fn(|at| self.dropped[at].load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_counts_by_itself() {
        let live = LiveStats::new();
        for (times, reason) in DropReason::ALL.iter().enumerate() {
            (0..=times).for_each(|_| live.count_drop(*reason));
        }
        live.count(Counter::Answered);
        let stats = live.snapshot();
        for (times, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(stats.dropped(*reason), times as u64 + 1);
        }
        assert_eq!(stats.answered(), 1);
        assert_eq!(stats.received(), 0);
    }

    #[test]
    fn what_was_never_counted_is_not_printed() {
        let live = LiveStats::new();
        live.count(Counter::Received);
        live.count_drop(DropReason::Empty);
        let text = live.snapshot().to_string();
        assert_eq!(text, "received: 1, answered: 0, dropped (empty): 1");
    }
}
