//! Starts and stops without number, and at the same time.

use std::net::Ipv4Addr;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_server::compat::{
    is_port_in_use, is_running, start_udp_service, stop_udp_service,
};
use udp_discovery_server::protocol::DEFAULT_PORT;
use udp_discovery_server::{Config, Event, Handle, Server, State};
use udp_discovery_tests::lab;

use crate::resources::Resources;
use crate::service::{Asker, on_loopback};

/// Far longer than any stop takes.
const LONG: Duration = Duration::from_secs(10);

// FAULTS 36
#[test]
fn nothing_is_left_of_ten_thousand_starts_and_stops() {
    lab::run(|| {
        let config = Config::default();
        let before = Resources::now();
        for n in 0..5000 {
            // A port that isn't free at once would be an error the next time.
            let server = Server::bind(config.clone()).unwrap().spawn().unwrap();
            if n % 100 == 0 {
                assert!(Asker::of_default_port().ask());
            }
            server.shutdown().unwrap();
            assert!(start_udp_service(config.clone()).unwrap());
            assert!(stop_udp_service().unwrap());
        }
        assert!(!is_port_in_use(DEFAULT_PORT, Ipv4Addr::UNSPECIFIED.into()).unwrap());
        before.wait_until_back();
    });
}

// FAULTS 36
#[test]
fn threads_that_start_stop_and_ask_at_once_all_end_and_leave_nothing() {
    lab::run(|| {
        let config = Config::default();
        let before = Resources::now();
        let barrier = Arc::new(Barrier::new(64));
        let racers: Vec<_> = (0..64)
            .map(|racer| {
                let (barrier, config) = (Arc::clone(&barrier), config.clone());
                thread::spawn(move || {
                    barrier.wait();
                    for _ in 0..50 {
                        match racer % 3 {
                            0 => drop(start_udp_service(config.clone()).unwrap()),
                            1 => drop(stop_udp_service().unwrap()),
                            _ => drop(is_running()),
                        }
                    }
                })
            })
            .collect();
        for racer in racers {
            racer.join().unwrap();
        }

        start_udp_service(config).unwrap();
        assert!(is_running() && Asker::of_default_port().ask());
        assert!(stop_udp_service().unwrap());
        before.wait_until_back();
    });
}

// FAULTS 36
#[test]
fn a_second_stop_does_nothing() {
    lab::run(|| {
        let before = Resources::now();
        let server = on_loopback().unwrap().spawn().unwrap();
        let control = server.control();
        control.stop();
        control.stop();
        server.shutdown().unwrap();
        assert_eq!(control.state(), State::Stopped);
        control.stop();
        assert_eq!(control.state(), State::Stopped);
        drop(control);

        assert!(start_udp_service(Config::default()).unwrap());
        assert!(stop_udp_service().unwrap());
        assert!(!stop_udp_service().unwrap());
        before.wait_until_back();
    });
}

// FAULTS 36
#[test]
fn a_handler_may_stop_its_server_and_even_drop_it() {
    lab::run(|| {
        let before = Resources::now();
        let server = on_loopback().unwrap();
        let control = server.control();
        let stopping = control.clone();
        let asker = Asker::new(server.local_addr());
        let stop = move |event: &Event<'_>| {
            if matches!(event, Event::Answered { .. }) {
                stopping.stop();
            }
        };
        let server = server.on_event(stop).spawn().unwrap();
        assert!(asker.ask());
        wait_for_end(|| control.state());
        server.shutdown().unwrap();
        drop((asker, control));
        before.wait_until_back();

        let server = on_loopback().unwrap();
        let control = server.control();
        let asker = Asker::new(server.local_addr());
        let place = Arc::new(Mutex::new(None::<Handle>));
        let own = Arc::clone(&place);
        let server = server.on_event(move |event| {
            if matches!(event, Event::Answered { .. }) {
                drop(own.lock().unwrap().take());
            }
        });
        let mut kept = place.lock().unwrap();
        *kept = Some(server.spawn().unwrap());
        drop(kept);
        assert!(asker.ask());
        wait_for_end(|| control.state());
        assert!(place.lock().unwrap().is_none());
        drop((asker, control));
        before.wait_until_back();
    });
}

// FAULTS 36
#[test]
fn a_server_that_is_dropped_stops_whether_it_ran_or_not() {
    lab::run(|| {
        let before = Resources::now();
        for _ in 0..100 {
            drop(on_loopback().unwrap());
            drop(on_loopback().unwrap().spawn().unwrap());
        }
        before.wait_until_back();
    });
}

fn wait_for_end(state: impl Fn() -> State) {
    let deadline = Instant::now() + LONG;
    while state() == State::Running {
        assert!(Instant::now() < deadline, "it doesn't stop");
        thread::yield_now();
    }
    assert_eq!(state(), State::Stopped);
}
