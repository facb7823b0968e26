//! How many bytes a forged source receives for the bytes of a forged request.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use udp_discovery_server::{Config, Server};

use crate::site::REQUEST;

/// Asks a server on loopback that advertises `ip` and `port`. Returns the length of its only answer.
fn answer_len(ip: Ipv4Addr, port: u16) -> usize {
    let config = Config::default()
        .with_advertise_ip(IpAddr::V4(ip))
        .unwrap()
        .with_advertise_port(port);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::from_socket(socket, config).unwrap();
    let server = server.spawn().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    client.send_to(REQUEST, server.local_addr()).unwrap();
    let len = client.recv(&mut [0; 1024]).expect("an answer");

    assert_eq!(server.shutdown().unwrap().answered(), 1);
    client.set_nonblocking(true).unwrap();
    assert!(
        client.recv(&mut [0; 1024]).is_err(),
        "one answer for one request"
    );
    len
}

#[test]
fn a_request_of_15_bytes_is_answered_with_31_at_the_most() {
    assert_eq!(REQUEST.len(), 15);
    let octets = [1, 10, 223];
    let ports = [1, 10, 100, 1000, 65535];
    let lens = octets.into_iter().flat_map(|octet| {
        ports.map(|port| answer_len(Ipv4Addr::new(octet, octet, octet, octet), port))
    });
    assert_eq!(lens.max(), Some(31));
}
