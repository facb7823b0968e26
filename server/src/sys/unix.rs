//! Android, macOS and FreeBSD: recvmsg(2) reports where a datagram arrived, and sendmsg(2) takes the
//! address that a reply leaves from. The host's routes choose the interface. The system reports no
//! changes of addresses, and has no kernel filter.

use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::SockRef;
use udp_discovery_protocol::{SendErrorKind, Word};

use super::packet_info::{arrival_v6, is_link_local, packet_info_v6, socket_address};
use super::{BATCH, Family, Link, Received, Transport, buffers, groups};
use crate::responder::{Arrival, Reply};

#[cfg(not(target_os = "freebsd"))]
#[path = "unix/pktinfo.rs"]
mod ipv4;
#[cfg(target_os = "freebsd")]
#[path = "unix/recvdstaddr.rs"]
mod ipv4;

/// The server's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: UdpSocket,
    family: Family,
    /// Whether it is bound to every address. If not, replies leave from the one address that it is
    /// bound to, and FreeBSD refuses to be told which (`IP_SENDSRCADDR`, ip(4)).
    on_every_address: bool,
    buffer: Vec<u8>,
    /// Room for the control messages of one datagram.
    control: Vec<u8>,
}

impl Socket {
    /// Sets the options that must be set before `socket` is bound, so that no datagram arrives
    /// without its packet info.
    pub(crate) fn prepare(socket: &impl AsFd, family: Family) -> io::Result<()> {
        match family {
            Family::V4 => ipv4::report_arrivals(socket)?,
            Family::V6 => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(())
    }

    /// Shared ports were only tried on Linux.
    pub(crate) fn share(_socket: &impl AsFd) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn new(socket: UdpSocket, buffer_size: usize) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let family = Family::of(local);
        Self::prepare(&socket, family)?;
        socket.set_nonblocking(true)?;
        buffers::enlarge_buffers(&SockRef::from(&socket));
        Ok(Self {
            inner: socket,
            family,
            on_every_address: local.ip().is_unspecified(),
            buffer: vec![0; buffer_size],
            // nix reads some messages whole that the system sends short, so there is more room than
            // for any. A caller's socket may report more, such as timestamps.
            control: cmsg_space!(in6_pktinfo, [u8; 256]),
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let descriptor = self.inner.as_raw_fd();
        registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE)
    }

    /// Sends `reply` from its address.
    fn send_one(&self, reply: &Reply) -> io::Result<()> {
        let (v4, v6);
        let from = match reply.local {
            IpAddr::V4(_) if !self.on_every_address => None,
            IpAddr::V4(local) => {
                v4 = ipv4::source(local);
                Some(ipv4::send_from(&v4))
            }
            IpAddr::V6(local) => {
                // A link-local address needs its interface. Elsewhere the routes choose it, because
                // they may refuse the destination.
                let interface = reply.interface.filter(|_| is_link_local(reply.destination));
                v6 = packet_info_v6(local, interface);
                Some(ControlMessage::Ipv6PacketInfo(&v6))
            }
        };
        sendmsg(
            self.inner.as_raw_fd(),
            &[IoSlice::new(&reply.payload)],
            from.as_slice(),
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrStorage::from(reply.destination)),
        )?;
        Ok(())
    }
}

impl Transport for Socket {
    fn receive(&mut self, each: &mut dyn FnMut(Received<'_>)) -> io::Result<()> {
        for received in 0..BATCH {
            let mut slices = [IoSliceMut::new(&mut self.buffer)];
            let message = match recvmsg::<SockaddrStorage>(
                self.inner.as_raw_fd(),
                &mut slices,
                Some(&mut self.control),
                MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(message) => message,
                // The replies to what was received are sent first.
                Err(Errno::EAGAIN) if received > 0 => break,
                Err(error) => return Err(error.into()),
            };
            each(Received {
                payload: message.iovs().next().unwrap_or_default(),
                truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
                source: message.address.as_ref().and_then(socket_address),
                arrival: arrival(&message),
                kernel_drops: 0,
            });
        }
        Ok(())
    }

    fn filter(&self, _message: &Word, _details: bool) -> io::Result<()> {
        Ok(())
    }

    fn join(&self, link: Link) -> io::Result<()> {
        groups::join(&SockRef::from(&self.inner), self.family, link)
    }

    fn leave(&self, link: Link) -> io::Result<()> {
        groups::leave(&SockRef::from(&self.inner), self.family, link)
    }

    fn send(&mut self, replies: &[Reply], sent: &mut dyn FnMut(&Reply, io::Result<()>)) {
        for reply in replies {
            loop {
                match self.send_one(reply) {
                    Err(error) if SendErrorKind::of(&error) == SendErrorKind::Interrupted => {}
                    result => break sent(reply, result),
                }
            }
        }
    }
}

/// Where a datagram arrived; `None` if the system should have reported it and did not.
fn arrival(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Arrival> {
    let Ok(messages) = message.cmsgs() else {
        // A caller's socket reports too much. The networks decide, as where nothing is reported.
        return Some(Arrival::default());
    };
    let mut arrival = None;
    for message in messages {
        match message {
            ControlMessageOwned::Ipv6PacketInfo(info) => arrival = arrival_v6(&info),
            other => ipv4::read(&other, &mut arrival),
        }
    }
    arrival
}
