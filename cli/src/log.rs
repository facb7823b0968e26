//! Which log lines are written, and where.

use std::env;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::LevelFilter;

use crate::lossy_writer::LossyWriter;
use crate::options::Verbosity;

/// Starts to write log lines to `out`, which is standard error. Returns the level.
pub(crate) fn start(verbosity: Verbosity, enabled: bool, out: LossyWriter) -> LevelFilter {
    let level = level(verbosity, enabled);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && colour_is_welcome())
        .with_writer(move || out.clone())
        // They would go to standard error too, and panic if it is closed.
        .log_internal_errors(false)
        .finish();
    // It fails only if there is one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    level
}

/// <https://no-color.org>
fn colour_is_welcome() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Options override the setting: `-v` logs even where the setting switches logging off.
fn level(verbosity: Verbosity, enabled: bool) -> LevelFilter {
    match verbosity.verbose {
        0 if !enabled => LevelFilter::OFF,
        0 if verbosity.quiet => LevelFilter::ERROR,
        0 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_override_the_setting() {
        let level = |verbose, quiet, enabled| level(Verbosity { verbose, quiet }, enabled);
        assert_eq!(level(0, false, true), LevelFilter::INFO);
        assert_eq!(level(0, true, true), LevelFilter::ERROR);
        assert_eq!(level(0, false, false), LevelFilter::OFF);
        assert_eq!(level(1, false, false), LevelFilter::DEBUG);
        assert_eq!(level(2, false, true), LevelFilter::DEBUG);
    }
}
