//! What is counted during a run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many failures are described. The others are only counted.
const DESCRIBED: usize = 20;

/// Counters and descriptions of failures, shared by all threads.
#[derive(Debug)]
pub(super) struct Counters {
    start: Instant,
    counts: [AtomicU64; Count::ALL.len()],
    failures: Mutex<Vec<String>>,
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
    /// Answers that name an address held there, from which they came.
    Right => "answers right",
    /// Answers that don't.
    Wrong => "answers wrong",
    Searches => "searches",
    Found => "searches that found the server",
    /// Searches, counted for each network, while its link was up for long enough.
    MustFind => "searches on a link up for 5 s and more",
    NothingFound => "of these, with nothing found",
    /// Requests to one address or all, one socket each.
    Requests => "single requests",
    Answered => "single requests answered",
    /// Rounds of the watch, counted for each server that it knew.
    WatchedRounds => "rounds of watched servers, with 10 % loss each way",
    FalselyGone => "watched servers falsely called gone",
    LinkChanges => "links put down or up",
    AddressChanges => "addresses added or removed",
    Hostile => "hostile datagrams",
}

/// The counts at one time.
pub(super) type Counts = [u64; Count::ALL.len()];

impl Counters {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            failures: Mutex::default(),
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

    /// Counts a failure and describes it.
    pub(super) fn failure(&self, count: Count, text: impl FnOnce() -> String) {
        self.count(count);
        let mut failures = self.lock();
        if failures.len() < DESCRIBED {
            failures.push(format!("at {:.1?}: {}", self.start.elapsed(), text()));
        }
    }

    /// The descriptions of the first failures.
    pub(super) fn failures(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
