//! The socket that systemd has opened for the service (`systemd.socket(5)`, `sd_listen_fds(3)`).

use std::io;
use std::net::{SocketAddr, UdpSocket};

use listenfd::ListenFd;
use socket2::{Protocol, SockRef};
use thiserror::Error;

use crate::failure::Failure;
use crate::port_holder::linux::is_shared;

/// Why the socket that was handed over can't be served, or isn't there.
#[derive(Debug, Error)]
enum HandedOver {
    #[error("systemd handed over no socket")]
    None,
    #[error("systemd handed over {0} sockets, not one")]
    Many(usize),
    #[error("what systemd handed over is no UDP socket")]
    NotUdp(#[source] io::Error),
    #[error("what systemd handed over is no UDP socket")]
    OtherProtocol,
    #[error("what systemd handed over is bound to {0}, which is no IPv4 address")]
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

/// The one socket that was handed over, with its port to itself. It takes the variables
/// `LISTEN_PID` and `LISTEN_FDS` from the environment: call it while no other thread reads that.
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
        .map_err(|error| Failure::from(HandedOver::NotUdp(error)).with_hint(ONE_IPV4_ADDRESS))?
        .ok_or_else(|| Failure::from(HandedOver::None).with_hint(START_BY_SOCKET))?;
    // UDP is not alone in sending datagrams over IP.
    if SockRef::from(&socket).protocol()? != Some(Protocol::UDP) {
        return Err(Failure::from(HandedOver::OtherProtocol).with_hint(ONE_IPV4_ADDRESS));
    }
    Ok(socket)
}

/// Takes from `socket` what systemd, or this service before its restart, has set, and the server's
/// own socket hasn't. systemd sets `SO_REUSEADDR`, with which another program could bind the same
/// port and get the requests; the kernel looks at it whenever somebody binds.
fn make_own(socket: &UdpSocket) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_reuse_address(false)?;
    socket.set_reuse_port(false)?;
    socket.set_broadcast(false)?;
    // An error says that there is no filter. If one is wanted, the server attaches its own.
    let _ = socket.detach_filter();
    Ok(())
}
