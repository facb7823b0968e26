//! Whether a server is to stop, and whether it has ended.

use std::time::{Duration, Instant};

#[cfg(not(loom))]
use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

#[cfg(loom)]
use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
#[cfg(loom)]
use std::sync::PoisonError;

/// What has become of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It has not ended: it answers, will do so when it is run, or is about to stop.
    Running,
    /// It was told to stop, and has; or it was dropped.
    Stopped,
    /// It ended by an error.
    Failed,
}

/// Shared between a server and those who stop it or wait for its end.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    stop: AtomicBool,
    state: Mutex<State>,
    ended: Condvar,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            state: Mutex::new(State::Running),
            ended: Condvar::new(),
        }
    }

    /// From now on the server is to stop. The caller wakes it.
    pub(crate) fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The server has ended and holds no socket any more. The first end counts.
    pub(crate) fn end(&self, state: State) {
        let mut current = self.lock();
        if *current == State::Running {
            *current = state;
        }
        drop(current);
        self.ended.notify_all();
    }

    pub(crate) fn state(&self) -> State {
        *self.lock()
    }

    /// Waits for the end, `limit` at the most; whether it has come.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        while *state == State::Running {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .ended
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
