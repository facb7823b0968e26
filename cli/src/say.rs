//! Lines for people.

use std::fmt;
use std::io::{self, Write};

/// Writes a line to standard output at once. Whether anybody reads it makes no difference: a
/// service goes on when the other end of its output has gone.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = write(io::stdout().lock(), line);
}

/// Writes a line to standard error, in the same way.
pub(crate) fn warn(line: impl fmt::Display) {
    let _ = write(io::stderr().lock(), line);
}

fn write(mut out: impl Write, line: impl fmt::Display) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}
