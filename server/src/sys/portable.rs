//! Every system that has sockets. The system does not report where a datagram arrived, so the
//! networks of the interfaces decide; it reports no changes of addresses, and has no kernel filter.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;

use mio::{Interest, Registry, Token};
use socket2::SockRef;
use udp_discovery_protocol::{MULTICAST_V4, MULTICAST_V6, SendErrorKind, Word};

use super::{BATCH, BUFFER, Family, Link, Received, Transport};
use crate::responder::{Arrival, Reply};

/// The server's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// mio's type: on Windows, receiving through it rearms the readiness event.
    socket: mio::net::UdpSocket,
    buffer: Vec<u8>,
}

impl Socket {
    #[allow(clippy::unnecessary_wraps, reason = "fails on Linux")]
    pub(crate) fn prepare(_socket: &socket2::Socket, _family: Family) -> io::Result<()> {
        Ok(())
    }

    /// Shared ports were only tried on Linux.
    pub(crate) fn share(_socket: &socket2::Socket) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    pub(crate) fn new(socket: UdpSocket, buffer_size: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        enlarge_buffers(&socket);
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket),
            buffer: vec![0; buffer_size],
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }
}

/// Asks for buffers of [`BUFFER`] bytes, unless they are larger. The system may give less.
fn enlarge_buffers(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    if socket.recv_buffer_size().is_ok_and(|size| size < BUFFER) {
        let _ = socket.set_recv_buffer_size(BUFFER);
    }
    if socket.send_buffer_size().is_ok_and(|size| size < BUFFER) {
        let _ = socket.set_send_buffer_size(BUFFER);
    }
}

impl Transport for Socket {
    fn receive(&mut self, each: &mut dyn FnMut(Received<'_>)) -> io::Result<()> {
        for received in 0..BATCH {
            let (len, source) = match self.socket.recv_from(&mut self.buffer) {
                Ok(received) => received,
                // The replies to what was received are sent first.
                Err(error) if received > 0 && error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            each(Received {
                payload: &self.buffer[..len],
                // Unix truncates silently. A valid datagram never fills the buffer.
                truncated: len == self.buffer.len(),
                source: Some(source),
                arrival: Some(Arrival::default()),
                kernel_drops: 0,
            });
        }
        Ok(())
    }

    fn filter(&self, _message: &Word, _details: bool) -> io::Result<()> {
        Ok(())
    }

    fn join(&self, link: Link) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        match link.ipv4 {
            Some(ip) => socket.join_multicast_v4(&MULTICAST_V4, &ip),
            None => socket.join_multicast_v6(&MULTICAST_V6, link.index),
        }
    }

    fn leave(&self, link: Link) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        match link.ipv4 {
            Some(ip) => socket.leave_multicast_v4(&MULTICAST_V4, &ip),
            None => socket.leave_multicast_v6(&MULTICAST_V6, link.index),
        }
    }

    fn send(&mut self, replies: &[Reply], sent: &mut dyn FnMut(&Reply, io::Result<()>)) {
        for reply in replies {
            loop {
                match self.socket.send_to(&reply.payload, reply.destination) {
                    Err(error) if SendErrorKind::of(&error) == SendErrorKind::Interrupted => {}
                    result => break sent(reply, result.map(drop)),
                }
            }
        }
    }
}

/// Changes of addresses and routes, which the system does not report.
#[derive(Debug)]
pub(crate) enum Changes {}

impl Changes {
    #[allow(clippy::unnecessary_wraps, reason = "fails on Linux")]
    pub(crate) fn watch(_registry: &Registry, _token: Token) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) fn routes_changed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn drain(&self) {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use udp_discovery_protocol::{HostIp, Interface, Response};

    use super::*;
    use crate::responder::Payload;

    /// A server's socket and a client's, both on loopback.
    fn pair() -> (Socket, UdpSocket) {
        pair_on("127.0.0.1").unwrap()
    }

    fn pair_on(ip: &str) -> io::Result<(Socket, UdpSocket)> {
        let ours = UdpSocket::bind((ip, 0))?;
        let client = UdpSocket::bind((ip, 0))?;
        client.connect(ours.local_addr()?)?;
        Ok((Socket::new(ours, 300)?, client))
    }

    // On Windows a datagram that is too long is an error, which the event loop knows.
    #[test]
    #[cfg(unix)]
    fn each_datagram_is_received_and_a_long_one_is_truncated() {
        let (mut socket, client) = pair();
        let source = client.local_addr().ok();
        for (len, received, truncated) in [
            (15, 15, false),
            (299, 299, false),
            (300, 300, true),
            (301, 300, true),
        ] {
            client.send(&vec![b'x'; len]).unwrap();
            let mut datagrams = 0;
            let result = socket.receive(&mut |datagram| {
                datagrams += 1;
                assert_eq!(datagram.payload.len(), received);
                assert_eq!((datagram.truncated, datagram.source), (truncated, source));
            });
            assert_eq!((result.is_ok(), datagrams), (true, 1));
        }
        let empty = socket.receive(&mut |_| panic!("it is empty")).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn ipv6_is_served_as_ipv4_is() {
        // A host may have no IPv6.
        let Ok((mut socket, client)) = pair_on("::1") else {
            return;
        };
        client.send(b"request").unwrap();
        let mut sources = Vec::new();
        socket
            .receive(&mut |it| sources.push((it.payload.to_vec(), it.source)))
            .unwrap();
        assert_eq!(sources, [(b"request".to_vec(), client.local_addr().ok())]);
        let ip = Ipv6Addr::LOCALHOST.into();
        let reply = Reply {
            destination: client.local_addr().unwrap(),
            local: ip,
            interface: None,
            response: Response::new(HostIp::new(ip).unwrap(), None),
            details: false,
            payload: Payload::new(b"answer"),
        };
        socket.send(&[reply], &mut |_, result| result.unwrap());
        assert_eq!(client.recv(&mut [0; 10]).unwrap(), 6);
    }

    #[test]
    fn a_group_is_joined_once_and_left() {
        let interfaces = Interface::list().unwrap();
        let lo = interfaces.iter().find(|it| it.flags.loopback).unwrap();
        let socket = |any: &str| Socket::new(UdpSocket::bind((any, 0))?, 300);
        let link = |ipv4| Link {
            index: lo.index,
            ipv4,
        };
        let v4 = socket("0.0.0.0").unwrap();
        let on_lo = link(Some(Ipv4Addr::LOCALHOST));
        v4.join(on_lo).unwrap();
        assert!(v4.join(on_lo).is_err(), "it is a member");
        v4.leave(on_lo).unwrap();
        assert!(v4.leave(on_lo).is_err());
        // A host may have no IPv6, and wine has no index.
        if let Ok(v6) = socket("::")
            && v6.join(link(None)).is_ok()
        {
            v6.leave(link(None)).unwrap();
        }
    }

    #[test]
    fn a_reply_is_sent_or_its_error_returned() {
        let (mut socket, client) = pair();
        let reply = |port| Reply {
            destination: SocketAddr::new([127, 0, 0, 1].into(), port),
            local: [127, 0, 0, 1].into(),
            interface: None,
            response: Response::new(HostIp::new([127, 0, 0, 1].into()).unwrap(), None),
            details: false,
            payload: Payload::new(b"answer"),
        };
        let port = client.local_addr().unwrap().port();
        let mut results = Vec::new();
        let replies = [reply(0), reply(port)];
        socket.send(&replies, &mut |_, result| results.push(result.is_ok()));
        assert_eq!(results, [false, true], "port 0 cannot be sent to");
        let mut answer = [0; 10];
        assert_eq!(client.recv(&mut answer).unwrap(), 6);
    }
}
