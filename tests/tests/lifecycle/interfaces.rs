//! A system that doesn't list the interfaces, or doesn't tell when they change.

use std::sync::mpsc;

use udp_discovery_server::{Counter, Event, Server};

use crate::alone;
use crate::descriptors::with_spare;
use crate::service::{Asker, on_loopback};

/// What a server told of what it can't have.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    NoList,
    NoChanges,
    Else,
}

/// Has `server` tell by the channel.
fn listen(server: Server) -> (Server, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel();
    let server = server.on_event(move |event| {
        let event = match event {
            Event::InterfacesUnavailable { .. } => Told::NoList,
            Event::ChangesUnavailable { .. } => Told::NoChanges,
            _ => Told::Else,
        };
        // Nobody listens any more when the test is over.
        let _ = tell.send(event);
    });
    (server, told)
}

// FAULTS 33
#[test]
fn without_a_list_of_interfaces_a_server_reports_it_and_reads_it_at_the_next_request() {
    let test = "interfaces::without_a_list_of_interfaces_a_server_reports_it_and_reads_it_at_the_next_request";
    alone::run(test, || {
        let (server, told) = listen(on_loopback().unwrap());
        let asker = Asker::new(server.local_addr());
        let server = with_spare(0, || server.spawn().unwrap());
        assert_eq!(told.recv().unwrap(), Told::NoChanges);
        assert_eq!(told.recv().unwrap(), Told::NoList);
        assert!(asker.ask());
        let stats = server.shutdown().unwrap();
        assert_eq!(stats.counter(Counter::InterfaceErrors), 1);
        assert_eq!(stats.answered(), 1);
    });
}

// FAULTS 33
#[test]
fn without_word_of_changes_a_server_works_and_says_so() {
    let test = "interfaces::without_word_of_changes_a_server_works_and_says_so";
    alone::run(test, || {
        let (server, told) = listen(on_loopback().unwrap());
        let asker = Asker::new(server.local_addr());
        // One to list the interfaces; notifications need two.
        let server = with_spare(1, || server.spawn().unwrap());
        assert!(asker.ask());
        assert_eq!(told.recv().unwrap(), Told::NoChanges);
        let stats = server.shutdown().unwrap();
        assert_eq!(stats.counter(Counter::InterfaceErrors), 0);
    });
}
