//! Whether a server was requested to stop, and whether it has ended.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(not(model_check))]
use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

#[cfg(model_check)]
use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
#[cfg(model_check)]
use std::sync::PoisonError;

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The server has not ended: it answers, has not been run yet, or is about to stop.
    Running,
    /// The server stopped as requested, or was dropped.
    Stopped,
    /// The server ended with an error.
    Failed,
}

/// Shared by a server and its controls.
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

    /// Requests the server to stop. The caller wakes it.
    pub(crate) fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Records that the server has ended and its socket is closed. Later calls have no effect.
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

    /// Waits until the server has ended, for at most `limit`. Returns whether it has.
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

/// Records the end of a server when it is dropped: also after a panic, or with a dropped future.
#[derive(Debug)]
pub(crate) struct EndGuard {
    lifecycle: Arc<Lifecycle>,
    failed: bool,
}

impl EndGuard {
    pub(crate) fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self {
            lifecycle,
            failed: false,
        }
    }

    pub(crate) fn set_failed(&mut self, failed: bool) {
        self.failed = failed;
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        let failed = self.failed || thread::panicking();
        self.lifecycle.end(if failed {
            State::Failed
        } else {
            State::Stopped
        });
    }
}

/// All interleavings of the server's thread with threads that stop and observe it. Run by
/// `RUSTFLAGS="--cfg model_check" cargo test -p udp-discovery-server --lib lifecycle`.
#[cfg(all(test, model_check))]
mod models {
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::*;

    /// At most three preemptions in each run: with more, the models of three threads take minutes,
    /// and three suffice for programs this small.
    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    const LONG: Duration = Duration::from_secs(3600);

    /// What the threads of a server share. The waker is a latch, like the system's.
    struct Shared {
        lifecycle: Lifecycle,
        waker: Notify,
        /// Set while the server has its socket.
        socket: AtomicBool,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                lifecycle: Lifecycle::new(),
                waker: Notify::new(),
                socket: AtomicBool::new(true),
            })
        }

        /// What `Server::run` does.
        fn run(&self, end: State) {
            while !self.lifecycle.stop_requested() {
                self.waker.wait();
            }
            self.socket.store(false, Ordering::Release);
            self.lifecycle.end(end);
        }

        /// What `Control::stop` does.
        fn stop(&self) {
            self.lifecycle.request_stop();
            self.waker.notify();
        }
    }

    #[test]
    fn a_stop_is_never_lost_and_the_socket_is_closed_when_the_end_is_reported() {
        check(|| {
            let shared = Shared::new();
            let server = Arc::clone(&shared);
            let server = thread::spawn(move || server.run(State::Stopped));
            shared.stop();
            assert!(shared.lifecycle.wait_for_end(LONG));
            assert!(!shared.socket.load(Ordering::Acquire));
            assert_eq!(shared.lifecycle.state(), State::Stopped);
            server.join().unwrap();
        });
    }

    #[test]
    fn two_threads_that_stop_at_once_both_see_the_end() {
        check(|| {
            let shared = Shared::new();
            let (server, other) = (Arc::clone(&shared), Arc::clone(&shared));
            let server = thread::spawn(move || server.run(State::Stopped));
            let other = thread::spawn(move || {
                other.stop();
                assert!(other.lifecycle.wait_for_end(LONG));
            });
            shared.stop();
            assert!(shared.lifecycle.wait_for_end(LONG));
            other.join().unwrap();
            server.join().unwrap();
        });
    }

    #[test]
    fn the_first_end_counts_and_there_is_no_way_back() {
        check(|| {
            let shared = Shared::new();
            let server = Arc::clone(&shared);
            let server = thread::spawn(move || {
                server.lifecycle.end(State::Failed);
                server.lifecycle.end(State::Stopped);
            });
            let before = shared.lifecycle.state();
            let after = shared.lifecycle.state();
            assert!(before == State::Running || after == State::Failed);
            server.join().unwrap();
            assert_eq!(shared.lifecycle.state(), State::Failed);
        });
    }
}
