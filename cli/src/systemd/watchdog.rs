//! The watchdog (`sd_watchdog_enabled(3)`): as long as the server's event loop runs, systemd is
//! notified. If it isn't in time, it restarts the service.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use thiserror::Error;
use tracing::warn;
use udp_discovery_protocol::{Codec, MAX_DATAGRAM_LEN};
use udp_discovery_server::Control;

use super::notify::{is_wanted, notify};

/// How long the loop may take to receive a request.
const LIMIT: Duration = Duration::from_secs(1);
/// Into how many waits that time is divided: a flood may crowd out a request.
const TRIES: u32 = 4;
/// The shortest time between two checks, however impatient systemd is.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Checks a running server's event loop until it is dropped.
///
/// An idle loop sleeps, so it is woken by a request. What counts is that it receives one: whether
/// it answers is a question of limits.
#[derive(Debug)]
pub(crate) struct Watchdog {
    client: SocketAddr,
    /// Ends the thread when it is dropped.
    _running: Sender<Infallible>,
}

/// A watchdog that can't send would look like a server that hangs.
#[derive(Debug, Error)]
#[error("the watchdog cannot reach the server on {server}")]
pub(crate) struct Unreachable {
    server: SocketAddr,
    source: io::Error,
}

impl Watchdog {
    /// Starts to check the server that is bound to `server`, if systemd asks for it.
    pub(crate) fn start(
        server: SocketAddr,
        codec: &Codec,
        control: Control,
    ) -> Result<Option<Self>, Unreachable> {
        let Some(interval) = interval() else {
            return Ok(None);
        };
        let because = |source| Unreachable { server, source };
        let pulse = Pulse::new(server, codec, control, interval.min(LIMIT)).map_err(because)?;
        let client = pulse.socket.local_addr().map_err(because)?;
        let (running, stopped) = mpsc::channel();
        let alive = || notify(&[NotifyState::Watchdog]);
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || watch(&pulse, interval, &stopped, alive))
            .map_err(because)?;
        Ok(Some(Self {
            client,
            _running: running,
        }))
    }

    /// Where its requests come from.
    pub(crate) fn client(&self) -> SocketAddr {
        self.client
    }
}

/// How often to check: twice in the time that systemd waits (`sd_watchdog_enabled(3)`).
fn interval() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero() && is_wanted())?;
    Some((limit / 2).max(SHORTEST_INTERVAL))
}

/// Calls `alive` whenever the loop was found running, until `stopped` is closed.
fn watch(pulse: &Pulse, interval: Duration, stopped: &Receiver<Infallible>, alive: impl Fn()) {
    let mut next = Instant::now() + interval;
    while stopped.recv_timeout(next.saturating_duration_since(Instant::now()))
        == Err(RecvTimeoutError::Timeout)
    {
        next += interval;
        if pulse.beats() {
            alive();
        } else if !pulse.control.stop_requested() {
            warn!("watchdog: the server receives nothing");
        }
    }
}

const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// Finds out whether an event loop runs.
#[derive(Debug)]
struct Pulse {
    socket: UdpSocket,
    server: SocketAddr,
    request: Vec<u8>,
    control: Control,
    limit: Duration,
}

impl Pulse {
    fn new(
        server: SocketAddr,
        codec: &Codec,
        control: Control,
        limit: Duration,
    ) -> io::Result<Self> {
        let (local, ip): (IpAddr, IpAddr) = match server.ip() {
            // A broadcast reaches each server that shares the port.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
                (Ipv4Addr::LOCALHOST.into(), LOOPBACK_BROADCAST.into())
            }
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
            }
            ip => (ip, ip),
        };
        let address = SocketAddr::new(ip, server.port());
        let socket = UdpSocket::bind((local, 0))?;
        socket.set_broadcast(true)?;
        if ip == local {
            // The system reports a server that is gone only to a connected socket.
            socket.connect(address)?;
        }
        socket.set_read_timeout(Some(limit / TRIES))?;
        Ok(Self {
            socket,
            server: address,
            request: codec.message().as_bytes().to_vec(),
            control,
            limit,
        })
    }

    fn beats(&self) -> bool {
        let deadline = Instant::now() + self.limit;
        let before = self.control.stats().received();
        loop {
            let _ = self.socket.send_to(&self.request, self.server);
            // An answer only ends the wait. So does one to an earlier request.
            let received = self.socket.recv(&mut [0; MAX_DATAGRAM_LEN]);
            if self.control.stats().received() > before {
                return true;
            }
            let is_closed = received.is_err_and(|it| it.kind() == ErrorKind::ConnectionRefused);
            if is_closed || Instant::now() >= deadline {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use udp_discovery_server::{Config, Server};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn server() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Server::from_socket(socket, Config::default()).unwrap()
    }

    fn pulse(server: &Server, limit: Duration) -> Pulse {
        Pulse::new(
            server.local_addr(),
            &Codec::default(),
            server.control(),
            limit,
        )
        .unwrap()
    }

    #[test]
    fn a_loop_that_runs_beats_and_one_that_has_ended_does_not() {
        let server = server();
        let pulse = pulse(&server, PATIENCE);
        let server = server.spawn().unwrap();
        assert!(pulse.beats());
        assert!(pulse.beats());
        server.shutdown().unwrap();
        assert!(!pulse.beats());
    }

    #[test]
    fn a_loop_that_hangs_does_not_beat_and_goes_on() {
        let (release, hang) = mpsc::sync_channel::<()>(0);
        let server = server();
        let pulse = pulse(&server, Duration::from_millis(40));
        let server = server.on_event(move |_| {
            let _ = hang.recv();
        });
        let server = server.spawn().unwrap();
        // The first request is received, and its event handler hangs.
        let _ = pulse.beats();
        assert!(!pulse.beats());
        drop(release);
        pulse.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(pulse.beats());
        server.shutdown().unwrap();
    }

    /// Limits keep a server from answering, not from living.
    #[test]
    fn a_loop_that_may_not_answer_beats() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let one = udp_discovery_server::RateLimit::per_second(1.try_into().unwrap());
        let one = one.with_burst(1.try_into().unwrap());
        let config = Config::default().with_total_limit(Some(one));
        let server = Server::from_socket(socket, config).unwrap();
        let pulse = pulse(&server, Duration::from_secs(1));
        let server = server.spawn().unwrap();
        for _ in 0..3 {
            assert!(pulse.beats());
        }
        server.shutdown().unwrap();
    }

    #[test]
    fn systemd_is_notified_only_as_long_as_the_loop_runs() {
        let server = server();
        let pulse = pulse(&server, Duration::from_millis(40));
        let (running, stopped) = mpsc::channel();
        let (alive, beats) = mpsc::channel();
        let server = server.spawn().unwrap();
        let watching = thread::spawn(move || {
            watch(&pulse, SHORTEST_INTERVAL, &stopped, || {
                alive.send(()).unwrap();
            });
        });
        for _ in 0..3 {
            beats.recv_timeout(PATIENCE).unwrap();
        }
        server.shutdown().unwrap();
        // A beat that was on its way.
        while beats.recv_timeout(Duration::from_millis(200)).is_ok() {}
        drop(running);
        watching.join().unwrap();
    }
}
