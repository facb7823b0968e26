//! Searches on a tokio runtime.
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
//! To search with another configuration, call the methods of [`Client`] whose names end in `_async`.
//!
//! The runtime must have its I/O and time drivers enabled. Starting a search lists the interfaces
//! and opens the sockets on the calling thread, which takes a few system calls for each. The file of
//! [`Config::remember`] is read and written there too.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ::tokio::io::Interest;
use ::tokio::task;
use ::tokio::time::{self, Sleep};
use futures_core::Stream;
use socket2::SockRef;

use crate::client::Client;
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

mod watcher;

pub use watcher::Watcher;

/// Finds every server that answers within `timeout`, in the order of their answers, with the
/// default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
///
/// # Panics
/// Outside a tokio runtime with its I/O and time drivers enabled.
pub async fn discover(timeout: Duration) -> Result<Vec<DiscoveredServer>, DiscoverError> {
    let client = Client::new(Config::default().with_timeout(timeout));
    client.discover_async().await
}

/// Finds the first server that answers within `timeout`, with the default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
///
/// # Panics
/// Outside a tokio runtime with its I/O and time drivers enabled.
pub async fn discover_one(timeout: Duration) -> Result<Option<DiscoveredServer>, DiscoverError> {
    let client = Client::new(Config::default().with_timeout(timeout));
    client.discover_one_async().await
}

/// A running search: a [`Stream`] of the servers as they answer, which ends at the deadline.
///
/// [`next`](Self::next) needs no extension trait. The deadline is the call of
/// [`Client::search_async`] plus the configured timeout. The search sends probes only while it is
/// polled. Dropping it closes its sockets.
///
/// ```no_run
/// # async fn example() -> Result<(), udp_discovery_client::DiscoverError> {
/// use std::time::Duration;
/// use udp_discovery_client::{Client, Config};
///
/// let mut search = Client::new(Config::default()).search_async().await?;
/// let mut tick = tokio::time::interval(Duration::from_millis(100));
/// loop {
///     tokio::select! {
///         server = search.next() => match server {
///             Some(server) => println!("{server}"),
///             None => break,
///         },
///         _ = tick.tick() => println!("searching"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a search finds servers only while it is polled"]
pub struct Search {
    driver: Driver<Registered>,
    /// The task that polls the search, for the other engines.
    task: Arc<Mutex<Option<Waker>>>,
    timer: Pin<Box<Sleep>>,
}

impl Search {
    pub(crate) async fn start(config: &Config) -> Result<Self, DiscoverError> {
        Self::start_round(&Round::search(config.clone())).await
    }

    async fn start_round(round: &Round) -> Result<Self, DiscoverError> {
        let start = now();
        let config = &round.config;
        let timeout = config.settings().timeout();
        let targets = if resolve::has_names(config) {
            let config = config.clone();
            task::spawn_blocking(move || resolve::targets(&config, timeout))
                .await
                .map_err(|error| DiscoverError::OpenSocket {
                    source: Arc::new(error.into()),
                })??
        } else {
            resolve::targets(config, timeout)?
        };
        let mut driver = Driver::start(round, start, targets, now, |_, socket| {
            Registered::new(socket)
        })?;
        let task = Arc::new(Mutex::new(None));
        if driver.has_engines() {
            let task = Arc::clone(&task);
            driver.start_engines(move || wake(&task));
        }
        let deadline = time::Instant::from_std(driver.discovery().deadline());
        Ok(Self {
            driver,
            task,
            timer: Box::pin(time::sleep_until(deadline)),
        })
    }

    /// Waits for the next server to answer. Returns `None` after the deadline.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing is lost. The next call continues.
    pub async fn next(&mut self) -> Option<DiscoveredServer> {
        poll_fn(|context| self.poll(context)).await
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

    /// When the search ends, at the latest, by tokio's clock.
    pub fn deadline(&self) -> Instant {
        self.driver.discovery().deadline()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<DiscoveredServer>> {
        if self.driver.has_engines() {
            // Before what they say is taken, so that nothing is missed.
            let waker = context.waker().clone();
            *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
        }
        loop {
            match self.driver.step(now) {
                Step::Found(server) => return Poll::Ready(Some(server)),
                Step::Over => return Poll::Ready(None),
                Step::Yield => {
                    // Its first poll wakes the task after other tasks and the drivers have run.
                    let _pending = pin!(task::yield_now()).poll(context);
                    return Poll::Pending;
                }
                Step::Wait(at) => {
                    if self.poll_readable(at, context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Waits until a socket is readable, or until `at`.
    fn poll_readable(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let ready = self.driver.sockets().find_map(|(link, socket)| {
            match socket.readiness.poll_recv_ready(context) {
                Poll::Ready(result) => Some((link, result)),
                Poll::Pending => None,
            }
        });
        match ready {
            Some((_, Ok(()))) => Poll::Ready(()),
            // The runtime was shut down.
            Some((link, Err(error))) => {
                self.driver.give_up(link, error);
                Poll::Ready(())
            }
            None => {
                self.timer.as_mut().reset(time::Instant::from_std(at));
                self.timer.as_mut().poll(context)
            }
        }
    }
}

impl Stream for Search {
    type Item = DiscoveredServer;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(context)
    }
}

fn wake(task: &Mutex<Option<Waker>>) {
    let waker = task.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The time by tokio's clock, which a test may pause.
fn now() -> Instant {
    time::Instant::now().into_std()
}

/// A socket, and a duplicate of its descriptor through which the runtime reports readiness.
///
/// The runtime's readiness is as old as its last poll of the system. After a thread was busy past
/// the deadline it is stale, so the search receives from the socket itself.
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
    fn send(&self, transmits: &[Transmit]) -> io::Result<usize> {
        send::send(&SockRef::from(&self.socket), transmits)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut receive = || self.socket.recv_from(buffer);
        // If the socket is not readable, `try_io` clears the runtime's readiness, so that the next
        // wait blocks. Without readiness, `try_io` does not call the closure.
        match self.readiness.try_io(Interest::READABLE, &mut receive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => receive(),
            result => result,
        }
    }

    fn queued_error(&self) -> Option<Queued> {
        refusals::next(&self.socket)
    }
}
