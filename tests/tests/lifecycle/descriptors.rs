//! A process that has no file descriptors left.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use udp_discovery_client::{Client, Config as ClientConfig};
use udp_discovery_server::compat::{StartError, is_running, start_udp_service, stop_udp_service};
use udp_discovery_server::{BindError, Config, Server};
use udp_discovery_tests::lab;

use crate::resources::Resources;
use crate::service::{Asker, on_loopback};

/// Runs `body` while the process can have no more than `spare` new descriptors.
pub(crate) fn with_spare<T>(spare: u64, body: impl FnOnce() -> T) -> T {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let next = File::open("/dev/null").unwrap();
    let number: u64 = next.as_raw_fd().try_into().unwrap();
    drop(next);
    setrlimit(Resource::RLIMIT_NOFILE, number + spare, hard).unwrap();
    let value = body();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    value
}

fn client(port: u16) -> Client {
    let config = ClientConfig::default()
        .with_port(port)
        .with_timeout(Duration::from_secs(10))
        .with_interfaces(["lo"]);
    Client::new(config)
}

// FAULTS 30
#[test]
fn a_start_without_descriptors_is_an_error_and_leaves_nothing() {
    lab::run(|| {
        let config = Config::default();
        let before = Resources::now();
        let mut errors = 0;
        for spare in 0..8 {
            match with_spare(spare, || Server::bind(config.clone())) {
                Err(error) => {
                    assert!(matches!(error, BindError::Socket { .. }), "{error:?}");
                    errors += 1;
                }
                // With a few it makes do without word of changes, and with all it is whole.
                Ok(server) => drop(server.spawn().unwrap()),
            }
            before.wait_until_back();
        }
        assert!((2..8).contains(&errors), "{errors} errors");
    });
}

// FAULTS 30
#[test]
fn a_service_that_found_no_descriptors_starts_when_there_are_some() {
    lab::run(|| {
        let config = Config::default();
        let before = Resources::now();
        let refused = with_spare(1, || start_udp_service(config.clone()));
        assert!(
            matches!(refused, Err(StartError::Bind(BindError::Socket { .. }))),
            "{refused:?}"
        );
        assert!(!is_running());
        before.wait_until_back();

        assert!(start_udp_service(config).unwrap());
        assert!(Asker::of_default_port().ask());
        stop_udp_service().unwrap();
        before.wait_until_back();
    });
}

// FAULTS 30
#[test]
fn a_running_server_is_unharmed_when_descriptors_run_out() {
    lab::run(|| {
        let before = Resources::now();
        let server = on_loopback().unwrap().spawn().unwrap();
        let asker = Asker::new(server.local_addr());
        assert!(asker.ask());
        let running = Resources::now();
        with_spare(0, || {
            assert!((0..100).all(|_| asker.ask()));
            assert!(Server::bind(Config::default()).is_err());
            assert!((0..100).all(|_| asker.ask()));
        });
        running.wait_until_back();
        assert!(server.is_running() && asker.ask());
        assert_eq!(server.shutdown().unwrap().answered(), 202);
        drop(asker);
        before.wait_until_back();
    });
}

// FAULTS 30
#[test]
fn a_search_without_descriptors_is_an_error_and_leaves_nothing() {
    lab::run(|| {
        let server = on_loopback().unwrap().spawn().unwrap();
        let client = client(server.local_addr().port());
        // A server that answers has read the interfaces, and needs no more descriptors.
        assert!(client.discover_one().unwrap().is_some());
        let before = Resources::now();
        let mut errors = 0;
        for spare in 0..6 {
            match with_spare(spare, || client.discover_one()) {
                Err(_) => errors += 1,
                Ok(found) => assert!(found.is_some()),
            }
            before.wait_until_back();
        }
        assert!((1..6).contains(&errors), "{errors} errors");
        assert!(client.discover_one().unwrap().is_some());
        assert!(server.is_running());
    });
}
