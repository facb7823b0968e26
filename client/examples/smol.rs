//! Drives `Discovery`, the search without sockets, on the runtime smol.
//!
//! Any runtime or event loop can do the same. The documentation of `Discovery` describes the
//! order of the calls.

use std::io;
use std::net::UdpSocket;
use std::time::Instant;

use smol::future::{self, FutureExt as _};
use smol::{Async, Timer};
use udp_discovery_client::protocol::Interface;
use udp_discovery_client::{DiscoveredServer, Discovery, Host};

mod loopback;

/// A search with a socket for each of its links.
struct Search {
    discovery: Discovery,
    sockets: Vec<Async<UdpSocket>>,
}

impl Search {
    /// The next server, or `None` at the deadline.
    async fn next(&mut self) -> io::Result<Option<DiscoveredServer>> {
        loop {
            if let Some(server) = self.discovery.poll_event() {
                return Ok(Some(server));
            }
            let Some(timeout) = self.discovery.poll_timeout() else {
                return Ok(None);
            };
            while let Some(transmit) = self.discovery.poll_transmit(Instant::now()) {
                let socket = &self.sockets[transmit.link];
                let destination = transmit.destination;
                if let Err(error) = socket.send_to(&transmit.payload, destination).await {
                    self.discovery.handle_send_error(transmit, error);
                }
            }
            self.receive(timeout).await;
            self.discovery.handle_timeout(Instant::now());
        }
    }

    /// Waits for a datagram on any socket, or until `timeout`.
    async fn receive(&mut self, timeout: Instant) {
        let mut received = async {
            Timer::at(timeout).await;
            None
        }
        .boxed();
        for (link, socket) in self.sockets.iter().enumerate() {
            let datagram = async move {
                let mut buffer = vec![0; 1024];
                let result = socket.recv_from(&mut buffer).await;
                Some((link, result, buffer))
            };
            received = future::or(received, datagram).boxed();
        }
        let Some((link, result, buffer)) = received.await else {
            return;
        };
        match result {
            Ok((len, source)) => {
                let now = Instant::now();
                self.discovery
                    .handle_datagram(now, link, source, &buffer[..len]);
            }
            Err(error) => self.discovery.handle_receive_error(link, error),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = loopback::start_server()?;
    smol::block_on(async {
        let discovery = Discovery::new(
            Instant::now(),
            &config,
            &Host::new(Interface::list()?),
            [0; 15],
        )?;
        let mut sockets = Vec::new();
        for link in discovery.links() {
            let socket = Async::<UdpSocket>::bind(link.local_addr())?;
            socket.get_ref().set_broadcast(true)?;
            sockets.push(socket);
        }
        let mut search = Search { discovery, sockets };
        let mut found = 0;
        while let Some(server) = search.next().await? {
            found += 1;
            println!("{server}");
        }
        assert_eq!(found, 1);
        Ok(())
    })
}
