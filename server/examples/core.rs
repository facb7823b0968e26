//! The decisions of the server on another runtime: smol's reactor drives the core.
//!
//! The core has no socket and no clock, so it runs on any runtime, in a simulation or in a test.
//!
//! `cargo run -p udp-discovery-server --example core`

use std::error::Error;
use std::net::UdpSocket;
use std::time::Instant;

use async_io::Async;
use futures_lite::future;
use udp_discovery_server::protocol::Interface;
use udp_discovery_server::{Arrival, Config, Datagram, Responder};

fn main() -> Result<(), Box<dyn Error>> {
    let socket = Async::<UdpSocket>::bind(([127, 0, 0, 1], 0))?;
    let port = socket.get_ref().local_addr()?.port();
    // A program that faces a network draws the seed at random.
    let mut responder = Responder::new(Config::default(), port, [1, 2])?;
    responder.set_interfaces(Interface::list()?);

    future::block_on(future::try_zip(
        answer_one(&socket, &mut responder),
        ask(port),
    ))?;
    Ok(())
}

/// Receives datagrams until one is answered.
async fn answer_one(
    socket: &Async<UdpSocket>,
    responder: &mut Responder,
) -> Result<(), Box<dyn Error>> {
    let mut buffer = [0; 1024];
    loop {
        let (len, source) = socket.recv_from(&mut buffer).await?;
        let datagram = Datagram {
            payload: &buffer[..len],
            truncated: len == buffer.len(),
            source,
            // This socket does not report where datagrams arrive.
            arrival: Arrival::default(),
        };
        match responder.handle_datagram(Instant::now(), &datagram) {
            Ok(reply) => {
                socket.send_to(&reply.payload, reply.destination).await?;
                return Ok(());
            }
            Err(reason) => println!("dropped: {reason}"),
        }
    }
}

async fn ask(port: u16) -> Result<(), Box<dyn Error>> {
    let client = Async::<UdpSocket>::bind(([127, 0, 0, 1], 0))?;
    for payload in [&b"hello"[..], b"DISCOVER_SERVER"] {
        client.send_to(payload, ([127, 0, 0, 1], port)).await?;
    }
    let mut answer = [0; 1024];
    let len = client.recv(&mut answer).await?;
    assert_eq!(&answer[..len], b"SERVER_IP:127.0.0.1");
    println!("{}", answer[..len].escape_ascii());
    Ok(())
}
