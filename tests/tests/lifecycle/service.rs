//! A server on loopback, and a client that asks it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use udp_discovery_server::protocol::DEFAULT_PORT;
use udp_discovery_server::{BindError, Config, Server};

/// Far longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server on loopback, and a port of the system's choice.
pub(crate) fn on_loopback() -> Result<Server, BindError> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    Server::from_socket(socket, Config::default().with_rate_limit(None))
}

/// A client on loopback.
pub(crate) struct Asker(UdpSocket);

impl Asker {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.connect(server).expect("loopback is up");
        socket.set_read_timeout(Some(PATIENCE)).expect("it has one");
        Self(socket)
    }

    /// A client of the server on the default port.
    pub(crate) fn of_default_port() -> Self {
        Self::new((Ipv4Addr::LOCALHOST, DEFAULT_PORT).into())
    }

    /// Asks, without waiting for an answer.
    pub(crate) fn send(&self) {
        // An earlier request may have been refused by a server that has ended.
        while let Err(error) = self.0.send(b"DISCOVER_SERVER") {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    /// Asks; whether the right answer came.
    pub(crate) fn ask(&self) -> bool {
        let mut answer = [0; 64];
        self.send();
        match self.0.recv(&mut answer) {
            Ok(len) => answer[..len] == *b"SERVER_IP:127.0.0.1",
            Err(_) => false,
        }
    }
}
