//! The server: a socket, the responder behind it, and a thread that waits for requests.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
#[cfg(target_os = "linux")]
use mio::{Interest, unix::SourceFd};
use udp_discovery_protocol::{Interface, Response};

use crate::bind::{bind, enlarge_buffers};
#[cfg(target_os = "linux")]
use crate::changes::Changes;
use crate::config::Config;
use crate::engine::{Engine, Step};
use crate::error::{BindError, RunError, SpawnError};
use crate::event::Event;
#[cfg(target_os = "linux")]
use crate::kernel_filter;
use crate::lifecycle::{Lifecycle, State};
use crate::responder::Responder;
use crate::stats::{LiveStats, Stats};
use crate::transport::SystemSocket;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
#[cfg(target_os = "linux")]
const CHANGES: Token = Token(2);

/// A discovery server, bound to its port: whoever asks on the network is answered as soon as it
/// [`run`](Self::run)s.
///
/// The port is its alone. While it runs, nothing wakes it but datagrams, changes of this host's
/// addresses, and being told to stop.
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
    pub(crate) work: Work,
    pub(crate) poll: Poll,
    local_addr: SocketAddr,
    /// The last: it is dropped when the socket is closed.
    pub(crate) ending: Ending,
}

/// What a server does between waiting and waiting, whichever way it waits.
pub(crate) struct Work {
    engine: Engine<SystemSocket>,
    control: Control,
    #[cfg(target_os = "linux")]
    changes: io::Result<Changes>,
    #[cfg(target_os = "linux")]
    filtered: io::Result<()>,
}

/// Stops a server, and tells how it does, from any thread, as often as one likes.
#[derive(Clone)]
pub struct Control {
    lifecycle: Arc<Lifecycle>,
    stats: Arc<LiveStats>,
    waker: Arc<Waker>,
}

/// A server that runs on a thread of its own. Dropping it stops the server and waits for its end.
#[derive(Debug)]
pub struct Handle {
    control: Control,
    local_addr: SocketAddr,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Server {
    /// Binds a server to the port that `config` names, on every IPv4 address of this host.
    ///
    /// # Errors
    /// [`BindError::PortInUse`], if anybody else has the port, on whichever address and with
    /// whichever socket options; [`BindError`] otherwise.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let socket = bind(config.settings().port())?;
        Self::from_socket(socket, config)
    }

    /// Makes a server of a bound IPv4 UDP socket of the caller's, such as one that was handed
    /// over by a service manager, or one that is bound to an address of the loopback interface
    /// alone. The port that `config` names plays no part.
    ///
    /// The socket is switched to non-blocking and, on Linux, to tell where datagrams arrive
    /// (`IP_PKTINFO`); one that arrived before that is dropped, and counted. It gets buffers of
    /// 4 MiB, as far as the system permits.
    ///
    /// # Errors
    /// [`BindError::Socket`], if the socket isn't bound, isn't an IPv4 one or can't be waited for.
    pub fn from_socket(socket: UdpSocket, config: Config) -> Result<Self, BindError> {
        if config.advertise_port() == Some(0) {
            return Err(BindError::AdvertisePortZero);
        }
        let local_addr = socket.local_addr()?;
        if local_addr.port() == 0 || !local_addr.is_ipv4() {
            return Err(io::Error::from(ErrorKind::InvalidInput).into());
        }
        enlarge_buffers(&socket);
        let stats = Arc::new(LiveStats::new());
        let mut transport = SystemSocket::new(socket, config.settings().buffer_size().get())?;
        let poll = Poll::new()?;
        transport.register(poll.registry(), SOCKET)?;
        #[cfg(target_os = "linux")]
        let filtered = filter(&transport, &config);
        let responder = Responder::new(config, local_addr.port(), random_seed());
        let mut engine = Engine::new(
            transport,
            responder,
            Box::new(Interface::list),
            Arc::clone(&stats),
        );
        engine.read_interfaces(Instant::now());

        let control = Control {
            lifecycle: Arc::new(Lifecycle::new()),
            stats,
            waker: Arc::new(Waker::new(poll.registry(), WAKER)?),
        };
        #[cfg(target_os = "linux")]
        let changes = watch(&poll).inspect(|_| engine.changes_are_told());
        let ending = Ending::new(&control);
        let work = Work {
            engine,
            control,
            #[cfg(target_os = "linux")]
            changes,
            #[cfg(target_os = "linux")]
            filtered,
        };
        Ok(Self {
            work,
            poll,
            local_addr,
            ending,
        })
    }

    /// Has `handler` told of all that happens. It is called on the server's thread, which answers
    /// nobody meanwhile. A panic in it is caught and counted; the sixteenth ends the server.
    pub fn on_event(mut self, handler: impl FnMut(&Event<'_>) + Send + 'static) -> Self {
        self.work.engine.set_handler(Box::new(handler));
        self
    }

    /// The address that the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What the server names to whom, as things are now: each IPv4 address of an interface that
    /// is up, and the response to a request that comes by it.
    pub fn responses(&self) -> Vec<(Interface, Response)> {
        let responder = self.work.engine.responder();
        let up = responder.interfaces().iter().filter(|it| it.flags.up);
        up.flat_map(|interface| {
            interface.ipv4_addresses().filter_map(|ip| {
                let response = responder.response_from(ip.into()).ok()?;
                Some((interface.clone(), response))
            })
        })
        .collect()
    }

    /// What stops the server, and tells how it does, while it runs.
    pub fn control(&self) -> Control {
        self.work.control.clone()
    }

    /// Answers until it is [stopped](Control::stop). It returns at once then.
    ///
    /// # Errors
    /// [`RunError`], if it can't go on.
    pub fn run(self) -> Result<(), RunError> {
        let Self {
            work, poll, ending, ..
        } = self;
        // The socket is closed before anybody learns that the server has ended.
        ending.with(answer(work, poll))
    }

    /// Answers on a thread of its own.
    ///
    /// # Errors
    /// [`SpawnError`], if there is none to be had. The port is free again then.
    pub fn spawn(self) -> Result<Handle, SpawnError> {
        let control = self.control();
        let local_addr = self.local_addr;
        let thread = thread::Builder::new()
            .name("udp-discovery".into())
            .spawn(|| self.run())?;
        Ok(Handle {
            control,
            local_addr,
            thread: Some(thread),
        })
    }
}

/// Answers until it is told to stop.
pub(crate) fn answer(mut work: Work, mut poll: Poll) -> Result<(), RunError> {
    let mut events = Events::with_capacity(8);
    work.begin();
    while !work.stop_requested() {
        let timeout = match work.step()? {
            Step::More => Some(Duration::ZERO),
            Step::Wait => None,
            Step::BackOff(wait) => Some(wait),
        };
        match poll.poll(&mut events, timeout) {
            Ok(()) => work.take_in(&events),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(RunError::WaitFailed { source }),
        }
    }
    Ok(())
}

impl Work {
    pub(crate) fn stop_requested(&self) -> bool {
        self.control.stop_requested()
    }

    /// Begins to work: reads the interfaces, and tells what can't be had here.
    pub(crate) fn begin(&mut self) {
        self.engine.read_interfaces(Instant::now());
        #[cfg(target_os = "linux")]
        {
            if let Err(error) = &self.changes {
                self.engine.tell(&Event::ChangesUnavailable { error });
            }
            if let Err(error) = &self.filtered {
                self.engine.tell(&Event::KernelFilterUnavailable { error });
            }
        }
    }

    /// Answers one batch of what is there.
    pub(crate) fn step(&mut self) -> Result<Step, RunError> {
        self.engine.step(Instant::now())
    }

    /// Looks at what was waited for: if this host's addresses have changed, they are read.
    pub(crate) fn take_in(&mut self, events: &Events) {
        #[cfg(target_os = "linux")]
        if let Ok(changes) = &self.changes
            && events.iter().any(|event| event.token() == CHANGES)
        {
            changes.drain();
            self.engine.read_interfaces(Instant::now());
        }
        #[cfg(not(target_os = "linux"))]
        let _ = events;
    }
}

/// A secret of this server, from the system's randomness by way of the standard library's own.
fn random_seed() -> [u64; 2] {
    let state = RandomState::new();
    [state.hash_one(0), state.hash_one(1)]
}

/// Has the system tell of changes of addresses.
#[cfg(target_os = "linux")]
fn watch(poll: &Poll) -> io::Result<Changes> {
    use std::os::fd::AsRawFd as _;
    let changes = Changes::watch()?;
    let mut source = SourceFd(&changes.as_raw_fd());
    poll.registry()
        .register(&mut source, CHANGES, Interest::READABLE)?;
    Ok(changes)
}

/// Has the kernel drop what isn't the request, if that is wanted.
#[cfg(target_os = "linux")]
fn filter(transport: &SystemSocket, config: &Config) -> io::Result<()> {
    if !config.kernel_filter() {
        return Ok(());
    }
    kernel_filter::attach(transport.socket(), config.settings().codec().message())
}

impl Control {
    /// Tells the server to stop. It does at once, if it runs; if not, as soon as it is run.
    pub fn stop(&self) {
        self.lifecycle.request_stop();
        // It fails only if the server and what it waits with are gone.
        let _ = self.waker.wake();
    }

    /// Whether the server was told to stop.
    pub fn stop_requested(&self) -> bool {
        self.lifecycle.stop_requested()
    }

    /// What has become of the server.
    pub fn state(&self) -> State {
        self.lifecycle.state()
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        self.stats.snapshot()
    }
}

impl Handle {
    /// Stops the server and waits until it has ended and its port is free. Called from the
    /// server's own thread, by its event handler, it doesn't wait.
    ///
    /// # Errors
    /// [`RunError`], if the server had ended by itself.
    pub fn shutdown(mut self) -> Result<Stats, RunError> {
        self.stop_and_join()?;
        Ok(self.stats())
    }

    /// Whether the server is there to answer.
    pub fn is_running(&self) -> bool {
        self.control.state() == State::Running
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        self.control.stats()
    }

    /// The address that the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What stops the server, and tells how it does, from elsewhere.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops the server and waits for its end, `limit` at the most; whether it has come. Called
    /// from the server's own thread, it doesn't wait.
    pub(crate) fn stop_within(&self, limit: Duration) -> bool {
        self.control.stop();
        self.is_own_thread() || self.control.lifecycle.wait_for_end(limit)
    }

    /// Whether this is the server's own thread, which runs its event handler.
    pub(crate) fn is_own_thread(&self) -> bool {
        let thread = self.thread.as_ref().map(|thread| thread.thread().id());
        thread == Some(thread::current().id())
    }

    fn stop_and_join(&mut self) -> Result<(), RunError> {
        self.control.stop();
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
        // Whoever wants to know calls shutdown.
        let _ = self.stop_and_join();
    }
}

/// Tells the end of a server, by a panic or a dropped future too.
pub(crate) struct Ending {
    lifecycle: Arc<Lifecycle>,
    failed: bool,
}

impl Ending {
    pub(crate) fn new(control: &Control) -> Self {
        Self {
            lifecycle: Arc::clone(&control.lifecycle),
            failed: false,
        }
    }

    pub(crate) fn with(mut self, result: Result<(), RunError>) -> Result<(), RunError> {
        self.failed = result.is_err();
        result
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let failed = self.failed || thread::panicking();
        let state = if failed {
            State::Failed
        } else {
            State::Stopped
        };
        self.lifecycle.end(state);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
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
