//! A program that can be found on the network, on a thread of its own.
//!
//! `cargo run -p udp-discovery-server --example serve` asks itself once on a loopback address and
//! ends. With the argument `--network` it answers on every address until Enter is pressed.

use std::error::Error;
use std::io;
use std::net::UdpSocket;

use udp_discovery_server::{Config, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let network = std::env::args().any(|argument| argument == "--network");
    // The service that clients want to find, such as a web server on port 8000.
    let config = Config::default().with_advertise_port(8000);

    let server = if network {
        Server::bind(config)?
    } else {
        Server::from_socket(UdpSocket::bind("127.0.0.1:0")?, config)?
    };
    let server = server.on_event(|event| println!("{event}")).spawn()?;
    println!("answering on {}", server.local_addr());

    if network {
        println!("press Enter to stop");
        io::stdin().read_line(&mut String::new())?;
    } else {
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.send_to(b"DISCOVER_SERVER", server.local_addr())?;
        let mut answer = [0; 1024];
        let len = client.recv(&mut answer)?;
        println!("{}", answer[..len].escape_ascii());
    }

    println!("{}", server.shutdown()?);
    Ok(())
}
