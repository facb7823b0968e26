//! What isn't the request, without end.

use std::net::UdpSocket;
use std::time::Duration;

use udp_discovery_server::{Config, Counter};

use crate::flood::{Bounds, Flood, Sender};
use crate::site::{self, FLOOD_TIME, Site};

/// Of the request's length and of others, with its beginning and without.
const JUNK: [&[u8]; 4] = [
    b"DISCOVER_SERVEX",
    b"DISCOVER_SERVER\n",
    b"discover_server",
    b"junk",
];

fn flood(site: &Site) -> Flood {
    let socket = site.attacker.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    let payloads = JUNK.map(<[u8]>::to_vec).into();
    let sender = Sender::new(socket, site::address(), payloads);
    let bounds = Bounds {
        rate: 250_000,
        count: 4_000_000,
        time: FLOOD_TIME,
    };
    Flood::start(&site.attacker, bounds, move |n| sender.send(n))
}

/// Floods a new server with junk; how many of a client's 100 requests it answers.
fn served_during_a_flood(site: &Site) -> u32 {
    let server = site.serve(Config::default().with_rate_limit(None));
    let client = site.client();
    let received = server.stats().received();
    let flood = flood(site);
    let others = client.served(Duration::from_millis(10));
    assert!(flood.goes_on());
    let sent = flood.stop();

    // The kernel tells of its drops with the next datagram.
    assert!((0..10).any(|_| client.ask()));
    let stats = server.shutdown().unwrap();
    println!("{sent}, {others} of 100 others; {stats}");
    let drops = stats.counter(Counter::KernelDrops);
    assert!(drops >= u64::from(sent.count) * 9 / 10, "{drops}");
    // It received only the client's requests.
    assert!(stats.received() - received <= 110, "{stats}");
    others
}

// FAULTS 15
#[test]
fn junk_never_reaches_the_server_and_keeps_nobody_from_an_answer() {
    site::run(|site| {
        site::assert_served(|| served_during_a_flood(site));
    });
}
