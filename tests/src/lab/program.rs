//! How a program, rather than a test, enters the laboratory.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::available::in_namespaces;
use super::entry::{INSIDE, is_inside};

/// Tells the threads of a program to stop. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Stops them.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until [`Self::stop`] is called, at most for `limit`. Returns whether it was.
    pub fn wait(&self, limit: Duration) -> bool {
        let (stopped, changed) = &*self.0;
        let stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(stopped, limit, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Runs this program again in a laboratory, with the same arguments, and there `body`. Returns the
/// exit code of `body`.
///
/// SIGINT, SIGTERM and the end of the process outside stop `body` through its argument. Where the
/// system allows no laboratory, this prints the reason to standard error and fails.
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

/// The outside never writes. It closes the input to stop the program, and by its own end.
fn stop_with_input() -> Stop {
    let stop = Stop::default();
    let stopping = stop.clone();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        stopping.stop();
    });
    stop
}

fn run_inside() -> Result<u8, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut child = in_namespaces(&program)?
        .args(env::args_os().skip(1))
        .env(INSIDE, "program")
        .stdin(Stdio::piped())
        // Only this process gets a terminal's Ctrl-C.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("`unshare` can't be started: {error}"))?;
    let stdin = child.stdin.take();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| error.to_string())?;
    thread::spawn(move || {
        signals.forever().next();
        drop(stdin);
    });
    let status = child.wait().map_err(|error| error.to_string())?;
    // A process that was killed has no code.
    let code = status.code().unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}
