//! The watchdog (`sd_watchdog_enabled(3)`): as long as the server answers, systemd is told so; if
//! it isn't told in time, it starts the service again.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use thiserror::Error;
use tracing::{info, warn};
use udp_discovery_protocol::{Codec, MAX_DATAGRAM_LEN, Message};
use udp_discovery_server::Control;

use super::notify::{is_wanted, tell};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How often a request is sent within that time: in a flood one may be lost.
const TRIES: u32 = 4;
/// How long it waits from one check to the next at the least, however impatient systemd is.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Checks a running server again and again, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    client: SocketAddr,
    /// Its end is told by being dropped.
    _running: Sender<Infallible>,
}

/// A watchdog that can't ask would look like a server that doesn't answer.
#[derive(Debug, Error)]
#[error("the watchdog can't ask the server on {server}")]
pub(crate) struct CannotAsk {
    server: SocketAddr,
    source: io::Error,
}

impl Watchdog {
    /// Checks the server that is bound to `local_addr`, if systemd wants to be told. If not, there
    /// is no thread, and nothing wakes it.
    pub(crate) fn start(
        local_addr: SocketAddr,
        codec: &Codec,
        control: Control,
    ) -> Result<Option<Self>, CannotAsk> {
        let Some(interval) = interval() else {
            return Ok(None);
        };
        let server = reachable(local_addr);
        let because = |source| CannotAsk { server, source };
        let client = Client::connect(server, codec.clone(), interval.min(LIMIT));
        let client = client.map_err(because)?;
        let address = client.socket.local_addr().map_err(because)?;
        let (running, stopped) = mpsc::channel();
        let alive = || tell(&[NotifyState::Watchdog]);
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || watch(&client, interval, &control, &stopped, alive))
            .map_err(because)?;
        Ok(Some(Self {
            client: address,
            _running: running,
        }))
    }

    /// Where its requests come from.
    pub(crate) fn client(&self) -> SocketAddr {
        self.client
    }
}

/// Half the time after which systemd loses its patience, as `sd_watchdog_enabled(3)` recommends;
/// none, if it doesn't watch this process.
fn interval() -> Option<Duration> {
    let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())?;
    is_wanted().then(|| (patience / 2).max(SHORTEST_INTERVAL))
}

/// The address by which this host reaches a socket that is bound to `local_addr`.
fn reachable(local_addr: SocketAddr) -> SocketAddr {
    if local_addr.ip().is_unspecified() {
        return (Ipv4Addr::LOCALHOST, local_addr.port()).into();
    }
    local_addr
}

/// Calls `alive` whenever the server has answered, until `stopped` is closed.
fn watch(
    client: &Client,
    interval: Duration,
    control: &Control,
    stopped: &Receiver<Infallible>,
    alive: impl Fn(),
) {
    let mut answered = true;
    let mut next = Instant::now() + interval;
    let wait = |until: Instant| stopped.recv_timeout(until.duration_since(Instant::now()));
    while wait(next) == Err(RecvTimeoutError::Timeout) {
        next += interval;
        let before = control.stats().received();
        // Where it is kept from answering, by a limit in total, that it receives shows its life.
        let result = client.ask().or_else(|error| {
            let lives = control.stats().received() > before;
            if lives { Ok(()) } else { Err(error) }
        });
        let was_answered = std::mem::replace(&mut answered, result.is_ok());
        match result {
            Ok(()) => {
                alive();
                if !was_answered {
                    info!("watchdog: the server answers again");
                }
            }
            Err(error) if was_answered && !control.stop_requested() => {
                warn!("watchdog: no answer from the server: {error}");
            }
            Err(_) => {}
        }
    }
}

/// Asks the server as any client does: by its socket, through its filter and its responder.
#[derive(Debug)]
struct Client {
    socket: UdpSocket,
    codec: Codec,
}

impl Client {
    /// Has the server's answers, and no others, come to it, each within `limit`.
    fn connect(server: SocketAddr, codec: Codec, limit: Duration) -> io::Result<Self> {
        let socket = match server.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => {
                UdpSocket::bind((own_loopback_address(), 0)).or_else(|_| UdpSocket::bind((ip, 0)))
            }
            ip => UdpSocket::bind((ip, 0)),
        }?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(limit / TRIES))?;
        Ok(Self { socket, codec })
    }

    /// Whether the server answers as it should.
    fn ask(&self) -> io::Result<()> {
        self.discard_late_answers()?;
        let mut answer = [0; MAX_DATAGRAM_LEN];
        for _ in 0..TRIES {
            self.socket.send(self.codec.message().as_bytes())?;
            match self.socket.recv(&mut answer) {
                Ok(len) => return self.judge(&answer[..len]),
                // A signal ends the wait too.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// Those to the last check don't tell that the server answers now.
    fn discard_late_answers(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        // There are no more than were asked for, and an error that belongs to one.
        for _ in 0..=TRIES {
            let _ = self.socket.recv(&mut [0; MAX_DATAGRAM_LEN]);
        }
        self.socket.set_nonblocking(false)
    }

    fn judge(&self, answer: &[u8]) -> io::Result<()> {
        match self.codec.decode(answer) {
            Ok(Message::Response(_)) => Ok(()),
            Ok(Message::Request(_)) => Err(ErrorKind::InvalidData.into()),
            Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }
}

/// An address of the loopback network that other programs don't use, so that they can't use up
/// the answers that the server has for it.
fn own_loopback_address() -> Ipv4Addr {
    let [a, b, c, ..] = RandomState::new().hash_one(0).to_ne_bytes();
    // Neither the network's first addresses nor its last.
    Ipv4Addr::new(127, 64 | (a & 63), b, c)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use udp_discovery_server::{Config, Server};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn server() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Server::from_socket(socket, Config::default()).unwrap()
    }

    fn client(server: SocketAddr, limit: Duration) -> Client {
        Client::connect(server, Codec::default(), limit).unwrap()
    }

    #[test]
    fn a_server_that_runs_answers_and_one_that_has_ended_does_not() {
        let server = server().spawn().unwrap();
        let client = client(server.local_addr(), PATIENCE);
        client.ask().unwrap();
        client.ask().unwrap();
        server.shutdown().unwrap();
        let error = client.ask().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_server_that_hangs_does_not_answer() {
        let server = server();
        let client = client(server.local_addr(), Duration::from_millis(40));
        assert_eq!(client.ask().unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_late_answer_does_not_count() {
        let fake = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = client(fake.local_addr().unwrap(), Duration::from_millis(40));
        client.ask().unwrap_err();
        let asker = client.socket.local_addr().unwrap();
        for _ in 0..TRIES {
            fake.send_to(b"SERVER_IP:127.0.0.1", asker).unwrap();
        }
        assert_eq!(client.ask().unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_no_response_is_no_answer() {
        for wrong in ["", "DISCOVER_SERVER", "SERVER_IP:", "SERVER_IP:0.0.0.0"] {
            let fake = UdpSocket::bind("127.0.0.1:0").unwrap();
            let client = client(fake.local_addr().unwrap(), PATIENCE);
            let answers = thread::spawn(move || {
                let (_, asker) = fake.recv_from(&mut [0; 64]).unwrap();
                fake.send_to(wrong.as_bytes(), asker).unwrap();
            });
            let error = client.ask().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{wrong:?}");
            answers.join().unwrap();
        }
    }

    #[test]
    fn systemd_is_told_as_long_as_the_server_answers() {
        let server = server().spawn().unwrap();
        let client = client(server.local_addr(), PATIENCE);
        let control = server.control();
        let (running, stopped) = mpsc::channel();
        let (alive, told) = mpsc::channel();
        let watching = thread::spawn(move || {
            watch(&client, SHORTEST_INTERVAL, &control, &stopped, || {
                alive.send(()).unwrap();
            });
        });
        for _ in 0..3 {
            told.recv_timeout(PATIENCE).unwrap();
        }
        drop(running);
        watching.join().unwrap();
    }

    #[test]
    fn systemd_is_not_told_if_nobody_answers() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        silent.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = client(silent.local_addr().unwrap(), SHORTEST_INTERVAL);
        let control = server().control();
        let (running, stopped) = mpsc::channel();
        let watching = thread::spawn(move || {
            watch(&client, SHORTEST_INTERVAL, &control, &stopped, || {
                panic!("nobody has answered");
            });
        });
        for _ in 0..3 * TRIES {
            silent.recv(&mut [0; 64]).unwrap();
        }
        drop(running);
        watching.join().unwrap();
    }

    #[test]
    fn the_server_is_asked_where_it_is_bound() {
        let reached = |bound: &str| reachable(bound.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9999"), "127.0.0.1:9999");
        assert_eq!(reached("127.0.0.5:9999"), "127.0.0.5:9999");
        assert_eq!(reached("192.168.1.7:9999"), "192.168.1.7:9999");
    }
}
