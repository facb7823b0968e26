//! The one socket of a server: every address, one port, shared with nobody.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::num::NonZeroU16;

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::BindError;
use crate::transport::SystemSocket;

/// How large a receive buffer the system is asked for, in bytes. A request takes less than 1 KiB
/// of it, so that a burst of a thousand is held.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Opens the socket. It has neither `SO_REUSEADDR` nor `SO_REUSEPORT`, with which a second server
/// would share the port in silence, and no `SO_BROADCAST`, so that the system refuses to send
/// answers to broadcast addresses.
pub(crate) fn bind(port: NonZeroU16) -> Result<UdpSocket, BindError> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Before the socket is bound: no datagram is to arrive without it.
    SystemSocket::prepare(&socket)?;
    // A wish: the system may give less.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port.get());
    match socket.bind(&address.into()) {
        Ok(()) => Ok(socket.into()),
        Err(source) if is_port_error(&source) => Err(BindError::PortInUse { port, source }),
        Err(source) if source.kind() == ErrorKind::PermissionDenied => {
            Err(BindError::NotPermitted { port, source })
        }
        Err(source) => Err(source.into()),
    }
}

/// Whether `error`, from binding a socket, says that the port is taken.
///
/// Windows reports a port that another program holds for itself alone as `WSAEACCES` (10013).
///
/// ```
/// use std::net::UdpSocket;
/// use udp_discovery_server::is_port_error;
///
/// let first = UdpSocket::bind("127.0.0.1:0")?;
/// let error = UdpSocket::bind(first.local_addr()?).unwrap_err();
/// assert!(is_port_error(&error));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_port_error(error: &io::Error) -> bool {
    /// `WSAEACCES`: a port that another socket holds exclusively.
    const HELD_EXCLUSIVELY: i32 = 10013;
    error.kind() == ErrorKind::AddrInUse
        || (cfg!(windows) && error.raw_os_error() == Some(HELD_EXCLUSIVELY))
}
