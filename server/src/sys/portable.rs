//! Windows, iOS, and every other system that has sockets. The system does not report where a datagram
//! arrived, so the networks of the interfaces decide; it reports no changes of addresses, and has no
//! kernel filter.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;

use mio::{Interest, Registry, Token};
use socket2::SockRef;
use udp_discovery_protocol::{MULTICAST_V4, MULTICAST_V6, SendErrorKind, Word};

use super::{BATCH, Family, Link, Received, Transport, buffers};
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
        buffers::enlarge_buffers(&SockRef::from(&socket));
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket),
            buffer: vec![0; buffer_size],
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
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
