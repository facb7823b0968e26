//! Linux: `IP_PKTINFO` (ip(7)) and `IPV6_PKTINFO` (ipv6(7)) report where a datagram arrived and
//! choose where a reply leaves from, netlink reports changes, and a socket filter drops what is not a request.
//!
//! One system call receives or sends many datagrams (recvmmsg(2), sendmmsg(2)).

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::atomic::{AtomicU64, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg, setsockopt, sockopt,
};
use socket2::{Domain, SockRef, Type};
use udp_discovery_protocol::{SendErrorKind, Word};

use super::packet_info::{address, arrival_v6, ip, is_link_local, packet_info_v6, socket_address};
use super::{BATCH, BUFFER, Family, Link, Received, Transport, groups};
use crate::responder::{Arrival, Reply};

mod changes;
mod filter;

pub(crate) use changes::Changes;

/// The headers of recvmmsg(2) and sendmmsg(2) for one socket.
struct Headers {
    socket: u64,
    receive: MultiHeaders<SockaddrStorage>,
    /// Whether `receive` has not been used. The kernel writes into each header how much room for
    /// control messages it used, and finds no more than that the next time.
    fresh: bool,
    send: MultiHeaders<SockaddrStorage>,
}

impl Headers {
    fn new(socket: u64, family: Family) -> Self {
        // Exactly the room for one control message: the kernel reads all of it.
        let packet_info = match family {
            Family::V4 => cmsg_space!(in_pktinfo),
            Family::V6 => cmsg_space!(in6_pktinfo),
        };
        Self {
            socket,
            receive: receive_headers(),
            fresh: true,
            send: MultiHeaders::preallocate(BATCH, Some(packet_info)),
        }
    }
}

fn receive_headers() -> MultiHeaders<SockaddrStorage> {
    // A caller's socket may report more than packet info and drops, such as timestamps.
    MultiHeaders::preallocate(BATCH, Some(cmsg_space!(in6_pktinfo, u32, [u8; 64])))
}

thread_local! {
    /// The headers of the IPv4 and the IPv6 socket that this thread served last. They hold pointers, so they cannot
    /// move between threads with the socket. They are allocated when a thread begins to serve a
    /// socket, and when the datagrams need more room for control messages than before: once, when
    /// the kernel first reports a drop.
    static HEADERS: [Cell<Option<Headers>>; 2] = const { [const { Cell::new(None) }; 2] };
}

/// The server's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: UdpSocket,
    family: Family,
    /// Tells the sockets of this process apart.
    id: u64,
    /// One receive buffer after the other.
    buffers: Vec<u8>,
    buffer_size: usize,
    /// The kernel's count of dropped datagrams as it last reported it.
    drops: u32,
    /// Where it is registered to be waited for.
    registration: Option<Registration>,
}

/// Who waits for a socket.
#[derive(Debug)]
struct Registration {
    registry: Registry,
    token: Token,
    waiting: bool,
}

impl Socket {
    /// Sets the options that must be set before `socket` is bound, so that no datagram arrives
    /// without its packet info.
    pub(crate) fn prepare(socket: &impl AsFd, family: Family) -> io::Result<()> {
        match family {
            Family::V4 => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            Family::V6 => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        setsockopt(socket, sockopt::RxqOvfl, &1)?;
        Ok(())
    }

    /// Lets other sockets of the same user that are shared too have the port of `socket`, which must
    /// not be bound yet (socket(7), `SO_REUSEPORT`). Linux passes a broadcast or multicast to each.
    pub(crate) fn share(socket: &impl AsFd) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::ReusePort, &true)?)
    }

    pub(crate) fn new(socket: UdpSocket, buffer_size: usize) -> io::Result<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let family = Family::of(socket.local_addr()?);
        Self::prepare(&socket, family)?;
        socket.set_nonblocking(true)?;
        enlarge_buffers(&socket);
        ignore_groups_of_others(&socket, family);
        Ok(Self {
            inner: socket,
            family,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            buffers: vec![0; BATCH * buffer_size],
            buffer_size,
            drops: 0,
            registration: None,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.registration = Some(Registration {
            registry: registry.try_clone()?,
            token,
            waiting: false,
        });
        self.set_waiting(true)
    }

    /// Begins or ends to wait for datagrams. Nobody waits while they arrive faster than they are
    /// answered: the kernel would wake the registry for each answer that has left, in 3 % of the time
    /// that a request takes.
    fn set_waiting(&mut self, waiting: bool) -> io::Result<()> {
        let Some(registration) = &mut self.registration else {
            return Ok(());
        };
        if registration.waiting == waiting {
            return Ok(());
        }
        let descriptor = self.inner.as_raw_fd();
        let mut source = SourceFd(&descriptor);
        let Registration {
            registry, token, ..
        } = registration;
        if waiting {
            registry.register(&mut source, *token, Interest::READABLE)?;
        } else {
            registry.deregister(&mut source)?;
        }
        registration.waiting = waiting;
        Ok(())
    }

    /// A socket whose `connect` fails where the host's routes refuse a destination for datagrams
    /// from `local`. It sends nothing.
    fn routes_from(&self, local: IpAddr) -> io::Result<socket2::Socket> {
        let local = SocketAddr::new(local, 0);
        let routes = socket2::Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
        // A socket bound to a VRF device uses the routes of that device.
        if let Some(device) = SockRef::from(&self.inner).device()? {
            routes.bind_device(Some(&device))?;
        }
        routes.bind(&local.into())?;
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
        // The scope of a link-local destination chooses the interface in either case.
        if is_link_local(reply.destination) {
            return Ok(Some(interface));
        }
        // Without a socket to ask the routes with, the routes choose the interface too.
        let Ok(routes) = self.routes_from(reply.local) else {
            return Ok(None);
        };
        routes.connect(&reply.destination.into())?;
        Ok(Some(interface))
    }
}

/// Keeps datagrams to groups that only other sockets have joined from this one. Linux delivers them
/// by default.
fn ignore_groups_of_others(socket: &UdpSocket, family: Family) {
    let socket = SockRef::from(socket);
    // The IPv6 option is missing before Linux 4.20.
    let _ = match family {
        Family::V4 => socket.set_multicast_all_v4(false),
        Family::V6 => socket.set_multicast_all_v6(false),
    };
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
    fn receive(&mut self, each: &mut dyn FnMut(Received<'_>)) -> io::Result<()> {
        let mut headers = self.take_headers();
        let result = self.receive_batch(&mut headers, each);
        self.put_headers(headers);
        match &result {
            Ok(BATCH) => self.set_waiting(false)?,
            // Datagrams that arrived since the last call are reported.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.set_waiting(true)?,
            _ => {}
        }
        result.map(drop)
    }

    fn filter(&self, message: &Word, details: bool) -> io::Result<()> {
        filter::attach(&self.inner, message, details)
    }

    fn join(&self, link: Link) -> io::Result<()> {
        groups::join(&SockRef::from(&self.inner), self.family, link)
    }

    fn leave(&self, link: Link) -> io::Result<()> {
        groups::leave(&SockRef::from(&self.inner), self.family, link)
    }

    fn send(&mut self, replies: &[Reply], sent: &mut dyn FnMut(&Reply, io::Result<()>)) {
        // One control message serves a whole call, so its replies leave from one address.
        let from = |reply: &Reply| (reply.local, reply.interface);
        for group in replies.chunk_by(|a, b| from(a) == from(b)) {
            let interface = group[0].interface;
            if interface.is_none() || group.iter().all(|reply| is_link_local(reply.destination)) {
                self.send_all(group, interface, sent);
                continue;
            }
            for reply in group {
                match self.interface_for(reply) {
                    Ok(interface) => self.send_all(std::slice::from_ref(reply), interface, sent),
                    Err(error) => sent(reply, Err(error)),
                }
            }
        }
    }
}

impl Socket {
    /// The headers of this socket, without those of another. A handler that runs another server on
    /// this thread finds none.
    fn take_headers(&self) -> Headers {
        HEADERS
            .with(|headers| headers[self.family as usize].take())
            .filter(|headers| headers.socket == self.id)
            .unwrap_or_else(|| Headers::new(self.id, self.family))
    }

    fn put_headers(&self, headers: Headers) {
        HEADERS.with(|all| all[self.family as usize].set(Some(headers)));
    }

    /// Returns how many datagrams were received.
    fn receive_batch(
        &mut self,
        headers: &mut Headers,
        each: &mut dyn FnMut(Received<'_>),
    ) -> io::Result<usize> {
        let mut slices = [const { None }; BATCH].map(|none: Option<[IoSliceMut<'_>; 1]>| none);
        let buffers = self.buffers.chunks_exact_mut(self.buffer_size);
        for (slice, buffer) in slices.iter_mut().zip(buffers) {
            *slice = Some([IoSliceMut::new(buffer)]);
        }
        let messages = recvmmsg(
            self.inner.as_raw_fd(),
            &mut headers.receive,
            slices.iter_mut().flatten(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let mut no_room = false;
        let mut count = 0;
        for message in messages {
            count += 1;
            let mut control = Control::of(&message);
            if control.no_room {
                no_room = true;
                // Once in a socket's life. The networks decide, as where no arrival is reported.
                control.arrival = (!headers.fresh).then(Arrival::default);
            }
            let drops = control.drops.unwrap_or(self.drops);
            each(Received {
                payload: message.iovs().next().unwrap_or_default(),
                truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
                source: message.address.as_ref().and_then(socket_address),
                arrival: control.arrival,
                kernel_drops: drops.wrapping_sub(self.drops),
            });
            self.drops = drops;
        }
        headers.fresh = no_room;
        if no_room {
            headers.receive = receive_headers();
        }
        Ok(count)
    }

    /// Sends `replies`, which leave from one address and by `interface`, or by the one that the
    /// host's routes choose.
    fn send_all(
        &self,
        replies: &[Reply],
        interface: Option<u32>,
        sent: &mut dyn FnMut(&Reply, io::Result<()>),
    ) {
        let mut rest = replies;
        while let Some((first, others)) = rest.split_first() {
            match self.send_some(rest, interface) {
                Ok(count) => {
                    let (done, unsent) = rest.split_at(count);
                    for reply in done {
                        sent(reply, Ok(()));
                    }
                    rest = unsent;
                }
                Err(error) if SendErrorKind::of(&error) == SendErrorKind::Interrupted => {}
                // The error is that of the first. The kernel has not tried the others.
                Err(error) => {
                    sent(first, Err(error));
                    rest = others;
                }
            }
        }
    }

    /// Sends as many of `replies` as the kernel takes, at least one. Returns their number.
    fn send_some(&self, replies: &[Reply], interface: Option<u32>) -> io::Result<usize> {
        let count = replies.len().min(BATCH);
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|at| {
            let payload = replies.get(at).map_or(&[][..], |reply| &reply.payload);
            [IoSlice::new(payload)]
        });
        let destinations: [Option<SockaddrStorage>; BATCH] =
            std::array::from_fn(|at| Some(replies.get(at)?.destination.into()));
        let (v4, v6);
        let packet_info = match replies[0].local {
            IpAddr::V4(local) => {
                v4 = packet_info_v4(local, interface);
                ControlMessage::Ipv4PacketInfo(&v4)
            }
            IpAddr::V6(local) => {
                v6 = packet_info_v6(local, interface);
                ControlMessage::Ipv6PacketInfo(&v6)
            }
        };
        let mut headers = self.take_headers();
        let sent = sendmmsg(
            self.inner.as_raw_fd(),
            &mut headers.send,
            &slices[..count],
            &destinations[..count],
            [packet_info],
            MsgFlags::MSG_DONTWAIT,
        )
        .map(Iterator::count);
        self.put_headers(headers);
        match sent? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent),
        }
    }
}

/// What the control messages of a datagram report.
#[derive(Default)]
struct Control {
    arrival: Option<Arrival>,
    drops: Option<u32>,
    /// Whether the header had no room for all of them.
    no_room: bool,
}

impl Control {
    fn of(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Self {
        let mut control = Self::default();
        let Ok(messages) = message.cmsgs() else {
            control.no_room = true;
            return control;
        };
        for item in messages {
            match item {
                // A datagram that arrived before IP_PKTINFO was set has the interface 0.
                ControlMessageOwned::Ipv4PacketInfo(info) if info.ipi_ifindex > 0 => {
                    control.arrival = Some(Arrival {
                        interface: Some(info.ipi_ifindex.cast_unsigned()),
                        destination: Some(ip(info.ipi_addr)),
                        local: Some(ip(info.ipi_spec_dst)),
                    });
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => control.arrival = arrival_v6(&info),
                ControlMessageOwned::RxqOvfl(drops) => control.drops = Some(drops),
                _ => {}
            }
        }
        control
    }
}

fn packet_info_v4(local: Ipv4Addr, interface: Option<u32>) -> in_pktinfo {
    in_pktinfo {
        // Linux's indices are positive ints. With 0 the routes choose.
        ipi_ifindex: interface.map_or(0, u32::cast_signed),
        ipi_spec_dst: address(local),
        ipi_addr: address(Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn after_more_datagrams_than_a_batch_the_socket_is_waited_for_again() {
        let inner = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(inner.local_addr().unwrap()).unwrap();
        let send = |count| (0..count).for_each(|_| assert_eq!(client.send(b"x").unwrap(), 1));
        let mut socket = Socket::new(inner, 100).unwrap();
        let mut poll = Poll::new().unwrap();
        socket.register(poll.registry(), Token(7)).unwrap();
        let mut readable = || {
            let mut events = Events::with_capacity(8);
            poll.poll(&mut events, Some(Duration::from_millis(20)))
                .unwrap();
            events.iter().any(|event| event.token() == Token(7))
        };
        let mut receive = || {
            let mut count = 0;
            socket.receive(&mut |_| count += 1).map(|()| count)
        };
        for count in [BATCH, 2 * BATCH] {
            send(count);
            assert!(readable());
            for _ in 0..count / BATCH {
                assert_eq!(receive().unwrap(), BATCH);
            }
            assert_eq!(receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!(!readable());
        }
        // A datagram that arrives while nobody waits is reported as soon as somebody does.
        send(BATCH);
        assert_eq!(receive().unwrap(), BATCH);
        send(1);
        assert!(!readable());
        assert_eq!(receive().unwrap(), 1);
        assert!(receive().is_err());
        send(1);
        assert!(readable());
    }

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
