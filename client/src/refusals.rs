//! Hosts that refuse a datagram: ICMP "port unreachable" (RFC 792), as the system reports it.
//!
//! Linux reports it to a socket that is not connected by the error queue (`IP_RECVERR`, ip(7)).
//! Elsewhere refusals are not reported.

use std::net::SocketAddr;

/// An error of an earlier datagram.
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux reports refusals")
)]
pub(crate) enum Queued {
    /// The host with this address refused it.
    Refused(SocketAddr),
    /// Anything else.
    Other,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{enable, next};
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{enable, next};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSliceMut};
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::{AsFd, AsRawFd as _};

    use nix::cmsg_space;
    use nix::errno::Errno;
    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
    };

    use super::Queued;

    /// Has the system keep refusals for [`next`].
    pub(crate) fn enable(socket: &impl AsFd, local: SocketAddr) -> io::Result<()> {
        match local {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
        }
        Ok(())
    }

    /// Takes the next error from the error queue.
    pub(crate) fn next(socket: &impl AsFd) -> Option<Queued> {
        let fd = socket.as_fd().as_raw_fd();
        let mut payload = [0; 1];
        let mut payload = [IoSliceMut::new(&mut payload)];
        let mut control = cmsg_space!([u8; 64]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrStorage>(fd, &mut payload, Some(&mut control), flags).ok()?;
        let mut errors = message.cmsgs().ok()?.filter_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error.ee_errno),
            _ => None,
        });
        let refused = errors.any(|errno| errno == Errno::ECONNREFUSED as u32);
        // The address that the datagram was sent to.
        let destination = message.address.filter(|_| refused).and_then(|address| {
            let v4 = address.as_sockaddr_in().copied().map(SocketAddrV4::from);
            let v6 = || address.as_sockaddr_in6().copied().map(SocketAddrV6::from);
            v4.map(SocketAddr::V4).or_else(|| v6().map(SocketAddr::V6))
        });
        Some(destination.map_or(Queued::Other, Queued::Refused))
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::net::SocketAddr;

    use super::Queued;

    #[allow(clippy::unnecessary_wraps, reason = "it fails on Linux")]
    pub(crate) fn enable<S>(_: &S, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn next<S>(_: &S) -> Option<Queued> {
        None
    }
}
