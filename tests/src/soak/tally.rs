//! What is counted of all that happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many faults are described; the others are only counted.
const DESCRIBED: usize = 20;

/// Counts and faults, from all threads.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    counts: [AtomicU64; Count::ALL.len()],
    faults: Mutex<Vec<String>>,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)+) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Count { $($(#[$doc])* $variant,)+ }

        impl Count {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),+];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

counts! {
    /// Answers that named an address held there, from which they came.
    Right => "answers right",
    /// Answers that didn't.
    Wrong => "answers wrong",
    /// Searches of the client.
    Searches => "searches",
    /// Those that found the server.
    Found => "searches that found the server",
    /// Searches, counted for each network, while its link was up for long enough.
    Owed => "searches on a link up for 5 s and more",
    /// Those of them that found nothing there.
    Silent => "of these, with nothing found",
    /// Requests to one address or all, one socket each.
    Asked => "single requests",
    /// Those that were answered.
    AskedAnswered => "single requests answered",
    /// Changes of links, down or up.
    LinkChanges => "links put down or up",
    /// Addresses added or removed.
    AddressChanges => "addresses added or removed",
    /// Datagrams from attackers.
    Hostile => "hostile datagrams",
}

/// The counts at one time.
pub(super) type Counts = [u64; Count::ALL.len()];

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            faults: Mutex::default(),
        }
    }

    pub(super) fn count(&self, count: Count) {
        self.add(count, 1);
    }

    pub(super) fn add(&self, count: Count, number: u64) {
        self.counts[count as usize].fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed))
    }

    /// Counts something that must not be, and describes it.
    pub(super) fn fault(&self, count: Count, text: impl FnOnce() -> String) {
        self.count(count);
        let mut faults = self.lock();
        if faults.len() < DESCRIBED {
            faults.push(format!("at {:.1?}: {}", self.start.elapsed(), text()));
        }
    }

    /// The descriptions of the first faults.
    pub(super) fn faults(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
