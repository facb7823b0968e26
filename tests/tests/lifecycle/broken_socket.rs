//! A server whose socket is no socket any more: somebody else in the process has closed its
//! descriptor, and the number has gone to a file.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::time::ClockId;
use nix::unistd::close;
use udp_discovery_server::{Config, Counter, RunError, Server, State};
use udp_discovery_tests::lab;

use crate::service::Asker;

/// The processor time of this thread so far.
fn cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

/// A server, and what is needed to break its socket.
struct Breakable {
    server: Server,
    descriptor: RawFd,
    /// The socket itself lives on by this one, and so what waits for it still hears of it.
    other: UdpSocket,
}

impl Breakable {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let descriptor = socket.as_raw_fd();
        let other = socket.try_clone().unwrap();
        let server = Server::from_socket(socket, Config::default()).unwrap();
        Self {
            server,
            descriptor,
            other,
        }
    }
}

/// Gives the number of a descriptor to a file, which whoever had the number will close.
fn replace(descriptor: RawFd) {
    close(descriptor).unwrap();
    // The system gives the lowest number that is free.
    let file = File::open("/dev/null").unwrap();
    assert_eq!(file.into_raw_fd(), descriptor);
}

/// Breaks the socket of a server that `run` runs, and sees how it ends.
fn a_broken_socket_ends(run: impl FnOnce(Server) -> Result<(), RunError> + Send + 'static) {
    let Breakable {
        server,
        descriptor,
        other,
    } = Breakable::new();
    let asker = Asker::new(server.local_addr());
    let control = server.control();
    let thread = thread::spawn(move || {
        let before = cpu();
        (run(server), cpu().saturating_sub(before))
    });
    assert!(asker.ask());

    // The server may come across it by itself.
    let start = Instant::now();
    replace(descriptor);
    asker.send();
    let (result, cpu) = thread.join().unwrap();
    let time = start.elapsed();
    drop(other);

    let Err(RunError::SocketFailed { source }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(source.raw_os_error(), Some(Errno::ENOTSOCK as i32));
    assert_eq!(control.state(), State::Failed);
    assert_eq!(control.stats().counter(Counter::ReceiveErrors), 8);
    let back_off = Duration::from_millis(1 + 2 + 4 + 8 + 16 + 32 + 64);
    assert!(time >= back_off && time < 50 * back_off, "{time:?}");
    assert!(cpu < Duration::from_millis(100), "{cpu:?}");
}

// FAULTS 32
#[test]
fn a_server_whose_socket_is_none_any_more_backs_off_and_fails() {
    lab::run(|| a_broken_socket_ends(Server::run));
}

// FAULTS 32
#[test]
fn a_server_on_tokio_whose_socket_is_none_any_more_backs_off_and_fails() {
    lab::run(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        a_broken_socket_ends(move |server| runtime.block_on(server.serve()));
    });
}
