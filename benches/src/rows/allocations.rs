//! Allocations for a request and for a duplicate, with real sockets.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use allocation_counter::measure as count_allocations;
use udp_discovery_client::{Client, Config as ClientConfig};
use udp_discovery_server::{Config, Server};
use udp_discovery_tests::lab::Lab;

use crate::bench::{Bench, Failure};
use crate::results::{Goal, Results, Row, Unit, float};

/// How many requests, or duplicates, there are in the shorter and in the longer of two runs. What the
/// longer one allocates in addition is for the others.
const FEW: usize = 64;
const MANY: usize = 64 + 10_000;
/// How many requests are under way at once.
const WINDOW: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn measure(_: &Bench, results: &mut Results) -> Result<(), Failure> {
    let host = Lab::new().host("alone");
    for (name, what, count) in [
        (
            "request",
            "allocations of the server for a request",
            of_server as fn(usize) -> Result<u64, Failure>,
        ),
        (
            "duplicate",
            "allocations of a search for a duplicate",
            of_search,
        ),
    ] {
        let [_, few, many] = host.run(|| [count(FEW), count(FEW), count(MANY)]);
        let more = many?.saturating_sub(few?);
        let each = float(usize::try_from(more)?) / float(MANY - FEW);
        // The interfaces may be read again meanwhile, which allocates, whatever the load.
        let each = (each * 100.0).round() / 100.0;
        let id = format!("allocations/count/{name}");
        let row = Row::new(&id, what, Unit::Ratio, vec![each]);
        results.rows.push(row.with_goal(Goal::AtMost(0.0)));
    }
    Ok(())
}

/// How many allocations a server makes from its start to its end, with so many requests between.
fn of_server(requests: usize) -> Result<u64, Failure> {
    let server = Server::bind(Config::default().with_rate_limit(None).with_port(0))?;
    let port = server.local_addr().port();
    let control = server.control();
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            let asked = ask(port, requests);
            control.stop();
            asked
        });
        let mut result = Ok(());
        let allocated = count_allocations(|| result = server.run().map(drop));
        client.join().map_err(|_| "the client failed")??;
        result?;
        Ok(allocated.count_total)
    })
}

fn ask(port: u16, requests: usize) -> Result<(), Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..requests / WINDOW {
        for _ in 0..WINDOW {
            socket.send(b"DISCOVER_SERVER")?;
        }
        for _ in 0..WINDOW {
            socket.recv(&mut [0; 64])?;
        }
    }
    Ok(())
}

/// How many allocations a search makes that gets one answer so many times.
fn of_search(answers: usize) -> Result<u64, Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let port = socket.local_addr()?.port();
    socket.set_read_timeout(Some(PATIENCE))?;
    let config = ClientConfig::default()
        .with_port(port)
        .with_interfaces(["lo"])
        .with_timeout(Duration::from_millis(400))
        .with_probes(std::num::NonZeroU8::MIN);
    let client = Client::new(config);
    thread::scope(|scope| {
        let server = scope.spawn(|| answer(&socket, answers));
        let mut result = Ok(Vec::new());
        let allocated = count_allocations(|| result = client.discover());
        server.join().map_err(|_| "the server failed")??;
        match result?.len() {
            1 => Ok(allocated.count_total),
            found => Err(format!("found {found} servers").into()),
        }
    })
}

/// Answers the first request so many times, a few at once.
fn answer(socket: &UdpSocket, answers: usize) -> Result<(), Failure> {
    let (_, client): (_, SocketAddr) = socket.recv_from(&mut [0; 64])?;
    for number in 0..answers {
        socket.send_to(b"SERVER_IP:127.0.0.1:8000", client)?;
        if number % WINDOW == 0 {
            thread::yield_now();
        }
    }
    Ok(())
}
