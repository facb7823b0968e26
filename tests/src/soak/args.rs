//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Runs a discovery server for a chosen time on a host whose links and addresses come and go,
/// among clients and attackers, in network namespaces of its own, and reports.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
pub(super) struct Args {
    /// How long: 90s, 20m, 2h.
    #[arg(value_parser = duration)]
    pub(super) length: Duration,
    /// Where to write the report, as Markdown. It is printed as well.
    #[arg(long, value_name = "FILE.md")]
    pub(super) report: Option<PathBuf>,
    /// Where to write the plot, as SVG.
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
    /// What decides the order of what happens; a new one by default.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Lets junk through to the server, which then drops it by itself, with a reason.
    #[arg(long)]
    pub(super) without_kernel_filter: bool,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "a duration is a whole number above 0 and s, m or h";
    let unit = text.chars().last().ok_or(WRONG)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(WRONG),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| WRONG)?;
    match number {
        0 => Err(WRONG),
        _ => Ok(Duration::from_secs(seconds * u64::from(number))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("20m"), Ok(Duration::from_mins(20)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "s", "0s", "20", "-1s", "1.5h", "1d", "9é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
