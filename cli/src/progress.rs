//! A line on the terminal while a search goes on.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::args::{Format, Verbosity};

/// Goes to the start of the line and erases it (ECMA-48: CR, EL).
const ERASE: &str = "\r\x1b[2K";

/// The line. It is there only if standard error is a terminal and the servers are printed at the
/// end.
#[derive(Debug)]
pub(crate) struct Progress {
    timeout: Option<Duration>,
}

impl Progress {
    pub(crate) fn start(format: Format, verbosity: Verbosity, timeout: Duration) -> Self {
        let shown = format == Format::Table && !verbosity.quiet && io::stderr().is_terminal();
        let mut progress = Self {
            timeout: shown.then_some(timeout),
        };
        progress.show(0);
        progress
    }

    /// Shows how many servers have been found.
    pub(crate) fn show(&mut self, found: usize) {
        if let Some(timeout) = self.timeout {
            write(&format!("{ERASE}searching for {timeout:?}, found {found}"));
        }
    }

    pub(crate) fn erase(&mut self) {
        if self.timeout.take().is_some() {
            write(ERASE);
        }
    }
}

/// The search goes on if nobody sees how.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}
