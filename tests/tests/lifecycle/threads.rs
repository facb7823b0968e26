//! A process that can have no more threads.

use std::net::Ipv4Addr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use udp_discovery_server::compat::{
    StartError, is_port_in_use, is_running, start_udp_service, stop_udp_service,
};
use udp_discovery_server::protocol::DEFAULT_PORT;
use udp_discovery_server::{Config, Server};
use udp_discovery_tests::lab;

use crate::resources::Resources;
use crate::service::Asker;

/// What a server needs of memory is less than this, in bytes; the stack of a thread is more.
const SPARE: u64 = 3 << 19;

/// Runs `body` while the process has no room for the stack of another thread. (A limit to the
/// number of processes and threads doesn't hold for root.)
fn without_threads<T>(body: impl FnOnce() -> T) -> T {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().next().unwrap().parse().unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
    setrlimit(Resource::RLIMIT_AS, pages * 4096 + SPARE, hard).unwrap();
    let value = body();
    setrlimit(Resource::RLIMIT_AS, soft, hard).unwrap();
    value
}

// FAULTS 31
#[test]
fn a_server_without_a_thread_is_an_error_and_its_port_free_at_once() {
    lab::run(|| {
        let config = Config::default();
        let before = Resources::now();
        let server = Server::bind(config.clone()).unwrap();
        let in_use = || is_port_in_use(DEFAULT_PORT, Ipv4Addr::UNSPECIFIED.into()).unwrap();
        assert!(in_use());
        let (refused, still_in_use) = without_threads(|| (server.spawn(), in_use()));
        let error = refused.expect_err("there is no room for a thread");
        assert!(!still_in_use, "{error}");
        assert_eq!(Resources::now(), before);

        let server = Server::bind(config).unwrap().spawn().unwrap();
        assert!(Asker::of_default_port().ask());
        server.shutdown().unwrap();
        before.wait_until_back();
    });
}

// FAULTS 31
#[test]
fn a_service_that_found_no_thread_starts_when_there_is_one() {
    lab::run(|| {
        let config = Config::default();
        let before = Resources::now();
        let refused = without_threads(|| start_udp_service(config.clone()));
        assert!(matches!(refused, Err(StartError::Spawn(_))), "{refused:?}");
        assert!(!is_running());
        assert_eq!(Resources::now(), before);

        assert!(start_udp_service(config).unwrap());
        assert!(Asker::of_default_port().ask());
        stop_udp_service().unwrap();
        before.wait_until_back();
    });
}
