//! A search with its sockets. The caller waits, blocking or on a runtime.

use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use udp_discovery_protocol::{Interface, ReceiveErrorKind, SendErrorKind};

use crate::config::Config;
use crate::discovery::{Discovery, Transmit};
use crate::error::DiscoverError;
use crate::host::{Host, ResolvedTarget};
#[cfg(feature = "signed")]
use crate::known::KnownServers;
use crate::neighbors;
use crate::origins::{Engines, Plan};
use crate::refusals::{self, Queued};
use crate::remember::Memory;
use crate::report::Link;
use crate::resolve;
use crate::send::MAX_BATCH;
use crate::server::DiscoveredServer;
use crate::watch::Round;

/// The size of the receive buffer that each socket asks for, in bytes. The system may grant less (on
/// Linux twice `net.core.rmem_max`), and then a burst of answers may lose some.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The size of the send buffer that a socket asks for which asks hosts by unicast, in bytes. On Linux a
/// datagram to a neighbor that does not answer takes 832 bytes of it for 3 s, and one for details 1,280, so
/// that the default of 208 KiB has room for 256 or 100. Usually the system grants at least 416 KiB, twice `net.core.wmem_max`.
const SEND_BUFFER: usize = 1 << 20;

/// How many datagrams are received before other work runs. It takes a few milliseconds, so that a
/// flood does not delay the deadline or the other tasks of the thread.
const BUDGET: usize = 1024;

/// How many datagrams are sent before the sockets are received from, so that the answers to many
/// requests are not lost.
const SENT_AT_ONCE: usize = 64;

/// A socket that never blocks.
pub(crate) trait Endpoint {
    /// Sends as many of `transmits` as the system takes at once, at least the first. Returns their number.
    fn send(&self, transmits: &[Transmit]) -> io::Result<usize>;
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// The next error of an earlier datagram, if the system keeps them.
    fn queued_error(&self) -> Option<Queued>;
}

/// What the caller must do next.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the caller takes it apart at once"
)]
pub(crate) enum Step {
    /// Return this server.
    Found(DiscoveredServer),
    /// Return that the search is over.
    Over,
    /// Let other work run.
    Yield,
    /// Wait until a socket is readable, or until this time.
    Wait(Instant),
}

/// A search with its sockets: one for each link that was not given up.
#[derive(Debug)]
pub(crate) struct Driver<S> {
    discovery: Discovery,
    sockets: Vec<Option<S>>,
    buffer: Vec<u8>,
    /// Whether the sockets keep the errors of earlier datagrams.
    keeps_errors: bool,
    /// Room for the links that may have more datagrams. Empty between two passes.
    readable: Vec<usize>,
    /// Room for what is sent together. Empty between two passes.
    batch: Vec<Transmit>,
    /// How many more datagrams and errors are received before the next yield.
    budget: usize,
    /// The file of addresses, until what answered is saved.
    memory: Option<Memory>,
    /// What the other engines do once they are started.
    plan: Plan,
    engines: Option<Engines>,
    /// The file of known servers, until the new ones are saved, and why they were not.
    #[cfg(feature = "signed")]
    known: Option<KnownServers>,
    #[cfg(feature = "signed")]
    unsaved: Option<DiscoverError>,
}

impl<S: Endpoint> Driver<S> {
    /// Starts a search on this host's interfaces: opens its sockets and sends the first probes.
    ///
    /// `start` is when the search was called, which its deadline counts from. `targets` are the
    /// targets of the round's configuration. `register` prepares the socket of a link for waiting. A link whose socket
    /// cannot be opened is given up. It is an error if no socket can be opened.
    pub(crate) fn start(
        round: &Round,
        start: Instant,
        targets: Vec<ResolvedTarget>,
        clock: impl Fn() -> Instant,
        mut register: impl FnMut(usize, UdpSocket) -> io::Result<S>,
    ) -> Result<Self, DiscoverError> {
        let interfaces = Interface::list().map_err(|error| DiscoverError::ListInterfaces {
            source: Arc::new(error),
        })?;
        let config = &round.config;
        #[cfg(feature = "signed")]
        let known = KnownServers::of(config)?;
        let memory = Memory::of(config);
        let remembered = memory.iter().flat_map(Memory::addresses).copied();
        let [v4, v6] = neighbors::limits(config.details());
        let host = Host::new(interfaces)
            .with_targets(targets)
            .with_remembered(resolve::routes(remembered))
            .with_max_silent(v4, v6);
        let host = round.on_host(host, resolve::routes(round.asked.iter().copied()));
        #[cfg(feature = "signed")]
        let host = host.with_known_servers(known.iter().flat_map(KnownServers::servers).cloned());
        let now = clock();
        let timeout = config.settings().timeout();
        let left = timeout.saturating_sub(now.saturating_duration_since(start));
        let config = &config.clone().with_timeout(left);
        let mut discovery = Discovery::new(now, config, &host, random(config)?)?;
        if let Some(memory) = &memory {
            memory.report(&mut discovery);
        }
        let unicasts = !host.targets.is_empty() || !host.remembered.is_empty();
        let mut sockets = Vec::with_capacity(discovery.links().len());
        for link in 0..discovery.links().len() {
            let socket = open(&discovery.links()[link], config, unicasts);
            let socket = socket.and_then(|socket| register(link, socket));
            sockets.push(match socket {
                Ok(socket) => Some(socket),
                Err(error) => {
                    if let Some(port) = config.source_port()
                        && error.kind() == io::ErrorKind::AddrInUse
                    {
                        return Err(DiscoverError::SourcePortInUse {
                            port,
                            source: Arc::new(error),
                        });
                    }
                    discovery.give_up(link, error);
                    None
                }
            });
        }
        discovery.outcome()?;
        let mut driver = Self {
            discovery,
            sockets,
            buffer: vec![0; config.settings().buffer_size().capacity()],
            keeps_errors: unicasts,
            readable: Vec::new(),
            batch: Vec::new(),
            budget: BUDGET,
            memory,
            plan: Plan::new(config, &host.interfaces),
            engines: None,
            #[cfg(feature = "signed")]
            known,
            #[cfg(feature = "signed")]
            unsaved: None,
        };
        driver.send(clock);
        Ok(driver)
    }

    /// Whether other engines are to be started.
    pub(crate) fn has_engines(&self) -> bool {
        !self.plan.services.is_empty()
    }

    /// Starts the other engines. They call `wake` when there is something to take.
    pub(crate) fn start_engines(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        self.engines = Some(Engines::start(&self.plan, wake));
    }

    pub(crate) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Whether the search could send a probe, and save the servers that it knows now.
    pub(crate) fn outcome(&self) -> Result<(), DiscoverError> {
        self.discovery.outcome()?;
        #[cfg(feature = "signed")]
        if let Some(error) = &self.unsaved {
            return Err(error.clone());
        }
        Ok(())
    }

    /// The open sockets, with the indices of their links.
    #[cfg(feature = "tokio")]
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (usize, &S)> {
        let sockets = self.sockets.iter().enumerate();
        sockets.filter_map(|(link, socket)| Some((link, socket.as_ref()?)))
    }

    /// Gives up a link and closes its socket.
    pub(crate) fn give_up(&mut self, link: usize, error: io::Error) {
        self.discovery.give_up(link, error);
        self.sockets[link] = None;
    }

    /// Advances the search by at most one pass over the sockets.
    pub(crate) fn step(&mut self, clock: impl Fn() -> Instant) -> Step {
        // After the end nothing is received, but the caller still gets what was found.
        if self.discovery.poll_timeout().is_none() {
            self.save();
            self.engines = None;
            return self.discovery.poll_event().map_or(Step::Over, Step::Found);
        }
        if self.budget == 0 {
            self.budget = BUDGET;
            return Step::Yield;
        }
        // Receive first: the caller may spend much time on each server, and the sockets hold little.
        self.receive_errors();
        self.receive(&clock);
        self.take_events(&clock);
        self.discovery.handle_timeout(clock());
        let all_sent = self.send(&clock);
        if self.discovery.poll_timeout().is_none() {
            self.save();
        }
        if let Some(server) = self.discovery.poll_event() {
            return Step::Found(server);
        }
        let drained = self.budget > 0;
        self.budget = BUDGET;
        match self.discovery.poll_timeout() {
            None => Step::Over,
            Some(at) if drained && all_sent => Step::Wait(at),
            Some(_) => Step::Yield,
        }
    }

    /// Sends what is due, but not too much at once. Returns whether that was all.
    fn send(&mut self, clock: impl Fn() -> Instant) -> bool {
        let mut batch = mem::take(&mut self.batch);
        let mut all_sent = false;
        let mut now = clock();
        for _ in 0..SENT_AT_ONCE {
            let Some(transmit) = self.discovery.poll_transmit(now) else {
                all_sent = true;
                break;
            };
            let alone = !transmit.is_of_sweep();
            if alone || batch.first().is_some_and(|it| it.link != transmit.link) {
                self.send_batch(&mut batch);
            }
            batch.push(transmit);
            if alone || batch.len() == MAX_BATCH {
                self.send_batch(&mut batch);
                now = clock();
            }
        }
        self.send_batch(&mut batch);
        self.batch = batch;
        all_sent
    }

    /// Sends one datagram, or requests of a sweep on one link, and leaves none. Repeats the call if a
    /// signal interrupts it, or if it returns the error of an earlier datagram, which the system returns
    /// once.
    fn send_batch(&mut self, batch: &mut Vec<Transmit>) {
        while let Some(first) = batch.first() {
            let Some(socket) = &self.sockets[first.link] else {
                batch.clear();
                return;
            };
            let error = match socket.send(batch) {
                Ok(sent) => {
                    batch.drain(..sent);
                    continue;
                }
                Err(error) => error,
            };
            let kind = SendErrorKind::of(&error);
            if kind == SendErrorKind::Interrupted
                || take_errors(socket, &mut self.discovery, BUDGET) > 0
            {
                continue;
            }
            if kind == SendErrorKind::NoRoom {
                // Nor is there for the others.
                for unsent in batch.drain(1..).rev() {
                    self.discovery.take_back(&unsent);
                }
            }
            let unsent = batch.remove(0);
            self.discovery.handle_send_error(unsent, error);
        }
    }

    /// Receives the errors of earlier datagrams: which targets refuse, and which neighbors there are
    /// not.
    fn receive_errors(&mut self) {
        if !self.keeps_errors {
            return;
        }
        for socket in self.sockets.iter().flatten() {
            self.budget -= take_errors(socket, &mut self.discovery, self.budget);
        }
    }

    /// Takes what the other engines say, up to the budget.
    fn take_events(&mut self, clock: impl Fn() -> Instant) {
        while self.budget > 0
            && let Some((engine, event)) = self.engines.as_ref().and_then(Engines::next)
        {
            self.budget -= 1;
            self.discovery.handle_engine(clock(), engine, event);
        }
    }

    /// Receives up to the budget. Every socket gets the same share.
    fn receive(&mut self, clock: impl Fn() -> Instant) {
        let mut readable = mem::take(&mut self.readable);
        readable.extend(0..self.sockets.len());
        while self.budget > 0 && !readable.is_empty() {
            readable.retain(|&link| self.budget == 0 || self.receive_from(link, clock()));
        }
        readable.clear();
        self.readable = readable;
    }

    /// Receives one datagram. Returns whether there may be another.
    fn receive_from(&mut self, link: usize, now: Instant) -> bool {
        let Some(socket) = &self.sockets[link] else {
            return false;
        };
        match socket.receive(&mut self.buffer) {
            Ok((len, source)) => {
                let payload = &self.buffer[..len];
                self.discovery.handle_datagram(now, link, source, payload);
            }
            Err(error) if ReceiveErrorKind::of(&error) == ReceiveErrorKind::WouldBlock => {
                return false;
            }
            Err(error) => self.discovery.handle_receive_error(link, error),
        }
        self.budget -= 1;
        if self.discovery.is_given_up(link) {
            self.sockets[link] = None;
        }
        true
    }
}

/// Fresh bytes for the nonces of a search.
fn random(config: &Config) -> Result<[u8; 15], DiscoverError> {
    let mut bytes = [0; 15];
    if config.details() {
        getrandom::fill(&mut bytes).map_err(|error| DiscoverError::NoRandomBytes {
            source: Arc::new(error.into()),
        })?;
    }
    Ok(bytes)
}

/// Opens the socket of a link. It shares its port with no other. If the search asks hosts by unicast,
/// the system also reports refusals, and that it has no room for a datagram.
fn open(link: &Link, config: &Config, unicasts: bool) -> io::Result<UdpSocket> {
    let port = config.source_port().map_or(0, NonZeroU16::get);
    let mut local = link.local_addr();
    local.set_port(port);
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    match local {
        SocketAddr::V4(local) => {
            socket.set_broadcast(!link.targets_only)?;
            socket.set_multicast_if_v4(local.ip())?;
            socket.set_multicast_ttl_v4(1)?;
        }
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            if link.index != 0 {
                socket.set_multicast_if_v6(link.index)?;
            }
            socket.set_multicast_hops_v6(1)?;
        }
    }
    if unicasts {
        refusals::enable(&socket, local)?;
        // With a smaller buffer the sweep waits more often.
        if socket.send_buffer_size().is_ok_and(|it| it < SEND_BUFFER) {
            let _ = socket.set_send_buffer_size(SEND_BUFFER);
        }
    }
    // The system's default may be larger. A smaller buffer still works.
    if socket
        .recv_buffer_size()
        .is_ok_and(|size| size < RECEIVE_BUFFER)
    {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    socket.bind(&SockAddr::from(local))?;
    Ok(socket.into())
}

impl<S> Driver<S> {
    /// Remembers what answered, once.
    fn save(&mut self) {
        if let Some(memory) = self.memory.take() {
            memory.save(&mut self.discovery);
        }
        #[cfg(feature = "signed")]
        if let Some(known) = self.known.take() {
            self.unsaved = known.save(&self.discovery).err();
        }
    }
}

impl<S> Drop for Driver<S> {
    /// A caller that has what it wants need not wait for the end.
    fn drop(&mut self) {
        self.save();
    }
}

/// Takes at most `budget` errors of earlier datagrams. Returns how many there were.
fn take_errors(socket: &impl Endpoint, discovery: &mut Discovery, budget: usize) -> usize {
    let mut taken = 0;
    while taken < budget
        && let Some(error) = socket.queued_error()
    {
        taken += 1;
        if let Queued::Refused(address) = error {
            discovery.handle_refusal(address);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::net::{IpAddr, Ipv6Addr};
    use std::num::NonZeroU8;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use socket2::SockRef;
    use udp_discovery_protocol::{BufferSize, InterfaceAddress};

    use super::*;
    use crate::host::Route;

    /// A socket with scripted results. After the end of the script there is nothing to receive, and
    /// sending succeeds.
    #[derive(Default)]
    struct Scripted {
        /// What sending a datagram results in: `None` is success.
        sending: RefCell<VecDeque<Option<io::ErrorKind>>>,
        receiving: RefCell<VecDeque<io::Result<&'static [u8]>>>,
        sent: Cell<usize>,
    }

    impl Endpoint for Scripted {
        fn send(&self, transmits: &[Transmit]) -> io::Result<usize> {
            let mut sending = self.sending.borrow_mut();
            for sent in 0..transmits.len() {
                // The error of one that is not the first is that of the next call.
                if sent > 0 && matches!(sending.front(), Some(Some(_))) {
                    return Ok(sent);
                }
                if let Some(kind) = sending.pop_front().flatten() {
                    return Err(kind.into());
                }
                self.sent.set(self.sent.get() + 1);
            }
            Ok(transmits.len())
        }

        fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            let next = self.receiving.borrow_mut().pop_front();
            let payload = next.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
            buffer[..payload.len()].copy_from_slice(payload);
            Ok((payload.len(), SocketAddr::from(([10, 0, 0, 7], 9999))))
        }

        fn queued_error(&self) -> Option<Queued> {
            None
        }
    }

    const ANSWER: io::Result<&[u8]> = Ok(b"SERVER_IP:10.0.0.7");

    /// The answer of the server with this number.
    fn answer_of(number: usize) -> &'static [u8] {
        format!("SERVER_IP:10.0.0.7:{}", number + 1)
            .leak()
            .as_bytes()
    }

    fn receiving(script: impl IntoIterator<Item = io::Result<&'static [u8]>>) -> Scripted {
        Scripted {
            receiving: RefCell::new(script.into_iter().collect()),
            ..Scripted::default()
        }
    }

    fn interface(name: &str, address: &str) -> Interface {
        let mut interface = Interface::new(name, 2);
        interface.flags.up = true;
        interface.flags.broadcast = true;
        let address = InterfaceAddress::new(address.parse().unwrap(), 24).unwrap();
        interface.addresses.push(address);
        interface
    }

    /// A search with these sockets, one for each link.
    fn driver<S>(sockets: impl IntoIterator<Item = S>) -> Driver<S> {
        let sockets: Vec<Option<S>> = sockets.into_iter().map(Some).collect();
        let interfaces: Vec<Interface> = (0..sockets.len())
            .map(|link| interface(&format!("eth{link}"), &format!("10.0.{link}.2")))
            .collect();
        Driver {
            discovery: Discovery::new(
                Instant::now(),
                &Config::default(),
                &Host::new(interfaces),
                [0; 15],
            )
            .unwrap(),
            sockets,
            buffer: vec![0; BufferSize::default().capacity()],
            keeps_errors: true,
            readable: Vec::new(),
            batch: Vec::new(),
            budget: BUDGET,
            memory: None,
            plan: Plan::new(&Config::default(), &[]),
            engines: None,
            #[cfg(feature = "signed")]
            known: None,
            #[cfg(feature = "signed")]
            unsaved: None,
        }
    }

    impl<S> Driver<S> {
        fn socket(&self, link: usize) -> &S {
            self.sockets[link].as_ref().expect("it is open")
        }
    }

    #[test]
    fn the_buffers_are_as_large_as_the_system_allows_and_never_smaller_than_the_default() {
        let receive = |socket: &UdpSocket| SockRef::from(socket).recv_buffer_size().unwrap();
        let send = |socket: &UdpSocket| SockRef::from(socket).send_buffer_size().unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = Link::new("lo", 1, other.local_addr().unwrap().ip(), Vec::new());
        let socket = open(&link, &Config::default(), true).unwrap();
        assert!(receive(&socket) >= receive(&other));
        assert!(send(&socket) >= send(&other));
        // Linux grants twice the limit (socket(7)). Under wine the files are there too.
        let limit = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}_max"));
            text.ok()?.trim().parse::<usize>().ok()
        };
        if cfg!(target_os = "linux")
            && let (Some(receives), Some(sends)) = (limit("rmem"), limit("wmem"))
        {
            assert!(receive(&socket) >= 2 * receives.min(RECEIVE_BUFFER));
            assert!(send(&socket) >= 2 * sends.min(SEND_BUFFER));
        }
    }

    #[test]
    fn a_socket_may_broadcast_unless_it_asks_only_targets() {
        for targets_only in [false, true] {
            let link = Link {
                targets_only,
                ..Link::new("lo", 1, [127, 0, 0, 1].into(), Vec::new())
            };
            let socket = open(&link, &Config::default(), targets_only).unwrap();
            assert_eq!(SockRef::from(&socket).broadcast().unwrap(), !targets_only);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn multicasts_leave_by_the_interface_of_the_link() {
        let index = nix::net::if_::if_nametoindex("lo").unwrap();
        for index in [0, index] {
            let link = Link::new("lo", index, Ipv6Addr::LOCALHOST.into(), Vec::new());
            // A host may have no IPv6.
            let Ok(socket) = open(&link, &Config::default(), false) else {
                return;
            };
            assert_eq!(SockRef::from(&socket).multicast_if_v6().unwrap(), index);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_send_buffer_holds_as_many_datagrams_as_may_be_silent() {
        let lo = Link::new("lo", 1, [127, 0, 0, 1].into(), Vec::new());
        let socket = open(&lo, &Config::default(), true).unwrap();
        let size = SockRef::from(&socket).send_buffer_size().unwrap();
        assert!(size / 832 >= neighbors::MOST, "{size}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn refusals_are_received_if_hosts_are_asked_by_unicast() {
        use nix::sys::socket::{getsockopt, sockopt};

        let route = Route {
            remote: ([127, 0, 0, 1], 9).into(),
            local: [127, 0, 0, 1].into(),
        };
        let target = ResolvedTarget::new("127.0.0.1:9".parse().unwrap(), [route]);
        let config = Config::default().with_interfaces(["lo"]);
        for (targets, expected) in [(vec![], false), (vec![target], true)] {
            let now = Instant::now();
            let receive = RefCell::new(Vec::new());
            let register = |_, socket: UdpSocket| {
                if socket.local_addr()?.is_ipv4() {
                    let receives = getsockopt(&socket, sockopt::Ipv4RecvErr)?;
                    receive.borrow_mut().push(receives);
                }
                Ok(Scripted::default())
            };
            let round = Round::search(config.clone());
            Driver::start(&round, now, targets, || now, register).unwrap();
            assert_eq!(receive.into_inner(), [expected]);
        }
    }

    #[test]
    fn a_signal_while_sending_loses_nothing() {
        let endpoint = Scripted::default();
        endpoint
            .sending
            .borrow_mut()
            .extend([Some(io::ErrorKind::Interrupted); 3]);
        let mut driver = driver([endpoint]);
        driver.send(Instant::now);
        assert_eq!(driver.socket(0).sent.get(), 1);
        assert_eq!(driver.discovery.links()[0].send_errors, 0);
    }

    #[test]
    fn fault_28_an_error_on_sending_is_counted_and_the_rest_is_sent() {
        for kind in [
            io::ErrorKind::WouldBlock,
            io::ErrorKind::OutOfMemory,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NetworkDown,
            io::ErrorKind::AddrNotAvailable,
            io::ErrorKind::InvalidInput,
        ] {
            let endpoint = Scripted::default();
            endpoint.sending.borrow_mut().push_back(Some(kind));
            let mut driver = driver([endpoint]);
            driver.send(Instant::now);
            assert_eq!(driver.socket(0).sent.get(), 1);
            let link = &driver.discovery.links()[0];
            assert_eq!((link.probes_sent, link.send_errors), (1, 1));
            assert_eq!(link.last_send_error.as_ref().unwrap().kind(), kind);
        }
    }

    #[test]
    fn what_follows_an_error_is_received() {
        let mut driver = driver([receiving([
            Err(io::ErrorKind::ConnectionRefused.into()),
            Err(io::ErrorKind::ConnectionReset.into()),
            Err(io::ErrorKind::Interrupted.into()),
            Err(io::ErrorKind::HostUnreachable.into()),
            ANSWER,
        ])]);
        assert!(matches!(driver.step(Instant::now), Step::Found(_)));
        assert!(matches!(driver.step(Instant::now), Step::Wait(_)));
        assert_eq!(driver.discovery.report().counts.receive_errors, 3);
    }

    #[test]
    fn fault_32_a_socket_that_only_fails_is_closed_and_the_search_over() {
        let unknown = || Err(io::ErrorKind::Other.into());
        let mut driver = driver([receiving(std::iter::repeat_with(unknown).take(1000))]);
        assert!(matches!(driver.step(Instant::now), Step::Over));
        assert!(driver.sockets[0].is_none());
        assert_eq!(driver.discovery.report().counts.receive_errors, 64);
        assert!(driver.discovery.links()[0].given_up.is_some());
    }

    #[test]
    fn a_search_goes_on_with_the_sockets_that_it_has_and_is_over_without_any() {
        let mut driver = driver([receiving([ANSWER]), receiving([ANSWER])]);
        driver.give_up(0, io::ErrorKind::Other.into());
        assert!(matches!(driver.step(Instant::now), Step::Found(_)));
        assert!(matches!(driver.step(Instant::now), Step::Wait(_)));
        driver.give_up(1, io::ErrorKind::Other.into());
        assert!(matches!(driver.step(Instant::now), Step::Over));
        assert_eq!(driver.discovery.report().counts.accepted, 1);
    }

    /// A network on which another server answers at every call.
    #[derive(Default)]
    struct Endless(Cell<u16>);

    impl Endpoint for Endless {
        fn send(&self, transmits: &[Transmit]) -> io::Result<usize> {
            Ok(transmits.len())
        }

        fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.0.set(self.0.get() + 1);
            let answer = format!("SERVER_IP:10.0.0.7:{}", self.0.get());
            buffer[..answer.len()].copy_from_slice(answer.as_bytes());
            Ok((answer.len(), SocketAddr::from(([10, 0, 0, 7], 9999))))
        }

        fn queued_error(&self) -> Option<Queued> {
            None
        }
    }

    impl Driver<Endless> {
        fn received(&self, link: usize) -> usize {
            self.socket(link).0.get().into()
        }
    }

    #[test]
    fn fault_16_after_the_deadline_nothing_is_received_however_many_servers_were_found() {
        let mut driver = driver([Endless::default()]);
        let deadline = driver.discovery.deadline();
        let mut found = 0;
        while let Step::Found(_) = driver.step(|| deadline) {
            found += 1;
            assert_eq!(driver.received(0), BUDGET, "one last pass");
        }
        assert_eq!(found, BUDGET);
    }

    /// Defect D6.
    #[test]
    fn a_flood_is_received_in_passes_between_which_other_work_runs() {
        let mut driver = driver([Endless::default()]);
        let start = Instant::now();
        for passes in 1..10 {
            assert!(matches!(driver.step(|| start), Step::Found(_)));
            assert!(matches!(driver.step(|| start), Step::Yield));
            assert_eq!(driver.received(0), passes * BUDGET);
        }
    }

    #[test]
    fn a_flood_without_servers_is_received_in_passes_too() {
        let flood = std::iter::repeat_with(|| Ok(&b"junk"[..])).take(BUDGET + 1);
        let mut driver = driver([receiving(flood)]);
        let malformed = |driver: &Driver<_>| driver.discovery.report().counts.malformed;
        assert!(matches!(driver.step(Instant::now), Step::Yield));
        assert_eq!(malformed(&driver), BUDGET as u64);
        assert!(matches!(driver.step(Instant::now), Step::Wait(_)));
        assert_eq!(malformed(&driver), BUDGET as u64 + 1);
    }

    #[test]
    fn small_passes_count_together_until_other_work_runs() {
        let answer = |number| Ok(answer_of(number));
        let one_by_one =
            (0..BUDGET).flat_map(|number| [answer(number), Err(io::ErrorKind::WouldBlock.into())]);
        let mut driver = driver([receiving(one_by_one)]);
        for _ in 0..BUDGET {
            assert!(matches!(driver.step(Instant::now), Step::Found(_)));
        }
        assert!(matches!(driver.step(Instant::now), Step::Yield));
    }

    #[test]
    fn a_flood_on_one_link_leaves_the_others_their_share() {
        let mut driver = driver([Endless::default(), Endless::default()]);
        driver.receive(Instant::now);
        assert_eq!([driver.received(0), driver.received(1)], [BUDGET / 2; 2]);
    }

    /// A socket whose error queue is never empty.
    #[derive(Default)]
    struct Vanished(Cell<usize>);

    impl Endpoint for Vanished {
        fn send(&self, transmits: &[Transmit]) -> io::Result<usize> {
            Ok(transmits.len())
        }

        fn receive(&self, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn queued_error(&self) -> Option<Queued> {
            self.0.set(self.0.get() + 1);
            Some(Queued::Other)
        }
    }

    #[test]
    fn fault_45_errors_of_neighbors_that_there_are_not_are_taken_within_the_budget() {
        let mut driver = driver([Vanished::default()]);
        for passes in 1..4 {
            assert!(matches!(driver.step(Instant::now), Step::Yield));
            assert_eq!(driver.socket(0).0.get(), passes * BUDGET);
        }
        let report = driver.discovery.report();
        assert_eq!(
            (report.counts.receive_errors, report.links[0].send_errors),
            (0, 0)
        );
    }

    /// A sweep of 10.9.0.0/24, at a pace that allows everything at once.
    fn sweeping<S>(socket: S) -> Driver<S> {
        sweeping_as(&Config::default(), socket)
    }

    fn sweeping_as<S>(config: &Config, socket: S) -> Driver<S> {
        let config = config.clone();
        let config = config
            .with_broadcast(false)
            .with_pace(u32::MAX.try_into().unwrap());
        let local = IpAddr::from([10, 0, 0, 2]);
        let remote = SocketAddr::from(([10, 9, 0, 1], 9999));
        let network = "10.9.0.0/24".parse().unwrap();
        let target = ResolvedTarget::new(network, [Route { remote, local }]);
        let host = Host::new([interface("eth0", "10.0.0.2")]).with_targets([target]);
        Driver {
            discovery: Discovery::new(Instant::now(), &config, &host, [0; 15]).unwrap(),
            sockets: vec![Some(socket)],
            buffer: vec![0; BufferSize::default().capacity()],
            keeps_errors: true,
            readable: Vec::new(),
            batch: Vec::new(),
            budget: BUDGET,
            memory: None,
            plan: Plan::new(&Config::default(), &[]),
            engines: None,
            #[cfg(feature = "signed")]
            known: None,
            #[cfg(feature = "signed")]
            unsaved: None,
        }
    }

    #[test]
    fn between_a_bounded_number_of_requests_answers_are_received() {
        let mut driver = sweeping(Scripted::default());
        for passes in 1..4 {
            assert!(matches!(driver.step(Instant::now), Step::Yield));
            assert_eq!(driver.socket(0).sent.get(), passes * SENT_AT_ONCE);
        }
        assert!(matches!(driver.step(Instant::now), Step::Wait(_)));
        assert_eq!(driver.socket(0).sent.get(), 254);
    }

    #[test]
    fn fault_45_an_error_in_the_middle_of_a_batch_is_that_of_its_datagram() {
        let unreachable = Some(io::ErrorKind::HostUnreachable);
        let no_room = Some(io::ErrorKind::OutOfMemory);
        let endpoint = Scripted::default();
        let script = [None, None, unreachable, None, no_room];
        endpoint.sending.borrow_mut().extend(script);
        let mut driver = sweeping(endpoint);
        let start = Instant::now();
        assert!(driver.send(|| start));
        let report = driver.discovery.report();
        let (link, sweep) = (&report.links[0], report.sweep.unwrap());
        assert_eq!(driver.socket(0).sent.get(), 3);
        assert_eq!((link.probes_sent, link.send_errors), (1, 1));
        // What was not sent for lack of room is asked later.
        assert_eq!((sweep.asked, sweep.no_room), (3, 1));
        for _ in 0..4 {
            driver.send(|| start + Duration::from_millis(50));
        }
        assert_eq!(driver.socket(0).sent.get(), 253);
        assert_eq!(driver.discovery.report().sweep.unwrap().asked, 253);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn fault_45_whatever_there_is_no_room_for_each_address_is_asked_in_the_end(
            room in vec(0_usize..40, 1..20),
            details: bool,
        ) {
            /// A socket that has room for so many datagrams, then for none, and so on. It keeps what
            /// it sent, with its length.
            #[derive(Default)]
            struct Full {
                room: RefCell<Vec<usize>>,
                sent: RefCell<Vec<(SocketAddr, usize)>>,
            }

            impl Endpoint for Full {
                fn send(&self, transmits: &[Transmit]) -> io::Result<usize> {
                    let mut room = self.room.borrow_mut();
                    let count = room.last().map_or(transmits.len(), |room| transmits.len().min(*room));
                    if count == 0 {
                        room.pop();
                        return Err(io::ErrorKind::OutOfMemory.into());
                    }
                    if let Some(room) = room.last_mut() {
                        *room -= count;
                    }
                    let transmits = transmits[..count].iter();
                    let sent = transmits.map(|it| (it.destination, it.payload.len()));
                    self.sent.borrow_mut().extend(sent);
                    Ok(count)
                }

                fn receive(&self, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
                    Err(io::ErrorKind::WouldBlock.into())
                }

                fn queued_error(&self) -> Option<Queued> {
                    None
                }
            }

            let failures = room.len();
            let socket = Full { room: room.into(), ..Full::default() };
            let config = Config::default()
                .with_details(details)
                .with_probes(NonZeroU8::MIN)
                .with_timeout(Duration::from_secs(3600));
            let mut driver = sweeping_as(&config, socket);
            let start = Instant::now();
            for second in 0..200 {
                driver.step(|| start + Duration::from_secs(second));
            }
            let report = driver.discovery.report();
            let (link, sweep) = (&report.links[0], report.sweep.unwrap());
            let failures = (failures - driver.socket(0).room.borrow().len()) as u64;
            prop_assert_eq!((sweep.asked, sweep.no_room, sweep.complete), (254, failures, true));
            prop_assert_eq!((link.probes_sent, link.send_errors), (1, 0));
            let sent = driver.socket(0).sent.borrow();
            let mut asked: Vec<SocketAddr> = sent
                .iter()
                .filter(|(_, len)| !details || *len > 15)
                .map(|(destination, _)| *destination)
                .collect();
            asked.sort();
            let all = (1..255).map(|host| SocketAddr::from(([10, 9, 0, host], 9999)));
            prop_assert_eq!(asked, all.collect::<Vec<_>>());
            // Before each request for details there is the plain one.
            if details {
                for pair in sent.windows(2).filter(|pair| pair[1].1 > 15) {
                    prop_assert_eq!(pair[0], (pair[1].0, 15));
                }
            }
        }
    }

    #[test]
    fn fault_45_an_earlier_error_is_not_taken_for_that_of_the_datagram() {
        // The error of a vanished neighbor, then none.
        #[derive(Default)]
        struct Earlier(RefCell<VecDeque<io::ErrorKind>>, Cell<usize>);

        impl Endpoint for Earlier {
            fn send(&self, transmits: &[Transmit]) -> io::Result<usize> {
                if let Some(kind) = self.0.borrow().front() {
                    return Err((*kind).into());
                }
                self.1.set(self.1.get() + transmits.len());
                Ok(transmits.len())
            }

            fn receive(&self, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
                Err(io::ErrorKind::WouldBlock.into())
            }

            fn queued_error(&self) -> Option<Queued> {
                self.0.borrow_mut().pop_front().map(|_| Queued::Other)
            }
        }

        let endpoint = Earlier::default();
        endpoint
            .0
            .borrow_mut()
            .push_back(io::ErrorKind::HostUnreachable);
        let mut driver = sweeping(endpoint);
        assert!(!driver.send(Instant::now));
        assert_eq!(driver.socket(0).1.get(), SENT_AT_ONCE);
        assert_eq!(driver.discovery.links()[0].send_errors, 0);
        assert_eq!(driver.discovery.report().sweep.unwrap().no_room, 0);
    }

    #[test]
    fn fault_45_without_room_the_sweep_waits_and_the_search_goes_on() {
        let endpoint = Scripted::default();
        endpoint
            .sending
            .borrow_mut()
            .push_back(Some(io::ErrorKind::OutOfMemory));
        let mut driver = sweeping(endpoint);
        let start = Instant::now();
        let Step::Wait(at) = driver.step(|| start) else {
            panic!("it waits")
        };
        assert!(at > start && driver.socket(0).sent.get() == 0);
        assert_eq!(driver.discovery.report().sweep.unwrap().no_room, 1);
        for _ in 0..254 {
            driver.step(|| at);
        }
        assert_eq!(driver.socket(0).sent.get(), 254);
    }
}
