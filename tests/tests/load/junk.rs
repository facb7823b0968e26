//! What isn't the request, without end.

use std::net::UdpSocket;
use std::time::Duration;

use udp_discovery_server::{Config, Counter, Handle};

use crate::flood::{Bounds, Flood, Sender};
use crate::gauge::ServerThread;
use crate::site::{self, Client, REQUEST, Site};

/// Of the request's length and of others, with its beginning and without.
const JUNK: [&[u8]; 4] = [
    b"DISCOVER_SERVEX",
    b"DISCOVER_SERVER\n",
    b"discover_server",
    b"junk",
];

fn flood(site: &Site, rate: u32, count: u32, payloads: &[&[u8]]) -> Flood {
    let socket = site.attacker.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    let payloads = payloads.iter().map(|payload| payload.to_vec()).collect();
    let sender = Sender::new(socket, site::address(), payloads);
    let bounds = Bounds {
        rate,
        count,
        time: Duration::from_secs(4),
    };
    Flood::start(&site.attacker, bounds, move |n| sender.send(n))
}

/// What one request costs the server's thread: each is answered.
fn cost_of_a_request(site: &Site, server: &Handle, client: &Client) -> f64 {
    let thread = ServerThread::find();
    let (cpu, answered) = (thread.cpu(), server.stats().answered());
    flood(site, 20_000, 10_000, &[REQUEST]).join();
    // Requests are answered in their order.
    assert!((0..100).any(|_| client.ask()));
    let answered = server.stats().answered() - answered;
    assert!(answered > 5000, "{answered}");
    thread.cpu().saturating_sub(cpu).as_secs_f64() / f64::from(u32::try_from(answered).unwrap())
}

/// Floods a new server with junk for a second; how many of a client's 100 requests it answers.
fn served_during_a_flood(site: &Site) -> u32 {
    let server = site.serve(Config::default().with_rate_limit(None));
    let client = site.client();
    let request = cost_of_a_request(site, &server, &client);

    let thread = ServerThread::find();
    let (cpu, received) = (thread.cpu(), server.stats().received());
    let flood = flood(site, 250_000, 1_000_000, &JUNK);
    let others = client.served(100, Duration::from_millis(10));
    let sent = flood.stop();
    let junk = thread.cpu().saturating_sub(cpu).as_secs_f64() / f64::from(sent.count);

    // The kernel tells of its drops with the next datagram.
    assert!((0..100).any(|_| client.ask()));
    let stats = server.shutdown().unwrap();
    println!(
        "{sent}, {others} of 100 others, {:.2} µs for a request, {:.3} µs for junk; {stats}",
        request * 1e6,
        junk * 1e6
    );
    let drops = stats.counter(Counter::KernelDrops);
    assert!(drops >= u64::from(sent.count) * 9 / 10, "{drops}");
    assert!(stats.received() - received <= 200, "{stats}");
    assert!(junk <= request / 10.0, "{junk} s, {request} s");
    others
}

// FAULTS 15
#[test]
fn junk_costs_a_tenth_of_a_request_at_the_most_and_keeps_nobody_from_an_answer() {
    let test = "junk::junk_costs_a_tenth_of_a_request_at_the_most_and_keeps_nobody_from_an_answer";
    site::run(test, |site| {
        assert!(site::best_of_three(|| served_during_a_flood(site)) >= 90);
    });
}
