//! Signals during a search.
#![cfg(target_os = "linux")]

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use udp_discovery_client::{Client, Config};

#[test]
fn fault_26_a_storm_of_signals_neither_ends_nor_prolongs_a_search() {
    const TIMEOUT: Duration = Duration::from_millis(300);

    let received = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(Signal::SIGUSR1 as i32, Arc::clone(&received)).unwrap();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let config = Config::default()
        .with_port(port)
        .with_timeout(TIMEOUT)
        .with_interfaces(["lo"]);

    let searching = pthread_self();
    let done = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                pthread_kill(searching, Signal::SIGUSR1).unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
                // Without a pause, the searching thread may run only the handler.
                thread::sleep(Duration::from_micros(100));
            }
        });
        let start = Instant::now();
        let found = Client::new(config).discover();
        let elapsed = start.elapsed();
        done.store(true, Ordering::Relaxed);

        assert_eq!(found.unwrap(), []);
        assert!(elapsed >= TIMEOUT, "{elapsed:?}");
        assert!(
            elapsed < TIMEOUT + Duration::from_millis(250),
            "{elapsed:?}"
        );
    });
    assert!(received.load(Ordering::Relaxed));
    assert!(sent.load(Ordering::Relaxed) > 10);
}
