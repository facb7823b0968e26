//! Compatibility with the Python packages, over a broadcast between two hosts.

use std::path::Path;

use udp_discovery_server::Config;
use udp_discovery_tests::lab::{self, Host};
use udp_discovery_tests::python;

use crate::endpoints::{ENOUGH, SOON, Serving, lasting, pair, search};

/// What the Python client on `host` finds, as it prints it.
fn python_search(interpreter: &Path, host: &Host) -> Vec<String> {
    let config = r#"{"discovery_port": 9999, "timeout": 0.5}"#;
    let mut client = host.spawn(python::client(interpreter, config));
    assert!(client.wait(SOON).success(), "{client:?}");
    client.stdout()
}

#[test]
fn our_client_finds_the_python_server() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        // It names the address of its default route.
        b.ip("route add default via 10.77.1.254");
        let server = b.spawn(python::server(interpreter, r#"{"DISCOVERY_PORT": 9999}"#));
        server.wait_for_line("ready", SOON);
        let found = search(&a, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2"]);
        let listed = &found.servers[0];
        assert_eq!((listed.ip, listed.port), (listed.claimed_ip, None));
        assert_eq!(listed.source, "10.77.1.2:9999".parse().ok());
    });
}

#[test]
fn a_python_server_that_names_loopback_is_listed_by_an_address_that_works() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        // Without a default route it names 127.0.0.1.
        let server = b.spawn(python::server(interpreter, r#"{"DISCOVERY_PORT": 9999}"#));
        server.wait_for_line("ready", SOON);
        let found = search(&a, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert_eq!(found.servers[0].claimed_ip.to_string(), "127.0.0.1");
    });
}

#[test]
fn the_python_client_finds_our_server_with_the_port_that_it_advertises() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        let config = Config::default().with_advertise_port(8080.try_into().unwrap());
        let _server = Serving::on(&b, config);
        let found = python_search(interpreter, &a);
        assert_eq!(found, [r#"[{"ip": "10.77.1.2", "port": 8080}]"#]);
    });
}

#[test]
fn the_python_client_assumes_port_8000_where_our_server_tells_none() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        let _server = Serving::on(&b, Config::default());
        let found = python_search(interpreter, &a);
        assert_eq!(found, [r#"[{"ip": "10.77.1.2", "port": 8000}]"#]);
    });
}
