//! An event handler that panics.

use std::net::UdpSocket;
use std::panic::resume_unwind;
use std::thread;

use udp_discovery_server::{Counter, Event, RunError, Server, State};
use udp_discovery_tests::lab;

use crate::resources::Resources;
use crate::service::{Asker, on_loopback};

/// Asks a server whose handler panics at each answer until the server ends. `run` runs the server.
fn a_panicking_handler_ends(run: impl FnOnce(Server) -> Result<(), RunError> + Send + 'static) {
    let before = Resources::now();
    // This panic prints no message.
    let server = on_loopback().unwrap().on_event(|event| {
        if matches!(event, Event::Answered { .. }) {
            resume_unwind(Box::new("handler"));
        }
    });
    let address = server.local_addr();
    let control = server.control();
    let asker = Asker::new(address);
    let thread = thread::spawn(|| run(server));
    for panics in 1..16 {
        assert!(asker.ask(), "after {panics}");
        assert_eq!(control.state(), State::Running, "after {panics}");
    }
    // The answer leaves before the handler is called.
    assert!(asker.ask());
    let result = thread.join().unwrap();
    assert!(
        matches!(result, Err(RunError::HandlerPanicked)),
        "{result:?}"
    );
    assert_eq!(control.state(), State::Failed);
    assert_eq!(control.stats().counter(Counter::HandlerPanics), 16);
    assert_eq!(control.stats().answered(), 16);
    UdpSocket::bind(address).expect("the port is free");
    drop((asker, control));
    before.wait_until_back();
}

// FAULTS 37
#[test]
fn a_handler_may_panic_fifteen_times_and_the_sixteenth_ends_the_server() {
    lab::run(|| a_panicking_handler_ends(Server::run));
}

// FAULTS 37
#[test]
fn on_tokio_a_handler_may_panic_as_often() {
    lab::run(|| {
        a_panicking_handler_ends(|server| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(server.serve())
        });
    });
}
