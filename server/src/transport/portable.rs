//! One datagram at a time, on every system that has sockets. Where a datagram arrived is not
//! told; the networks of the interfaces decide.

use std::io;
use std::net::UdpSocket;

#[cfg(not(target_os = "linux"))]
use mio::{Interest, Registry, Token};
use udp_discovery_protocol::SendErrorKind;

use super::{Arrived, Transport};
use crate::responder::{Arrival, Datagram, Reply};

/// How many datagrams are received before the replies to them are sent.
const BATCH: usize = 32;

#[derive(Debug)]
pub(crate) struct SystemSocket {
    /// mio's: on Windows it is by receiving through it that it tells of more to receive.
    socket: mio::net::UdpSocket,
    buffer: Vec<u8>,
}

impl SystemSocket {
    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps, reason = "Linux's can fail")]
    pub(crate) fn prepare(_socket: &socket2::Socket) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn new(socket: UdpSocket, buffer_size: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket),
            buffer: vec![0; buffer_size],
        })
    }

    /// Has `registry` tell when there is something to receive.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }
}

impl Transport for SystemSocket {
    fn receive(&mut self, each: &mut dyn FnMut(Arrived<'_>)) -> io::Result<u64> {
        for received in 0..BATCH {
            let (len, source) = match self.socket.recv_from(&mut self.buffer) {
                Ok(received) => received,
                // What has been received is to be answered first; the error comes again.
                Err(error) if received > 0 && error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            each(Arrived::Datagram(Datagram {
                payload: &self.buffer[..len],
                // Unix cuts in silence; a valid datagram never fills the buffer.
                truncated: len == self.buffer.len(),
                source,
                arrival: Arrival::default(),
            }));
        }
        Ok(0)
    }

    fn send(&mut self, replies: &[Reply], told: &mut dyn FnMut(&Reply, io::Result<()>)) {
        for reply in replies {
            loop {
                match self.socket.send_to(&reply.payload, reply.destination) {
                    Err(error) if SendErrorKind::of(&error) == SendErrorKind::Interrupted => {}
                    result => break told(reply, result.map(|_| ())),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;
    use udp_discovery_protocol::{HostIp, Response};

    use super::*;

    /// A socket of ours and one of a client, both on loopback.
    fn pair() -> (SystemSocket, UdpSocket) {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(ours.local_addr().unwrap()).unwrap();
        (SystemSocket::new(ours, 300).unwrap(), client)
    }

    fn received(socket: &mut SystemSocket) -> io::Result<Vec<(usize, bool, SocketAddr)>> {
        let mut received = Vec::new();
        socket.receive(&mut |arrived| match arrived {
            Arrived::Datagram(it) => received.push((it.payload.len(), it.truncated, it.source)),
            Arrived::NoPacketInfo { .. } => panic!("it is never told here"),
        })?;
        Ok(received)
    }

    // On Windows a datagram that is too long is an error, which the engine knows.
    #[test]
    #[cfg(unix)]
    fn what_is_there_is_received_and_what_is_too_long_is_said_to_be() {
        let (mut socket, client) = pair();
        let source = client.local_addr().unwrap();
        for len in [15, 299, 300, 301] {
            client.send(&vec![b'x'; len]).unwrap();
        }
        let expected = [(15, false), (299, false), (300, true), (300, true)];
        let expected = expected.map(|(len, truncated)| (len, truncated, source));
        assert_eq!(received(&mut socket).unwrap(), expected);
        let empty = received(&mut socket).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn each_reply_is_sent_and_told_of() {
        let (mut socket, client) = pair();
        let reply = |port| Reply {
            destination: SocketAddr::new([127, 0, 0, 1].into(), port),
            local: [127, 0, 0, 1].into(),
            interface: None,
            response: Response::new(HostIp::new([127, 0, 0, 1].into()).unwrap(), None),
            payload: Bytes::from_static(b"answer"),
        };
        let mut told = Vec::new();
        let replies = [reply(client.local_addr().unwrap().port()), reply(0)];
        socket.send(&replies, &mut |_, result| told.push(result.is_ok()));
        assert_eq!(told, [true, false], "nothing can be sent to port 0");
        let mut answer = [0; 10];
        assert_eq!(client.recv(&mut answer).unwrap(), 6);
    }
}
