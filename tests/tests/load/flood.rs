//! A flood of datagrams with a limited rate, number and duration.

use std::fmt;
use std::io::IoSlice;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use udp_discovery_tests::lab::Host;

/// The datagrams of one system call.
const BATCH: usize = 64;
/// How long a sender pauses when it is ahead of its rate.
const REST: Duration = Duration::from_micros(100);

/// The most that a flood sends.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Datagrams per second.
    pub(crate) rate: u32,
    pub(crate) count: u32,
    pub(crate) time: Duration,
}

/// A running flood, on a thread of its own.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Sent>,
}

/// The result of a flood.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) count: u32,
    pub(crate) time: Duration,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} datagrams in {:?}", self.count, self.time)
    }
}

impl Flood {
    /// Starts a flood on `host`. `send` sends some datagrams, the first of them being the `n`th
    /// of all, and returns how many it sent.
    pub(crate) fn start(
        host: &Host,
        bounds: Bounds,
        mut send: impl FnMut(u32) -> u32 + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = host.spawn_thread(move || {
            let start = Instant::now();
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed)
                && count < bounds.count
                && start.elapsed() < bounds.time
            {
                if f64::from(count) > start.elapsed().as_secs_f64() * f64::from(bounds.rate) {
                    thread::sleep(REST);
                } else {
                    count += send(count);
                }
            }
            Sent {
                count,
                time: start.elapsed(),
            }
        });
        Self { stop, thread }
    }

    /// Whether it has not reached its limits yet.
    pub(crate) fn goes_on(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until it has reached its limits.
    pub(crate) fn join(self) -> Sent {
        self.thread.join().expect("a flood doesn't fail")
    }
}

/// Sends datagrams to one destination, cycling through `payloads`.
pub(crate) struct Sender {
    socket: UdpSocket,
    payloads: Vec<Vec<u8>>,
    destinations: Vec<Option<SockaddrIn>>,
}

impl Sender {
    pub(crate) fn new(
        socket: UdpSocket,
        destination: SocketAddrV4,
        payloads: Vec<Vec<u8>>,
    ) -> Self {
        Self {
            socket,
            payloads,
            destinations: vec![Some(destination.into()); BATCH],
        }
    }

    /// Sends a batch that starts with the `n`th datagram of all, and returns how many it sent.
    pub(crate) fn send(&self, n: u32) -> u32 {
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        let at = |n: usize| &self.payloads[n % self.payloads.len()];
        let first = usize::try_from(n).unwrap_or(0);
        let batch: Vec<[IoSlice<'_>; 1]> = (first..first + BATCH)
            .map(|n| [IoSlice::new(at(n))])
            .collect();
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            batch.iter(),
            &self.destinations,
            [],
            MsgFlags::empty(),
        );
        match sent {
            Ok(sent) => u32::try_from(sent.count()).unwrap_or(0),
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => 0,
            Err(errno) => panic!("the flood can't be sent: {errno}"),
        }
    }
}
