//! A system that doesn't list the interfaces, or doesn't tell when they change.

use std::sync::mpsc;

use udp_discovery_server::{Counter, Event, Server};
use udp_discovery_tests::lab;

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
fn without_a_list_of_interfaces_a_server_works_on_with_the_last_and_says_so() {
    lab::run(|| {
        let (server, told) = listen(on_loopback().unwrap());
        let asker = Asker::new(server.local_addr());
        let server = with_spare(0, || {
            // It reads the list again when it begins.
            let server = server.spawn().unwrap();
            assert!(asker.ask());
            server
        });
        assert_eq!(told.recv().unwrap(), Told::NoList);
        assert!(asker.ask());
        let stats = server.shutdown().unwrap();
        assert_eq!(stats.counter(Counter::InterfaceErrors), 1);
        assert_eq!(stats.answered(), 2);
    });
}

// FAULTS 33
#[test]
fn without_word_of_changes_a_server_works_and_says_so() {
    lab::run(|| {
        // One for the socket, one to wait with and one to be woken by; none for netlink.
        let server = with_spare(3, on_loopback).unwrap();
        let (server, told) = listen(server);
        let asker = Asker::new(server.local_addr());
        let server = server.spawn().unwrap();
        assert!(asker.ask());
        assert_eq!(told.recv().unwrap(), Told::NoChanges);
        let stats = server.shutdown().unwrap();
        assert_eq!(stats.counter(Counter::InterfaceErrors), 0);
    });
}
