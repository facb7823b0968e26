//! Whether a server is to stop, and whether it has ended.

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

/// All interleavings of the server's thread with those that stop it and look at it. Run by
/// `RUSTFLAGS="--cfg model_check" cargo test -p udp-discovery-server --lib lifecycle`.
#[cfg(all(test, model_check))]
mod models {
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::*;

    /// Three switches between threads at points of the model's choice: with more, the models of
    /// three threads take minutes, and three find what there is to be found in programs this
    /// small.
    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    const LONG: Duration = Duration::from_hours(1);

    /// The parts of a server that its threads share; the waker is a latch, like the system's.
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
    fn a_stop_is_never_lost_and_the_socket_is_closed_when_it_is_told() {
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
    fn two_who_stop_at_once_both_learn_of_the_end() {
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
