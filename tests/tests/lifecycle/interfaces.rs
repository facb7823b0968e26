//! A system that can't list the interfaces, or doesn't report when they change.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use udp_discovery_server::{Counter, Event, Server};
use udp_discovery_tests::lab;

use crate::descriptors::with_spare;
use crate::service::{Asker, on_loopback};

/// What a server reports that it lacks.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    List,
    Changes,
}

/// Makes `server` report what it lacks to the channel.
fn listen(server: Server) -> (Server, mpsc::Receiver<Missing>) {
    let (sender, reports) = mpsc::channel();
    let server = server.on_event(move |event| {
        let missing = match event {
            Event::InterfacesUnavailable { .. } => Missing::List,
            Event::ChangesUnavailable { .. } => Missing::Changes,
            _ => return,
        };
        // The test may be over.
        let _ = sender.send(missing);
    });
    (server, reports)
}

// FAULTS 33
#[test]
fn without_a_list_of_interfaces_a_server_works_on_with_the_last_and_says_so() {
    lab::run(|| {
        let (server, reports) = listen(on_loopback().unwrap());
        let asker = Asker::new(server.local_addr());
        let server = server.spawn().unwrap();
        assert!(asker.ask());
        // Adds an address when it reads a line: without descriptors nothing could be started.
        let mut ip = Command::new("sh")
            .args(["-c", "read _; ip address add 10.77.0.1/32 dev lo"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        with_spare(0, || {
            ip.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            assert_eq!(reports.recv().unwrap(), Missing::List);
            assert!(asker.ask());
        });
        assert!(ip.wait().unwrap().success());
        assert!(asker.ask());
        let stats = server.shutdown().unwrap();
        assert!(stats.counter(Counter::InterfaceErrors) > 0);
        assert_eq!(stats.answered(), 3);
    });
}

// FAULTS 33
#[test]
fn without_a_list_of_interfaces_a_server_reports_it_and_reads_it_at_the_next_request() {
    lab::run(|| {
        let (server, reports) = listen(on_loopback().unwrap());
        let asker = Asker::new(server.local_addr());
        let server = with_spare(0, || server.spawn().unwrap());
        assert_eq!(reports.recv().unwrap(), Missing::Changes);
        assert_eq!(reports.recv().unwrap(), Missing::List);
        assert!(asker.ask());
        let stats = server.shutdown().unwrap();
        assert_eq!(stats.counter(Counter::InterfaceErrors), 1);
        assert_eq!(stats.answered(), 1);
    });
}

// FAULTS 33
#[test]
fn without_word_of_changes_a_server_works_and_says_so() {
    lab::run(|| {
        let (server, reports) = listen(on_loopback().unwrap());
        let asker = Asker::new(server.local_addr());
        // One to list the interfaces; notifications need two.
        let server = with_spare(1, || server.spawn().unwrap());
        assert!(asker.ask());
        assert_eq!(reports.recv().unwrap(), Missing::Changes);
        let stats = server.shutdown().unwrap();
        assert_eq!(stats.counter(Counter::InterfaceErrors), 0);
    });
}
