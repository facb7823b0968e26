//! What a process has open and running, and whether it is back to what it was.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long a thread that has been joined may take to leave the kernel's list.
const SOON: Duration = Duration::from_secs(10);

/// What a process has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

impl Holdings {
    /// What this process has now.
    pub(crate) fn now() -> Self {
        let count = |folder: &str| fs::read_dir(folder).expect("/proc shows it").count();
        Self {
            // The one that lists them is among them, each time.
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }

    /// Waits until the process has that again, and nothing more.
    pub(crate) fn wait_until_back(self) {
        let deadline = Instant::now() + SOON;
        while Self::now() != self {
            assert!(
                Instant::now() < deadline,
                "{:?} instead of {self:?}",
                Self::now()
            );
            thread::yield_now();
        }
    }
}
