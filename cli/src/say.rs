//! Lines for people.

use std::fmt;
use std::io::{self, Write};

use thiserror::Error;

/// Standard output cannot be written to: its device is full, or its reader is gone.
#[derive(Debug, Error)]
#[error("cannot write to standard output")]
pub(crate) struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether its reader is gone, because it has read as much as it wanted.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a line to standard output at once.
pub(crate) fn say(line: impl fmt::Display) -> Result<(), OutputError> {
    Ok(write(io::stdout().lock(), line)?)
}

/// Writes a line to standard error at once. If that fails, the exit code still says what happened.
pub(crate) fn warn(line: impl fmt::Display) {
    let _ = write(io::stderr().lock(), line);
}

/// Writes a whole text to standard output.
pub(crate) fn print(text: &[u8]) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

fn write(mut out: impl Write, line: impl fmt::Display) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}
