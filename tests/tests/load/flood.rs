//! Sends as much as it is told to, as fast as it can, until it is stopped.

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

/// How many datagrams one system call takes.
const BATCH: usize = 64;
/// How long a sender rests that is ahead of its rate.
const REST: Duration = Duration::from_micros(100);

/// How much a flood sends at the most.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Datagrams a second.
    pub(crate) rate: u32,
    /// Datagrams.
    pub(crate) count: u32,
    /// How long.
    pub(crate) time: Duration,
}

/// A flood that goes on, on a thread of its own.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Sent>,
}

/// What a flood was.
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
    /// of all, and says how many it sent.
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

    /// Whether it has not come to its bounds yet.
    pub(crate) fn goes_on(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Stops it.
    pub(crate) fn stop(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until it has come to its bounds.
    pub(crate) fn join(self) -> Sent {
        self.thread.join().expect("a flood doesn't fail")
    }
}

/// Sends datagrams to one destination, each with the next of `payloads`, over and over.
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

    /// Sends a batch, the first of it being the `n`th datagram of all; how many it sent.
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
