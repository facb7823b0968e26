//! The socket that systemd has opened for the service (`systemd.socket(5)`, `sd_listen_fds(3)`).

use std::io;
use std::net::{SocketAddr, UdpSocket};

use listenfd::ListenFd;
use socket2::{Protocol, SockRef};
use thiserror::Error;

use crate::failure::Failure;
use crate::port_holder::linux::is_shared;

/// Why there is no socket to serve on.
#[derive(Debug, Error)]
enum HandedOver {
    #[error("systemd handed over no socket")]
    None,
    #[error("systemd handed over {0} sockets, not one")]
    Many(usize),
    #[error("systemd handed over something other than a UDP socket")]
    NotUdp(#[source] Option<io::Error>),
    #[error("systemd handed over a socket bound to {0}, which is not an IPv4 address")]
    NotIpv4(SocketAddr),
    #[error("another socket shares {0} with the one that systemd handed over")]
    Shared(SocketAddr),
}

const START_BY_SOCKET: &str =
    "--socket-activation is for the service of a socket unit: systemctl start udp-discovery.socket";
const ONE_IPV4_ADDRESS: &str =
    "the socket unit must have one line such as ListenDatagram=0.0.0.0:9999, and no other";
const FIND_THE_OTHER: &str =
    "find the other program with `ss -lunp`, stop it, and start the service again";

/// The one socket that was handed over. It shares its port with no other.
///
/// This removes the variables `LISTEN_PID` and `LISTEN_FDS` from the environment. Call it while no
/// other thread reads the environment.
pub(crate) fn handed_over() -> Result<UdpSocket, Failure> {
    let socket = take()?;
    let address = socket.local_addr()?;
    if !address.is_ipv4() {
        return Err(Failure::from(HandedOver::NotIpv4(address)).with_hint(ONE_IPV4_ADDRESS));
    }
    make_own(&socket)?;
    if is_shared(address) {
        return Err(Failure::from(HandedOver::Shared(address)).with_hint(FIND_THE_OTHER));
    }
    Ok(socket)
}

fn take() -> Result<UdpSocket, Failure> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() > 1 {
        return Err(Failure::from(HandedOver::Many(sockets.len())).with_hint(ONE_IPV4_ADDRESS));
    }
    let socket = sockets
        .take_udp_socket(0)
        .map_err(|error| {
            Failure::from(HandedOver::NotUdp(Some(error))).with_hint(ONE_IPV4_ADDRESS)
        })?
        .ok_or_else(|| Failure::from(HandedOver::None).with_hint(START_BY_SOCKET))?;
    // UDP is not the only protocol with datagrams over IP.
    if SockRef::from(&socket).protocol()? != Some(Protocol::UDP) {
        return Err(Failure::from(HandedOver::NotUdp(None)).with_hint(ONE_IPV4_ADDRESS));
    }
    Ok(socket)
}

/// Clears what systemd, or this service before its restart, has set on `socket` and the server's own
/// socket doesn't have. systemd sets `SO_REUSEADDR`, with which another program could bind the same
/// port and receive the requests: the kernel checks it on each bind.
fn make_own(socket: &UdpSocket) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_reuse_address(false)?;
    socket.set_reuse_port(false)?;
    socket.set_broadcast(false)?;
    // It fails if there is no filter. If one is wanted, the server attaches its own.
    let _ = socket.detach_filter();
    Ok(())
}
