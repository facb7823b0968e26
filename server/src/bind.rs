//! The one socket of a server: every address, one port, shared with nobody.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::error::BindError;
use crate::transport::SystemSocket;

/// Opens the socket. It has neither `SO_REUSEADDR` nor `SO_REUSEPORT`, with which a second server
/// would share the port in silence, and no `SO_BROADCAST`, so that the system refuses to send
/// answers to broadcast addresses.
pub(crate) fn bind(port: u16) -> Result<UdpSocket, BindError> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Before the socket is bound: no datagram is to arrive without it.
    SystemSocket::prepare(&socket)?;
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    match socket.bind(&address.into()) {
        Ok(()) => Ok(socket.into()),
        Err(source) if is_port_error(&source) => Err(BindError::PortInUse { port, source }),
        Err(source) if source.kind() == ErrorKind::PermissionDenied => {
            Err(BindError::NotPermitted { port, source })
        }
        Err(source) => Err(source.into()),
    }
}

/// How large a receive buffer and a send buffer the system is asked for, in bytes: 4 MiB, which
/// holds 5,000 datagrams.
///
/// The one is for bursts of requests. The other is for answers to hosts that are not there: while
/// the system asks the link for such a host, three seconds long, the answers wait in the send
/// buffer. Linux's default has room for 256, which forged requests from three addresses fill; no
/// client would be answered until they are gone.
const BUFFER: usize = 4 << 20;

/// Asks for buffers as large as that, if the socket has smaller ones. The system may give less;
/// Linux gives no more than `net.core.rmem_max` and `net.core.wmem_max` to those who may not
/// configure the network.
pub(crate) fn enlarge_buffers(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    if socket.recv_buffer_size().is_ok_and(|size| size < BUFFER) {
        #[cfg(target_os = "linux")]
        let _ = setsockopt(&*socket, sockopt::RcvBufForce, &BUFFER)
            .or_else(|_| setsockopt(&*socket, sockopt::RcvBuf, &BUFFER));
        #[cfg(not(target_os = "linux"))]
        let _ = socket.set_recv_buffer_size(BUFFER);
    }
    if socket.send_buffer_size().is_ok_and(|size| size < BUFFER) {
        #[cfg(target_os = "linux")]
        let _ = setsockopt(&*socket, sockopt::SndBufForce, &BUFFER)
            .or_else(|_| setsockopt(&*socket, sockopt::SndBuf, &BUFFER));
        #[cfg(not(target_os = "linux"))]
        let _ = socket.set_send_buffer_size(BUFFER);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_enlarged_and_never_made_smaller() {
        let small = UdpSocket::bind("127.0.0.1:0").unwrap();
        let size = |socket: &UdpSocket| {
            let socket = SockRef::from(socket);
            let sizes = (socket.recv_buffer_size(), socket.send_buffer_size());
            (sizes.0.unwrap(), sizes.1.unwrap())
        };
        SockRef::from(&small).set_recv_buffer_size(5000).unwrap();
        SockRef::from(&small).set_send_buffer_size(5000).unwrap();
        let before = size(&small);
        enlarge_buffers(&small);
        let after = size(&small);
        assert!(
            after.0 > before.0 && after.1 > before.1,
            "{before:?} {after:?}"
        );
        enlarge_buffers(&small);
        assert_eq!(size(&small), after);
    }
}
