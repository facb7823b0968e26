//! A network with more answers than any client can keep.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_client::protocol::{Interface, InterfaceAddress};
use udp_discovery_client::{
    Client, Config, DiscoveredServer, Discovery, Host as ClientHost, Report,
};
use udp_discovery_tests::lab::Host;

use crate::flood::{Bounds, Flood, Sender};
use crate::memory::resident_kib;
use crate::site::{self, REQUEST, Site};

/// How long a search lasts.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How much later than its deadline a search may return on a busy machine. An idle one needs 50 ms.
const LENIENCE: Duration = Duration::from_secs(2);
/// How many servers a search keeps by default.
const CAP: usize = 4096;
/// The cap in a flood: small enough to be reached before the deadline on a busy machine.
const SMALL_CAP: usize = 256;
/// The flood goes on far beyond the deadline.
const BOUNDS: Bounds = Bounds {
    rate: 250_000,
    count: 4_000_000,
    time: Duration::from_secs(15),
};

/// The result of a search.
struct Outcome {
    servers: Vec<DiscoveredServer>,
    report: Report,
    time: Duration,
}

/// The answers of 100,000 servers, which name the addresses of two hosts and different ports.
fn answers() -> Vec<Vec<u8>> {
    let answer = |n: u32| format!("SERVER_IP:10.77.1.{}:{}", n % 2 + 3, n / 2 + 1).into_bytes();
    (0..100_000).map(answer).collect()
}

/// Waits for the first request to `host`, then floods its sender with `answers`.
fn answer(host: &Host, answers: Vec<Vec<u8>>) -> Flood {
    let port = site::address().port();
    let socket = host.run(|| UdpSocket::bind(("0.0.0.0", port))).unwrap();
    socket.set_read_timeout(Some(BOUNDS.time)).unwrap();
    let first = move || {
        let mut buffer = [0; 64];
        let (len, client) = socket.recv_from(&mut buffer).expect("a request");
        assert_eq!(&buffer[..len], REQUEST);
        let SocketAddr::V4(client) = client else {
            panic!("{client} is no IPv4 address");
        };
        Sender::new(socket, client, answers)
    };
    let mut waiting = Some(first);
    let mut sender = None;
    Flood::start(host, BOUNDS, move |n| {
        if let Some(first) = waiting.take() {
            sender = Some(first());
        }
        sender.as_ref().map_or(0, |sender| sender.send(n))
    })
}

/// Floods a client during `search` with as many answers as the processors can send. Another test
/// gives the core all 100,000 and the default cap.
fn flood(site: &Site, search: impl FnOnce(Config) -> Outcome + Send) {
    let flood = answer(&site.attacker, answers());
    let memory = resident_kib();
    let config = Config::default()
        .with_timeout(TIMEOUT)
        .with_max_servers(NonZeroUsize::new(SMALL_CAP).unwrap());
    let outcome = site.client.run(|| search(config));
    let grown = resident_kib() - memory;
    assert!(flood.goes_on());
    let sent = flood.stop();

    let Outcome {
        servers,
        report,
        time,
    } = outcome;
    println!(
        "{sent}, back after {time:?}, {grown} KiB; {:?}",
        report.counts
    );
    assert_eq!(servers.len(), SMALL_CAP);
    let distinct: HashSet<_> = servers.iter().map(|it| (it.ip, it.port)).collect();
    assert_eq!(distinct.len(), SMALL_CAP);
    assert!(report.capped(), "{report:?}");
    assert!(report.counts.over_the_cap > 0, "{report:?}");
    assert!(time >= TIMEOUT && time < TIMEOUT + LENIENCE, "{time:?}");
    assert!(grown < 8192, "{grown} KiB");
}

// FAULTS 16
#[test]
fn a_search_keeps_as_many_servers_as_it_may_and_ends_at_its_deadline() {
    site::run(|site| {
        flood(site, |config| {
            let start = Instant::now();
            let mut search = Client::new(config).search().unwrap();
            let servers = search.by_ref().collect();
            Outcome {
                time: start.elapsed(),
                servers,
                report: search.report().clone(),
            }
        });
    });
}

// FAULTS 16
#[test]
fn a_search_on_tokio_keeps_as_many_servers_as_it_may_and_ends_at_its_deadline() {
    site::run(|site| {
        flood(site, |config| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async {
                let start = Instant::now();
                let mut search = Client::new(config).search_async().await.unwrap();
                let mut servers = Vec::new();
                while let Some(server) = search.next().await {
                    servers.push(server);
                }
                Outcome {
                    time: start.elapsed(),
                    servers,
                    report: search.report().clone(),
                }
            })
        });
    });
}

/// Answers every request with `answers`, all at once, until the host that asks is silent.
fn answer_each_request(socket: &UdpSocket, answers: &[Vec<u8>]) {
    let mut buffer = [0; 64];
    while let Ok((_, client)) = socket.recv_from(&mut buffer) {
        for answer in answers {
            socket.send_to(answer, client).expect("the network is up");
        }
    }
}

#[test]
fn five_thousand_servers_that_answer_at_once_are_all_found() {
    site::run(|site| {
        let answers = answers().split_off(95_000);
        let port = site::address().port();
        let bind = || UdpSocket::bind(("0.0.0.0", port));
        let socket = site.attacker.run(bind).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let found = thread::scope(|scope| {
            scope.spawn(|| answer_each_request(&socket, &answers));
            let config = Config::default()
                .with_timeout(2 * TIMEOUT)
                .with_max_servers(NonZeroUsize::new(10_000).unwrap());
            let search = || Client::new(config).discover().unwrap();
            site.client.run(search)
        });
        assert_eq!(found.len(), 5000);
    });
}

// FAULTS 16
#[test]
fn of_a_hundred_thousand_answers_a_search_keeps_as_many_as_it_may() {
    let _turn = site::turn();
    let mut eth0 = Interface::new("eth0", 2);
    eth0.flags.up = true;
    eth0.flags.broadcast = true;
    let address = InterfaceAddress::new([10, 77, 1, 2].into(), 24).unwrap();
    eth0.addresses.push(address);
    let start = Instant::now();
    let mut search =
        Discovery::new(start, &Config::default(), &ClientHost::new([eth0]), [0; 15]).unwrap();
    let deadline = search.deadline();
    let source = "10.77.1.3:9999".parse().unwrap();

    for (n, answer) in (0..).zip(answers()) {
        search.handle_datagram(start + Duration::from_micros(4) * n, 0, source, &answer);
    }
    let kept = std::iter::from_fn(|| search.poll_event()).count();
    assert_eq!(kept, CAP);
    let counts = search.report().counts;
    assert_eq!(counts.over_the_cap, 100_000 - CAP as u64);
    assert!(search.report().capped());
    assert_eq!(search.deadline(), deadline);
    search.handle_timeout(deadline);
    assert_eq!(search.poll_timeout(), None);
}
