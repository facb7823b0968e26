//! Sockets that fail, and the links that are given up.

use std::io;

use udp_discovery_client::{Config, Counts, DiscoverError};

use crate::sim::{Sim, server};

/// The system's code for a datagram longer than the buffer: EMSGSIZE, WSAEMSGSIZE.
const TOO_LONG: i32 = if cfg!(windows) {
    10040
} else if cfg!(target_os = "linux") {
    90
} else {
    40
};

/// The system's code for a descriptor that is not a socket: EBADF, WSAEBADF.
const NOT_A_SOCKET: i32 = if cfg!(windows) { 10009 } else { 9 };

impl Sim {
    fn fail(&mut self, times: u32, error: impl Fn() -> io::Error) {
        for _ in 0..times {
            self.search.handle_receive_error(0, error());
        }
    }
}

#[test]
fn fault_30_a_search_without_any_socket_is_over_with_an_error() {
    let mut sim = Sim::new(&Config::default());
    sim.search
        .give_up(0, io::Error::other("no descriptors left"));
    assert!(sim.search.poll_transmit(sim.now).is_none());
    assert_eq!(sim.search.poll_timeout(), None);
    let outcome = sim.search.outcome();
    assert!(matches!(outcome, Err(DiscoverError::OpenSocket { .. })));
}

#[test]
fn a_datagram_that_the_system_reports_as_too_long_is_not_an_error() {
    let mut sim = Sim::new(&Config::default());
    sim.fail(100, || io::Error::from_raw_os_error(TOO_LONG));
    let counts = sim.counts();
    assert_eq!((counts.too_long, counts.receive_errors), (100, 0));
    assert!(!sim.search.is_given_up(0));
}

#[test]
fn a_socket_that_has_nothing_to_receive_has_no_error() {
    let mut sim = Sim::new(&Config::default());
    sim.fail(1, || io::ErrorKind::WouldBlock.into());
    sim.fail(1, || io::ErrorKind::Interrupted.into());
    assert_eq!(sim.counts(), Counts::default());
}

#[test]
fn a_link_whose_descriptor_is_not_a_socket_is_given_up_at_once() {
    let mut sim = Sim::new(&Config::default());
    sim.fail(1, || io::Error::from_raw_os_error(NOT_A_SOCKET));
    assert!(sim.search.is_given_up(0));
    assert_eq!(sim.counts().receive_errors, 1);
}

#[test]
fn a_link_is_given_up_after_64_unknown_errors_in_a_row() {
    let mut sim = Sim::new(&Config::default());
    let unknown = || io::ErrorKind::OutOfMemory.into();
    sim.fail(63, unknown);
    sim.receive(0, server(7), b"junk");
    sim.fail(63, unknown);
    assert!(!sim.search.is_given_up(0));
    sim.fail(1, unknown);
    assert!(sim.search.is_given_up(0));
    assert_eq!(sim.counts().receive_errors, 127);
}

#[test]
fn errors_that_belong_to_earlier_probes_give_no_link_up() {
    let mut sim = Sim::new(&Config::default());
    sim.fail(1000, || io::ErrorKind::ConnectionRefused.into());
    sim.fail(1000, || io::ErrorKind::ConnectionReset.into());
    assert!(!sim.search.is_given_up(0));
    assert_eq!(sim.counts().receive_errors, 2000);
}
