//! The line on the terminal that shows how far a search is.

use std::io;
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use udp_discovery_client::SweepReport;

use crate::diagnosis::rounded_up;

/// How often the line changes.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// A line while a search goes on: with a bar if it sweeps networks. Only on a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    timeout: Duration,
}

impl Progress {
    /// No line.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            timeout: Duration::ZERO,
        }
    }

    /// The line of a search that begins now.
    pub(crate) fn new(timeout: Duration, sweep: Option<&SweepReport>) -> Self {
        // Buffered, because Ctrl-C discards what the terminal has not shown yet: the whole line, or none
        // of it.
        let term = Term::buffered_stderr();
        if !term.features().is_attended() {
            return Self::hidden();
        }
        let target = ProgressDrawTarget::term_like(Box::new(Narrower(term)));
        let bar = ProgressBar::with_draw_target(sweep.map(|it| it.addresses), target);
        let template = match sweep {
            Some(_) => "found {msg} [{wide_bar}] {human_pos}/{human_len}, {prefix} left",
            None => "{spinner} searching, found {msg}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        bar.set_style(style.progress_chars("=> "));
        let progress = Self { bar, timeout };
        if let Some(sweep) = sweep {
            progress.asked(sweep);
        }
        progress.found(0);
        progress.bar.enable_steady_tick(TICK);
        progress
    }

    pub(crate) fn found(&self, servers: usize) {
        self.bar.set_message(servers.to_string());
    }

    pub(crate) fn asked(&self, sweep: &SweepReport) {
        let until_deadline = self.timeout.saturating_sub(self.bar.elapsed());
        let left = rounded_up(left(sweep, until_deadline));
        self.bar.set_prefix(left.to_string());
        self.bar.set_position(sweep.asked);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How long it takes until every address was asked once, or, after that, until the deadline. The deadline
/// ends both.
fn left(sweep: &SweepReport, until_deadline: Duration) -> Duration {
    let rest = sweep.addresses.saturating_sub(sweep.asked);
    if sweep.complete || rest == 0 {
        return until_deadline;
    }
    let nanoseconds = sweep.estimate.as_nanos() * u128::from(rest) / u128::from(sweep.addresses);
    let whole_pass = Duration::from_nanos(nanoseconds.try_into().unwrap_or(u64::MAX));
    whole_pass.min(until_deadline)
}

/// A terminal without its last two columns. A terminal shows `^C` after the line, and would wrap, so that
/// the next line would be cleared.
#[derive(Debug)]
struct Narrower(Term);

impl TermLike for Narrower {
    fn width(&self) -> u16 {
        TermLike::width(&self.0).saturating_sub(2)
    }

    fn height(&self) -> u16 {
        TermLike::height(&self.0)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use udp_discovery_client::{Config, Discovery, Host, ResolvedTarget, Route};
    use udp_discovery_protocol::{Interface, InterfaceAddress};

    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_addresses_left_and_ends_with_the_search() {
        let mut eth0 = Interface::new("eth0", 2);
        eth0.flags.up = true;
        let address = InterfaceAddress::new("10.0.0.2".parse().unwrap(), 24).unwrap();
        eth0.addresses.push(address);
        let route = Route {
            remote: "10.9.0.1:9999".parse().unwrap(),
            local: "10.0.0.2".parse().unwrap(),
        };
        let target = ResolvedTarget::new("10.9.0.0/16".parse().unwrap(), [route]);
        let host = Host::new([eth0]).with_targets([target]);
        let config = Config::default().with_broadcast(false);
        let discovery = Discovery::new(Instant::now(), &config, &host, [0; 15]).unwrap();
        let mut sweep = discovery.report().sweep.unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(left(&sweep, seconds(60)), sweep.estimate);
        sweep.asked = sweep.addresses / 2;
        assert_eq!(left(&sweep, seconds(60)), sweep.estimate / 2);
        assert_eq!(left(&sweep, seconds(5)), seconds(5));
        sweep.asked = sweep.addresses;
        assert_eq!(left(&sweep, seconds(5)), seconds(5));
    }
}
