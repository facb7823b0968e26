//! The threads of the soak: they end together, and none fails unnoticed.

use std::thread::{self, JoinHandle};

use crate::lab::{Host, Stop};

/// Threads on hosts. A panic in one stops them all.
pub(super) struct Crew {
    stop: Stop,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

impl Crew {
    pub(super) fn new(stop: &Stop) -> Self {
        Self {
            stop: stop.clone(),
            threads: Vec::new(),
        }
    }

    /// Starts a thread on a host. It returns soon after it is told to stop.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        host: &Host,
        body: impl FnOnce(&Stop) + Send + 'static,
    ) {
        let alarm = Alarm(self.stop.clone());
        let thread = host.spawn_thread(move || body(&alarm.0));
        self.threads.push((name, thread));
    }

    /// Waits for all of them; the names of those that failed.
    pub(super) fn join(self) -> Vec<&'static str> {
        let failed = |(name, thread): (_, JoinHandle<()>)| thread.join().is_err().then_some(name);
        self.threads.into_iter().filter_map(failed).collect()
    }
}

/// Stops everything when it is dropped by a panic.
struct Alarm(Stop);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}
