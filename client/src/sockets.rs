//! The sockets of a search: opening them, sending what is due, receiving what is there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use udp_discovery_protocol::BufferSize;

use crate::discovery::{Discovery, Transmit};
use crate::error::DiscoverError;
use crate::server::DiscoveredServer;

/// How many bytes of received datagrams a socket is asked to hold. The system may hold fewer
/// (on Linux twice `net.core.rmem_max`), which makes a burst of answers lose some.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How many datagrams are received from one socket before the next has its turn.
const BATCH: usize = 64;

/// How many datagrams are received before the caller's other work has its turn: a few
/// milliseconds, so that no flood holds up a search's deadline or the other tasks of its thread.
const PASS: usize = 1024;

/// What a search does next, whichever way it waits.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Hand out this server.
    Found(DiscoveredServer),
    /// Nothing more: it is over.
    Over,
    /// Let others work, then take another turn: there may be more to receive.
    Again,
    /// Wait for something to receive, until then.
    Wait(Instant),
}

/// A socket that never blocks.
pub(crate) trait Endpoint {
    fn send(&self, payload: &[u8], destination: SocketAddr) -> io::Result<usize>;
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
}

/// Opens a socket that asks from `local`, from a port of its own that the system chooses. That it
/// is new for each search is what keeps late answers to one search out of the next.
pub(crate) fn open(local: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    // The system's default may be more, and less will do.
    if socket
        .recv_buffer_size()
        .is_ok_and(|size| size < RECEIVE_BUFFER)
    {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    socket.bind(&SockAddr::from(SocketAddr::from((local, 0))))?;
    Ok(socket.into())
}

/// The sockets of a search, one for each of its links that was not given up.
#[derive(Debug)]
pub(crate) struct Sockets<S> {
    endpoints: Vec<Option<S>>,
    buffer: Vec<u8>,
    /// How many more datagrams are received before others have their turn.
    budget: usize,
}

impl<S: Endpoint> Sockets<S> {
    /// Opens the sockets that `discovery` needs, each made an endpoint by `register`, which also
    /// gets the link's position. A link whose socket can't be opened is given up; that none can
    /// is an error.
    pub(crate) fn open(
        discovery: &mut Discovery,
        buffer_size: BufferSize,
        mut register: impl FnMut(usize, UdpSocket) -> io::Result<S>,
    ) -> Result<Self, DiscoverError> {
        let mut endpoints = Vec::with_capacity(discovery.links().len());
        for link in 0..discovery.links().len() {
            let local = discovery.links()[link].local;
            match open(local).and_then(|socket| register(link, socket)) {
                Ok(endpoint) => endpoints.push(Some(endpoint)),
                Err(error) => {
                    discovery.give_up(link, error);
                    endpoints.push(None);
                }
            }
        }
        discovery.outcome()?;
        Ok(Self {
            endpoints,
            buffer: vec![0; buffer_size.get()],
            budget: PASS,
        })
    }

    /// Those that are open.
    #[cfg(feature = "tokio")]
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &S> {
        self.endpoints.iter().flatten()
    }

    /// Receives what is there, up to the budget, moves the search on, and sends what is due.
    fn pass(&mut self, discovery: &mut Discovery, clock: impl Fn() -> Instant) {
        self.receive(discovery, &clock);
        discovery.handle_timeout(clock());
        self.send(discovery, &clock);
    }

    /// Does what is to be done until the next server is found.
    pub(crate) fn turn(&mut self, discovery: &mut Discovery, clock: impl Fn() -> Instant) -> Turn {
        // When the search is over nothing more is received: what was found is handed out.
        if discovery.poll_timeout().is_none() {
            return discovery.poll_event().map_or(Turn::Over, Turn::Found);
        }
        if self.budget == 0 {
            self.budget = PASS;
            return Turn::Again;
        }
        // What is there is received before any server is handed out: the caller may take its
        // time with each, and the sockets don't hold much.
        self.pass(discovery, clock);
        if let Some(server) = discovery.poll_event() {
            return Turn::Found(server);
        }
        match discovery.poll_timeout() {
            None => Turn::Over,
            Some(_) if self.budget == 0 => {
                self.budget = PASS;
                Turn::Again
            }
            Some(at) => {
                self.budget = PASS;
                Turn::Wait(at)
            }
        }
    }

    /// Sends what is due.
    pub(crate) fn send(&self, discovery: &mut Discovery, clock: impl Fn() -> Instant) {
        while let Some(transmit) = discovery.poll_transmit(clock()) {
            if let Some(Some(endpoint)) = self.endpoints.get(transmit.link)
                && let Err(error) = send(endpoint, &transmit)
            {
                discovery.handle_send_error(error);
            }
        }
    }

    fn receive(&mut self, discovery: &mut Discovery, clock: impl Fn() -> Instant) {
        let mut unread: Vec<usize> = (0..self.endpoints.len()).collect();
        while self.budget > 0 && !unread.is_empty() {
            unread.retain(|&link| self.receive_batch(discovery, link, clock()));
        }
    }

    /// Receives from one socket: whether it may hold more.
    fn receive_batch(&mut self, discovery: &mut Discovery, link: usize, now: Instant) -> bool {
        let Some(endpoint) = &self.endpoints[link] else {
            return false;
        };
        for _ in 0..BATCH.min(self.budget) {
            match endpoint.receive(&mut self.buffer) {
                Ok((len, source)) => {
                    discovery.handle_datagram(now, link, source, &self.buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => discovery.handle_receive_error(link, error),
            }
            self.budget -= 1;
            if discovery.is_given_up(link) {
                self.endpoints[link] = None;
                return false;
            }
        }
        true
    }
}

/// Sends one datagram, again if a signal came first.
fn send(endpoint: &impl Endpoint, transmit: &Transmit) -> io::Result<()> {
    loop {
        match endpoint.send(&transmit.payload, transmit.destination.into()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    use socket2::SockRef;
    use udp_discovery_protocol::{Interface, InterfaceAddress};

    use super::*;
    use crate::config::Config;

    /// A socket that does as it is told, call by call; then there is nothing to receive, and
    /// sending succeeds.
    #[derive(Default)]
    struct Scripted {
        sending: RefCell<VecDeque<io::ErrorKind>>,
        receiving: RefCell<VecDeque<io::Result<&'static [u8]>>>,
        sent: Cell<usize>,
    }

    impl Endpoint for Scripted {
        fn send(&self, payload: &[u8], _: SocketAddr) -> io::Result<usize> {
            if let Some(kind) = self.sending.borrow_mut().pop_front() {
                return Err(kind.into());
            }
            self.sent.set(self.sent.get() + 1);
            Ok(payload.len())
        }

        fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            let next = self.receiving.borrow_mut().pop_front();
            let payload = next.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
            buffer[..payload.len()].copy_from_slice(payload);
            Ok((payload.len(), SocketAddr::from(([10, 0, 0, 7], 9999))))
        }
    }

    const ANSWER: io::Result<&[u8]> = Ok(b"SERVER_IP:10.0.0.7");

    fn receiving(script: impl IntoIterator<Item = io::Result<&'static [u8]>>) -> Scripted {
        Scripted {
            receiving: RefCell::new(script.into_iter().collect()),
            ..Scripted::default()
        }
    }

    fn sockets(endpoint: Scripted) -> (Discovery, Sockets<Scripted>) {
        let mut eth0 = Interface::new("eth0", 2);
        eth0.flags.up = true;
        let address = InterfaceAddress::new("10.0.0.2".parse().unwrap(), 24).unwrap();
        eth0.addresses.push(address);
        let discovery = Discovery::new(Instant::now(), &Config::default(), &[eth0]).unwrap();
        let sockets = Sockets {
            endpoints: vec![Some(endpoint)],
            buffer: vec![0; BufferSize::default().get()],
            budget: PASS,
        };
        (discovery, sockets)
    }

    #[test]
    fn a_socket_holds_no_less_than_one_that_was_left_alone() {
        let size = |socket: &UdpSocket| SockRef::from(socket).recv_buffer_size().unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = open(Ipv4Addr::LOCALHOST).unwrap();
        assert!(size(&socket) >= size(&other));
    }

    #[test]
    fn a_flood_on_one_link_leaves_the_others_their_share() {
        let mut interfaces = Vec::new();
        for (index, name) in [(2, "eth0"), (3, "eth1")] {
            let mut interface = Interface::new(name, index);
            interface.flags.up = true;
            let ip = format!("10.0.{index}.2").parse().unwrap();
            interface
                .addresses
                .push(InterfaceAddress::new(ip, 24).unwrap());
            interfaces.push(interface);
        }
        let mut discovery =
            Discovery::new(Instant::now(), &Config::default(), &interfaces).unwrap();
        let mut sockets = Sockets {
            endpoints: vec![Some(Endless::default()), Some(Endless::default())],
            buffer: vec![0; BufferSize::default().get()],
            budget: PASS,
        };
        sockets.pass(&mut discovery, Instant::now);
        for endpoint in sockets.endpoints.iter().flatten() {
            assert_eq!(usize::from(endpoint.0.get()), PASS / 2);
        }
    }

    #[test]
    fn a_signal_while_sending_loses_nothing() {
        let endpoint = Scripted::default();
        endpoint
            .sending
            .borrow_mut()
            .extend([io::ErrorKind::Interrupted; 3]);
        let (mut discovery, sockets) = sockets(endpoint);
        sockets.send(&mut discovery, Instant::now);
        assert_eq!(sockets.endpoints[0].as_ref().unwrap().sent.get(), 1);
        assert_eq!(discovery.links()[0].send_errors, 0);
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
            endpoint.sending.borrow_mut().push_back(kind);
            let (mut discovery, sockets) = sockets(endpoint);
            sockets.send(&mut discovery, Instant::now);
            assert_eq!(sockets.endpoints[0].as_ref().unwrap().sent.get(), 1);
            let link = &discovery.links()[0];
            assert_eq!((link.probes_sent, link.send_errors), (1, 1));
            assert_eq!(link.last_send_error.as_ref().unwrap().kind(), kind);
        }
    }

    #[test]
    fn what_follows_an_error_is_received() {
        let (mut discovery, mut sockets) = sockets(receiving([
            Err(io::ErrorKind::ConnectionRefused.into()),
            Err(io::ErrorKind::ConnectionReset.into()),
            Err(io::ErrorKind::Interrupted.into()),
            Err(io::ErrorKind::HostUnreachable.into()),
            ANSWER,
        ]));
        sockets.pass(&mut discovery, Instant::now);
        assert!(sockets.budget > 0, "nothing is left to receive");
        assert!(discovery.poll_event().is_some());
        assert_eq!(discovery.report().counts.receive_errors, 3);
    }

    #[test]
    fn fault_32_a_socket_that_only_fails_is_closed_and_the_search_over() {
        let unknown = || Err(io::ErrorKind::Other.into());
        let (mut discovery, mut sockets) =
            sockets(receiving(std::iter::repeat_with(unknown).take(1000)));
        sockets.pass(&mut discovery, Instant::now);
        assert!(sockets.budget > 0, "nothing is left to receive");
        assert!(sockets.endpoints[0].is_none());
        assert_eq!(discovery.report().counts.receive_errors, 64);
        assert!(discovery.links()[0].given_up.is_some());
        assert_eq!(discovery.poll_timeout(), None);
    }

    /// A network on which there is always another server to hear of.
    #[derive(Default)]
    struct Endless(Cell<u16>);

    impl Endpoint for Endless {
        fn send(&self, payload: &[u8], _: SocketAddr) -> io::Result<usize> {
            Ok(payload.len())
        }

        fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.0.set(self.0.get() + 1);
            let answer = format!("SERVER_IP:10.0.0.7:{}", self.0.get());
            buffer[..answer.len()].copy_from_slice(answer.as_bytes());
            Ok((answer.len(), SocketAddr::from(([10, 0, 0, 7], 9999))))
        }
    }

    #[test]
    fn fault_16_after_the_deadline_nothing_is_received_however_many_servers_were_found() {
        let (mut discovery, _) = sockets(Scripted::default());
        let mut sockets = Sockets {
            endpoints: vec![Some(Endless::default())],
            buffer: vec![0; BufferSize::default().get()],
            budget: PASS,
        };
        let received = |sockets: &Sockets<Endless>| {
            usize::from(sockets.endpoints[0].as_ref().unwrap().0.get())
        };
        let deadline = discovery.deadline();
        let mut found = 0;
        while let Turn::Found(_) = sockets.turn(&mut discovery, || deadline) {
            found += 1;
            assert_eq!(received(&sockets), PASS, "one last pass");
        }
        assert_eq!(found, PASS);
    }

    /// Defect D6.
    #[test]
    fn a_flood_is_received_in_passes_between_which_others_have_their_turn() {
        let (mut discovery, _) = sockets(Scripted::default());
        let mut sockets = Sockets {
            endpoints: vec![Some(Endless::default())],
            buffer: vec![0; BufferSize::default().get()],
            budget: PASS,
        };
        let start = Instant::now();
        for passes in 1..10_u16 {
            assert!(matches!(
                sockets.turn(&mut discovery, || start),
                Turn::Found(_)
            ));
            assert!(matches!(
                sockets.turn(&mut discovery, || start),
                Turn::Again
            ));
            let received = sockets.endpoints[0].as_ref().unwrap().0.get();
            assert_eq!(usize::from(received), usize::from(passes) * PASS);
        }
    }

    #[test]
    fn a_flood_that_is_no_servers_is_received_in_passes_too() {
        let flood = std::iter::repeat_with(|| Ok(&b"junk"[..])).take(PASS + 1);
        let (mut discovery, mut sockets) = sockets(receiving(flood));
        assert!(matches!(
            sockets.turn(&mut discovery, Instant::now),
            Turn::Again
        ));
        assert_eq!(discovery.report().counts.malformed, PASS as u64);
        assert!(matches!(
            sockets.turn(&mut discovery, Instant::now),
            Turn::Wait(_)
        ));
        assert_eq!(discovery.report().counts.malformed, PASS as u64 + 1);
    }

    #[test]
    fn small_passes_count_together_until_others_had_their_turn() {
        let one_by_one = (0..PASS).flat_map(|_| [ANSWER, Err(io::ErrorKind::WouldBlock.into())]);
        let (mut discovery, mut sockets) = sockets(receiving(one_by_one));
        for _ in 0..PASS {
            sockets.pass(&mut discovery, Instant::now);
        }
        assert_eq!(sockets.budget, 0);
    }
}
