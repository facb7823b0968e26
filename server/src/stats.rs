//! Counters of what a server does, and the reasons for dropping datagrams.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Defines an enum of counters, with a name for each variant and an array of all variants.
macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All variants, in the order in which [`Stats`] prints them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name, in a few words.
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
    /// Why a datagram is dropped.
    DropReason {
        /// It has no bytes.
        Empty => "empty",
        /// It is longer than any valid datagram, or than the receive buffer.
        TooLong => "too long",
        /// It is not exactly the request.
        NotRequest => "not the request",
        /// It is a response.
        IsResponse => "a response",
        /// Its source port is 0, which cannot be sent to.
        SourcePortZero => "source port 0",
        /// Its source is unspecified, broadcast, multicast or reserved.
        SourceNotAHost => "source not a host",
        /// Its source is a loopback address, but it arrived from a network.
        SourceLoopback => "loopback source from a network",
        /// Its source is this server's own socket.
        SourceIsSelf => "source is this server",
        /// Its source is not on the link of the interface that it arrived on, and not allowed.
        OffLink => "source not on the link",
        /// It arrived on an unknown interface.
        UnknownInterface => "interface not known",
        /// Its source is a link-local address of another interface than it arrived on.
        SourceScope => "source of another link",
        /// This host has no address there.
        NoLocalAddress => "no address to name",
        /// Its source is over its rate limit.
        RateLimited => "source over its limit",
        /// All sources together are over the total limit.
        TotalLimited => "over the total limit",
        /// It is a request for details, but does not have 512 bytes.
        DetailsLength => "details request of another length",
        /// It is a request for details of another version.
        DetailsVersion => "details request of another version",
        /// It is a request for details with a malformed nonce.
        DetailsNonce => "details request with a malformed nonce",
        /// It is a request for details with other padding than spaces.
        DetailsPadding => "details request with other padding",
        /// Its source is over the limit of answers with details.
        DetailsLimited => "source over its limit of details",
        /// All sources together are over the limit of signatures.
        SignatureLimited => "over the limit of signatures",
        /// The system did not report where it arrived.
        NoPacketInfo => "arrival not reported",
    }
}

impl std::error::Error for DropReason {}

counters! {
    /// What a server counts besides dropped datagrams.
    Counter {
        /// Datagrams received.
        Received => "received",
        /// Plain answers sent.
        Answered => "answered",
        /// Answers with details sent.
        DetailsAnswered => "answered with details",
        /// Answers that the system had no room for (`ENOBUFS`, `ENOMEM`, `EAGAIN`).
        SendOverloaded => "answers without room to send",
        /// Answers that the system refused to send for another reason.
        SendRefused => "answers refused by the system",
        /// Datagrams that the kernel dropped because they are not the request, or because the
        /// receive buffer was full (`SO_RXQ_OVFL`, socket(7); Linux only). The kernel reports them
        /// with the next datagram that it delivers.
        KernelDrops => "dropped by the kernel",
        /// Errors of receiving.
        ReceiveErrors => "receive errors",
        /// Reads of the interface list.
        InterfaceReads => "interface lists read",
        /// Reads of the interface list that failed.
        InterfaceErrors => "interface lists failed",
        /// Panics in the event handler.
        HandlerPanics => "panics of the event handler",
    }
}

/// A snapshot of the counters of a server.
///
/// With the feature `serde`, it serializes as a map from the name of each [`Counter`] in snake case
/// to its count, with a map of the [`DropReason`]s as `dropped`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    counters: [u64; Counter::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// The number of datagrams received.
    pub fn received(&self) -> u64 {
        self.counter(Counter::Received)
    }

    /// The number of plain answers sent.
    pub fn answered(&self) -> u64 {
        self.counter(Counter::Answered)
    }

    /// The number of answers with details sent.
    pub fn details_answered(&self) -> u64 {
        self.counter(Counter::DetailsAnswered)
    }

    /// The value of `counter`.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// The number of datagrams dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// The number of datagrams dropped for any reason.
    pub fn dropped_in_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

/// One line: the datagrams received and answered, then every other count that is not 0.
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

#[cfg(feature = "serde")]
impl serde::Serialize for Stats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;

        struct Dropped<'a>(&'a Stats);

        impl serde::Serialize for Dropped<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let counts = DropReason::ALL.iter().map(|it| (it, self.0.dropped(*it)));
                serializer.collect_map(counts)
            }
        }

        let mut map = serializer.serialize_map(Some(Counter::ALL.len() + 1))?;
        for counter in Counter::ALL {
            map.serialize_entry(counter, &self.counter(*counter))?;
        }
        map.serialize_entry("dropped", &Dropped(self))?;
        map.end()
    }
}

/// The counters themselves: one thread counts, others read.
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
        live.add(Counter::Answered, 1);
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
        live.add(Counter::Received, 1);
        live.count_drop(DropReason::Empty);
        let text = live.snapshot().to_string();
        assert_eq!(text, "received: 1, answered: 0, dropped (empty): 1");
    }

    #[test]
    #[cfg(feature = "serde")]
    fn stats_are_serialized_by_name() {
        let live = LiveStats::new();
        live.add(Counter::KernelDrops, 2);
        live.count_drop(DropReason::OffLink);
        let text = toml::to_string(&live.snapshot()).unwrap();
        for line in [
            "received = 0",
            "kernel_drops = 2",
            "[dropped]",
            "off_link = 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
    }
}
