//! The load: a closed loop that keeps a fixed number of requests under way.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt,
};

use crate::results::float;

/// How many sockets share the requests.
const SOCKETS: usize = 8;
/// How many requests of each socket are under way: 256 in all.
const WINDOW: usize = 32;
/// How many answers may be missing before a socket sends again, so that it sends in batches.
const BATCH: usize = WINDOW / 2;
/// After how long requests count as lost.
const PATIENCE: Duration = Duration::from_millis(50);
/// Room for every answer.
const BUFFER_LEN: usize = 600;
/// The receive buffer of each socket, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;

/// What to ask, and whom.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) server: SocketAddrV4,
    pub(crate) request: Vec<u8>,
    pub(crate) sources: Sources,
}

/// The source addresses of the requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sources {
    /// The host's own.
    One,
    /// So many from this one on, in turn, one for each batch. The host must hold them.
    Many(Ipv4Addr, u32),
}

/// The result of a load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answered {
    pub(crate) answers: usize,
    pub(crate) time: Duration,
}

impl Answered {
    pub(crate) fn per_second(self) -> f64 {
        float(self.answers) / self.time.as_secs_f64()
    }
}

impl Load {
    /// Asks for so long, from the namespace of the calling thread.
    pub(crate) fn run(&self, time: Duration) -> io::Result<Answered> {
        let mut askers = (0..SOCKETS)
            .map(|_| Asker::new(self))
            .collect::<io::Result<Vec<_>>>()?;
        let mut turn = 0;
        let start = Instant::now();
        let (mut answers, mut last) = (0, start);
        loop {
            let now = Instant::now();
            if now - start >= time {
                let time = now - start;
                return Ok(Answered { answers, time });
            }
            for asker in &mut askers {
                asker.send(self.source(&mut turn))?;
                let received = asker.receive()?;
                if received > 0 {
                    (answers, last) = (answers + received, now);
                }
            }
            if now - last > PATIENCE {
                for asker in &mut askers {
                    asker.under_way = 0;
                }
                last = now;
            }
        }
    }

    /// The source of the next batch.
    fn source(&self, turn: &mut u32) -> Option<Ipv4Addr> {
        match self.sources {
            Sources::One => None,
            Sources::Many(first, count) => {
                *turn = (*turn + 1) % count;
                Some(Ipv4Addr::from_bits(first.to_bits() + *turn))
            }
        }
    }
}

/// A socket that asks.
struct Asker<'a> {
    socket: UdpSocket,
    request: &'a [u8],
    destinations: [Option<SockaddrIn>; WINDOW],
    under_way: usize,
    buffers: Vec<u8>,
    send: MultiHeaders<SockaddrIn>,
    receive: MultiHeaders<()>,
}

impl<'a> Asker<'a> {
    fn new(load: &'a Load) -> io::Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        // A connected socket has an address of its own, so it can't send from many.
        let control = match load.sources {
            Sources::One => {
                socket.connect(load.server)?;
                None
            }
            Sources::Many(..) => Some(cmsg_space!(in_pktinfo)),
        };
        let destination = control.is_some().then(|| load.server.into());
        Ok(Self {
            socket,
            request: &load.request,
            destinations: [destination; WINDOW],
            under_way: 0,
            buffers: vec![0; WINDOW * BUFFER_LEN],
            send: MultiHeaders::preallocate(WINDOW, control),
            receive: MultiHeaders::preallocate(WINDOW, None),
        })
    }

    /// Fills the window, if much of it is empty.
    fn send(&mut self, source: Option<Ipv4Addr>) -> io::Result<()> {
        let count = WINDOW - self.under_way;
        if count < BATCH {
            return Ok(());
        }
        let requests = [[IoSlice::new(self.request)]; WINDOW];
        let packet_info = source.map(|source| in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr {
                s_addr: source.to_bits().to_be(),
            },
            ipi_addr: in_addr { s_addr: 0 },
        });
        let packet_info = packet_info.as_ref().map(ControlMessage::Ipv4PacketInfo);
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut self.send,
            &requests[..count],
            &self.destinations[..count],
            packet_info.as_slice(),
            MsgFlags::MSG_DONTWAIT,
        );
        match sent {
            Ok(sent) => self.under_way += sent.count(),
            // The answers to a full buffer, or to a port that was closed.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR | Errno::ECONNREFUSED) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Takes the answers that are there. Returns how many.
    fn receive(&mut self) -> io::Result<usize> {
        let mut slices = self
            .buffers
            .chunks_exact_mut(BUFFER_LEN)
            .map(|buffer| [IoSliceMut::new(buffer)]);
        let mut slices: [[IoSliceMut<'_>; 1]; WINDOW] =
            std::array::from_fn(|_| slices.next().expect("there is a buffer for each"));
        let received = recvmmsg(
            self.socket.as_raw_fd(),
            &mut self.receive,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let received = match received {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        };
        let mut answers = 0;
        for datagram in received {
            let answer = datagram.iovs().next().unwrap_or_default();
            answers += usize::from(answer.starts_with(b"SERVER_IP:"));
        }
        self.under_way = self.under_way.saturating_sub(answers);
        Ok(answers)
    }
}
