//! The endpoints of the tests: a server, a search, and a client and a server that are bare
//! sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::pthread::Pthread;
use nix::unistd::{Pid, gettid};
use udp_discovery_client::{Client, DiscoveredServer, Report};
use udp_discovery_server::{Config, Control, RunError, Server, State, Stats};
use udp_discovery_tests::lab::{self, Host, Lab};

pub(crate) const REQUEST: &[u8] = b"DISCOVER_SERVER";
/// Long enough for anything that should happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that nothing arrives, on a network without delay.
pub(crate) const NEVER: Duration = Duration::from_millis(150);
/// How much later than its deadline a search may return on a busy machine.
pub(crate) const LENIENCE: Duration = Duration::from_secs(2);
/// How long a search that must find something lasts, in milliseconds: long enough on a busy
/// machine.
pub(crate) const ENOUGH: u64 = 1000;

/// Whether one of these programs is missing, so that the test is skipped.
pub(crate) fn lacks(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !lab::have(program));
    if let Some(program) = missing {
        lab::skip(&format!("`{program}` is not installed"));
    }
    missing.is_some()
}

/// Two hosts, 10.77.1.1 and 10.77.1.2, on one network, with `eth0` each.
pub(crate) fn pair() -> [Host; 2] {
    Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"])
}

/// A host on the networks 10.77.1.0/24 and 10.77.2.0/24, as 10.77.1.2 on `eth1` and 10.77.2.2 on
/// `eth2`, and a host on each, as 10.77.1.1 and 10.77.2.1.
pub(crate) fn two_networks() -> (Host, [Host; 2]) {
    let lab = Lab::new();
    let on_both = lab.host("server");
    let on_one = [1, 2].map(|number| {
        let network = lab.network(&format!("net{number}"), &format!("10.77.{number}.0/24"));
        let host = lab.host(&format!("client{number}"));
        host.join(&network, "eth0", &format!("10.77.{number}.1/24"));
        let interface = format!("eth{number}");
        on_both.join(&network, &interface, &format!("10.77.{number}.2/24"));
        host
    });
    (on_both, on_one)
}

/// Without the kernel filter, so that the server itself counts everything that reaches it.
pub(crate) fn unfiltered() -> Config {
    Config::default().with_kernel_filter(false)
}

/// Waits until `done`, which it checks again and again.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// The processor time of a thread, given by its folder in /proc (proc(5), schedstat).
pub(crate) fn cpu_time(thread: &str) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap();
    let nanoseconds = text.split(' ').next().expect("the first of three numbers");
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

/// A running server.
pub(crate) struct Serving {
    control: Control,
    tid: Pid,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Serving {
    /// A server on `host`, on every address and port 9999, on a thread of its own.
    pub(crate) fn on(host: &Host, config: Config) -> Self {
        let server = host.run(|| Server::bind(config)).unwrap();
        Self::run(host, server)
    }

    /// Runs `server` on a thread of `host`.
    pub(crate) fn run(host: &Host, server: Server) -> Self {
        Self::start(host, server, Server::run)
    }

    /// As [`Self::on`], on a tokio runtime.
    pub(crate) fn on_tokio(host: &Host, config: Config) -> Self {
        let server = host.run(|| Server::bind(config)).unwrap();
        Self::start(host, server, |server| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime
                .enable_all()
                .build()
                .unwrap()
                .block_on(server.serve())
        })
    }

    fn start(host: &Host, server: Server, run: fn(Server) -> Result<(), RunError>) -> Self {
        let control = server.control();
        let (sender, tid) = mpsc::channel();
        let thread = host.spawn_thread(move || {
            sender.send(gettid()).unwrap();
            run(server)
        });
        Self {
            control,
            tid: tid.recv().unwrap(),
            thread: Some(thread),
        }
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn stats(&self) -> Stats {
        self.control.stats()
    }

    pub(crate) fn pthread(&self) -> Pthread {
        self.thread.as_ref().expect("it runs").as_pthread_t()
    }

    /// The processor time of its thread.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time(&format!("self/task/{}", self.tid))
    }

    /// How often its thread has waited (proc(5), status).
    pub(crate) fn waits(&self) -> u64 {
        let status = format!("/proc/self/task/{}/status", self.tid);
        let text = std::fs::read_to_string(status).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("each thread has it").trim().parse().unwrap()
    }

    /// Stops it and returns its counters.
    pub(crate) fn stop(mut self) -> Stats {
        self.control.stop();
        let thread = self.thread.take().expect("it runs");
        thread.join().expect("a server never panics").unwrap();
        assert_eq!(self.control.state(), State::Stopped);
        self.control.stats()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client: a bare socket.
pub(crate) struct Asker(UdpSocket);

impl Asker {
    /// On `host`, from `address`, such as `10.77.1.1:0`.
    pub(crate) fn at(host: &Host, address: &str) -> Self {
        let socket = host.run(|| UdpSocket::bind(address)).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&self, payload: &[u8], to: &str) {
        let sent = self.0.send_to(payload, to);
        assert_eq!(sent.unwrap(), payload.len(), "to {to}");
    }

    /// The next answer and its source address. Its source port is 9999.
    pub(crate) fn answer(&self) -> (String, IpAddr) {
        self.receive().expect("an answer")
    }

    pub(crate) fn ask(&self, to: &str) -> (String, IpAddr) {
        self.send(REQUEST, to);
        self.answer()
    }

    /// Asks once. Returns whether an answer comes within half a second.
    pub(crate) fn is_answered(&self, to: &str) -> bool {
        let patience = Duration::from_millis(500);
        self.0.set_read_timeout(Some(patience)).unwrap();
        self.send(REQUEST, to);
        let answer = self.receive();
        self.0.set_read_timeout(Some(SOON)).unwrap();
        answer.is_ok()
    }

    /// Asks until it is answered, and returns how long that took.
    pub(crate) fn ask_until_answered(&self, to: &str) -> ((String, IpAddr), Duration) {
        let start = Instant::now();
        self.0
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        while start.elapsed() < SOON {
            // This fails while the network is down.
            let _ = self.0.send_to(REQUEST, to);
            if let Ok(answer) = self.receive() {
                self.0.set_read_timeout(Some(SOON)).unwrap();
                return (answer, start.elapsed());
            }
        }
        panic!("no answer from {to}");
    }

    /// Asserts that nothing more arrives.
    pub(crate) fn hears_nothing(&self) {
        self.0.set_read_timeout(Some(NEVER)).unwrap();
        let heard = self.receive();
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        self.0.set_read_timeout(Some(SOON)).unwrap();
    }

    fn receive(&self) -> io::Result<(String, IpAddr)> {
        let mut buffer = [0; 128];
        let (len, source) = self.0.recv_from(&mut buffer)?;
        assert_eq!(source.port(), 9999);
        let text = std::str::from_utf8(&buffer[..len]).unwrap();
        Ok((text.to_owned(), source.ip()))
    }
}

/// The answer of a server at `ip`, and its source address.
pub(crate) fn answer_of(ip: &str) -> (String, IpAddr) {
    (format!("SERVER_IP:{ip}"), ip.parse().unwrap())
}

/// A server: a bare socket on port 9999, which sends the answers that the test chooses.
pub(crate) struct FakeServer {
    stop: SocketAddr,
    host: Host,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Calls `answer` for each plain request, with its socket and the client's address. There must be no
    /// other datagrams.
    pub(crate) fn on(
        host: &Host,
        mut answer: impl FnMut(&UdpSocket, SocketAddr) + Send + 'static,
    ) -> Self {
        Self::on_any(host, move |socket, request, client| {
            assert_eq!(request, REQUEST);
            answer(socket, client);
        })
    }

    /// Calls `answer` for each datagram.
    pub(crate) fn on_any(
        host: &Host,
        mut answer: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static,
    ) -> Self {
        let socket = host.run(|| UdpSocket::bind("0.0.0.0:9999")).unwrap();
        let thread = host.spawn_thread(move || {
            let mut buffer = [0; 513];
            loop {
                let (len, client) = socket.recv_from(&mut buffer).unwrap();
                match &buffer[..len] {
                    b"stop" => return,
                    request => answer(&socket, request, client),
                }
            }
        });
        Self {
            stop: "127.0.0.1:9999".parse().unwrap(),
            host: host.clone(),
            thread: Some(thread),
        }
    }

    /// Answers each request with `text`.
    pub(crate) fn saying(host: &Host, text: &'static str) -> Self {
        Self::on(host, move |socket, client| {
            socket.send_to(text.as_bytes(), client).unwrap();
        })
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        let stop = self.stop;
        self.host.run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"stop", stop).unwrap();
        });
        let result = self.thread.take().expect("it runs").join();
        if !thread::panicking() {
            result.unwrap();
        }
    }
}

/// The result of a search.
pub(crate) struct Found {
    pub(crate) servers: Vec<DiscoveredServer>,
    pub(crate) report: Report,
    pub(crate) elapsed: Duration,
}

impl Found {
    /// The servers as text, sorted.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    }
}

/// The configuration of a search with this timeout.
pub(crate) fn lasting(milliseconds: u64) -> udp_discovery_client::Config {
    udp_discovery_client::Config::default().with_timeout(Duration::from_millis(milliseconds))
}

/// Searches from `host`.
pub(crate) fn search(host: &Host, config: udp_discovery_client::Config) -> Found {
    host.run(|| {
        let start = Instant::now();
        let mut search = Client::new(config).search().unwrap();
        let servers = search.by_ref().collect();
        let elapsed = start.elapsed();
        search.outcome().unwrap();
        Found {
            servers,
            report: search.report().clone(),
            elapsed,
        }
    })
}

/// The next value of a channel.
pub(crate) fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(SOON).expect("an event")
}
