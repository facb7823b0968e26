//! Real sockets, on loopback only. Every rule holds for the blocking and the tokio search.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, DiscoverError, DiscoveredServer, Report, Target};
use udp_discovery_protocol::Interface;

const MS: Duration = Duration::from_millis(1);

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(30);

/// How much later than its deadline a search may return on a machine that is busy.
const LENIENCE: Duration = Duration::from_millis(250);

/// A server on loopback, on a thread that ends when it is dropped.
struct Server {
    socket: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that calls `answer` for each request, with its socket and the client's address.
    fn start(answer: impl FnMut(&UdpSocket, SocketAddr) + Send + 'static) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), answer)
    }

    /// The same at another address.
    fn at(
        address: SocketAddr,
        mut answer: impl FnMut(&UdpSocket, SocketAddr) + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let listening = socket.try_clone().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            loop {
                let (len, client) = listening.recv_from(&mut buffer).unwrap();
                if client == address {
                    return; // stopped by `drop`
                }
                assert_eq!(&buffer[..len], b"DISCOVER_SERVER");
                answer(&listening, client);
            }
        });
        Self {
            socket,
            thread: Some(thread),
        }
    }

    /// A server that answers every request with `answer`.
    fn answering(answer: &'static str) -> Self {
        Self::start(move |socket, client| send(socket, answer, client))
    }

    /// A server that answers every request with `answer`, three times.
    fn repeating(answer: &'static str) -> Self {
        Self::start(move |socket, client| {
            for _ in 0..3 {
                send(socket, answer, client);
            }
        })
    }

    /// A server that answers its first client only when a second one asks. The two answers have
    /// different ports.
    fn late() -> Self {
        let mut first_client = None;
        Self::start(move |socket, client| {
            let first_client = *first_client.get_or_insert(client);
            if first_client != client {
                send(socket, "SERVER_IP:127.0.0.1:1", first_client);
                send(socket, "SERVER_IP:127.0.0.1:2", client);
            }
        })
    }

    /// A server that answers a request with one new server after another, with a `pause` between two,
    /// until the returned sender is dropped.
    fn chatty(pause: Duration) -> (Self, Sender<()>) {
        let (stop, stopped) = mpsc::channel();
        let server = Self::start(move |socket, client| {
            // Bounded in case the test does not stop it.
            for number in 0..1_000_000_u32 {
                if wait(&stopped, pause) {
                    return;
                }
                let [_, a, b, c] = number.to_be_bytes();
                send(socket, &format!("SERVER_IP:127.{a}.{b}.{c}"), client);
            }
        });
        (server, stop)
    }

    /// The configuration of a client that asks only this server.
    fn config(&self, timeout: Duration) -> Config {
        let loopback = Interface::list()
            .unwrap()
            .into_iter()
            .find(|interface| interface.flags.loopback)
            .expect("every host has a loopback interface");
        let port = self.socket.local_addr().unwrap().port();
        Config::default()
            .with_port(port)
            .with_timeout(timeout)
            .with_interfaces([loopback.name])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let address = self.socket.local_addr().unwrap();
        self.socket.send_to(b"stop", address).unwrap();
        let result = self.thread.take().unwrap().join();
        if !thread::panicking() {
            result.unwrap();
        }
    }
}

/// Waits for `pause`. Returns whether the sender was dropped.
fn wait(stopped: &Receiver<()>, pause: Duration) -> bool {
    if pause.is_zero() {
        stopped.try_recv() == Err(TryRecvError::Disconnected)
    } else {
        stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected)
    }
}

fn send(socket: &UdpSocket, answer: &str, client: SocketAddr) {
    // The client may be gone, or its buffer full.
    let _ = socket.send_to(answer.as_bytes(), client);
}

/// One of the two kinds of search.
#[derive(Clone, Copy, Debug)]
enum Face {
    Blocking,
    #[cfg(feature = "tokio")]
    Tokio,
}

const FACES: &[Face] = &[
    Face::Blocking,
    #[cfg(feature = "tokio")]
    Face::Tokio,
];

impl Face {
    fn search(self, config: Config) -> Search {
        match self {
            Self::Blocking => Search::Blocking(Client::new(config).search().unwrap()),
            #[cfg(feature = "tokio")]
            Self::Tokio => Search::tokio(config),
        }
    }

    fn discover(self, config: Config) -> Result<Vec<DiscoveredServer>, DiscoverError> {
        match self {
            Self::Blocking => Client::new(config).discover(),
            #[cfg(feature = "tokio")]
            Self::Tokio => runtime().block_on(Client::new(config).discover_async()),
        }
    }

    fn discover_one(self, config: Config) -> Option<DiscoveredServer> {
        match self {
            Self::Blocking => Client::new(config).discover_one().unwrap(),
            #[cfg(feature = "tokio")]
            Self::Tokio => {
                let one = runtime().block_on(Client::new(config).discover_one_async());
                one.unwrap()
            }
        }
    }
}

#[cfg(feature = "tokio")]
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A running search of either kind. The runtime runs only during a call of `next`.
enum Search {
    Blocking(udp_discovery_client::Search),
    #[cfg(feature = "tokio")]
    Tokio(udp_discovery_client::tokio::Search, tokio::runtime::Runtime),
}

impl Search {
    #[cfg(feature = "tokio")]
    fn tokio(config: Config) -> Self {
        let runtime = runtime();
        let search = runtime.block_on(async { Client::new(config).search_async().await.unwrap() });
        Self::Tokio(search, runtime)
    }

    fn report(&self) -> &Report {
        match self {
            Self::Blocking(search) => search.report(),
            #[cfg(feature = "tokio")]
            Self::Tokio(search, _) => search.report(),
        }
    }

    fn outcome(&self) -> Result<(), DiscoverError> {
        match self {
            Self::Blocking(search) => search.outcome(),
            #[cfg(feature = "tokio")]
            Self::Tokio(search, _) => search.outcome(),
        }
    }

    fn deadline(&self) -> Instant {
        match self {
            Self::Blocking(search) => search.deadline(),
            #[cfg(feature = "tokio")]
            Self::Tokio(search, _) => search.deadline(),
        }
    }
}

impl Iterator for Search {
    type Item = DiscoveredServer;

    fn next(&mut self) -> Option<DiscoveredServer> {
        match self {
            Self::Blocking(search) => search.next(),
            #[cfg(feature = "tokio")]
            Self::Tokio(search, runtime) => runtime.block_on(search.next()),
        }
    }
}

/// Asserts that a search took `timeout`, and not much longer.
fn assert_on_time(start: Instant, timeout: Duration) {
    let elapsed = start.elapsed();
    assert!(elapsed >= timeout, "{elapsed:?}");
    assert!(elapsed < timeout + LENIENCE, "{elapsed:?}");
}

#[test]
fn a_server_is_found_once_however_often_it_answers() {
    for &face in FACES {
        let server = Server::repeating("SERVER_IP:127.0.0.1:8000");
        let start = Instant::now();
        let mut search = face.search(server.config(200 * MS));
        let found: Vec<_> = search.by_ref().collect();
        assert_on_time(start, 200 * MS);

        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "127.0.0.1:8000");
        assert_eq!(found[0].source, server.socket.local_addr().ok());
        assert_eq!(
            found[0].raw.as_deref(),
            Some(&b"SERVER_IP:127.0.0.1:8000"[..])
        );
        assert!(found[0].rtt.unwrap() < 200 * MS);
        let report = search.report();
        assert!((1..=3).contains(&report.links[0].probes_sent));
        assert_eq!(report.links[0].interface, found[0].interface);
        assert!(report.counts.duplicates >= 2);
        search.outcome().unwrap();
    }
}

#[test]
fn that_nobody_answers_is_no_error() {
    for &face in FACES {
        let silent = Server::start(|_, _| ());
        let start = Instant::now();
        assert_eq!(face.discover(silent.config(100 * MS)).unwrap(), []);
        assert_on_time(start, 100 * MS);
        assert_eq!(face.discover_one(silent.config(10 * MS)), None);
    }
}

#[test]
fn that_nobody_listens_is_no_error() {
    for &face in FACES {
        let server = Server::answering("SERVER_IP:127.0.0.1");
        let config = server.config(100 * MS);
        drop(server); // the system now refuses what is sent to its port
        let start = Instant::now();
        assert_eq!(face.discover(config).unwrap(), []);
        assert_on_time(start, 100 * MS);
    }
}

#[test]
fn the_first_answer_ends_the_search_for_one() {
    for &face in FACES {
        let server = Server::answering("SERVER_IP:127.0.0.1:8000");
        let start = Instant::now();
        let found = face.discover_one(server.config(LONG)).unwrap();
        assert_eq!(found.to_string(), "127.0.0.1:8000");
        assert!(start.elapsed() < LONG / 2);
    }
}

#[test]
fn a_search_ends_when_it_has_what_it_was_to_find() {
    for &face in FACES {
        let server = Server::answering("SERVER_IP:127.0.0.1:8000");
        let config = server.config(LONG);
        for config in [
            config.clone().with_first(true),
            config.clone().with_expect(1.try_into().unwrap()),
            config.with_quiet_for(20 * MS),
        ] {
            let start = Instant::now();
            let found = face.discover(config).unwrap();
            assert_eq!(found.len(), 1);
            assert!(start.elapsed() < LONG / 2);
        }
    }
}

#[test]
fn a_target_is_found_by_its_address_and_by_its_name() {
    for &face in FACES {
        let server = Server::answering("SERVER_IP:127.0.0.1:8000");
        for host in ["127.0.0.1", "localhost"] {
            let port = server.socket.local_addr().unwrap().port();
            let target: Target = format!("{host}:{port}").parse().unwrap();
            let config = Config::default()
                .with_timeout(LONG)
                .with_first(true)
                .with_broadcast(false)
                .with_targets([target]);
            let mut search = face.search(config);
            let found = search.next().expect("it answers");
            assert_eq!(found.to_string(), "127.0.0.1:8000");
            assert_eq!(search.next(), None);
            assert_eq!(search.report().targets[0].answered, 1);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_target_that_refuses_is_in_the_report_and_the_search_goes_on() {
    for &face in FACES {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let refusing: Target = free.local_addr().unwrap().to_string().parse().unwrap();
        drop(free);
        let config = Config::default()
            .with_timeout(100 * MS)
            .with_broadcast(false)
            .with_targets([refusing]);
        let mut search = face.search(config);
        assert_eq!(search.next(), None);
        let report = search.report();
        let target = &report.targets[0];
        assert_eq!((target.asked, target.refused), (1, 1));
        assert_eq!(report.links[0].send_errors, 0);
        search.outcome().unwrap();
    }
}

#[test]
fn a_search_asks_from_its_source_port_which_no_other_search_shares() {
    for &face in FACES {
        let (sender, asked_from) = mpsc::channel();
        let server = Server::start(move |socket, client| {
            let _ = sender.send(client.port());
            send(socket, "SERVER_IP:127.0.0.1:8000", client);
        });
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = server.config(LONG).with_source_port(port);
        let mut search = face.search(config.clone());
        assert!(search.next().is_some());
        assert_eq!(asked_from.recv_timeout(LONG), Ok(port));

        let error = face.discover(config.clone()).unwrap_err();
        assert!(matches!(error, DiscoverError::SourcePortInUse { .. }));
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        drop(search);
        assert!(face.discover_one(config).is_some(), "it is free again");
    }
}

#[test]
fn a_chatty_server_does_not_move_the_deadline() {
    for &face in FACES {
        let (server, stop) = Server::chatty(20 * MS);
        let start = Instant::now();
        let found = face.discover(server.config(500 * MS)).unwrap();
        assert_on_time(start, 500 * MS);
        assert!(!found.is_empty());
        drop(stop);
    }
}

#[test]
fn a_flood_of_servers_neither_moves_the_deadline_nor_is_kept() {
    for &face in FACES {
        let (server, stop) = Server::chatty(Duration::ZERO);
        let config = server
            .config(300 * MS)
            .with_max_servers(100.try_into().unwrap());
        let start = Instant::now();
        let mut search = face.search(config);
        let found = search.by_ref().count();
        assert_on_time(start, 300 * MS);
        assert_eq!(found, 100);
        assert!(search.report().capped());
        drop(stop);
    }
}

#[test]
fn an_answer_to_an_earlier_search_is_never_seen_by_the_next() {
    for &face in FACES {
        let server = Server::late();
        assert_eq!(face.discover(server.config(20 * MS)).unwrap(), []);
        let found = face.discover_one(server.config(LONG)).unwrap();
        assert_eq!(found.to_string(), "127.0.0.1:2");
    }
}

#[test]
fn an_answer_from_another_port_is_refused_unless_allowed() {
    for &face in FACES {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Server::start(move |socket, client| {
            send(&other, "SERVER_IP:127.0.0.1:1", client);
            send(socket, "SERVER_IP:127.0.0.1:2", client);
        });
        let mut search = face.search(server.config(LONG));
        assert_eq!(search.next().unwrap().to_string(), "127.0.0.1:2");
        assert_eq!(search.report().counts.wrong_source_port, 1);

        let config = server.config(LONG).with_any_source_port(true);
        let found = face.discover_one(config).unwrap();
        assert_eq!(found.to_string(), "127.0.0.1:1");
    }
}

#[test]
fn a_datagram_longer_than_the_buffer_is_not_its_beginning() {
    for &face in FACES {
        let long = format!("SERVER_IP:127.0.0.1:1{}", " ".repeat(2000));
        let server = Server::start(move |socket, client| {
            send(socket, &long, client);
            send(socket, "SERVER_IP:127.0.0.1:2", client);
        });
        let mut search = face.search(server.config(LONG));
        assert_eq!(search.next().unwrap().to_string(), "127.0.0.1:2");
        assert_eq!(search.report().counts.too_long, 1);
    }
}

/// Defect D5.
#[test]
fn a_caller_that_is_busy_past_the_deadline_still_gets_every_server_that_answered_in_time() {
    for &face in FACES {
        let (more, wanted) = mpsc::channel::<()>();
        let (sent, all_sent) = mpsc::channel();
        let server = Server::start(move |socket, client| {
            send(socket, "SERVER_IP:127.0.0.1:1", client);
            if wanted.recv().is_ok() {
                for number in 2..=50 {
                    send(socket, &format!("SERVER_IP:127.0.0.1:{number}"), client);
                }
                sent.send(()).unwrap();
            }
        });
        let more = more; // dropped before the server, whose thread waits for it
        let config = server.config(200 * MS).with_probes(1.try_into().unwrap());
        let mut search = face.search(config);
        assert_eq!(search.next().unwrap().to_string(), "127.0.0.1:1");
        more.send(()).unwrap();
        all_sent.recv().unwrap();
        while Instant::now() < search.deadline() {
            thread::sleep(MS);
        }
        assert_eq!(search.count(), 49, "{face:?}");
    }
}

#[test]
fn a_name_that_no_interface_has_is_an_error() {
    for &face in FACES {
        let config = Config::default().with_interfaces(["no such interface"]);
        match face.discover(config) {
            Err(DiscoverError::NoSuchInterface { available }) => assert!(!available.is_empty()),
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use futures_core::Stream;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn waiting_for_the_next_server_may_be_cancelled() {
        let (answer, may_answer) = mpsc::channel();
        let server = Server::start(move |socket, client| {
            if may_answer.recv().is_ok() {
                send(socket, "SERVER_IP:127.0.0.1:8000", client);
            }
        });
        let answer = answer; // dropped before the server, whose thread waits for it
        let mut search = Client::new(server.config(LONG))
            .search_async()
            .await
            .unwrap();
        let cancelled = tokio::time::timeout(10 * MS, search.next()).await;
        assert!(cancelled.is_err());
        answer.send(()).unwrap();
        assert!(search.next().await.is_some());
    }

    /// Defect D6.
    #[tokio::test]
    async fn a_flood_of_new_servers_leaves_the_other_tasks_of_the_thread_their_share() {
        /// How many datagrams a search may receive before other tasks run.
        const PASS: u64 = 1024;

        let yields = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&yields);
        tokio::spawn(async move {
            loop {
                counting.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        let (server, stop) = Server::chatty(Duration::ZERO);
        let config = server
            .config(LONG)
            .with_max_servers(1_000_000.try_into().unwrap());
        let mut search = Client::new(config).search_async().await.unwrap();
        let (mut received, mut last_yield, mut received_then) = (0, 0, 0);
        while received < 16 * PASS {
            assert!(search.next().await.is_some());
            received = search.report().counts.accepted;
            let yielded = yields.load(Ordering::Relaxed);
            if yielded != last_yield {
                (last_yield, received_then) = (yielded, received);
            }
            let at_once = received - received_then;
            assert!(at_once <= PASS, "{at_once} of {received} at once");
        }
        drop(stop);
    }

    #[tokio::test]
    async fn a_search_is_a_stream() {
        let server = Server::answering("SERVER_IP:127.0.0.1:8000");
        let search = Client::new(server.config(100 * MS))
            .search_async()
            .await
            .unwrap();
        let mut search = pin!(search);
        let first = poll_fn(|context| search.as_mut().poll_next(context)).await;
        assert_eq!(first.unwrap().to_string(), "127.0.0.1:8000");
        let second = poll_fn(|context| search.as_mut().poll_next(context)).await;
        assert_eq!(second, None);
    }

    #[test]
    fn a_search_whose_runtime_is_gone_ends_at_once() {
        let silent = Server::start(|_, _| ());
        let first = runtime();
        let mut search = first.block_on(async {
            let client = Client::new(silent.config(LONG));
            client.search_async().await.unwrap()
        });
        drop(first);
        let start = Instant::now();
        assert_eq!(runtime().block_on(search.next()), None);
        assert!(start.elapsed() < LONG / 2);
        assert!(search.report().links[0].given_up.is_some());
    }
}

/// A network of loopback, in which some hosts answer and the others refuse. Linux holds all of
/// 127.0.0.0/8.
#[cfg(target_os = "linux")]
mod sweep {
    use std::fs;
    use std::path::PathBuf;

    use udp_discovery_client::{SweepReport, TimedOut};

    use super::*;

    const HOSTS: [u8; 3] = [5, 80, 254];

    struct Network {
        number: u8,
        servers: Vec<Server>,
    }

    impl Network {
        /// 127.77.`number`.0/24.
        fn new(number: u8) -> Self {
            let mut port = 0;
            let server = |host: u8| {
                let answer = format!("SERVER_IP:127.77.{number}.{host}:8000");
                let address = SocketAddr::from(([127, 77, number, host], port));
                let server =
                    Server::at(address, move |socket, client| send(socket, &answer, client));
                port = server.socket.local_addr().unwrap().port();
                server
            };
            let servers = HOSTS.map(server).into();
            Self { number, servers }
        }

        /// A search that asks only this network.
        fn config(&self) -> Config {
            let network = format!("127.77.{}.0/24", self.number);
            self.without_targets()
                .with_targets([network.parse::<Target>().unwrap()])
        }

        fn without_targets(&self) -> Config {
            Config::default()
                .with_port(self.servers[0].socket.local_addr().unwrap().port())
                .with_timeout(LONG)
                .with_broadcast(false)
        }

        fn names(&self) -> Vec<String> {
            let name = |host: &u8| format!("127.77.{}.{host}:8000", self.number);
            HOSTS.iter().map(name).collect()
        }
    }

    fn sorted(found: impl IntoIterator<Item = DiscoveredServer>) -> Vec<String> {
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|server| server.ip);
        found.iter().map(ToString::to_string).collect()
    }

    fn sweep(report: &Report) -> SweepReport {
        report.sweep.expect("there is a sweep")
    }

    /// A file that is removed at the end.
    struct Remembered(PathBuf);

    impl Remembered {
        fn new(name: &str) -> Self {
            let name = format!("remembered-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn lines(&self) -> usize {
            fs::read_to_string(&self.0).map_or(0, |text| text.lines().count())
        }
    }

    impl Drop for Remembered {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn every_host_of_a_network_that_answers_is_found_and_the_others_refuse() {
        for &face in FACES {
            let network = Network::new(1);
            let mut search = face.search(network.config().with_quiet_for(100 * MS));
            let found: Vec<_> = search.by_ref().collect();
            assert!(found.iter().all(|server| server.rtt.unwrap() < LENIENCE));
            assert_eq!(sorted(found), network.names());
            let report = search.report();
            let it = &report.targets[0];
            assert_eq!(
                (it.addresses, it.asked, it.answered, it.refused),
                (256, 256, 3, 253)
            );
            let it = sweep(report);
            assert_eq!(
                (it.addresses, it.asked, it.complete, it.no_room),
                (256, 256, true, 0)
            );
            assert!(
                (110 * MS..130 * MS).contains(&it.estimate),
                "{:?}",
                it.estimate
            );
            assert_eq!(report.links[0].send_errors, 0);
            search.outcome().unwrap();
        }
    }

    #[test]
    fn the_deadline_ends_a_sweep_and_the_report_says_so() {
        for &face in FACES {
            let network = Network::new(2);
            let config = network.config().with_pace(20.try_into().unwrap());
            let start = Instant::now();
            let mut search = face.search(config.with_timeout(200 * MS));
            assert_eq!(search.by_ref().count(), 0);
            assert_on_time(start, 200 * MS);
            let it = sweep(search.report());
            assert!((1..=4).contains(&it.asked), "{}", it.asked);
            assert!(!it.complete);
            assert_eq!(it.estimate, 12_800 * MS);
        }
    }

    #[test]
    fn what_answered_is_found_without_its_network_the_next_time() {
        for &face in FACES {
            let network = Network::new(3);
            let file = Remembered::new("next");
            let config = network.config().with_remember(&file.0);
            let found = face.discover(config.with_expect(3.try_into().unwrap()));
            assert_eq!(sorted(found.unwrap()), network.names());
            assert_eq!(file.lines(), 4);

            let config = network.without_targets().with_remember(&file.0);
            let mut search = face.search(config.with_expect(3.try_into().unwrap()));
            assert_eq!(sorted(search.by_ref()), network.names());
            let it = search.report().remembered.as_ref().unwrap();
            assert_eq!((it.addresses, it.asked, it.answered), (3, 3, 3));
            assert!(it.error.is_none());
        }
    }

    #[test]
    fn a_search_that_is_dropped_remembers_too() {
        for &face in FACES {
            let network = Network::new(4);
            let file = Remembered::new("dropped");
            let config = network.config().with_remember(&file.0);
            assert!(face.discover_one(config).is_some());
            assert!((2..=4).contains(&file.lines()));
        }
    }

    #[test]
    fn fault_48_a_file_that_cannot_be_used_is_a_warning_and_everything_is_found() {
        for &face in FACES {
            let network = Network::new(5);
            let config = network.config().with_remember(std::env::temp_dir());
            let mut search = face.search(config.with_expect(3.try_into().unwrap()));
            assert_eq!(sorted(search.by_ref()), network.names());
            assert!(search.report().remembered.as_ref().unwrap().error.is_some());
            search.outcome().unwrap();
        }
    }

    #[test]
    fn a_caller_that_waits_with_a_limit_gets_its_turn_and_loses_nothing() {
        let network = Network::new(6);
        let config = network.config().with_pace(200.try_into().unwrap());
        let mut search = Client::new(config.with_expect(3.try_into().unwrap()))
            .search()
            .unwrap();
        let (mut found, mut turns) = (Vec::new(), Vec::new());
        loop {
            match search.next_timeout(20 * MS) {
                Ok(Some(server)) => found.push(server),
                Ok(None) => break,
                Err(TimedOut) => turns.push(sweep(search.report()).asked),
            }
        }
        assert_eq!(sorted(found), network.names());
        assert!(turns.len() > 1 && turns.is_sorted(), "{turns:?}");
        assert_eq!(search.next_timeout(Duration::MAX), Ok(None));
    }
}
