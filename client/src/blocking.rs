//! The search that blocks the calling thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;
use thiserror::Error;

use crate::config::Config;
use crate::discovery::{Discovery, Transmit};
use crate::driver::{Driver, Endpoint, Step};
use crate::error::DiscoverError;
use crate::refusals::{self, Queued};
use crate::report::Report;
use crate::resolve;
use crate::send;
use crate::server::DiscoveredServer;
use crate::watch::Round;

/// The longest single wait: an hour. Some systems cannot wait longer. A longer search waits again.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A running search: an iterator that waits for the next server to answer and ends at the
/// deadline.
///
/// The deadline is the call of [`Client::search`](crate::Client::search) plus the configured
/// timeout. Nothing moves it, and a flood of answers does not delay the end noticeably. Answers that
/// arrive while the caller holds the iterator past the deadline count as in time. Dropping the
/// search closes its sockets.
#[derive(Debug)]
#[must_use = "a search finds servers only while it is iterated over"]
pub struct Search {
    driver: Driver<UdpSocket>,
    poll: Poll,
    events: Events,
}

/// No server answered within the time of [`Search::next_timeout`]. The search is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no server answered within this time, and the search is not over")]
#[allow(clippy::exhaustive_structs, reason = "it has nothing more to say")]
pub struct TimedOut;

impl Search {
    pub(crate) fn start(config: &Config) -> Result<Self, DiscoverError> {
        Self::start_round(&Round::search(config.clone()))
    }

    pub(crate) fn start_round(round: &Round) -> Result<Self, DiscoverError> {
        let start = Instant::now();
        let config = &round.config;
        let targets = resolve::targets(config, config.settings().timeout())?;
        let open_error = |error| DiscoverError::OpenSocket {
            source: Arc::new(error),
        };
        let poll = Poll::new().map_err(open_error)?;
        let mut driver = Driver::start(round, start, targets, Instant::now, |link, socket| {
            let mut socket = UdpSocket::from_std(socket);
            let readable = Interest::READABLE;
            poll.registry()
                .register(&mut socket, Token(link), readable)?;
            Ok(socket)
        })?;
        if driver.has_engines() {
            let waker = Waker::new(poll.registry(), Token(usize::MAX)).map_err(open_error)?;
            // It fails only if the search is gone.
            driver.start_engines(move || waker.wake().unwrap_or_default());
        }
        Ok(Self {
            events: Events::with_capacity(driver.discovery().links().len().max(1)),
            driver,
            poll,
        })
    }

    /// Waits for the next server to answer, as [`next`](Iterator::next) does, for at most `timeout`, so
    /// that the caller can show how far the search is.
    ///
    /// # Errors
    /// [`TimedOut`] if `timeout` passes first. The search goes on at the next call.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use udp_discovery_client::{Client, Config, TimedOut};
    ///
    /// let target = "10.15.0.0/24".parse()?;
    /// let config = Config::default()
    ///     .with_targets([target])
    ///     .with_timeout(Duration::from_secs(10));
    /// let mut search = Client::new(config).search()?;
    /// loop {
    ///     match search.next_timeout(Duration::from_millis(100)) {
    ///         Ok(Some(server)) => println!("{server}"),
    ///         Ok(None) => break,
    ///         Err(TimedOut) => {
    ///             if let Some(sweep) = &search.report().sweep {
    ///                 println!("asked {} of {}", sweep.asked, sweep.addresses);
    ///             }
    ///         }
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<DiscoveredServer>, TimedOut> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    fn next_until(&mut self, end: Option<Instant>) -> Result<Option<DiscoveredServer>, TimedOut> {
        let has_passed = || end.is_some_and(|end| end <= Instant::now());
        loop {
            match self.driver.step(Instant::now) {
                Step::Found(server) => return Ok(Some(server)),
                Step::Over => return Ok(None),
                Step::Yield | Step::Wait(_) if has_passed() => return Err(TimedOut),
                // Other threads run anyway.
                Step::Yield => {}
                Step::Wait(at) => self.wait(end.map_or(at, |end| at.min(end))),
            }
        }
    }

    /// The servers found so far, in the order of their answers, with the
    /// [endpoints](DiscoveredServer::endpoints) that answered since they were returned.
    pub fn servers(&self) -> impl Iterator<Item = &DiscoveredServer> {
        self.driver.discovery().servers()
    }

    /// The search without sockets.
    pub(crate) fn discovery(&self) -> &Discovery {
        self.driver.discovery()
    }

    /// What the search has done so far.
    pub fn report(&self) -> &Report {
        self.driver.discovery().report()
    }

    /// Whether the search could send a probe, and write the file of [known
    /// servers](Config::details).
    ///
    /// # Errors
    /// If the search is over: [`DiscoverError::NothingSent`], if it could send none, and
    /// `DiscoverError::KnownServers`, if the new servers are not in the file.
    pub fn outcome(&self) -> Result<(), DiscoverError> {
        self.driver.outcome()
    }

    /// When the search ends, at the latest.
    pub fn deadline(&self) -> Instant {
        self.driver.discovery().deadline()
    }

    /// Waits until a socket is readable, or until `at`.
    fn wait(&mut self, at: Instant) {
        let timeout = at.saturating_duration_since(Instant::now());
        match self
            .poll
            .poll(&mut self.events, Some(timeout.min(LONGEST_WAIT)))
        {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.give_up(&error),
            // After a signal the next step checks the deadline.
            Ok(()) | Err(_) => {}
        }
    }

    /// Ends a search that cannot wait for its sockets, so that it does not keep the processor busy.
    fn give_up(&mut self, error: &io::Error) {
        for link in 0..self.driver.discovery().links().len() {
            let error = io::Error::new(error.kind(), error.to_string());
            self.driver.give_up(link, error);
        }
    }
}

impl Iterator for Search {
    type Item = DiscoveredServer;

    fn next(&mut self) -> Option<DiscoveredServer> {
        self.next_until(None).unwrap_or_default()
    }
}

impl std::iter::FusedIterator for Search {}

impl Endpoint for UdpSocket {
    fn send(&self, transmits: &[Transmit]) -> io::Result<usize> {
        send::send(&SockRef::from(self), transmits)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buffer)
    }

    fn queued_error(&self) -> Option<Queued> {
        refusals::next(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_cannot_wait_for_its_sockets_ends_at_once() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let config = Config::default()
            .with_port(silent.local_addr().unwrap().port())
            .with_timeout(Duration::from_secs(30))
            .with_interfaces(["lo*", "Loopback*"]);
        let mut search = Search::start(&config).unwrap();
        search.give_up(&io::Error::other("no poll"));
        assert_eq!(search.next(), None);
        for link in &search.report().links {
            let error = link.given_up.as_ref().expect("it was given up");
            assert_eq!(error.to_string(), "no poll");
        }
    }
}
