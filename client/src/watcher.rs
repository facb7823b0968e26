//! The watch that blocks the calling thread.

use std::thread;
use std::time::{Duration, Instant};

use crate::blocking::{Search, TimedOut};
use crate::config::Config;
use crate::server::DiscoveredServer;
use crate::watch::{Watch, WatchError, WatchEvent};

/// A running watch: an iterator without an end that waits for the next change.
///
/// It asks the networks in rounds, each of them a search with fresh sockets and a fresh look at the
/// interfaces, so it goes on through interfaces that come and go, addresses that change, and a suspended
/// host. [`Config::interval`] says how often, and
/// [`Settings::timeout`](udp_discovery_protocol::Settings::timeout) how long a round waits for answers.
/// There is at most one round a second.
///
/// Before a server is called gone, it is asked seven more times, by broadcast and by unicast, in a round
/// of at least 1.84 s. At most 64 servers, with details 28, are asked so in one round. A server whose
/// network is gone is called gone after ten seconds.
///
/// The watch asks only while a call of its methods waits. What arrives while the caller holds it for
/// longer than a second after the end of a round does not count against a server. Dropping it closes its
/// sockets.
///
/// A watch does not use [`Config::first`], [`Config::expect`], [`Config::quiet_for`] and
/// [`Config::remember`]. It knows at most [`Config::max_servers`] servers at a time; others that answer
/// are ignored until one of them is gone.
///
/// ```no_run
/// use std::time::Duration;
/// use udp_discovery_client::Client;
///
/// let mut watch = Client::default().watch()?;
/// while !std::path::Path::new("stop").exists() {
///     if let Some(event) = watch.next_timeout(Duration::from_millis(500)) {
///         println!("{event}");
///     }
/// }
/// println!("{} servers", watch.servers().len());
/// # Ok::<(), udp_discovery_client::WatchError>(())
/// ```
#[derive(Debug)]
#[must_use = "a watch asks only while it is iterated over"]
pub struct Watcher {
    watch: Watch,
    round: Option<Search>,
}

impl Watcher {
    pub(crate) fn new(config: &Config) -> Result<Self, WatchError> {
        Ok(Self {
            watch: Watch::new(Instant::now(), config)?,
            round: None,
        })
    }

    /// Waits for the next change, for at most `timeout`, so that the caller can do other work or stop.
    /// Returns `None` if `timeout` passes first.
    ///
    /// If a [target](Config::targets) is a name, the start of a round resolves it, which may take as long
    /// as the round, whatever `timeout` says.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<WatchEvent> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    /// The servers that are there, in no order.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &DiscoveredServer> {
        self.watch.servers()
    }

    fn next_until(&mut self, end: Option<Instant>) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.watch.poll_event() {
                return Some(event);
            }
            if end.is_some_and(|end| end <= Instant::now()) {
                return None;
            }
            if let Some(search) = &mut self.round {
                let left = end.map_or(Duration::MAX, |end| {
                    end.saturating_duration_since(Instant::now())
                });
                match search.next_timeout(left) {
                    Ok(Some(server)) => self.watch.handle_server(Instant::now(), server),
                    Ok(None) => self.end_round(),
                    Err(TimedOut) => {}
                }
            } else {
                self.start_round(end);
            }
        }
    }

    /// Waits until the next round is due or until `end`, and starts it.
    fn start_round(&mut self, end: Option<Instant>) {
        if let Some(due) = self.watch.poll_timeout() {
            let until = end.map_or(due, |end| end.min(due));
            thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        let Some(round) = self.watch.poll_round(Instant::now()) else {
            return;
        };
        match Search::start_round(&round) {
            Ok(search) => {
                self.watch.handle_start(Instant::now(), search.discovery());
                self.round = Some(search);
            }
            Err(error) => self.watch.handle_failure(Instant::now(), error),
        }
    }

    fn end_round(&mut self) {
        let Some(search) = self.round.take() else {
            return;
        };
        self.watch.handle_end(Instant::now(), search.discovery());
    }
}

impl Iterator for Watcher {
    type Item = WatchEvent;

    /// Waits for the next change. Never returns `None`.
    fn next(&mut self) -> Option<WatchEvent> {
        self.next_until(None)
    }
}
