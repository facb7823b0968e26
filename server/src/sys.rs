//! What differs between platforms: the socket, its options and where datagrams arrive, changes of
//! addresses and routes, and the kernel filter.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Type};
use udp_discovery_protocol::{Word, is_family_unavailable};

use crate::error::is_port_in_use;
use crate::responder::{Arrival, Reply};

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "macos"
))]
mod groups;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "macos"
))]
mod packet_info;

// On Linux these are compiled for their tests, so that they run everywhere.
#[cfg(any(not(target_os = "linux"), test))]
mod buffers;
#[cfg(any(not(target_os = "linux"), test))]
#[allow(dead_code, reason = "the tests use each socket, and the server one")]
mod no_changes;
#[cfg(any(not(target_os = "linux"), test))]
#[allow(dead_code, reason = "as above")]
mod portable;
#[cfg(any(
    all(target_os = "linux", test),
    target_os = "android",
    target_os = "freebsd",
    target_os = "macos"
))]
#[allow(dead_code, reason = "as above")]
mod unix;

#[cfg(test)]
mod tests;

#[cfg(target_os = "linux")]
pub(crate) use linux::{Changes, Socket};
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "macos"
)))]
pub(crate) use {no_changes::Changes, portable::Socket};
#[cfg(any(target_os = "android", target_os = "freebsd", target_os = "macos"))]
pub(crate) use {no_changes::Changes, unix::Socket};

/// One datagram, and what the system reports about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) payload: &'a [u8],
    /// Whether the datagram had more bytes than were received.
    pub(crate) truncated: bool,
    pub(crate) source: Option<SocketAddr>,
    /// `None` if the system should have reported where the datagram arrived, and did not.
    pub(crate) arrival: Option<Arrival>,
    /// How many datagrams the kernel dropped since it last reported a drop.
    pub(crate) kernel_drops: u32,
}

/// A non-blocking UDP socket. A trait so that tests can use a socket that fails on demand.
pub(crate) trait Transport {
    /// Receives at most [`BATCH`] datagrams, in the order of arrival, and calls `each` with them.
    ///
    /// # Errors
    /// The system's error; `WouldBlock` if there is no datagram.
    fn receive(&mut self, each: &mut dyn FnMut(Received<'_>)) -> io::Result<()>;

    /// Makes the kernel drop every datagram that is not `message` or, with `details`, resembles a
    /// request for details, where it can.
    ///
    /// # Errors
    /// The system's error.
    fn filter(&self, message: &Word, details: bool) -> io::Result<()>;

    /// Joins the multicast group of the socket's family on an interface.
    ///
    /// # Errors
    /// The system's error; `AddrInUse` if the socket is a member there already.
    fn join(&self, link: Link) -> io::Result<()>;

    /// Leaves the multicast group on an interface.
    ///
    /// # Errors
    /// The system's error.
    fn leave(&self, link: Link) -> io::Result<()>;

    /// Sends `replies` and calls `sent` with the result of each.
    fn send(&mut self, replies: &[Reply], sent: &mut dyn FnMut(&Reply, io::Result<()>));
}

/// How many datagrams are received before the replies to them are sent.
pub(crate) const BATCH: usize = 64;

/// How large a receive buffer and a send buffer the system is asked for: 4 MiB, which holds 5,000
/// datagrams.
///
/// The receive buffer takes bursts of requests. The send buffer takes answers to hosts that do not
/// exist: while the kernel looks for such a host, for three seconds, the answers stay in the send
/// buffer. Linux's default holds 256 of them, which forged requests from three addresses fill; then
/// no client is answered.
const BUFFER: usize = 4 << 20;

/// The family of a socket's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// An interface, as the system wants it named to join a multicast group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    /// Its first IPv4 address, for an IPv4 group.
    pub(crate) ipv4: Option<Ipv4Addr>,
}

/// Interfaces that are gone. Another one may have the name, index and addresses of one of them by now,
/// but not its memberships.
#[derive(Debug, Default)]
pub(crate) struct GoneLinks {
    pub(crate) indices: Vec<u32>,
    /// Whether any other interface may be gone too.
    pub(crate) any: bool,
}

impl GoneLinks {
    pub(crate) fn may_contain(&self, index: u32) -> bool {
        self.any || self.indices.contains(&index)
    }
}

/// Why the sockets of a server could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The system refused to share the port.
    CannotShare,
    /// Another system call failed.
    System(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// The sockets of a server on every address.
pub(crate) struct Sockets {
    pub(crate) v4: UdpSocket,
    /// `None` if it was not asked for, or the error if this host has no IPv6.
    pub(crate) v6: Option<io::Result<UdpSocket>>,
}

/// Opens a socket on `port` of every IPv4 address and, with `ipv6`, one on the same port of every
/// IPv6 address. With port 0 the system chooses a port that is free for both. With `shared`, other
/// sockets of the same user that are shared too may have the port.
pub(crate) fn bind(port: u16, ipv6: bool, shared: bool) -> Result<Sockets, OpenError> {
    /// How many ports the system chooses before the last error is returned.
    const ATTEMPTS: u32 = 16;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match bind_once(port, ipv6, shared) {
            Err(OpenError::System(error))
                if port == 0 && attempts < ATTEMPTS && is_port_in_use(&error) => {}
            result => return result,
        }
    }
}

fn bind_once(port: u16, ipv6: bool, shared: bool) -> Result<Sockets, OpenError> {
    let v4 = bind_family(Family::V4, port, shared)?;
    if !ipv6 {
        return Ok(Sockets { v4, v6: None });
    }
    let v6 = match bind_family(Family::V6, v4.local_addr()?.port(), shared) {
        Err(OpenError::System(error)) if is_family_unavailable(&error) => Some(Err(error)),
        result => Some(Ok(result?)),
    };
    Ok(Sockets { v4, v6 })
}

/// Opens a socket on `port` of every address of `family`.
///
/// Unless `shared`, it has neither `SO_REUSEADDR` nor `SO_REUSEPORT`, with which a second server would
/// share the port silently. It has no `SO_BROADCAST`, so that the kernel refuses to send answers to broadcast
/// addresses.
fn bind_family(family: Family, port: u16, shared: bool) -> Result<UdpSocket, OpenError> {
    let (domain, any) = match family {
        Family::V4 => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        Family::V6 => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    if shared {
        Socket::share(&socket).map_err(|_| OpenError::CannotShare)?;
    }
    // Before binding: every datagram must come with its arrival.
    Socket::prepare(&socket, family)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    Ok(socket.into())
}
