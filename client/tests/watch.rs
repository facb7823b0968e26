//! A watch with real sockets, on loopback only. Every rule holds for the blocking and the tokio watch.

use std::net::{SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, DiscoveredServer, WatchEvent};
use udp_discovery_protocol::Interface;

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(30);

/// A server on loopback that answers until it is dropped.
struct Server {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            loop {
                let (_, client) = socket.recv_from(&mut buffer).unwrap();
                if client == address {
                    return; // stopped by `drop`
                }
                // A client that has its answer has closed its socket.
                let _ = socket.send_to(b"SERVER_IP:127.0.0.1:8000", client);
            }
        });
        Self {
            address,
            thread: Some(thread),
        }
    }

    /// The configuration of a client that asks only this server.
    fn config(&self) -> Config {
        let interfaces = Interface::list().unwrap().into_iter();
        let mut loopback = interfaces.filter(|interface| interface.flags.loopback);
        let loopback = loopback.next().expect("every host has a loopback interface");
        Config::default()
            .with_port(self.address.port())
            .with_timeout(Duration::from_millis(200))
            .with_interfaces([loopback.name])
            .with_family(udp_discovery_client::Family::V4)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Another socket cannot have its address, so the server sends to itself.
        let thread = self.thread.take().expect("it is dropped once");
        stop(self.address, &thread);
        thread.join().unwrap();
    }
}
