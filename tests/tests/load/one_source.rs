//! One source that asks without end.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use udp_discovery_server::{Config, DropReason, RateLimit};

use crate::flood::{Bounds, Flood, Sender};
use crate::memory::resident_kib;
use crate::site::{self, FLOOD_TIME, REQUEST, Site};

const BOUNDS: Bounds = Bounds {
    rate: 250_000,
    count: 4_000_000,
    time: FLOOD_TIME,
};
/// How long a stop may take: 0.5 s, and a margin for a busy machine. The flood lasts longer.
const AT_ONCE: Duration = Duration::from_secs(2);

/// How many answers lie in the socket.
fn answers(socket: &UdpSocket) -> u32 {
    socket.set_nonblocking(true).unwrap();
    let mut count = 0;
    loop {
        match socket.recv(&mut [0; 64]) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return count;
            }
        }
    }
}

/// Floods a new server for a second; how many of another client's 100 requests it answers.
fn served_during_a_flood(site: &Site) -> u32 {
    // So few that the attacker's socket has room for all of them.
    let limit = RateLimit::per_second(NonZeroU32::new(50).unwrap());
    let limit = limit.with_burst(NonZeroU32::new(100).unwrap());
    let server = site.serve(Config::default().with_rate_limit(Some(limit)));
    let client = site.client();
    let socket = site.attacker.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    let answered = socket.try_clone().unwrap();
    let sender = Sender::new(socket, site::address(), vec![REQUEST.to_vec()]);

    let memory = resident_kib();
    let start = Instant::now();
    let flood = Flood::start(&site.attacker, BOUNDS, move |n| sender.send(n));
    let others = client.served(Duration::from_millis(10));
    let grown = resident_kib() - memory;
    assert!(flood.goes_on());
    let stopping = Instant::now();
    let stats = server.shutdown().unwrap();
    let stopped_after = stopping.elapsed();
    let time = start.elapsed();
    assert!(flood.goes_on());
    let sent = flood.stop();

    let answers = answers(&answered);
    let burst = limit.burst().get();
    let most = f64::from(burst) + f64::from(limit.rate().get()) * time.as_secs_f64();
    println!(
        "{sent}, {answers} answers of {most:.0}, {others} of 100 others, {grown} KiB, \
         stopped after {stopped_after:?}; {stats}"
    );
    assert!(answers >= burst, "at least the burst: {answers}");
    assert!(f64::from(answers) <= most, "{answers} of {most}");
    assert!(stats.dropped(DropReason::RateLimited) > 1000, "{stats}");
    assert!(grown < 2048, "{grown} KiB");
    assert!(stopped_after < AT_ONCE, "{stopped_after:?}");
    others
}

// FAULTS 13
#[test]
fn a_flood_from_one_source_is_answered_up_to_its_limit_and_others_as_ever() {
    site::run(|site| {
        site::assert_served(|| served_during_a_flood(site));
    });
}
