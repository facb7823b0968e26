//! Requests with countless forged sources.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_server::protocol::{Interface, InterfaceAddress};
use udp_discovery_server::{Arrival, Config, Datagram, Responder};
use udp_discovery_tests::lab::raw;

use crate::flood::{Bounds, Flood};
use crate::memory::resident_kib;
use crate::site::{self, FLOOD_TIME, PREFIX_LEN, REQUEST, Site};

/// Each forged source is answered, which costs the kernel as much as a real one. Another test
/// gives the core the whole million.
const BOUNDS: Bounds = Bounds {
    rate: 15_000,
    count: 300_000,
    time: FLOOD_TIME,
};

/// How many requests are sent before the server has received them.
const BATCH: u32 = 64;
/// More sources than the server's table has entries.
const SOURCES: u64 = 16_384;

/// The `n`th forged source, which is on the link.
fn source(n: u32) -> SocketAddrV4 {
    let first = Ipv4Addr::new(10, 128, 0, 0);
    SocketAddrV4::new(Ipv4Addr::from_bits(first.to_bits() + n), 5353)
}

/// Floods a new server from more than [`SOURCES`]. Returns how many of a client's 100 requests it
/// answers.
fn served_during_a_flood(site: &Site) -> u32 {
    let server = site.serve(Config::default());
    let client = site.client();
    let attacker = site.attacker.raw("eth0");
    let target = site.server.raw("eth0").mac();
    let before = server.stats().answered();

    let memory = resident_kib();
    let control = server.control();
    let flood = Flood::start(&site.attacker, BOUNDS, move |first| {
        let received = control.stats().received();
        for n in first..first + BATCH {
            let datagram = raw::Datagram::new(source(n), site::address(), REQUEST);
            attacker.send(&datagram.with_mac(target));
        }
        // On a busy machine the kernel would drop more, and the client's requests with them.
        let patience = Instant::now() + Duration::from_millis(20);
        while control.stats().received() < received + u64::from(BATCH) && Instant::now() < patience
        {
            thread::sleep(Duration::from_micros(100));
        }
        BATCH
    });
    let others = client.served(Duration::from_millis(20));
    assert!(flood.goes_on());
    while flood.goes_on() && server.stats().answered() - before <= SOURCES + 100 {
        thread::sleep(Duration::from_millis(10));
    }
    let grown = resident_kib() - memory;
    let sent = flood.stop();
    let stats = server.shutdown().unwrap();
    println!("{sent}, {others} of 100 others, {grown} KiB; {stats}");
    let answered_of_them = stats.answered() - before - u64::from(others);
    assert!(
        answered_of_them > SOURCES,
        "each forged source is a new one: {stats}"
    );
    assert!(grown < 2048, "{grown} KiB");
    others
}

// FAULTS 14
#[test]
fn forged_sources_take_no_memory_and_keep_nobody_from_an_answer() {
    site::run(|site| {
        site::assert_served(|| served_during_a_flood(site));
    });
}

/// A real client, which is on the link too.
fn newcomer(n: u32) -> SocketAddrV4 {
    let first = Ipv4Addr::new(10, 78, 0, 1);
    SocketAddrV4::new(Ipv4Addr::from_bits(first.to_bits() + n), 4000)
}

/// A responder on a host with the network of the tests.
fn responder() -> Responder {
    let mut eth0 = Interface::new("eth0", 2);
    let address = InterfaceAddress::new((*site::address().ip()).into(), PREFIX_LEN).unwrap();
    eth0.addresses.push(address);
    let mut responder = Responder::new(Config::default(), site::address().port(), [1, 2]).unwrap();
    responder.set_interfaces(vec![eth0]);
    responder
}

// FAULTS 14
#[test]
fn a_million_forged_sources_take_no_memory_and_keep_nobody_from_an_answer() {
    let _turn = site::turn();
    let mut responder = responder();
    let start = Instant::now();
    let mut answers = |n: u32, source: SocketAddrV4| {
        let datagram = Datagram {
            payload: REQUEST,
            truncated: false,
            source: source.into(),
            arrival: Arrival {
                interface: Some(2),
                ..Arrival::default()
            },
        };
        let now = start + Duration::from_micros(4) * n;
        responder.handle_datagram(now, &datagram).is_ok()
    };
    let client = "10.77.1.2:4000".parse().unwrap();
    assert!(answers(0, client));

    let memory = resident_kib();
    for n in 0..1_000_000 {
        answers(n, source(n));
        // One client asks two hundred times in these four seconds, and each time a new one asks too.
        if n % 5000 == 0 {
            assert!(answers(n, client), "{n}");
            assert!(answers(n, newcomer(n / 5000)), "{n}");
        }
    }
    let grown = resident_kib() - memory;
    assert!(grown < 2048, "{grown} KiB");
}
