//! The changes that a watch notices, on standard output.

use std::io::{self, Write as _};
use std::time::{Duration, Instant, SystemTime};

use clap::ValueEnum;
use console::Term;
use humantime::{format_rfc3339_millis, format_rfc3339_seconds};
use serde::Serialize;
use udp_discovery_client::{DiscoveredServer, WatchEvent, WatchLink, Watcher};

use crate::failure::with_causes;
use crate::table::table;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchFormat {
    /// A table of the servers that are there, redrawn; if the output is not a terminal, a line for
    /// people for each change
    Table,
    /// One object a line for each change
    Json,
    /// One line for each change: what happened, and `ip` or `ip:port`
    Plain,
}

/// Prints changes in a format.
pub(crate) enum Output {
    Screen(Screen),
    Lines(fn(&WatchEvent, SystemTime) -> String),
}

impl Output {
    pub(crate) fn new(format: WatchFormat) -> Self {
        let terminal = Term::buffered_stdout();
        match format {
            WatchFormat::Table if terminal.features().is_attended() => {
                Self::Screen(Screen::new(terminal))
            }
            WatchFormat::Table => Self::Lines(log),
            WatchFormat::Json => Self::Lines(json),
            WatchFormat::Plain => Self::Lines(|event, _| plain(event)),
        }
    }

    /// Shows that the watch has begun.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        match self {
            Self::Screen(screen) => screen.draw(&[]),
            Self::Lines(_) => Ok(()),
        }
    }

    /// Prints a change, and on a screen those that follow at once.
    pub(crate) fn add(&mut self, event: &WatchEvent, watch: &mut Watcher) -> io::Result<()> {
        match self {
            Self::Screen(screen) => {
                screen.last = Some(last(event, SystemTime::now()));
                screen.add_more(watch);
                let servers: Vec<DiscoveredServer> = watch.servers().cloned().collect();
                screen.draw(&servers)
            }
            Self::Lines(line) => {
                let mut out = io::stdout().lock();
                writeln!(out, "{}", line(event, SystemTime::now()))?;
                out.flush()
            }
        }
    }
}

/// A change as a line of a log.
fn log(event: &WatchEvent, at: SystemTime) -> String {
    format!("{} {event}", format_rfc3339_seconds(at))
}

fn json(event: &WatchEvent, at: SystemTime) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        event: &'a WatchEvent,
        at: String,
    }

    let at = format_rfc3339_millis(at).to_string();
    serde_json::to_string(&Line { event, at }).expect("a change is an object")
}

/// A change as a line for scripts.
fn plain(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Appeared(server) => format!("appeared {server}"),
        WatchEvent::Changed(server) => format!("changed {server}"),
        WatchEvent::Restarted(server) => format!("restarted {server}"),
        WatchEvent::Gone(server) => format!("gone {server}"),
        WatchEvent::NetworkChanged { links } => {
            let ip = |link: &WatchLink| format!(" {}", link.ip);
            let ips: String = links.iter().map(ip).collect();
            format!("network-changed{ips}")
        }
        WatchEvent::Unavailable { error } => format!("unavailable {}", with_causes(error)),
        _ => event.to_string(),
    }
}

/// A change as it stands below the table: with the time of day.
fn last(event: &WatchEvent, at: SystemTime) -> String {
    let time = format_rfc3339_seconds(at).to_string();
    let time = time.split_once('T').map_or("", |(_, time)| time);
    format!("{time} {event}")
}

/// A table on a terminal that is redrawn in place.
pub(crate) struct Screen {
    terminal: Term,
    /// How many lines are on the terminal.
    drawn: usize,
    /// The last change.
    last: Option<String>,
}

impl Screen {
    fn new(terminal: Term) -> Self {
        Self {
            terminal,
            drawn: 0,
            last: None,
        }
    }

    /// Takes the changes that follow within a moment, so that many servers are drawn at once.
    fn add_more(&mut self, watch: &mut Watcher) {
        const MOMENT: Duration = Duration::from_millis(50);
        const LONGEST: Duration = Duration::from_millis(500);
        let start = Instant::now();
        while start.elapsed() < LONGEST
            && let Some(event) = watch.next_timeout(MOMENT)
        {
            self.last = Some(last(&event, SystemTime::now()));
        }
    }

    fn draw(&mut self, servers: &[DiscoveredServer]) -> io::Result<()> {
        let (height, width) = self.terminal.size();
        let lines = lines(servers, self.last.as_deref(), width.into(), height.into());
        self.terminal.move_cursor_up(self.drawn)?;
        self.terminal.clear_to_end_of_screen()?;
        for line in &lines {
            self.terminal.write_line(line)?;
        }
        self.drawn = lines.len();
        self.terminal.flush()
    }
}

/// The lines on a terminal of this size, none of which wraps.
fn lines(
    servers: &[DiscoveredServer],
    last: Option<&str>,
    width: usize,
    height: usize,
) -> Vec<String> {
    let mut servers = servers.to_vec();
    servers.sort_by_key(|server| (server.ip, server.port));
    let mut lines = Vec::new();
    let shown = how_many_fit(&servers, height);
    if !servers.is_empty() {
        let text = table(&servers[..shown], Some(width));
        lines.extend(text.lines().map(ToOwned::to_owned));
        if shown < servers.len() {
            lines.push(format!("... and {} more", servers.len() - shown));
        }
    }
    let count = match servers.len() {
        0 => "no server is there".into(),
        1 => "1 server is there".into(),
        count => format!("{count} servers are there"),
    };
    if shown == servers.len() {
        lines.push(format!("{count}; Ctrl-C ends"));
    }
    lines.extend(last.map(ToOwned::to_owned));
    // A terminal may wrap after its last column.
    let most = width.saturating_sub(1);
    lines
        .iter()
        .map(|line| line.chars().take(most).collect())
        .collect()
}

/// How many servers a terminal has room for, at least one. Each endpoint has a row.
fn how_many_fit(servers: &[DiscoveredServer], height: usize) -> usize {
    // The header, the line below, the last change, and the cursor.
    let mut room = height.saturating_sub(4);
    let fits = |server: &&DiscoveredServer| {
        let left = room.checked_sub(server.endpoints.len().max(1));
        room = left.unwrap_or(0);
        left.is_some()
    };
    servers
        .iter()
        .take_while(fits)
        .count()
        .max(1)
        .min(servers.len())
}

#[cfg(test)]
mod tests {
    use udp_discovery_protocol::{Details, RunId, ServerId};

    use super::*;

    fn server(number: u8) -> DiscoveredServer {
        DiscoveredServer::new([10, 77, 0, number], 8000).with_interface("eth0")
    }

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(86_399_250)
    }

    #[test]
    fn a_change_is_a_line_of_a_log_an_object_or_a_line_for_scripts() {
        let event = WatchEvent::Appeared(server(7));
        assert_eq!(
            log(&event, at()),
            "1970-01-01T23:59:59Z appeared: 10.77.0.7:8000 on eth0"
        );
        assert_eq!(plain(&event), "appeared 10.77.0.7:8000");
        let json = json(&event, at());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["event"], "appeared");
        assert_eq!(json["ip"], "10.77.0.7");
        assert_eq!(json["at"], "1970-01-01T23:59:59.250Z");
    }

    #[test]
    fn the_screen_has_a_table_and_the_last_change_and_no_line_wraps() {
        let last = last(&WatchEvent::Gone(server(9)), at());
        assert_eq!(last, "23:59:59Z gone: 10.77.0.9:8000 on eth0");
        let servers = [server(8), server(7)];
        let text = lines(&servers, Some(&last), 80, 24);
        assert!(text[0].starts_with("Address"), "{text:?}");
        assert!(text[1].starts_with("10.77.0.7"), "{text:?}");
        assert_eq!(text[3..], ["2 servers are there; Ctrl-C ends", &last]);
        for width in [1, 10, 40] {
            let text = lines(&servers, Some(&last), width, 24);
            assert!(text.iter().all(|line| line.chars().count() < width));
        }
        assert_eq!(
            lines(&[], None, 80, 24),
            ["no server is there; Ctrl-C ends"]
        );
    }

    #[test]
    fn what_does_not_fit_on_the_screen_is_counted() {
        let servers: Vec<DiscoveredServer> = (1..100).map(server).collect();
        let text = lines(&servers, Some("last"), 80, 24);
        assert!(text.len() < 24, "{}", text.len());
        assert_eq!(text[21..], ["... and 79 more", "last"]);
        // With two endpoints each, half as many fit.
        let details = Details::new(ServerId::new([7; 32]), RunId::new([1; 8]));
        let twice = |number| {
            let mut server = server(number).with_details(&details, false);
            server.endpoints.push(server.endpoints[0].clone());
            server
        };
        let servers: Vec<DiscoveredServer> = (1..100).map(twice).collect();
        let text = lines(&servers, Some("last"), 80, 24);
        assert_eq!(text[21..], ["... and 89 more", "last"]);
    }
}
