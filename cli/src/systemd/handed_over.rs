//! The sockets that systemd has opened for the service (`systemd.socket(5)`, `sd_listen_fds(3)`).

use std::io;
use std::net::{SocketAddr, UdpSocket};

use listenfd::ListenFd;
use socket2::{Protocol, SockRef};
use thiserror::Error;

use crate::failure::Failure;
use crate::port_holder::linux::is_shared;

/// Why there are no sockets to serve on.
#[derive(Debug, Error)]
enum HandedOver {
    #[error("systemd handed over no socket")]
    None,
    #[error("systemd handed over something other than a UDP socket")]
    NotUdp(#[source] Option<io::Error>),
    #[error("systemd handed over {0} sockets, not one for each family")]
    Many(usize),
    #[error("systemd handed over sockets on two ports, {0} and {1}")]
    TwoPorts(SocketAddr, SocketAddr),
    #[error("systemd handed over a socket on {0} that receives IPv4 datagrams too")]
    BothFamilies(SocketAddr),
    #[error("another socket shares {0} with the one that systemd handed over")]
    Shared(SocketAddr),
}

const START_BY_SOCKET: &str =
    "--socket-activation is for the service of a socket unit: systemctl start udp-discovery.socket";
const WANTED: &str = "the socket unit must have ListenDatagram=0.0.0.0:9999, or \
                      ListenDatagram=[::]:9999 with BindIPv6Only=ipv6-only, or both on one port, \
                      and no other line that listens";
const FIND_THE_OTHER: &str =
    "find the other program with `ss -lunp`, stop it, and start the service again";

/// The sockets that were handed over: one for IPv4, one for IPv6, or both on one port. They share
/// the port with no other.
///
/// This removes the variables `LISTEN_PID` and `LISTEN_FDS` from the environment. Call it while no
/// other thread reads the environment.
pub(crate) fn handed_over() -> Result<Vec<UdpSocket>, Failure> {
    let sockets = take().map_err(|error| {
        let hint = match error {
            HandedOver::None => START_BY_SOCKET,
            _ => WANTED,
        };
        Failure::from(error).with_hint(hint)
    })?;
    for socket in &sockets {
        make_own(socket)?;
    }
    for socket in &sockets {
        let address = socket.local_addr()?;
        if is_shared(address) {
            return Err(Failure::from(HandedOver::Shared(address)).with_hint(FIND_THE_OTHER));
        }
    }
    Ok(sockets)
}

fn take() -> Result<Vec<UdpSocket>, HandedOver> {
    let mut handed_over = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed_over.len() {
        let socket = handed_over.take_udp_socket(index);
        let socket = socket.map_err(|error| HandedOver::NotUdp(Some(error)))?;
        sockets.extend(socket);
    }
    let addresses = sockets.iter().map(address_of_udp);
    check(&addresses.collect::<Result<Vec<_>, _>>()?)?;
    Ok(sockets)
}

/// The address of `socket`, which receives one family only.
fn address_of_udp(socket: &UdpSocket) -> Result<SocketAddr, HandedOver> {
    let because = |error| HandedOver::NotUdp(Some(error));
    let options = SockRef::from(socket);
    // UDP is not the only protocol with datagrams over IP.
    if options.protocol().map_err(because)? != Some(Protocol::UDP) {
        return Err(HandedOver::NotUdp(None));
    }
    let address = socket.local_addr().map_err(because)?;
    let any_ipv6 = address.is_ipv6() && address.ip().is_unspecified();
    if any_ipv6 && !options.only_v6().map_err(because)? {
        return Err(HandedOver::BothFamilies(address));
    }
    Ok(address)
}

/// Whether sockets on `addresses` make a server.
fn check(addresses: &[SocketAddr]) -> Result<(), HandedOver> {
    match *addresses {
        [] => Err(HandedOver::None),
        [a, b] if a.is_ipv4() == b.is_ipv4() => Err(HandedOver::Many(2)),
        [a, b] if a.port() != b.port() => Err(HandedOver::TwoPorts(a, b)),
        [_] | [_, _] => Ok(()),
        _ => Err(HandedOver::Many(addresses.len())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_socket_of_each_family_on_one_port_is_wanted() {
        let result = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| text.parse().unwrap());
            check(&addresses.collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        let (v4, v6) = ("0.0.0.0:9999", "[::]:9999");
        for right in [&[v4][..], &[v6], &[v4, v6], &[v6, v4]] {
            assert_eq!(result(right), Ok(()), "{right:?}");
        }
        for (wrong, expected) in [
            (&[][..], "no socket"),
            (&[v4, v4], "2 sockets, not one for each family"),
            (&[v6, v6], "2 sockets, not one for each family"),
            (&[v4, v6, v6], "3 sockets, not one for each family"),
            (
                &[v4, "[::]:9998"],
                "sockets on two ports, 0.0.0.0:9999 and [::]:9998",
            ),
        ] {
            let expected = format!("systemd handed over {expected}");
            assert_eq!(result(wrong), Err(expected), "{wrong:?}");
        }
    }
}
