//! A server on loopback, so that the examples need no network.

use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use udp_discovery_client::Config;

/// Starts a server that answers every request with `127.0.0.1:8000`. Returns the configuration of
/// a client that finds it.
pub(crate) fn start_server() -> io::Result<Config> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let port = socket.local_addr()?.port();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((len, client)) = socket.recv_from(&mut buffer) {
            if &buffer[..len] == b"DISCOVER_SERVER" {
                let _ = socket.send_to(b"SERVER_IP:127.0.0.1:8000", client);
            }
        }
    });
    Ok(Config::default()
        .with_port(port)
        .with_timeout(Duration::from_millis(300))
        .with_interfaces(["lo*", "Loopback*"]))
}
