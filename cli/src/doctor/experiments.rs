//! What a host answers to which kind of request, and from which port.
//!
//! A stateful firewall lets in only what answers something that was sent to the same address. An
//! answer to a broadcast comes from another address than the broadcast was sent to, so it is dropped,
//! until something was sent to the target itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use udp_discovery_protocol::{Codec, MULTICAST_V4, MULTICAST_V6, Message, Nonce, ReceiveErrorKind};

use super::observations::{Experiments, Silence, Tally};

/// How often each request is sent, each time from another port.
const TIMES: usize = 3;
/// How long to wait for answers. Wi-Fi holds back broadcasts for up to about 0.3 s.
const WAIT: Duration = Duration::from_millis(350);
/// The port of the discard service (RFC 863), which hardly any host has.
const DISCARD: u16 = 9;

/// What is sent, and what answers it.
#[derive(Clone, Copy)]
enum Request<'a> {
    Plain,
    /// The request for details with this nonce.
    Details(Nonce, &'a [u8]),
}

/// A target, and how it is reached.
#[derive(Debug)]
pub(super) struct Reached<'a> {
    pub(super) codec: &'a Codec,
    pub(super) target: SocketAddr,
    /// The address to ask from, with port 0.
    pub(super) local: SocketAddr,
    /// The index of the interface, or 0.
    pub(super) interface: u32,
    /// The directed broadcast address of the network.
    pub(super) directed: Option<Ipv4Addr>,
    /// The discovery port, if it is free on this host.
    pub(super) free_port: Option<u16>,
}

impl Reached<'_> {
    /// What a target answers that is known to answer at all.
    pub(super) fn experiments(&self) -> io::Result<Experiments> {
        let port = self.target.port();
        let directed = self.directed.map(|ip| SocketAddr::new(ip.into(), port));
        let (limited, multicast) = match self.target {
            SocketAddr::V4(_) => (
                SocketAddr::new(Ipv4Addr::BROADCAST.into(), port),
                Some(SocketAddr::new(MULTICAST_V4.into(), port)),
            ),
            SocketAddr::V6(_) => {
                let group = SocketAddrV6::new(MULTICAST_V6, port, 0, self.interface);
                (group.into(), None)
            }
        };
        let sockets = self.open_fresh()?;
        let ask = |destination| self.ask(&sockets, destination, Request::Plain);
        let mut tallies = Experiments {
            directed: ask(directed),
            unicast: ask(Some(self.target)),
            directed_again: ask(directed),
            limited_again: ask(Some(limited)),
            multicast: ask(multicast),
            ..Experiments::default()
        };
        let nonce = Nonce::new(random()?, 0);
        let mut payload = BytesMut::new();
        self.codec.encode_details_request(nonce, &mut payload);
        let details = Request::Details(nonce, &payload);
        tallies.details = self.ask(&sockets, Some(self.target), details);
        tallies.limited = self.ask(&self.open_fresh()?, Some(limited), Request::Plain);
        if let Some(port) = self.free_port
            && let Ok(socket) = self.open(port)
        {
            let sockets = [socket];
            for destination in [directed, Some(limited)] {
                let more = self.ask(&sockets, destination, Request::Plain);
                tallies.from_discovery_port.sent += more.sent;
                tallies.from_discovery_port.answered += more.answered;
            }
        }
        Ok(tallies)
    }

    /// What a target does that does not answer.
    pub(super) fn silence(&self) -> io::Result<Silence> {
        use io::ErrorKind::{
            ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable,
        };

        let refuses = |kind| matches!(kind, Some(ConnectionRefused | ConnectionReset));
        let error = self.refusal(self.target)?;
        let mut other = self.target;
        other.set_port(DISCARD);
        Ok(Silence {
            refused: refuses(error),
            prohibited: matches!(error, Some(HostUnreachable | NetworkUnreachable)),
            up: refuses(self.refusal(other)?),
            neighbor: is_neighbor(self.target.ip()),
        })
    }

    /// What the system reports of a request to `destination`, other than an answer.
    fn refusal(&self, destination: SocketAddr) -> io::Result<Option<io::ErrorKind>> {
        let socket = self.open(0)?;
        // Only a connected socket gets the errors.
        socket.connect(destination)?;
        socket.set_read_timeout(Some(WAIT))?;
        let error = socket
            .send(self.codec.message().as_bytes())
            .and_then(|_| socket.recv(&mut [0; 512]))
            .err();
        Ok(error.map(|error| error.kind()))
    }

    fn open_fresh(&self) -> io::Result<Vec<UdpSocket>> {
        (0..TIMES).map(|_| self.open(0)).collect()
    }

    fn open(&self, port: u16) -> io::Result<UdpSocket> {
        let mut local = self.local;
        local.set_port(port);
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        match local {
            SocketAddr::V4(local) => {
                socket.set_broadcast(true)?;
                socket.set_multicast_if_v4(local.ip())?;
            }
            SocketAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_multicast_if_v6(self.interface)?;
            }
        }
        socket.bind(&local.into())?;
        Ok(socket.into())
    }

    /// Sends a request from each socket, and waits for the target's answers.
    fn ask(
        &self,
        sockets: &[UdpSocket],
        destination: Option<SocketAddr>,
        request: Request<'_>,
    ) -> Tally {
        let mut tally = Tally::default();
        let Some(destination) = destination else {
            return tally;
        };
        let payload = match request {
            Request::Plain => self.codec.message().as_bytes(),
            Request::Details(_, payload) => payload,
        };
        let mut asked = Vec::new();
        for socket in sockets {
            // A late answer to an earlier request.
            while self.is_answered(socket, request, Instant::now()) {}
            if socket.send_to(payload, destination).is_ok() {
                tally.sent += 1;
                asked.push(socket);
            }
        }
        let deadline = Instant::now() + WAIT;
        for socket in asked {
            tally.answered += u32::from(self.is_answered(socket, request, deadline));
        }
        tally
    }

    /// Waits for an answer of the target, until `deadline`.
    fn is_answered(&self, socket: &UdpSocket, request: Request<'_>, deadline: Instant) -> bool {
        let mut buffer = [0; 512];
        loop {
            // A read timeout of 0 would be none.
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Some(left.max(Duration::from_millis(1)));
            let received = socket
                .set_read_timeout(timeout)
                .and_then(|()| socket.recv_from(&mut buffer));
            match received {
                Ok((len, source)) if self.is_answer(request, &buffer[..len], source.ip()) => {
                    return true;
                }
                Err(error) if ReceiveErrorKind::of(&error) == ReceiveErrorKind::WouldBlock => {
                    return false;
                }
                _ if left.is_zero() => return false,
                _ => {}
            }
        }
    }

    fn is_answer(&self, request: Request<'_>, datagram: &[u8], source: IpAddr) -> bool {
        let response = match request {
            Request::Plain => match self.codec.decode(datagram) {
                Ok(Message::Response(response)) => response,
                _ => return false,
            },
            Request::Details(nonce, _) => match self.codec.decode_details(datagram) {
                Ok(answer) if answer.nonce == nonce => answer.response,
                _ => return false,
            },
        };
        // A host with several addresses answers a broadcast from another than the one asked.
        [source, response.ip()].contains(&self.target.ip())
    }
}

/// Bytes that nobody can guess.
fn random() -> io::Result<[u8; 15]> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Whether the system has the link-layer address of a host that it was just asked for.
#[cfg(target_os = "linux")]
fn is_neighbor(host: IpAddr) -> Option<bool> {
    use procfs::net::ARPFlags;

    let entries = procfs::net::arp().ok()?;
    let mut entries = entries.iter().filter(|entry| entry.ip_address == host);
    let first = entries.next()?;
    Some(first.flags.contains(ARPFlags::COM))
}

#[cfg(not(target_os = "linux"))]
fn is_neighbor(_host: IpAddr) -> Option<bool> {
    None
}
