//! The wall clock, which may be set to any time at any time, has no effect.
//!
//! No namespace has a wall clock of its own, so no test can set it without harm to the machine.
//! These tests check that no library reads it, and that the cores accept any monotonic time.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use udp_discovery_client::{Config as ClientConfig, Discovery, Host};
use udp_discovery_server::protocol::{Interface, InterfaceAddress};
use udp_discovery_server::{Arrival, Config, Datagram, Responder};
use udp_discovery_tests::rust_files;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn eth0() -> Interface {
    let mut eth0 = Interface::new("eth0", 2);
    eth0.flags.up = true;
    eth0.flags.broadcast = true;
    let address = InterfaceAddress::new([192, 168, 1, 7].into(), 24).unwrap();
    eth0.addresses.push(address);
    eth0
}

// FAULTS 39
#[test]
fn no_library_looks_at_the_wall_clock() {
    let mut monotonic = 0;
    for library in ["protocol", "server", "client"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let files = rust_files(&root.join(library).join("src"));
        assert!(files.len() > 5, "{library} has more files: {files:?}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for wall_clock in ["SystemTime", "UNIX_EPOCH", "clock_gettime", "gettimeofday"] {
                assert!(!text.contains(wall_clock), "{wall_clock} in {file:?}");
            }
            monotonic += usize::from(text.contains("Instant::now"));
        }
    }
    assert!(
        monotonic > 2,
        "the libraries do look at the monotonic clock"
    );
}

// FAULTS 39
#[test]
fn after_a_day_asleep_a_source_has_its_burst_and_no_more() {
    let limit = Config::default()
        .rate_limit()
        .expect("there is one by default");
    let (rate, burst) = (limit.rate().get() as usize, limit.burst().get() as usize);
    let mut responder = Responder::new(Config::default(), 9999, [1, 2]).unwrap();
    responder.set_interfaces(vec![eth0()]);
    let datagram = Datagram {
        payload: b"DISCOVER_SERVER",
        truncated: false,
        source: "192.168.1.20:4000".parse().unwrap(),
        arrival: Arrival {
            interface: Some(2),
            ..Arrival::default()
        },
    };
    let mut answers = |now: Instant| {
        (0..1000)
            .filter(|_| responder.handle_datagram(now, &datagram).is_ok())
            .count()
    };
    let now = Instant::now() + DAY;
    assert_eq!(answers(now), burst);
    assert_eq!(answers(now + DAY), burst);
    assert_eq!(answers(now + DAY), 0);
    // A clock that goes back neither allows more answers nor stops them for a day.
    assert_eq!(answers(now), 0);
    assert_eq!(answers(now + DAY + Duration::from_secs(1)), rate);
}

// FAULTS 39
#[test]
fn a_search_that_slept_for_a_day_is_over_and_one_set_back_keeps_its_deadline() {
    let before = Instant::now();
    let start = before + DAY;
    let search = || {
        Discovery::new(
            start,
            &ClientConfig::default(),
            &Host::new([eth0()]),
            [0; 15],
        )
        .unwrap()
    };
    let timeout = ClientConfig::default().settings().timeout();

    let mut slept = search();
    slept.handle_timeout(start + DAY);
    assert_eq!(slept.deadline(), start + timeout);
    assert_eq!(slept.poll_timeout(), None);
    assert!(slept.poll_transmit(start + DAY).is_none());

    let mut set_back = search();
    set_back.handle_timeout(start);
    set_back.handle_timeout(before);
    assert_eq!(set_back.deadline(), start + timeout);
    set_back.handle_timeout(start + timeout);
    assert_eq!(set_back.poll_timeout(), None);
}
