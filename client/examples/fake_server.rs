//! Tests code that uses servers without a network, with servers that were never found.
//!
//! `cargo test --example fake_server` runs the test.

use std::collections::BTreeMap;
use std::time::Duration;

use udp_discovery_client::{DiscoveredServer, ServerKey};

/// The servers that a program knows, each once.
#[derive(Default)]
struct Directory {
    servers: BTreeMap<ServerKey, DiscoveredServer>,
}

impl Directory {
    fn add(&mut self, server: DiscoveredServer) {
        self.servers.insert(server.key(), server);
    }

    fn nearest(&self) -> Option<&DiscoveredServer> {
        self.servers.values().min_by_key(|server| server.rtt)
    }
}

fn main() {
    let mut directory = Directory::default();
    for (host, milliseconds) in [(7, 3), (8, 1), (7, 2)] {
        let server = DiscoveredServer::new([192, 168, 1, host], 8000)
            .with_interface("eth0")
            .with_rtt(Duration::from_millis(milliseconds));
        directory.add(server);
    }
    println!("{} servers", directory.servers.len());
    if let Some(server) = directory.nearest() {
        println!("nearest: {}", server.url("http"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_again_is_known_once() {
        let mut directory = Directory::default();
        directory.add(DiscoveredServer::new([192, 168, 1, 7], 8000));
        let again = DiscoveredServer::new([192, 168, 1, 7], 8000);
        directory.add(again.with_rtt(Duration::from_millis(1)));
        assert_eq!(directory.servers.len(), 1);
        let nearest = directory.nearest().unwrap();
        assert_eq!(nearest.rtt, Some(Duration::from_millis(1)));
    }
}
