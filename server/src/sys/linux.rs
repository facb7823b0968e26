//! Linux: `IP_PKTINFO` (ip(7)) reports where a datagram arrived and chooses where a reply leaves
//! from, netlink reports changes, and a socket filter drops what is not a request.
//!
//! Each datagram takes one recvmsg(2) and one sendmsg(2). Batches (recvmmsg(2), sendmmsg(2)) cost
//! more than they save: without `unsafe` their headers must be allocated anew for each batch.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::cmsg_space;
use nix::libc::{IP_PKTINFO, IPPROTO_IP, cmsghdr, in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, SockaddrIn, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, MsgHdr, SockRef, Type};
use udp_discovery_protocol::{SendErrorKind, Word};

use super::{BUFFER, Received, Transport};
use crate::responder::{Arrival, Reply};

mod changes;
mod filter;

pub(crate) use changes::Changes;

/// The server's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: UdpSocket,
    buffer: Vec<u8>,
    /// Room for the control messages of one datagram.
    control: Vec<u8>,
    /// The kernel's count of dropped datagrams as it last reported it.
    drops: u32,
}

impl Socket {
    /// Sets the options that must be set before `socket` is bound, so that no datagram arrives
    /// without its packet info.
    pub(crate) fn prepare(socket: &impl AsFd) -> io::Result<()> {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        setsockopt(socket, sockopt::RxqOvfl, &1)?;
        Ok(())
    }

    pub(crate) fn new(socket: UdpSocket, buffer_size: usize) -> io::Result<Self> {
        Self::prepare(&socket)?;
        socket.set_nonblocking(true)?;
        enlarge_buffers(&socket);
        Ok(Self {
            socket,
            buffer: vec![0; buffer_size],
            // A caller's socket may report more, such as timestamps.
            control: cmsg_space!(in_pktinfo, u32, [u8; 64]),
            drops: 0,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut source = SourceFd(&self.socket.as_raw_fd());
        registry.register(&mut source, token, Interest::READABLE)
    }

    /// A socket whose `connect` fails where the host's routes refuse a destination for datagrams
    /// from `local`. It sends nothing.
    fn routes_from(&self, local: IpAddr) -> io::Result<socket2::Socket> {
        let routes =
            socket2::Socket::new(Domain::for_address((local, 0).into()), Type::DGRAM, None)?;
        // A socket bound to a VRF device uses the routes of that device.
        if let Some(device) = SockRef::from(&self.socket).device()? {
            routes.bind_device(Some(&device))?;
        }
        routes.bind(&SocketAddr::new(local, 0).into())?;
        Ok(routes)
    }

    /// The interface that `reply` must leave by, or `None` if the host's routes choose it.
    ///
    /// # Errors
    /// That of the routes, if they refuse the destination. To Linux every destination is on the
    /// link of an interface that the sender names, so the routes are asked first.
    fn interface_for(&self, reply: &Reply) -> io::Result<Option<u32>> {
        let Some(interface) = reply.interface else {
            return Ok(None);
        };
        // Without a socket to ask the routes with, the routes choose the interface too.
        let Ok(routes) = self.routes_from(reply.local) else {
            return Ok(None);
        };
        routes.connect(&reply.destination.into())?;
        Ok(Some(interface))
    }
}

/// Asks for buffers of [`BUFFER`] bytes, unless they are larger. Without the privilege to configure
/// the network, Linux gives at most `net.core.rmem_max` and `net.core.wmem_max`.
fn enlarge_buffers(socket: &UdpSocket) {
    let options = SockRef::from(socket);
    if options.recv_buffer_size().is_ok_and(|size| size < BUFFER) {
        let _ = setsockopt(socket, sockopt::RcvBufForce, &BUFFER)
            .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &BUFFER));
    }
    if options.send_buffer_size().is_ok_and(|size| size < BUFFER) {
        let _ = setsockopt(socket, sockopt::SndBufForce, &BUFFER)
            .or_else(|_| setsockopt(socket, sockopt::SndBuf, &BUFFER));
    }
}

impl Transport for Socket {
    fn receive(&mut self) -> io::Result<Received<'_>> {
        let mut buffers = [IoSliceMut::new(&mut self.buffer)];
        let message = recvmsg::<SockaddrIn>(
            self.socket.as_raw_fd(),
            &mut buffers,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let control = Control::of(&message);
        let truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
        let len = message.bytes;
        let source = message
            .address
            .map(|address| SocketAddr::V4(SocketAddrV4::from(address)));
        let drops = control.drops.unwrap_or(self.drops);
        let kernel_drops = drops.wrapping_sub(self.drops);
        self.drops = drops;
        Ok(Received {
            payload: &self.buffer[..len],
            truncated,
            source,
            arrival: control.arrival,
            kernel_drops,
        })
    }

    fn filter(&self, message: &Word) -> io::Result<()> {
        filter::attach(&self.socket, message)
    }

    fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let IpAddr::V4(local) = reply.local else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let control = packet_info(local, self.interface_for(reply)?);
        let destination = reply.destination.into();
        let payload = [IoSlice::new(&reply.payload)];
        let message = MsgHdr::new()
            .with_addr(&destination)
            .with_buffers(&payload)
            .with_control(&control);
        let socket = SockRef::from(&self.socket);
        loop {
            match socket.sendmsg(&message, MsgFlags::MSG_DONTWAIT.bits()) {
                Err(error) if SendErrorKind::of(&error) == SendErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }
}

/// What the control messages of a datagram report.
#[derive(Default)]
struct Control {
    arrival: Option<Arrival>,
    drops: Option<u32>,
}

impl Control {
    fn of(message: &RecvMsg<'_, '_, SockaddrIn>) -> Self {
        let mut control = Self::default();
        for item in message.cmsgs().into_iter().flatten() {
            match item {
                // A datagram that arrived before IP_PKTINFO was set has the interface 0.
                ControlMessageOwned::Ipv4PacketInfo(info) if info.ipi_ifindex > 0 => {
                    control.arrival = Some(Arrival {
                        interface: Some(info.ipi_ifindex.cast_unsigned()),
                        destination: Some(ip(info.ipi_addr)),
                        local: Some(ip(info.ipi_spec_dst)),
                    });
                }
                ControlMessageOwned::RxqOvfl(drops) => control.drops = Some(drops),
                _ => {}
            }
        }
        control
    }
}

fn ip(address: in_addr) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be(address.s_addr)).into()
}

/// The length of a control message's header, to the kernel: a `size_t` and two `int`.
const HEADER: usize = size_of::<usize>() + 8;
/// The length of an `IP_PKTINFO` message, and its length padded to the alignment of the next one.
const PACKET_INFO: usize = HEADER + size_of::<in_pktinfo>();
const PADDED: usize = PACKET_INFO.next_multiple_of(size_of::<usize>());
const _: () = assert!(size_of::<cmsghdr>() == HEADER);

/// A control message that has a datagram leave from `local` and by `interface` (cmsg(3), ip(7)).
/// nix and socket2 have no function that builds one without allocating.
fn packet_info(local: Ipv4Addr, interface: Option<u32>) -> [u8; PADDED] {
    // Interface index 0 lets the routes choose. Linux's indices are positive `int`s.
    let interface = interface.unwrap_or(0);
    let mut message = [0; PADDED];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        message[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&PACKET_INFO.to_ne_bytes());
    put(&IPPROTO_IP.to_ne_bytes());
    put(&IP_PKTINFO.to_ne_bytes());
    // struct in_pktinfo: ipi_ifindex, ipi_spec_dst, and ipi_addr, which sending ignores.
    put(&interface.to_ne_bytes());
    put(&local.octets());
    message
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
