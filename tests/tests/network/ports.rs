//! A port that another socket has.

use std::env;
use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use udp_discovery_server::{BindError, Config, Server};
use udp_discovery_tests::lab::{self, Host, Process};
use udp_discovery_tests::python;

use crate::endpoints::{Asker, SOON, Serving, answer_of, pair};

/// The variable with the address that [`holds_a_port`] binds, and how.
const BINDER: &str = "UDP_DISCOVERY_TEST_BINDER";

/// Ways to bind a port that could share it with a server.
pub(crate) const BINDERS: [&str; 6] = [
    "plain 0.0.0.0:9999",
    "plain 10.77.1.2:9999",
    "plain 127.0.0.1:9999",
    "reuseaddr 0.0.0.0:9999",
    "reuseport 0.0.0.0:9999",
    "reuseaddr 10.77.1.2:9999",
];

/// The same by IPv6 only.
pub(crate) const IPV6_BINDERS: [&str; 4] = [
    "plain [::]:9999",
    "plain [::1]:9999",
    "reuseaddr [::]:9999",
    "reuseport [::]:9999",
];

/// Another process that binds a socket in that way and keeps it until its input ends. It prints
/// whether it could.
pub(crate) fn binder(host: &Host, how: &str) -> Process {
    host.spawn(binder_command(how))
}

pub(crate) fn binder_command(how: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["ports::holds_a_port", "--exact", "--ignored", "--nocapture"])
        .env(BINDER, how);
    command
}

#[test]
#[ignore = "it is the other process of another test"]
fn holds_a_port() {
    let how = env::var(BINDER).unwrap();
    let (option, address) = how.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    match option {
        "reuseaddr" => socket.set_reuse_address(true).unwrap(),
        "reuseport" => socket.set_reuse_port(true).unwrap(),
        _ => {}
    }
    match socket.bind(&address.into()) {
        Ok(()) => println!("bound"),
        Err(error) => println!("refused: {error}"),
    }
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Asserts that a server can't start on `host`, and reports at once which port is in use.
fn assert_taken(host: &Host) {
    let start = Instant::now();
    let error = host.run(|| Server::bind(Config::default())).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(error.to_string(), "UDP port 9999 is in use");
    match error {
        BindError::PortInUse { port, .. } => assert_eq!(port, 9999),
        other => panic!("{other:?}"),
    }
}

/// FAULTS 34, FAULTS 35
#[test]
fn a_port_that_another_server_has_is_an_error_at_once_and_free_after_its_end() {
    lab::run(|| {
        let [a, b] = pair();
        let first = Serving::on(&b, Config::default());
        assert_taken(&b);
        let asker = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        first.stop();
        let _second = Serving::on(&b, Config::default());
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
    });
}

/// FAULTS 34, FAULTS 35
#[test]
fn a_port_that_another_process_has_is_never_shared_however_it_was_bound() {
    lab::run(|| {
        let [_, b] = pair();
        for how in BINDERS {
            let mut process = binder(&b, how);
            process.wait_for_line("bound", SOON);
            assert_taken(&b);
            process.close_stdin();
            assert!(process.wait(SOON).success());
            Serving::on(&b, Config::default()).stop();
        }
    });
}

/// FAULTS 35
#[test]
fn no_other_process_can_bind_a_servers_port_however_it_tries() {
    lab::run(|| {
        let [a, b] = pair();
        let _server = Serving::on(&b, Config::default());
        for how in BINDERS {
            binder(&b, how).wait_for_line("refused", SOON);
        }
        let asker = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
    });
}

/// FAULTS 35
#[test]
fn neither_the_python_server_nor_ours_shares_the_port_of_the_other() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [_, b] = pair();
        let python = || b.spawn(python::server(interpreter, r#"{"DISCOVERY_PORT": 9999}"#));
        let ours = Serving::on(&b, Config::default());
        let mut theirs = python();
        theirs.wait_for_line("Port 9999 is already in use", SOON);
        assert!(!theirs.wait(SOON).success());
        ours.stop();

        let theirs = python();
        theirs.wait_for_line("ready", SOON);
        assert_taken(&b);
        drop(theirs);
        Serving::on(&b, Config::default()).stop();
    });
}
