//! Announces a service by multicast DNS, beside a server, for programs that search so.
//!
//! It ends by itself. A real program holds the announcement as long as it serves.

use std::error::Error;
use std::net::UdpSocket;
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use udp_discovery_server::mdns::Service;
use udp_discovery_server::{Config, Server};

fn main() -> Result<(), Box<dyn Error>> {
    // A real server is bound by `Server::bind`.
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let config = Config::default().with_advertise_port(8000);
    let server = Server::from_socket(socket, config)?.spawn()?;

    let port = NonZeroU16::new(8000).ok_or("port 0")?;
    let announcement = Service::new("_http._tcp".parse()?, "Printer, 2nd floor", port)
        .with_property("version", "1.2")
        .announce(|event| eprintln!("{event}"))?;
    println!("announced; avahi-browse -rt _http._tcp shows it");

    thread::sleep(Duration::from_secs(1));
    drop(announcement);
    server.shutdown()?;
    Ok(())
}
