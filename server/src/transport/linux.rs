//! Many datagrams in one system call: recvmmsg(2) and sendmmsg(2), with `IP_PKTINFO` (ip(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, recvmmsg,
    sendmmsg, setsockopt, sockopt,
};
use socket2::{Domain, SockRef, Socket, Type};
use udp_discovery_protocol::SendErrorKind;

use super::{Arrived, Transport};
use crate::responder::{Arrival, Datagram, Reply};

/// How many datagrams one system call takes.
const BATCH: usize = 32;

#[derive(Debug)]
pub(crate) struct SystemSocket {
    socket: UdpSocket,
    /// One receive buffer after the other.
    buffers: Vec<u8>,
    buffer_size: usize,
    /// The kernel's count of the datagrams that it dropped, as it was told last.
    drops: u32,
}

impl SystemSocket {
    /// Prepares `socket`, before it is bound if possible: a datagram that arrives earlier comes
    /// without the information where it did.
    pub(crate) fn prepare(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        setsockopt(socket, sockopt::RxqOvfl, &1)?;
        Ok(())
    }

    pub(crate) fn new(socket: UdpSocket, buffer_size: usize) -> io::Result<Self> {
        Self::prepare(&socket)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            buffers: vec![0; BATCH * buffer_size],
            buffer_size,
            drops: 0,
        })
    }

    /// Has `registry` tell when there is something to receive.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut source = SourceFd(&self.socket.as_raw_fd());
        registry.register(&mut source, token, Interest::READABLE)
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }
}

impl Transport for SystemSocket {
    fn receive(&mut self, each: &mut dyn FnMut(Arrived<'_>)) -> io::Result<u64> {
        // Room is left for what a socket of the caller's may tell besides, such as times.
        //
        // Not kept from call to call: the kernel writes into each header how much room for
        // control messages it used, and would find no more than that the next time.
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(
            BATCH,
            Some(cmsg_space!(in_pktinfo, u32, [u8; 64])),
        );
        let mut slices = [const { None }; BATCH].map(|none: Option<[IoSliceMut<'_>; 1]>| none);
        for (slice, buffer) in slices
            .iter_mut()
            .zip(self.buffers.chunks_exact_mut(self.buffer_size))
        {
            *slice = Some([IoSliceMut::new(buffer)]);
        }
        let received = recvmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            slices.iter_mut().flatten(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let mut new_drops = 0;
        for message in received {
            let control = Control::of(&message);
            if let Some(drops) = control.drops {
                new_drops += drops.wrapping_sub(self.drops);
                self.drops = drops;
            }
            each(arrived(&message, control.arrival));
        }
        Ok(u64::from(new_drops))
    }

    fn send(&mut self, replies: &[Reply], told: &mut dyn FnMut(&Reply, io::Result<()>)) {
        // One control message serves a whole call, so what leaves from one address goes together.
        let from = |reply: &Reply| (reply.local, reply.interface);
        for group in replies.chunk_by(|a, b| from(a) == from(b)) {
            // Without a socket to ask the routes with, they choose the interface too.
            let pinned = group[0].interface.is_some();
            match pinned.then(|| self.routes_from(group[0].local)) {
                Some(Ok(routes)) => self.send_pinned(group, &routes, told),
                _ => {
                    for batch in group.chunks(BATCH) {
                        self.send_batch(batch, None, told);
                    }
                }
            }
        }
    }
}

impl SystemSocket {
    /// A socket whose `connect` fails where the host's routes refuse a destination for what leaves
    /// from `local`. It sends nothing.
    fn routes_from(&self, local: IpAddr) -> io::Result<Socket> {
        let routes = Socket::new(Domain::for_address((local, 0).into()), Type::DGRAM, None)?;
        // The routes of a device's VRF are others.
        if let Some(device) = SockRef::from(&self.socket).device()? {
            routes.bind_device(Some(&device))?;
        }
        routes.bind(&SocketAddr::new(local, 0).into())?;
        Ok(routes)
    }

    /// Sends `replies`, which leave from one address by one interface, as far as the host's routes
    /// permit it. A destination that they refuse is one on link to Linux when it is told the
    /// interface, so they are asked first.
    fn send_pinned(
        &self,
        replies: &[Reply],
        routes: &Socket,
        told: &mut dyn FnMut(&Reply, io::Result<()>),
    ) {
        for reply in replies {
            match routes.connect(&reply.destination.into()) {
                Ok(()) => self.send_batch(std::slice::from_ref(reply), reply.interface, told),
                Err(error) => told(reply, Err(error)),
            }
        }
    }

    /// Sends `replies`, which leave from one address by `interface`, or the one that the host's
    /// routes choose.
    fn send_batch(
        &self,
        replies: &[Reply],
        interface: Option<u32>,
        told: &mut dyn FnMut(&Reply, io::Result<()>),
    ) {
        let mut rest = replies;
        while let Some((first, others)) = rest.split_first() {
            match self.send_some(rest, interface) {
                Ok(sent) => {
                    let (sent, unsent) = rest.split_at(sent);
                    for reply in sent {
                        told(reply, Ok(()));
                    }
                    rest = unsent;
                }
                Err(error) if SendErrorKind::of(&error) == SendErrorKind::Interrupted => {}
                // The error is the first one's; the others have not been tried.
                Err(error) => {
                    told(first, Err(error));
                    rest = others;
                }
            }
        }
    }

    /// How many of `replies`, from the first on, the kernel took: one at the least.
    fn send_some(&self, replies: &[Reply], interface: Option<u32>) -> io::Result<usize> {
        let slices: Vec<[IoSlice<'_>; 1]> = replies
            .iter()
            .map(|reply| [IoSlice::new(&reply.payload)])
            .collect();
        let destinations: Vec<Option<SockaddrIn>> = replies
            .iter()
            .map(|reply| ipv4(reply.destination).map(SockaddrIn::from))
            .collect();
        let mut headers = MultiHeaders::preallocate(replies.len(), Some(cmsg_space!(in_pktinfo)));
        let packet_info = packet_info(replies[0].local, interface);
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            slices.iter(),
            destinations,
            [ControlMessage::Ipv4PacketInfo(&packet_info)],
            MsgFlags::MSG_DONTWAIT,
        )?;
        match sent.count() {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent),
        }
    }
}

/// What the kernel tells besides the bytes.
#[derive(Default)]
struct Control {
    arrival: Option<Arrival>,
    drops: Option<u32>,
}

impl Control {
    fn of(message: &RecvMsg<'_, '_, SockaddrIn>) -> Self {
        let mut control = Self::default();
        for told in message.cmsgs().into_iter().flatten() {
            match told {
                // A datagram that arrived before IP_PKTINFO was set comes with the interface 0,
                // which is none.
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

fn arrived<'a>(message: &RecvMsg<'a, 'a, SockaddrIn>, arrival: Option<Arrival>) -> Arrived<'a> {
    let source = message
        .address
        .map(|address| SocketAddr::V4(SocketAddrV4::from(address)));
    let payload = message.iovs().next().unwrap_or_default();
    match (source, arrival) {
        (Some(source), Some(arrival)) => Arrived::Datagram(Datagram {
            payload,
            truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
            source,
            arrival,
        }),
        _ => Arrived::NoPacketInfo { source, payload },
    }
}

fn packet_info(local: IpAddr, interface: Option<u32>) -> in_pktinfo {
    let local = match local {
        IpAddr::V4(local) => local,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    in_pktinfo {
        // The kernel's index of an interface is an int.
        ipi_ifindex: interface
            .and_then(|index| i32::try_from(index).ok())
            .unwrap_or(0),
        ipi_spec_dst: in_addr {
            s_addr: local.to_bits().to_be(),
        },
        ipi_addr: in_addr { s_addr: 0 },
    }
}

fn ip(address: in_addr) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be(address.s_addr)).into()
}

fn ipv4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}
