//! A process on a host.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// How long a process may take to go after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A process on a [`Host`](super::Host), made by [`Host::spawn`](super::Host::spawn). Dropping
/// it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    seen: Arc<Seen>,
}

/// What its threads have seen of it, and a bell that rings whenever that changes.
#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// How many of the two have ended.
    outputs_ended: u8,
    exited: bool,
}

impl Process {
    /// Starts it in the namespace of the calling thread.
    pub(super) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
        let pid = i32::try_from(child.id()).expect("a process id is positive");
        let pid = Pid::from_raw(pid);
        let seen = Arc::<Seen>::default();
        let stdout = child.stdout.take().expect("its output is a pipe");
        let stderr = child.stderr.take().expect("its output is a pipe");
        gather(stdout, &seen, |state| &mut state.stdout);
        gather(stderr, &seen, |state| &mut state.stderr);
        watch(pid, &seen);
        Self { child, pid, seen }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it has written to standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.seen.lock().stdout.clone()
    }

    /// The lines that it has written to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.seen.lock().stderr.clone()
    }

    /// Waits for a line with `text` in it, on either output, and returns the first one. Lines
    /// from before the call count.
    ///
    /// # Panics
    /// If there is none within `timeout`, or the process ends without one.
    pub fn wait_for_line(&self, text: &str, timeout: Duration) -> String {
        let find = |state: &State| {
            let mut lines = state.stdout.iter().chain(&state.stderr);
            lines.find(|line| line.contains(text)).cloned()
        };
        let state = self.seen.wait_until(timeout, |state| {
            state.outputs_ended == 2 || find(state).is_some()
        });
        find(&state).unwrap_or_else(|| panic!("no line with {text:?}: {state:#?}"))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If the system refuses it; it doesn't if the process ended unnoticed.
    pub fn signal(&self, signal: Signal) {
        // Its id is its own until `wait` takes its status.
        kill(self.pid, signal).expect("a process of one's own takes signals");
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Waits for its end and returns its exit status; all that it wrote is gathered then.
    ///
    /// # Panics
    /// If it takes longer than `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let state = self
            .seen
            .wait_until(timeout, |state| state.exited && state.outputs_ended == 2);
        assert!(state.exited, "still running: {state:#?}");
        drop(state);
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing of this does anything if it has been waited for.
        let _ = self.child.kill();
        // Its status is taken only after the watch has seen its end.
        drop(self.seen.wait_until(KILL_LIMIT, |state| state.exited));
        let _ = self.child.wait();
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `done`, or for `timeout`.
    fn wait_until(
        &self,
        timeout: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

/// Gathers the lines of one output.
fn gather(
    output: impl Read + Send + 'static,
    seen: &Arc<Seen>,
    lines: fn(&mut State) -> &mut Vec<String>,
) {
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while let Ok(1..) = output.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            seen.change(|state| lines(state).push(text));
            line.clear();
        }
        seen.change(|state| state.outputs_ended += 1);
    });
}

/// Notes the end of a child without taking its status: until that is taken, no other process
/// can get its id.
fn watch(pid: Pid, seen: &Arc<Seen>) {
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
        seen.change(|state| state.exited = true);
    });
}
