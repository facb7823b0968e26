//! What every kind of socket does, on loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use udp_discovery_protocol::{HostIp, Interface, Response};

use super::*;
use crate::payload::Payloads;

/// A kind of socket, by its constructor.
type Kind = fn(UdpSocket) -> io::Result<Box<dyn Transport>>;

const BUFFER_SIZE: usize = 300;

fn portable(socket: UdpSocket) -> io::Result<Box<dyn Transport>> {
    Ok(Box::new(portable::Socket::new(socket, BUFFER_SIZE)?))
}

/// The socket that the server uses on this system.
fn own(socket: UdpSocket) -> io::Result<Box<dyn Transport>> {
    Ok(Box::new(Socket::new(socket, BUFFER_SIZE)?))
}

#[cfg(target_os = "linux")]
fn unix(socket: UdpSocket) -> io::Result<Box<dyn Transport>> {
    Ok(Box::new(unix::Socket::new(socket, BUFFER_SIZE)?))
}

const KINDS: &[Kind] = &[
    own,
    portable,
    #[cfg(target_os = "linux")]
    unix,
];

/// A server's socket, bound to `address`, and its port.
fn server_on(kind: Kind, address: &str) -> io::Result<(Box<dyn Transport>, u16)> {
    let ours = UdpSocket::bind((address, 0))?;
    let port = ours.local_addr()?.port();
    Ok((kind(ours)?, port))
}

/// A server's socket and a client's that is connected to it, both on `ip`.
fn pair_on(kind: Kind, ip: &str) -> io::Result<(Box<dyn Transport>, UdpSocket)> {
    let (socket, port) = server_on(kind, ip)?;
    Ok((socket, client_of(ip, ip, port)?))
}

fn pair(kind: Kind) -> (Box<dyn Transport>, UdpSocket) {
    pair_on(kind, "127.0.0.1").unwrap()
}

/// A client on `local`, whose answers come from `peer` only.
fn client_of(local: &str, peer: &str, port: u16) -> io::Result<UdpSocket> {
    let client = UdpSocket::bind((local, 0))?;
    client.connect((peer, port))?;
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(client)
}

fn reply(destination: SocketAddr, local: IpAddr) -> Reply {
    Reply {
        destination,
        local,
        interface: None,
        response: Response::new(HostIp::new(local).unwrap(), None),
        details: false,
        payload: Payloads::new().write(|out| out.extend_from_slice(b"answer")),
    }
}

fn loopback() -> Interface {
    let interfaces = Interface::list().unwrap();
    let mut interfaces = interfaces.into_iter();
    interfaces.find(|it| it.flags.loopback).unwrap()
}

// On Windows a datagram that is too long is an error, which the event loop knows.
#[test]
#[cfg(unix)]
fn each_datagram_is_received_and_a_long_one_is_truncated() {
    for kind in KINDS {
        let (mut socket, client) = pair(*kind);
        let source = client.local_addr().ok();
        for (len, received, truncated) in [(15, 15, false), (299, 299, false), (301, 300, true)] {
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
}

#[test]
fn ipv6_is_served_as_ipv4_is() {
    for kind in KINDS {
        // A host may have no IPv6.
        let Ok((mut socket, client)) = pair_on(*kind, "::1") else {
            return;
        };
        client.send(b"request").unwrap();
        let mut sources = Vec::new();
        socket
            .receive(&mut |it| sources.push((it.payload.to_vec(), it.source)))
            .unwrap();
        assert_eq!(sources, [(b"request".to_vec(), client.local_addr().ok())]);
        let reply = reply(client.local_addr().unwrap(), Ipv6Addr::LOCALHOST.into());
        socket.send(&[reply], &mut |_, result| result.unwrap());
        assert_eq!(client.recv(&mut [0; 10]).unwrap(), 6);
    }
}

#[test]
fn a_group_is_joined_once_and_left() {
    let lo = loopback();
    let link = |ipv4| Link {
        index: lo.index,
        ipv4,
    };
    for kind in KINDS {
        let (v4, _) = server_on(*kind, "0.0.0.0").unwrap();
        let on_lo = link(Some(Ipv4Addr::LOCALHOST));
        v4.join(on_lo).unwrap();
        assert!(v4.join(on_lo).is_err(), "it is a member");
        v4.leave(on_lo).unwrap();
        assert!(v4.leave(on_lo).is_err());
        // A host may have no IPv6, and wine has no index.
        if let Ok((v6, _)) = server_on(*kind, "::")
            && v6.join(link(None)).is_ok()
        {
            v6.leave(link(None)).unwrap();
        }
    }
}

#[test]
fn a_reply_is_sent_or_its_error_returned() {
    for kind in KINDS {
        let (mut socket, client) = pair(*kind);
        let port = client.local_addr().unwrap().port();
        let to = |port| reply(([127, 0, 0, 1], port).into(), Ipv4Addr::LOCALHOST.into());
        let mut results = Vec::new();
        socket.send(&[to(0), to(port)], &mut |_, result| {
            results.push(result.is_ok());
        });
        assert_eq!(results, [false, true], "port 0 cannot be sent to");
        assert_eq!(client.recv(&mut [0; 10]).unwrap(), 6);
    }
}

#[cfg(unix)]
mod answers {
    use std::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::responder::{Datagram, Responder};

    /// The reply to the request that `socket` has received, with the interfaces of this host.
    fn answer(socket: &mut dyn Transport, port: u16) -> Result<(), String> {
        let mut responder = Responder::new(Config::default(), port, [1, 2]).unwrap();
        responder.set_interfaces(Interface::list().unwrap());
        let mut replies = Vec::new();
        let received = socket.receive(&mut |received| {
            let datagram = Datagram {
                payload: received.payload,
                truncated: received.truncated,
                source: received.source.unwrap(),
                arrival: received.arrival.unwrap(),
            };
            replies.push(responder.handle_datagram(Instant::now(), &datagram));
        });
        received.map_err(|error| error.to_string())?;
        for reply in replies {
            let reply = reply.map_err(|reason| reason.to_string())?;
            socket.send(&[reply], &mut |_, result| result.unwrap());
        }
        Ok(())
    }

    /// What a client on `from`, which is connected to `named`, gets to a request to `to`.
    fn answer_to(socket: &mut dyn Transport, port: u16, [from, to, named]: [&str; 3]) -> String {
        let client = client_of(from, named, port).unwrap();
        client.set_broadcast(true).unwrap();
        let to: SocketAddr = (to.parse::<IpAddr>().unwrap(), port).into();
        client.send_to(b"DISCOVER_SERVER", to).unwrap();
        answer(socket, port).unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        let mut answer = [0; 64];
        let len = client.recv(&mut answer).unwrap();
        String::from_utf8(answer[..len].to_vec()).unwrap()
    }

    /// The client is connected, so an answer from another address would not reach it.
    #[test]
    fn a_request_is_answered_from_and_with_the_address_that_it_reached() {
        for kind in KINDS {
            let (mut socket, port) = server_on(*kind, "0.0.0.0").unwrap();
            for to in ["127.0.0.1", "127.255.255.255"] {
                let answer = answer_to(&mut *socket, port, ["127.0.0.1", to, "127.0.0.1"]);
                assert_eq!(answer, "SERVER_IP:127.0.0.1", "{to}");
            }
            // A host may have no IPv6.
            if let Ok((mut socket, port)) = server_on(*kind, "::1") {
                let answer = answer_to(&mut *socket, port, ["::1", "::1", "::1"]);
                assert_eq!(answer, "SERVER_IP:[::1]");
            }
        }
    }
}

/// The socket of other Unix systems, on Linux.
#[cfg(target_os = "linux")]
mod of_unix {
    use nix::sys::socket::{setsockopt, sockopt::Ipv4PacketInfo};

    use super::*;

    /// What the system reports about a datagram to `destination`.
    fn arrival_at(kind: Kind, bound_to: &str, destination: IpAddr) -> io::Result<Option<Arrival>> {
        let (mut socket, port) = server_on(kind, bound_to)?;
        let client = UdpSocket::bind((bound_to, 0))?;
        client.set_broadcast(true)?;
        client.send_to(b"request", (destination, port))?;
        let mut arrival = None;
        socket.receive(&mut |received| arrival = received.arrival)?;
        Ok(arrival)
    }

    #[test]
    fn unix_reports_the_interface_and_the_destination_and_suggests_no_ipv4_address() {
        let lo = loopback();
        for destination in ["127.0.0.1", "127.0.0.2", "127.255.255.255"] {
            let destination = destination.parse().unwrap();
            let reported = arrival_at(unix, "0.0.0.0", destination).unwrap();
            let expected = Arrival {
                interface: Some(lo.index),
                destination: Some(destination),
                local: None,
            };
            assert_eq!(reported, Some(expected));
        }
        let localhost = Ipv6Addr::LOCALHOST.into();
        if let Ok(reported) = arrival_at(unix, "::", localhost) {
            let expected = Arrival {
                interface: Some(lo.index),
                destination: Some(localhost),
                local: Some(localhost),
            };
            assert_eq!(reported, Some(expected));
            assert_eq!(arrival_at(own, "::", localhost).unwrap(), reported);
        }
    }

    #[test]
    fn a_unix_socket_that_reports_nothing_leaves_the_datagram_without_an_arrival() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let same = ours.try_clone().unwrap();
        let client =
            client_of("127.0.0.1", "127.0.0.1", ours.local_addr().unwrap().port()).unwrap();
        let mut socket = unix(ours).unwrap();
        setsockopt(&same, Ipv4PacketInfo, &false).unwrap();
        client.send(b"request").unwrap();
        let mut arrivals = Vec::new();
        socket
            .receive(&mut |received| arrivals.push(received.arrival))
            .unwrap();
        assert_eq!(arrivals, [None]);
    }

    /// On every address the reply names the one that it leaves from. On one address there is no choice.
    #[test]
    fn a_unix_socket_sends_a_reply_from_its_address() {
        for (bound_to, from) in [("0.0.0.0", "127.0.0.2"), ("127.0.0.3", "127.0.0.3")] {
            let (mut socket, port) = server_on(unix, bound_to).unwrap();
            let client = client_of("127.0.0.1", from, port).unwrap();
            let reply = reply(client.local_addr().unwrap(), from.parse().unwrap());
            socket.send(&[reply], &mut |_, result| result.unwrap());
            assert_eq!(client.recv(&mut [0; 10]).unwrap(), 6);
        }
    }
}
