//! The server: a socket, the responder behind it, and a thread that waits for requests.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::iter;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use socket2::SockRef;
use udp_discovery_protocol::{Interface, InterfaceAddress, Response, RunId};

use crate::config::Config;
use crate::error::{BindError, RunError, SpawnError};
use crate::event::Event;
use crate::event_loop::{EventLoop, InterfaceReader, Step};
use crate::lifecycle::{EndGuard, Lifecycle, State};
use crate::reporter::Reporter;
use crate::responder::Responder;
use crate::stats::{LiveStats, Stats};
use crate::sys::{self, Changes, Family, OpenError};

/// The sockets have the tokens below it.
const WAKER: Token = Token(2);
const CHANGES: Token = Token(3);

/// A discovery server, bound to its port. It answers requests once it [`run`](Self::run)s.
///
/// It shares its ports with no other socket. While it runs, only datagrams, changes of this host's
/// addresses, and a request to stop wake it.
///
/// ```no_run
/// use udp_discovery_server::{Config, Server};
///
/// let server = Server::bind(Config::default())?.spawn()?;
/// // ... serve ...
/// let stats = server.shutdown()?;
/// println!("{stats}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    event_loop: EventLoop<sys::Socket>,
    pub(crate) poll: Poll,
    control: Control,
    local_addrs: Vec<SocketAddr>,
    /// The result of binding on IPv6 too, to be reported at the start.
    ipv6: Option<io::Result<()>>,
    /// Why the kernel filter could not be attached, to be reported at the start.
    filter_error: Option<io::Error>,
    /// The last field: it reports the end when the socket is closed.
    pub(crate) end: EndGuard,
}

/// Stops a server and observes it, from any thread. Clones control the same server.
#[derive(Clone)]
pub struct Control {
    lifecycle: Arc<Lifecycle>,
    stats: Arc<LiveStats>,
    waker: Arc<Waker>,
}

/// A server that runs on its own thread. Dropping the handle stops the server and waits until it
/// has ended.
#[derive(Debug)]
pub struct Handle {
    control: Control,
    local_addrs: Vec<SocketAddr>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Server {
    /// Binds a server to the port of `config`, on every IPv4 address of this host and, unless
    /// [`Config::ipv6`] is off, on every IPv6 address.
    ///
    /// # Errors
    /// - [`BindError::PortInUse`], if another socket has the port, on any address of either family
    ///   and with any socket options, unless both share it ([`Config::shared_port`]).
    /// - [`BindError::SharedPortUnsupported`], if the port is shared and the system cannot.
    /// - [`BindError::NotPermitted`], if this user may not listen on the port.
    /// - [`BindError::AdvertisePortZero`], if `config` advertises port 0.
    /// - [`BindError::Details`], if the details of `config` do not fit into an answer, or have another id
    ///   than its signing key.
    /// - [`BindError::Socket`], for any other error of the system.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        check_advertised_port(&config)?;
        let port = config.settings().port();
        let sockets = sys::bind(port, config.ipv6(), config.shared_port());
        let sockets = sockets.map_err(|error| match error {
            OpenError::CannotShare => BindError::SharedPortUnsupported,
            OpenError::System(error) => BindError::of_port(port, error),
        })?;
        let (v6, ipv6) = match sockets.v6 {
            None => (None, None),
            Some(Ok(socket)) => (Some(socket), Some(Ok(()))),
            Some(Err(error)) => (None, Some(Err(error))),
        };
        let mut server = Self::with_sockets(iter::once(sockets.v4).chain(v6), config)?;
        server.ipv6 = ipv6;
        Ok(server)
    }

    /// Makes a server of a bound UDP socket, such as one that a service manager passed to this
    /// process, or one that is bound to a loopback address only. It serves the family of that
    /// socket. The port of `config` is not used, nor
    /// is [`Config::shared_port`].
    ///
    /// The socket is made non-blocking and, except on Windows and iOS, set to report where datagrams
    /// arrive (`IP_PKTINFO`, `IPV6_RECVPKTINFO`). A datagram that arrived before that is dropped and
    /// counted. The socket's buffers are enlarged to 4 MiB, as far as the system permits.
    ///
    /// # Errors
    /// - [`BindError::AdvertisePortZero`], if `config` advertises port 0.
    /// - [`BindError::Details`], if the details of `config` do not fit into an answer, or have another id
    ///   than its signing key.
    /// - [`BindError::Socket`], if the socket is not bound, cannot be waited for, or is bound to
    ///   every IPv6 address without `IPV6_V6ONLY`: IPv4 clients would reach it and get no answer.
    pub fn from_socket(socket: UdpSocket, config: Config) -> Result<Self, BindError> {
        Self::from_sockets([socket], config)
    }

    /// Makes a server of one bound UDP socket for each family that it serves, both on one port. Like
    /// [`from_socket`](Self::from_socket) otherwise.
    ///
    /// ```
    /// use std::net::UdpSocket;
    /// use udp_discovery_server::{Config, Server};
    ///
    /// let v4 = UdpSocket::bind("127.0.0.1:0")?;
    /// let mut sockets = vec![v4];
    /// // A host may have no IPv6.
    /// if let Ok(v6) = UdpSocket::bind(("::1", sockets[0].local_addr()?.port())) {
    ///     sockets.push(v6);
    /// }
    /// let server = Server::from_sockets(sockets, Config::default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of `from_socket`; and [`BindError::Socket`], if there is no socket, more than one of a
    /// family, or if they have different ports.
    pub fn from_sockets(
        sockets: impl IntoIterator<Item = UdpSocket>,
        config: Config,
    ) -> Result<Self, BindError> {
        check_advertised_port(&config)?;
        let mut sockets: Vec<UdpSocket> = sockets.into_iter().collect();
        let addresses: Vec<SocketAddr> = sockets
            .iter()
            .map(usable_address)
            .collect::<Result<_, _>>()?;
        match addresses[..] {
            [_] => {}
            [a, b] if a.is_ipv4() != b.is_ipv4() && a.port() == b.port() => {}
            _ => {
                let text = "a server has one socket, or one for each family on the same port";
                return Err(io::Error::new(ErrorKind::InvalidInput, text).into());
            }
        }
        if addresses[0].is_ipv6() {
            sockets.reverse();
        }
        Self::with_sockets(sockets, config)
    }

    /// `sockets` are at most one of each family, that of IPv4 first.
    fn with_sockets(
        sockets: impl IntoIterator<Item = UdpSocket>,
        config: Config,
    ) -> Result<Self, BindError> {
        let poll = Poll::new()?;
        let (mut local_addrs, mut registered) = (Vec::new(), Vec::new());
        for (index, socket) in sockets.into_iter().enumerate() {
            local_addrs.push(socket.local_addr()?);
            let mut socket = sys::Socket::new(socket, config.settings().buffer_size().capacity())?;
            socket.register(poll.registry(), Token(index))?;
            let group = group_to_join(&config, local_addrs[index]);
            registered.push((socket, group));
        }
        let port = local_addrs[0].port();
        let logging = config.settings().logging();
        let responder = Responder::new(config.with_run(random_run()), port, random_seed())?;
        let control = Control {
            lifecycle: Arc::new(Lifecycle::new()),
            stats: Arc::new(LiveStats::new()),
            waker: Arc::new(Waker::new(poll.registry(), WAKER)?),
        };
        let event_loop = EventLoop::new(
            registered,
            responder,
            InterfaceReader::new(Interface::list),
            Reporter::new(Arc::clone(&control.stats), logging),
        );
        // Nothing else is queued from here on.
        let filter_error = event_loop.filter_in_kernel().err();
        Ok(Self {
            event_loop,
            poll,
            end: EndGuard::new(Arc::clone(&control.lifecycle)),
            control,
            local_addrs,
            ipv6: None,
            filter_error,
        })
    }

    /// Sets the event handler.
    ///
    /// It runs on the server's thread, which answers no requests meanwhile; what fails at the start
    /// is reported before [`spawn`](Self::spawn) returns. A panic in it is caught and counted. The
    /// sixteenth ends the server, unless an hour passes between two.
    pub fn on_event(mut self, handler: impl FnMut(&Event<'_>) + Send + 'static) -> Self {
        self.event_loop.reporter.set_handler(Box::new(handler));
        self
    }

    /// The address that the socket is bound to: that of the IPv4 socket, if there are two.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs[0]
    }

    /// The addresses that the sockets are bound to: the IPv4 socket, the IPv6 socket, or both.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Lists the addresses of the interfaces that are up, in the families that the server listens
    /// on, each with the response to a request that arrives there. It is empty if the system
    /// cannot list the interfaces.
    pub fn responses(&self) -> Vec<(Interface, Response)> {
        let responder = self.event_loop.responder();
        let interfaces = Interface::list().unwrap_or_default();
        let up = interfaces.iter().filter(|interface| interface.flags.up);
        up.flat_map(|interface| {
            let addresses = interface.addresses.iter();
            let served = addresses.map(InterfaceAddress::ip).filter(|ip| {
                let mut families = self.local_addrs.iter();
                families.any(|local| local.is_ipv4() == ip.is_ipv4())
            });
            served.filter_map(|ip| {
                let response = responder.response_from(ip).ok()?;
                Some((interface.clone(), response))
            })
        })
        .collect()
    }

    /// A control that stops and observes the server while it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Answers requests until it is [stopped](Control::stop), then returns at once.
    ///
    /// # Errors
    /// [`RunError`], if the server cannot go on.
    pub fn run(mut self) -> Result<(), RunError> {
        self.start();
        self.run_started()
    }

    /// Answers requests on a thread of its own.
    ///
    /// # Errors
    /// [`SpawnError`], if the system cannot start a thread. The port is free then.
    pub fn spawn(mut self) -> Result<Handle, SpawnError> {
        self.start();
        let control = self.control();
        let local_addrs = self.local_addrs.clone();
        let thread = thread::Builder::new()
            .name("udp-discovery".into())
            .spawn(|| self.run_started())?;
        Ok(Handle {
            control,
            local_addrs,
            thread: Some(thread),
        })
    }

    /// Subscribes to changes and reads the interfaces. Reports what fails to the event handler,
    /// which is set by now.
    pub(crate) fn start(&mut self) {
        if let Some(error) = &self.filter_error {
            let event = Event::KernelFilterUnavailable { error };
            self.event_loop.reporter.report(&event);
        }
        let changes = Changes::watch(self.poll.registry(), CHANGES).unwrap_or_else(|error| {
            let event = Event::ChangesUnavailable { error: &error };
            self.event_loop.reporter.report(&event);
            None
        });
        self.event_loop.start(Instant::now(), changes);
        let ipv6 = self
            .ipv6
            .take()
            .map(|bound| bound.and_then(|()| self.find_ipv6_addresses()));
        if let Some(Err(error)) = ipv6 {
            let event = Event::Ipv6Unavailable { error: &error };
            self.event_loop.reporter.report(&event);
        }
    }

    /// Fails if interfaces lead to other hosts and none of them has an IPv6 address.
    fn find_ipv6_addresses(&self) -> io::Result<()> {
        let interfaces = self.event_loop.responder().interfaces().iter();
        let mut addresses = interfaces
            .filter(|interface| interface.flags.up && !interface.flags.loopback)
            .flat_map(|interface| interface.addresses.iter().map(InterfaceAddress::ip))
            .peekable();
        if addresses.peek().is_none() || addresses.any(|ip| ip.is_ipv6()) {
            return Ok(());
        }
        let text = "no interface has an IPv6 address";
        Err(io::Error::new(ErrorKind::AddrNotAvailable, text))
    }

    fn run_started(mut self) -> Result<(), RunError> {
        let result = self.answer_until_stopped();
        self.end.set_failed(result.is_err());
        result
    }

    fn answer_until_stopped(&mut self) -> Result<(), RunError> {
        let mut events = Events::with_capacity(8);
        while !self.control.stop_requested() {
            let timeout = match self.step()? {
                Step::More => Some(Duration::ZERO),
                Step::Wait => None,
                Step::BackOff(pause) => Some(pause),
            };
            self.poll(&mut events, timeout)?;
        }
        Ok(())
    }

    pub(crate) fn step(&mut self) -> Result<Step, RunError> {
        self.event_loop.step(Instant::now())
    }

    /// Waits until a socket is readable, the server is woken or `timeout` has passed. If a link
    /// or an address has changed, reads the interfaces.
    pub(crate) fn poll(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> Result<(), RunError> {
        match self.poll.poll(events, timeout) {
            Ok(()) => {
                for event in events.iter() {
                    match event.token() {
                        WAKER => {}
                        CHANGES => self.event_loop.read_interfaces(Instant::now()),
                        Token(index) => self.event_loop.set_readable(index),
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(RunError::WaitFailed { source }),
        }
        Ok(())
    }
}

fn check_advertised_port(config: &Config) -> Result<(), BindError> {
    match config.advertise_port() {
        Some(0) => Err(BindError::AdvertisePortZero),
        _ => Ok(()),
    }
}

/// The address of a socket that requests can arrive by.
fn usable_address(socket: &UdpSocket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?;
    if address.port() == 0 {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not bound"));
    }
    let any_ipv6 = address.is_ipv6() && address.ip().is_unspecified();
    if any_ipv6 && !SockRef::from(socket).only_v6()? {
        let text = "it needs IPV6_V6ONLY to be bound to every IPv6 address";
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    Ok(address)
}

/// The family whose multicast group a socket bound to `local` joins, unless multicast is off. A
/// socket that is bound to one address receives no multicast datagrams.
fn group_to_join(config: &Config, local: SocketAddr) -> Option<Family> {
    (config.multicast() && local.ip().is_unspecified()).then_some(Family::of(local))
}

/// A secret of this server. The standard library's hasher gets its keys from the system's
/// randomness.
fn random_seed() -> [u64; 2] {
    let state = RandomState::new();
    [state.hash_one(0), state.hash_one(1)]
}

/// What tells this start of the server from others. It is no secret.
fn random_run() -> RunId {
    RunId::new(RandomState::new().hash_one(0).to_be_bytes())
}

impl Control {
    /// Requests the server to stop. It stops at once if it runs, else as soon as it is run.
    pub fn stop(&self) {
        self.lifecycle.request_stop();
        // It fails only if the server has ended.
        let _ = self.waker.wake();
    }

    /// Whether a stop was requested.
    pub fn stop_requested(&self) -> bool {
        self.lifecycle.stop_requested()
    }

    /// The state of the server.
    pub fn state(&self) -> State {
        self.lifecycle.state()
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        self.stats.snapshot()
    }

    /// Waits until the server has ended, for at most `timeout`. Returns whether it has.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.lifecycle.wait_for_end(timeout)
    }
}

impl Handle {
    /// Stops the server and waits until it has ended and its port is free.
    ///
    /// Called by the event handler, on the server's own thread, it does not wait.
    ///
    /// # Errors
    /// [`RunError`], if the server had already failed.
    pub fn shutdown(self) -> Result<Stats, RunError> {
        self.stop();
        self.join()
    }

    /// Waits until the server has ended, without stopping it. A [`Control`] stops it from
    /// elsewhere.
    ///
    /// Called by the event handler, on the server's own thread, it does not wait.
    ///
    /// # Errors
    /// [`RunError`], if the server failed.
    pub fn join(mut self) -> Result<Stats, RunError> {
        self.join_thread()?;
        Ok(self.stats())
    }

    /// Requests the server to stop, and does not wait for it.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Whether the server has not ended.
    pub fn is_running(&self) -> bool {
        self.control.state() == State::Running
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        self.control.stats()
    }

    /// The address that the socket is bound to: that of the IPv4 socket, if there are two.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs[0]
    }

    /// The addresses that the sockets are bound to.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// A control that stops and observes the server.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Whether this is the server's own thread, which runs its event handler.
    pub(crate) fn is_own_thread(&self) -> bool {
        let thread = self.thread.as_ref().map(|thread| thread.thread().id());
        thread == Some(thread::current().id())
    }

    fn join_thread(&mut self) -> Result<(), RunError> {
        if self.is_own_thread() {
            return Ok(());
        }
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or(Err(RunError::Panicked)),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
        // Callers that want the error call shutdown.
        let _ = self.join_thread();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addrs", &self.local_addrs)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
