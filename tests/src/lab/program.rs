//! How a program, rather than a test, gets into the laboratory.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::available::{search_path, unshare_options};
use super::entry::{INSIDE, is_inside};

/// Tells the threads of a program when it is to stop. Clones are told together.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Tells them.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether they were told.
    pub fn is_stopped(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until they are told, `limit` at the most; whether they were.
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let (stopped, told) = &*self.0;
        let mut stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = told.wait_timeout(stopped, left);
            stopped = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Runs this program again in a laboratory, with the same arguments, and there `body`; its exit
/// code is the program's.
///
/// SIGINT and SIGTERM, and the death of the process outside, tell `body` to stop. Where the
/// system allows no laboratory, it says so on standard error and fails.
pub fn run_program(body: impl FnOnce(Stop) -> ExitCode) -> ExitCode {
    if is_inside() {
        return body(stop_with_input());
    }
    match run_inside() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("no laboratory: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The outside never writes: the end of the input is its end, or its wish.
fn stop_with_input() -> Stop {
    let stop = Stop::default();
    let told = stop.clone();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        told.stop();
    });
    stop
}

fn run_inside() -> Result<u8, String> {
    let mut child = start()?;
    let stdin = child.stdin.take();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| error.to_string())?;
    thread::spawn(move || {
        signals.forever().next();
        drop(stdin);
    });
    let status = child.wait().map_err(|error| error.to_string())?;
    // Without a code it was killed.
    let code = status.code().unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

fn start() -> Result<Child, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    Command::new("unshare")
        .args(unshare_options()?)
        .arg("--")
        .arg(program)
        .args(env::args_os().skip(1))
        .env(INSIDE, "program")
        .env("PATH", search_path())
        .stdin(Stdio::piped())
        // A terminal's Ctrl-C comes to this process alone.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("`unshare` can't be started: {error}"))
}
