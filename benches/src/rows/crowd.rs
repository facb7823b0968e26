//! One broadcast that a crowd of servers answers at once.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use udp_discovery_tests::lab::raw::Datagram;
use udp_discovery_tests::lab::{Host, Lab};

use crate::bench::{Bench, CLIENT_CPU, Failure, SERVER_CPU, output, pin, role};
use crate::results::{Goal, Line, Results, Row, Unit, float};
use crate::roles::Found;

const PORT: u16 = 9999;
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The port that the client asks from, so that the answers can be made beforehand.
const CLIENT_PORT: u16 = 9998;
/// The first address of the crowd, and how many it has. Each has as many ports as needed.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 128, 1);
const ADDRESSES: usize = 32_000;
/// The time for an answer, in milliseconds.
const TIMEOUT: &str = "1000";
/// How long the crowd waits for a request before it looks whether it is over.
const TICK: Duration = Duration::from_millis(50);

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let lab = Lab::new();
    let (client, crowd) = (lab.host("client"), lab.host("crowd"));
    client.connect(&crowd, "eth0", ["10.77.0.1/16", "10.77.0.2/16"]);
    let sizes: &[usize] = bench.either(
        &[
            100, 1000, 5000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 150_000, 250_000,
            400_000, 600_000,
        ],
        &[100, 1000, 20_000, 60_000],
    );
    let (mut found, mut memory) = (Vec::new(), Vec::new());
    for size in sizes {
        let (mut numbers, mut times) = (Vec::new(), Vec::new());
        for _ in 0..bench.either(3, 1) {
            let search = search(&client, &crowd, *size)?;
            numbers.push(float(search.servers));
            times.push(search.last);
            found.push([float(*size), float(search.servers)]);
            memory.push([float(search.servers), search.memory / 1e6]);
        }
        let what = format!("servers found of {size}");
        let id = format!("crowd/found/{size}");
        let mut row = Row::new(&id, what, Unit::Count, numbers);
        if [20_000, 60_000].contains(size) {
            row = row.with_goal(Goal::AtLeast(float(*size)));
        }
        results.rows.push(row);
        let what = format!("time until the last of {size} is found");
        let id = format!("crowd/time/{size}");
        results.rows.push(Row::new(&id, what, Unit::Seconds, times));
    }
    let all = sizes
        .iter()
        .map(|size| [float(*size), float(*size)])
        .collect();
    results
        .lines
        .push(Line::new("crowd/all", "crowd", "servers", all));
    results
        .lines
        .push(Line::new("crowd/found", "crowd", "found within 1 s", found));
    let name = "a search, by servers found";
    results
        .lines
        .push(Line::new("crowd/memory", "memory", name, memory));
    Ok(())
}

/// One search, of a process of its own.
fn search(client: &Host, crowd: &Host, size: usize) -> Result<Found, Failure> {
    let mac = client.raw("eth0").mac();
    let sender = crowd.raw("eth0");
    let frames: Vec<Vec<u8>> = (0..size)
        .map(|number| answer(number).with_mac(mac).frame(sender.mac()))
        .collect();
    let socket = crowd.run(|| UdpSocket::bind(("0.0.0.0", PORT)))?;
    socket.set_read_timeout(Some(TICK))?;
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let answering = crowd.spawn_thread(move || {
        pin(CLIENT_CPU)?;
        while !is_over.load(Ordering::Relaxed) {
            // Each of the crowd answers each probe.
            if let Ok((_, SocketAddr::V4(from))) = socket.recv_from(&mut [0; 64])
                && from == SocketAddrV4::new(CLIENT, CLIENT_PORT)
            {
                for frame in &frames {
                    sender.send_frame(frame);
                }
            }
        }
        Ok::<(), Failure>(())
    });
    let most = (size + 1).to_string();
    let words = [
        "search",
        &PORT.to_string(),
        TIMEOUT,
        &most,
        &CLIENT_PORT.to_string(),
    ];
    // The searcher has the processor of servers to itself.
    let printed = output(client, role(SERVER_CPU, &words)?);
    over.store(true, Ordering::Relaxed);
    answering.join().map_err(|_| "the crowd failed")??;
    Ok(serde_json::from_str(&printed?)?)
}

/// The answer of one of the crowd.
fn answer(number: usize) -> Datagram {
    let offset = u32::try_from(number % ADDRESSES).expect("there are few addresses");
    let ip = Ipv4Addr::from_bits(FIRST.to_bits() + offset);
    let port = number / ADDRESSES + 8000;
    let payload = format!("SERVER_IP:{ip}:{port}");
    let to = SocketAddrV4::new(CLIENT, CLIENT_PORT);
    Datagram::new(SocketAddrV4::new(ip, PORT), to, payload.as_bytes())
}
