//! Searches that block the thread that makes them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use udp_discovery_protocol::Interface;

use crate::config::Config;
use crate::discovery::Discovery;
use crate::error::DiscoverError;
use crate::report::Report;
use crate::server::DiscoveredServer;
use crate::sockets::{Endpoint, Sockets, Turn};

/// The longest single wait for the system: an hour. Longer ones don't fit in what some systems
/// take; a search that lasts longer waits again.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Finds servers with the same [`Config`], as often as wanted.
///
/// ```no_run
/// use std::time::Duration;
/// use udp_discovery_client::{Client, Config};
///
/// let client = Client::new(Config::default().with_timeout(Duration::from_secs(1)));
/// let mut search = client.search()?;
/// for server in &mut search {
///     println!("{server} answered after {:?}", server.rtt);
/// }
/// for link in &search.report().links {
///     println!("asked {} times on {}", link.probes_sent, link.interface);
/// }
/// # Ok::<(), udp_discovery_client::DiscoverError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Client {
    config: Config,
}

impl Client {
    /// A client that searches as `config` says. Nothing is opened before a search.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// What it was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Finds every server that answers before the timeout, in the order in which they do.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That nobody answered is no error.
    pub fn discover(&self) -> Result<Vec<DiscoveredServer>, DiscoverError> {
        let mut search = self.search()?;
        let servers = search.by_ref().collect();
        search.outcome()?;
        Ok(servers)
    }

    /// Finds the first server that answers, and returns at once when it does.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That nobody answered is no error.
    pub fn discover_one(&self) -> Result<Option<DiscoveredServer>, DiscoverError> {
        let mut search = self.search()?;
        let server = search.next();
        search.outcome()?;
        Ok(server)
    }

    /// Starts a search: sends the first probes and returns an iterator over the servers as they
    /// answer.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That no probe could be sent is known
    /// from [`Search::outcome`], since the later ones may get through.
    pub fn search(&self) -> Result<Search, DiscoverError> {
        let interfaces = Interface::list().map_err(|error| DiscoverError::ListInterfaces {
            source: Arc::new(error),
        })?;
        let open_error = |error| DiscoverError::OpenSocket {
            source: Arc::new(error),
        };
        let poll = Poll::new().map_err(open_error)?;
        let mut discovery = Discovery::new(Instant::now(), &self.config, &interfaces)?;
        let buffer_size = self.config.settings().buffer_size();
        let sockets = Sockets::open(&mut discovery, buffer_size, |link, socket| {
            let mut socket = UdpSocket::from_std(socket);
            let readable = Interest::READABLE;
            poll.registry()
                .register(&mut socket, Token(link), readable)?;
            Ok(socket)
        })?;
        sockets.send(&mut discovery, Instant::now);
        Ok(Search {
            events: Events::with_capacity(discovery.links().len()),
            discovery,
            sockets,
            poll,
        })
    }
}

/// A search that is going on: an iterator that waits for the next server to answer, and ends at
/// the deadline.
///
/// The deadline is that of [`Client::search`]: its timeout after the call. Nothing moves it, and
/// no flood of answers holds the iterator back for long after it. Servers that answered in time
/// can still be taken afterwards; whether one did is not known of what came in while the caller
/// kept the iterator waiting past the deadline, and it counts as in time. Dropping the search closes its sockets.
#[derive(Debug)]
#[must_use = "nobody is found before the search is iterated over"]
pub struct Search {
    discovery: Discovery,
    sockets: Sockets<UdpSocket>,
    poll: Poll,
    events: Events,
}

impl Search {
    /// What the search did so far: whom it asked, and what became of the answers.
    pub fn report(&self) -> &Report {
        self.discovery.report()
    }

    /// Whether the search could be made at all.
    ///
    /// # Errors
    /// [`DiscoverError::NothingSent`], if it is over and no probe could be sent.
    pub fn outcome(&self) -> Result<(), DiscoverError> {
        self.discovery.outcome()
    }

    /// When the search ends.
    pub fn deadline(&self) -> Instant {
        self.discovery.deadline()
    }

    /// Waits for something to receive, until `at` at the latest.
    fn wait(&mut self, at: Instant) {
        let timeout = at.saturating_duration_since(Instant::now());
        match self
            .poll
            .poll(&mut self.events, Some(timeout.min(LONGEST_WAIT)))
        {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.give_up(&error),
            // After a signal the deadline is looked at like after anything else.
            Ok(()) | Err(_) => {}
        }
    }

    /// Ends a search that can't wait for its sockets, rather than turn in circles.
    fn give_up(&mut self, error: &io::Error) {
        for link in 0..self.discovery.links().len() {
            self.discovery.give_up(link, copy(error));
        }
    }
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

impl Iterator for Search {
    type Item = DiscoveredServer;

    fn next(&mut self) -> Option<DiscoveredServer> {
        loop {
            match self.sockets.turn(&mut self.discovery, Instant::now) {
                Turn::Found(server) => return Some(server),
                Turn::Over => return None,
                Turn::Again => {}
                Turn::Wait(at) => self.wait(at),
            }
        }
    }
}

impl std::iter::FusedIterator for Search {}

impl Endpoint for UdpSocket {
    fn send(&self, payload: &[u8], destination: SocketAddr) -> io::Result<usize> {
        self.send_to(payload, destination)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buffer)
    }
}
