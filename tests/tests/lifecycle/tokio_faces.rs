//! Servers and searches on a tokio runtime that is dropped, and futures that are cancelled.

use std::net::UdpSocket;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;
use udp_discovery_client::{Client, Config as ClientConfig};
use udp_discovery_server::State;
use udp_discovery_tests::lab;

use crate::resources::Resources;
use crate::service::{Asker, on_loopback};

/// Far longer than a test takes.
const LONG: Duration = Duration::from_secs(60);
/// How long a future lives before it is dropped.
const SHORT: Duration = Duration::from_millis(20);

/// Both kinds of runtimes: on the calling thread, and on threads of its own.
fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.enable_all().build().unwrap())
}

/// A client of `server` with a long timeout.
fn client(server: &UdpSocket) -> Client {
    let port = server.local_addr().unwrap().port();
    let config = ClientConfig::default()
        .with_port(port)
        .with_timeout(LONG)
        .with_interfaces(["lo"]);
    Client::new(config)
}

// FAULTS 38
#[test]
fn a_cancelled_server_leaves_nothing() {
    lab::run(|| {
        for runtime in runtimes() {
            // Lets the runtime start its threads.
            runtime.block_on(async { spawn_blocking(|| ()).await.unwrap() });
            let before = Resources::now();
            let server = on_loopback().unwrap();
            let (control, address) = (server.control(), server.local_addr());
            let asker = Asker::new(address);
            runtime.block_on(async {
                let serving = tokio::spawn(server.serve());
                let asking = spawn_blocking(move || assert!(asker.ask()));
                asking.await.unwrap();
                serving.abort();
                assert!(serving.await.unwrap_err().is_cancelled());
            });
            assert_eq!(control.state(), State::Stopped);
            drop(control);
            assert_eq!(Resources::now().descriptors, before.descriptors);
            UdpSocket::bind(address).expect("the port is free");
        }
    });
}

// FAULTS 38
#[test]
fn a_server_whose_runtime_is_dropped_leaves_nothing() {
    lab::run(|| {
        let before = Resources::now();
        for runtime in runtimes() {
            let server = on_loopback().unwrap();
            let (control, address) = (server.control(), server.local_addr());
            let asker = Asker::new(address);
            runtime.spawn(server.serve());
            let asking = async { spawn_blocking(move || assert!(asker.ask())).await };
            runtime.block_on(asking).unwrap();
            drop(runtime);
            assert_eq!(control.state(), State::Stopped);
            UdpSocket::bind(address).expect("the port is free");
        }
        before.wait_until_back();
    });
}

// FAULTS 38
#[test]
fn a_cancelled_search_leaves_nothing() {
    lab::run(|| {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = client(&silent);
        for runtime in runtimes() {
            let before = Resources::now();
            runtime.block_on(async {
                assert!(timeout(SHORT, client.discover_async()).await.is_err());
                assert!(timeout(SHORT, client.discover_one_async()).await.is_err());
            });
            silent.recv(&mut [0; 64]).expect("it was asked");
            assert_eq!(Resources::now().descriptors, before.descriptors);
        }
    });
}

// FAULTS 38
#[test]
fn a_search_whose_runtime_is_dropped_leaves_nothing() {
    lab::run(|| {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = client(&silent);
        let before = Resources::now();
        for runtime in runtimes() {
            let searching = client.clone();
            runtime.spawn(async move { searching.discover_async().await });
            let kept = runtime.block_on(async {
                yield_now().await;
                client.search_async().await.unwrap()
            });
            silent.recv(&mut [0; 64]).expect("it was asked");
            drop(runtime);
            // A search may outlive its runtime, though it can't go on.
            drop(kept);
        }
        before.wait_until_back();
    });
}
