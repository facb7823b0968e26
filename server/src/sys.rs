//! What differs between platforms: the socket, its options and where datagrams arrive, changes of
//! addresses and routes, and the kernel filter.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, Type};
use udp_discovery_protocol::Word;

use crate::responder::{Arrival, Reply};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{Changes, Socket};

// On Linux it is compiled for its tests, so that they run everywhere.
#[cfg(any(not(target_os = "linux"), test))]
#[cfg_attr(target_os = "linux", allow(dead_code))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{Changes, Socket};

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

    /// Makes the kernel drop every datagram that is not `message`, where it can.
    ///
    /// # Errors
    /// The system's error.
    fn filter(&self, message: &Word) -> io::Result<()>;

    /// Sends `replies` and calls `sent` with the result of each.
    fn send(&mut self, replies: &[Reply], sent: &mut dyn FnMut(&Reply, io::Result<()>));
}

/// How many datagrams are received before the replies to them are sent.
pub(crate) const BATCH: usize = 32;

/// How large a receive buffer and a send buffer the system is asked for: 4 MiB, which holds 5,000
/// datagrams.
///
/// The receive buffer takes bursts of requests. The send buffer takes answers to hosts that do not
/// exist: while the kernel looks for such a host, for three seconds, the answers stay in the send
/// buffer. Linux's default holds 256 of them, which forged requests from three addresses fill; then
/// no client is answered.
const BUFFER: usize = 4 << 20;

/// Opens a socket on `port` of every IPv4 address.
///
/// It has neither `SO_REUSEADDR` nor `SO_REUSEPORT`, with which a second server would share the
/// port silently, and no `SO_BROADCAST`, so that the kernel refuses to send answers to broadcast
/// addresses.
pub(crate) fn bind(port: u16) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Before binding: every datagram must come with its arrival.
    Socket::prepare(&socket)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    Ok(socket.into())
}
