//! A process on a host.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// How long a process may take to end after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A process on a [`Host`](super::Host), started by [`Host::spawn`](super::Host::spawn). Dropping
/// it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    seen: Arc<Seen>,
}

/// What the threads that watch the process have seen so far.
#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<(Output, String)>,
    /// How many of the two outputs have ended.
    outputs_ended: u8,
    exited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    Stderr,
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
        collect(stdout, &seen, Output::Stdout);
        collect(stderr, &seen, Output::Stderr);
        watch(pid, &seen);
        Self { child, pid, seen }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it has written to standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.lines(Output::Stdout)
    }

    /// The lines that it has written to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.lines(Output::Stderr)
    }

    /// The lines of both outputs, in the order in which they arrived.
    pub(super) fn output(&self) -> String {
        let state = self.seen.lock();
        let lines = state.lines.iter().map(|(_, line)| format!("{line}\n"));
        lines.collect()
    }

    fn lines(&self, output: Output) -> Vec<String> {
        let state = self.seen.lock();
        let lines = state.lines.iter().filter(|(from, _)| *from == output);
        lines.map(|(_, line)| line.clone()).collect()
    }

    /// Waits for a line that contains `text`, on either output, and returns the first one. Lines
    /// from before the call count.
    ///
    /// # Panics
    /// If there is none within `timeout`, or the process ends without one.
    pub fn wait_for_line(&self, text: &str, timeout: Duration) -> String {
        let find = |state: &State| {
            let mut lines = state.lines.iter().map(|(_, line)| line);
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
    /// If the system refuses it. A process that has ended on its own is no error.
    pub fn signal(&self, signal: Signal) {
        // The id stays reserved until `wait` takes the status.
        kill(self.pid, signal).expect("a child process accepts signals");
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Waits for its end and for all of its output, and returns its exit status.
    ///
    /// # Panics
    /// If it takes longer than `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        self.try_wait(timeout)
            .unwrap_or_else(|| panic!("still running: {:#?}", self.seen.lock()))
    }

    /// As [`Self::wait`]; `None` if it takes longer than `timeout`.
    pub(super) fn try_wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let ended = |state: &State| state.exited && state.outputs_ended == 2;
        if !ended(&self.seen.wait_until(timeout, ended)) {
            return None;
        }
        Some(self.child.wait().expect("a child can be waited for"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // None of this has an effect if it has been waited for.
        let _ = self.child.kill();
        // The watching thread must see the end before the status is taken.
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

    /// Waits until `done`, at most for `timeout`.
    fn wait_until(
        &self,
        timeout: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'_, State> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !done(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Collects the lines of one output.
fn collect(read: impl Read + Send + 'static, seen: &Arc<Seen>, output: Output) {
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        let mut read = BufReader::new(read);
        let mut line = Vec::new();
        while let Ok(1..) = read.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            seen.change(|state| state.lines.push((output, text)));
            line.clear();
        }
        seen.change(|state| state.outputs_ended += 1);
    });
}

/// Waits for the end of a child without taking its status: until that is taken, no other process
/// can get its id.
fn watch(pid: Pid, seen: &Arc<Seen>) {
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {}
        seen.change(|state| state.exited = true);
    });
}
