//! The same searches on a tokio runtime.
//!
//! ```no_run
//! # async fn example() -> Result<(), udp_discovery_client::DiscoverError> {
//! use std::time::Duration;
//!
//! for server in udp_discovery_client::tokio::discover(Duration::from_millis(500)).await? {
//!     println!("{server}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The runtime must have its IO and its time driver enabled. Listing the interfaces and opening
//! the sockets take a system call or two each and are done in place.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::tokio::io::Interest;
use ::tokio::task;
use ::tokio::time::{self, Sleep};
use udp_discovery_protocol::Interface;

use crate::config::Config;
use crate::discovery::Discovery;
use crate::error::DiscoverError;
use crate::report::Report;
use crate::server::DiscoveredServer;
use crate::sockets::{Endpoint, Sockets, Turn};

/// Finds every server that answers within `timeout`, in the order in which they do, with the
/// default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is no error.
///
/// # Panics
/// Outside a tokio runtime with IO and time.
pub async fn discover(timeout: Duration) -> Result<Vec<DiscoveredServer>, DiscoverError> {
    Client::new(Config::default().with_timeout(timeout))
        .discover()
        .await
}

/// Finds the first server that answers within `timeout`, with the default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is no error.
///
/// # Panics
/// Outside a tokio runtime with IO and time.
pub async fn discover_one(timeout: Duration) -> Result<Option<DiscoveredServer>, DiscoverError> {
    Client::new(Config::default().with_timeout(timeout))
        .discover_one()
        .await
}

/// Finds servers with the same [`Config`], as often as wanted. It is [`crate::Client`] with
/// another face.
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
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub async fn discover(&self) -> Result<Vec<DiscoveredServer>, DiscoverError> {
        let mut search = self.search()?;
        let mut servers = Vec::new();
        while let Some(server) = search.next().await {
            servers.push(server);
        }
        search.outcome()?;
        Ok(servers)
    }

    /// Finds the first server that answers, and returns at once when it does.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That nobody answered is no error.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub async fn discover_one(&self) -> Result<Option<DiscoveredServer>, DiscoverError> {
        let mut search = self.search()?;
        let server = search.next().await;
        search.outcome()?;
        Ok(server)
    }

    /// Starts a search and sends its first probes.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That no probe could be sent is known
    /// from [`Search::outcome`], since the later ones may get through.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub fn search(&self) -> Result<Search, DiscoverError> {
        let interfaces = Interface::list().map_err(|error| DiscoverError::ListInterfaces {
            source: Arc::new(error),
        })?;
        let mut discovery = Discovery::new(now(), &self.config, &interfaces)?;
        let buffer_size = self.config.settings().buffer_size();
        let sockets = Sockets::open(&mut discovery, buffer_size, |_, socket| {
            Registered::new(socket)
        })?;
        sockets.send(&mut discovery, now);
        Ok(Search { discovery, sockets })
    }
}

/// A search that is going on. It is [`crate::Search`] with another face.
///
/// Dropping it closes its sockets.
#[derive(Debug)]
#[must_use = "nobody is found before the search is asked for the next server"]
pub struct Search {
    discovery: Discovery,
    sockets: Sockets<Registered>,
}

impl Search {
    /// Waits for the next server to answer; none when the deadline has come.
    ///
    /// It may be cancelled: nothing is lost by that, and the next call goes on. While nobody
    /// calls it, no probes are sent.
    pub async fn next(&mut self) -> Option<DiscoveredServer> {
        loop {
            match self.sockets.turn(&mut self.discovery, now) {
                Turn::Found(server) => return Some(server),
                Turn::Over => return None,
                Turn::Again => task::yield_now().await,
                Turn::Wait(at) => self.wait(at).await,
            }
        }
    }

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

    /// When the search ends, by the clock of tokio.
    pub fn deadline(&self) -> time::Instant {
        time::Instant::from_std(self.discovery.deadline())
    }

    /// Waits for something to receive, until `at` at the latest.
    async fn wait(&self, at: Instant) {
        let mut timer = pin!(time::sleep_until(time::Instant::from_std(at)));
        poll_fn(|context| self.poll_ready(timer.as_mut(), context)).await;
    }

    fn poll_ready(&self, timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
        let ready = self
            .sockets
            .endpoints()
            .any(|socket| socket.readiness.poll_recv_ready(context).is_ready());
        if ready {
            return Poll::Ready(());
        }
        timer.poll(context)
    }
}

/// The time by the clock of tokio, which tests may have paused.
fn now() -> Instant {
    time::Instant::now().into_std()
}

/// A socket, and a duplicate of its descriptor by which the runtime reports that it is readable.
///
/// What the runtime knows is as old as the last time it looked. On a thread that was busy past the
/// deadline that is too old, so the socket itself is asked.
#[derive(Debug)]
struct Registered {
    socket: UdpSocket,
    readiness: ::tokio::net::UdpSocket,
}

impl Registered {
    fn new(socket: UdpSocket) -> io::Result<Self> {
        let readiness = ::tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
        Ok(Self { socket, readiness })
    }
}

impl Endpoint for Registered {
    fn send(&self, payload: &[u8], destination: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(payload, destination)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut receive = || self.socket.recv_from(buffer);
        // If the runtime knows that the socket is readable and it is not any more, this also
        // clears what the runtime knows, so that waiting waits.
        match self.readiness.try_io(Interest::READABLE, &mut receive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => receive(),
            result => result,
        }
    }
}
