//! Effects of the operating system on servers and clients: errors of earlier sends, signals,
//! checksums, refused sends.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use udp_discovery_server::{Config, Counter, Server, State};
use udp_discovery_tests::lab::raw::Datagram;
use udp_discovery_tests::lab::{self, Host};

use crate::endpoints::{
    Asker, ENOUGH, FakeServer, LENIENCE, NEVER, REQUEST, Serving, answer_of, cpu_time, lacks,
    lasting, pair, search, unfiltered, wait_until,
};

/// How many ICMP messages "destination unreachable" `host` has received.
fn unreachables(host: &Host) -> u64 {
    let text = host.run(|| fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let mut icmp = text.lines().filter(|line| line.starts_with("Icmp:"));
    let (names, values) = (icmp.next().unwrap(), icmp.next().unwrap());
    let mut columns = names.split(' ').zip(values.split(' '));
    let (_, value) = columns.find(|(name, _)| *name == "InDestUnreachs").unwrap();
    value.parse().unwrap()
}

/// Makes a server on `b` answer closed ports, which causes ICMP messages, and then asks it.
fn assert_unreachable_is_survived(a: &Host, b: &Host, socket: UdpSocket, told: bool) {
    let server = b
        .run(|| Server::from_socket(socket, Config::default()))
        .unwrap();
    let server = Serving::run(b, server);
    let sender = a.raw("eth0");
    let victim = b.raw("eth0").mac();
    let before = unreachables(b);
    for source in ["10.77.1.1:5001", "10.77.1.1:5002", "10.77.1.1:5003"] {
        let (source, destination) = (source.parse().unwrap(), "10.77.1.2:9999".parse().unwrap());
        sender.send(&Datagram::new(source, destination, REQUEST).with_mac(victim));
    }
    wait_until("ICMP", || unreachables(b) == before + 3);
    wait_until("answers", || server.stats().answered() == 3);
    let errors = || server.stats().counter(Counter::ReceiveErrors);
    if told {
        wait_until("an error", || errors() > 0);
    }
    let asker = Asker::at(a, "10.77.1.1:0");
    assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
    assert_eq!(errors() > 0, told);
    assert_eq!(server.stop().answered(), 4);
}

/// FAULTS 25
#[test]
fn after_an_unreachable_client_the_next_is_answered() {
    lab::run(|| {
        let [a, b] = pair();
        for told in [false, true] {
            let socket = b.run(|| UdpSocket::bind("0.0.0.0:9999")).unwrap();
            setsockopt(&socket, sockopt::Ipv4RecvErr, &told).unwrap();
            assert_unreachable_is_survived(&a, &b, socket, told);
        }
    });
}

/// Sends signals to `thread` until `done`, and counts them.
fn storm(thread: Pthread, done: &AtomicBool, sent: &AtomicU64) {
    while !done.load(Ordering::Relaxed) {
        pthread_kill(thread, Signal::SIGUSR1).unwrap();
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// FAULTS 26
#[test]
fn in_a_storm_of_signals_a_server_answers_and_stops() {
    lab::run(|| {
        let [a, b] = pair();
        let caught = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(Signal::SIGUSR1 as i32, Arc::clone(&caught)).unwrap();
        let server = Serving::on(&b, Config::default());
        let (thread, done, sent) = (server.pthread(), AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| storm(thread, &done, &sent));
            let asker = Asker::at(&a, "10.77.1.1:0");
            for count in 1..=20 {
                wait_until("signals", || sent.load(Ordering::Relaxed) >= 50 * count);
                assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
                assert_eq!(server.control().state(), State::Running);
            }
            // The thread is joined after the storm, which needs a thread that exists.
            server.control().stop();
            wait_until("the end", || server.control().state() != State::Running);
            done.store(true, Ordering::Relaxed);
        });
        assert!(caught.load(Ordering::Relaxed));
        assert_eq!(server.stop().answered(), 20);
    });
}

/// FAULTS 26
#[test]
fn in_a_storm_of_signals_a_search_finds_and_keeps_its_deadline() {
    lab::run(|| {
        let [a, b] = pair();
        let caught = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(Signal::SIGUSR1 as i32, Arc::clone(&caught)).unwrap();
        let _server = Serving::on(&b, Config::default());
        let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let (elapsed, found) = a.run(|| {
            let searching = pthread_self();
            thread::scope(|scope| {
                scope.spawn(|| storm(searching, &done, &sent));
                let client = udp_discovery_client::Client::new(lasting(ENOUGH));
                let start = Instant::now();
                let found = client.discover();
                let elapsed = start.elapsed();
                done.store(true, Ordering::Relaxed);
                (elapsed, found.unwrap())
            })
        });
        assert_eq!(found.len(), 1);
        let timeout = Duration::from_millis(ENOUGH);
        assert!(
            elapsed >= timeout && elapsed < timeout + LENIENCE,
            "{elapsed:?}"
        );
        assert!(caught.load(Ordering::Relaxed) && sent.load(Ordering::Relaxed) > 100);
    });
}

/// FAULTS 27
#[test]
fn a_wrong_checksum_neither_blocks_the_server_nor_keeps_it_busy() {
    lab::run(|| {
        let [a, b] = pair();
        // Only without the filter does the kernel wake the server before it checks the checksum.
        for config in [unfiltered(), Config::default()] {
            let server = Serving::on(&b, config);
            let wrong = Datagram::new(
                "10.77.1.1:5000".parse().unwrap(),
                "10.77.1.2:9999".parse().unwrap(),
                REQUEST,
            )
            .with_wrong_checksum();
            let sender = a.raw("eth0");
            let asker = Asker::at(&a, "10.77.1.1:5000");
            (0..300).for_each(|_| sender.send(&wrong));
            assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));

            sender.send(&wrong);
            asker.hears_nothing(); // for a while
            let before = server.cpu_time();
            asker.hears_nothing();
            let busy = server.cpu_time().saturating_sub(before);
            assert!(busy < NEVER / 10, "{busy:?} of {NEVER:?}");
            assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
            let stats = server.stop();
            assert_eq!((stats.received(), stats.answered()), (2, 2));
        }
    });
}

/// FAULTS 27
#[test]
fn a_wrong_checksum_neither_blocks_a_search_nor_keeps_it_busy() {
    lab::run(|| {
        let [a, b] = pair();
        let sender = b.raw("eth0");
        let _server = FakeServer::on(&b, move |socket, client| {
            let SocketAddr::V4(client) = client else {
                panic!("an IPv4 client: {client}")
            };
            let source = "10.77.1.2:9999".parse().unwrap();
            let wrong = Datagram::new(source, client, b"SERVER_IP:10.77.1.9");
            let wrong = wrong.with_wrong_checksum();
            for _ in 0..20 {
                sender.send(&wrong);
            }
            socket.send_to(b"SERVER_IP:10.77.1.2", client).unwrap();
            // This is the last to wake the client before it waits.
            sender.send(&wrong);
        });
        let (found, busy) = a.run(|| {
            let client = udp_discovery_client::Client::new(lasting(ENOUGH));
            let (start, before) = (Instant::now(), cpu_time("thread-self"));
            let found = client.discover().unwrap();
            let busy = cpu_time("thread-self").saturating_sub(before);
            assert!(start.elapsed() < Duration::from_millis(ENOUGH) + LENIENCE);
            (found, busy)
        });
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "10.77.1.2");
        assert!(busy < Duration::from_millis(ENOUGH / 5), "{busy:?}");
    });
}

#[test]
fn nothing_wakes_an_idle_server() {
    /// Longer than the polling interval of the Python server.
    const WINDOW: Duration = Duration::from_millis(1200);
    lab::run(|| {
        let [a, b] = pair();
        let server = Serving::on(&b, Config::default());
        let asker = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        // At first the system reports new addresses, which wakes the server rightly.
        let idle = (0..5).any(|_| {
            let before = server.waits();
            thread::sleep(WINDOW);
            server.waits() == before
        });
        assert!(idle, "it is woken all the time");
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
    });
}

/// FAULTS 28
#[test]
fn a_firewall_that_refuses_to_send_is_counted_and_the_server_goes_on() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| {
        let [a, b] = pair();
        let server = Serving::on(&b, Config::default());
        let asker = Asker::at(&a, "10.77.1.1:0");
        b.refuse_sends(true);
        for count in 1..=5 {
            asker.send(REQUEST, "10.77.1.2:9999");
            wait_until("a refusal", || {
                server.stats().counter(Counter::SendRefused) == count
            });
        }
        b.refuse_sends(false);
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        let stats = server.stop();
        assert_eq!((stats.received(), stats.answered()), (6, 1));
    });
}

/// FAULTS 28
#[test]
fn a_search_that_cannot_send_says_so_and_does_so_again_later() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| {
        let [a, b] = pair();
        let _server = Serving::on(&b, Config::default());
        a.refuse_sends(true);
        let found = a.run(|| udp_discovery_client::Client::new(lasting(100)).discover());
        let error = found.unwrap_err();
        assert!(
            matches!(
                error,
                udp_discovery_client::DiscoverError::NothingSent { .. }
            ),
            "{error:?}"
        );
        a.refuse_sends(false);
        assert_eq!(search(&a, lasting(ENOUGH)).texts(), ["10.77.1.2"]);
    });
}
