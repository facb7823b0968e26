//! File descriptors: a search leaks none, and without any it is an error. The limit belongs to the
//! process, so this file has one test.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::net::UdpSocket;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use udp_discovery_client::{Client, Config, Family};

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A client that asks only `server`, on loopback.
fn client(server: &UdpSocket, timeout: Duration) -> Client {
    let port = server.local_addr().unwrap().port();
    let config = Config::default()
        .with_port(port)
        .with_timeout(timeout)
        .with_family(Family::V4)
        .with_interfaces(["lo"]);
    Client::new(config)
}

/// The number of the next descriptor. With this number as the limit, no descriptor is left.
fn next_descriptor() -> u64 {
    use std::os::fd::AsRawFd;

    let next = File::open("/dev/null").unwrap();
    next.as_raw_fd().try_into().unwrap()
}

#[test]
fn no_descriptor_is_left_over_whatever_becomes_of_a_search() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = client(&server, Duration::from_millis(10));
    let before = open_descriptors();

    assert_eq!(client.discover().unwrap(), []);
    assert_eq!(open_descriptors(), before, "after a search");
    drop(client.search().unwrap());
    assert_eq!(open_descriptors(), before, "after one that was dropped");

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let next = next_descriptor();
    let mut errors = 0;
    for spare in 0..8 {
        setrlimit(Resource::RLIMIT_NOFILE, next + spare, hard).unwrap();
        errors += u32::from(client.discover().is_err());
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert_eq!(open_descriptors(), before, "with {spare} to spare");
    }
    assert!((2..8).contains(&errors), "{errors} errors");
    assert_eq!(client.discover().unwrap(), [], "with all of them again");

    #[cfg(feature = "tokio")]
    on_tokio::no_descriptor_is_left_over(&server, before);
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use tokio::runtime::Builder;
    use tokio::task::yield_now;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    pub(crate) fn no_descriptor_is_left_over(server: &UdpSocket, before: usize) {
        let client = client(server, LONG);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let with_runtime = open_descriptors();
        runtime.block_on(async {
            let search = tokio::time::timeout(Duration::from_millis(10), client.discover_async());
            assert!(search.await.is_err(), "it was cancelled");
        });
        assert_eq!(
            open_descriptors(),
            with_runtime,
            "after a future that was dropped"
        );

        let search = runtime.block_on(async {
            let mut abandoned = client.search_async().await.unwrap();
            tokio::spawn(async move { abandoned.next().await });
            yield_now().await;
            client.search_async().await.unwrap()
        });
        assert_eq!(open_descriptors(), with_runtime + 4);
        drop(runtime);
        drop(search);
        assert_eq!(open_descriptors(), before, "after the runtime was dropped");
    }
}
