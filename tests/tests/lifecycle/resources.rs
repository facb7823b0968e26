//! The file descriptors and threads of this process.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may take to remove a thread that has been joined.
const SOON: Duration = Duration::from_secs(10);

/// How many this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

impl Resources {
    /// How many this process has now.
    pub(crate) fn now() -> Self {
        let count = |folder: &str| fs::read_dir(folder).expect("/proc shows it").count();
        Self {
            // The descriptor that lists them is among them, each time.
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }

    /// Waits until the process has as many again, and no more.
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
