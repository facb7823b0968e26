//! Real sockets, on loopback alone.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, DiscoverError};
use udp_discovery_protocol::Interface;

const MS: Duration = Duration::from_millis(1);

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(30);

/// How much later than its deadline a search may return on a machine that is busy.
const LENIENCE: Duration = Duration::from_millis(250);

/// A server on 127.0.0.1, in a thread that ends with it.
struct Server {
    socket: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that calls `answer` for each request, with its socket and the client's address.
    fn start(mut answer: impl FnMut(&UdpSocket, SocketAddr) + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listening = socket.try_clone().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            loop {
                let (len, client) = listening.recv_from(&mut buffer).unwrap();
                if client == address {
                    return; // told to stop
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

    /// A server that misses its first client: when the next one asks, both are answered, each
    /// with a port that tells it from the other.
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

    /// A server that, once asked, answers as another server each time, `pause` apart, until the
    /// sender that comes with it is dropped.
    fn chatty(pause: Duration) -> (Self, Sender<()>) {
        let (stop, stopped) = mpsc::channel();
        let server = Self::start(move |socket, client| {
            // Bounded, should the test fail to stop it.
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

    /// What a client of this server alone is told.
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

    fn client(&self, timeout: Duration) -> Client {
        Client::new(self.config(timeout))
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

/// Waits for `pause`: whether the other end was dropped meanwhile.
fn wait(stopped: &Receiver<()>, pause: Duration) -> bool {
    if pause.is_zero() {
        stopped.try_recv() == Err(TryRecvError::Disconnected)
    } else {
        stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected)
    }
}

fn send(socket: &UdpSocket, answer: &str, client: SocketAddr) {
    // The client may be gone, or slow.
    let _ = socket.send_to(answer.as_bytes(), client);
}

/// Asserts that a search of `timeout` took so long, and not much longer.
fn assert_on_time(start: Instant, timeout: Duration) {
    let elapsed = start.elapsed();
    assert!(elapsed >= timeout, "{elapsed:?}");
    assert!(elapsed < timeout + LENIENCE, "{elapsed:?}");
}

#[test]
fn a_server_is_found_once_however_often_it_answers() {
    let server = Server::repeating("SERVER_IP:127.0.0.1:8000");
    let start = Instant::now();
    let mut search = server.client(200 * MS).search().unwrap();
    let found: Vec<_> = search.by_ref().collect();
    assert_on_time(start, 200 * MS);

    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "127.0.0.1:8000");
    assert_eq!(found[0].source, server.socket.local_addr().unwrap());
    assert_eq!(&found[0].raw[..], b"SERVER_IP:127.0.0.1:8000");
    assert!(found[0].rtt < 200 * MS);
    let report = search.report();
    assert!((1..=3).contains(&report.links[0].probes_sent));
    assert_eq!(report.links[0].interface, found[0].interface);
    assert!(report.counts.duplicates >= 2);
    search.outcome().unwrap();
}

#[test]
fn that_nobody_answers_is_no_error() {
    let silent = Server::start(|_, _| ());
    let start = Instant::now();
    assert_eq!(silent.client(100 * MS).discover().unwrap(), []);
    assert_on_time(start, 100 * MS);
    assert_eq!(silent.client(10 * MS).discover_one().unwrap(), None);
}

#[test]
fn that_nobody_listens_is_no_error() {
    let server = Server::answering("SERVER_IP:127.0.0.1");
    let client = server.client(100 * MS);
    drop(server); // the system now refuses what is sent to its port
    let start = Instant::now();
    assert_eq!(client.discover().unwrap(), []);
    assert_on_time(start, 100 * MS);
}

#[test]
fn the_first_answer_ends_the_search_for_one() {
    let server = Server::answering("SERVER_IP:127.0.0.1:8000");
    let start = Instant::now();
    let found = server.client(LONG).discover_one().unwrap().unwrap();
    assert_eq!(found.to_string(), "127.0.0.1:8000");
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn a_chatty_server_does_not_move_the_deadline() {
    let (server, stop) = Server::chatty(20 * MS);
    let start = Instant::now();
    let found = server.client(500 * MS).discover().unwrap();
    assert_on_time(start, 500 * MS);
    assert!(!found.is_empty());
    drop(stop);
}

#[test]
fn a_flood_of_servers_neither_moves_the_deadline_nor_is_kept() {
    let (server, stop) = Server::chatty(Duration::ZERO);
    let config = server
        .config(300 * MS)
        .with_max_servers(100.try_into().unwrap());
    let start = Instant::now();
    let mut search = Client::new(config).search().unwrap();
    let found = search.by_ref().count();
    assert_on_time(start, 300 * MS);
    assert_eq!(found, 100);
    assert!(search.report().capped());
    drop(stop);
}

#[test]
fn an_answer_to_an_earlier_search_is_never_seen_by_the_next() {
    let server = Server::late();
    assert_eq!(server.client(20 * MS).discover().unwrap(), []);
    let found = server.client(LONG).discover_one().unwrap().unwrap();
    assert_eq!(found.to_string(), "127.0.0.1:2");
}

#[test]
fn an_answer_from_another_port_is_refused_unless_allowed() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::start(move |socket, client| {
        send(&other, "SERVER_IP:127.0.0.1:1", client);
        send(socket, "SERVER_IP:127.0.0.1:2", client);
    });
    let mut search = server.client(LONG).search().unwrap();
    assert_eq!(search.next().unwrap().to_string(), "127.0.0.1:2");
    assert_eq!(search.report().counts.wrong_source_port, 1);

    let config = server.config(LONG).with_any_source_port(true);
    let found = Client::new(config).discover_one().unwrap().unwrap();
    assert_eq!(found.to_string(), "127.0.0.1:1");
}

#[test]
fn a_datagram_longer_than_the_buffer_is_not_its_beginning() {
    let long = format!("SERVER_IP:127.0.0.1:1{}", " ".repeat(2000));
    let server = Server::start(move |socket, client| {
        send(socket, &long, client);
        send(socket, "SERVER_IP:127.0.0.1:2", client);
    });
    let mut search = server.client(LONG).search().unwrap();
    assert_eq!(search.next().unwrap().to_string(), "127.0.0.1:2");
    assert_eq!(search.report().counts.too_long, 1);
}

#[test]
fn a_caller_that_takes_its_time_still_gets_every_server() {
    let server = Server::start(|socket, client| {
        for number in 1..=50 {
            send(socket, &format!("SERVER_IP:127.0.0.1:{number}"), client);
        }
    });
    let config = server.config(200 * MS).with_probes(1.try_into().unwrap());
    let mut ports = HashSet::new();
    let search = Client::new(config).search().unwrap();
    let deadline = search.deadline();
    for server in search {
        ports.insert(server.port);
        if ports.len() == 2 {
            // The caller is busy until the deadline.
            while Instant::now() < deadline {
                thread::yield_now();
            }
        }
    }
    assert_eq!(ports.len(), 50);
}

#[test]
fn a_name_that_no_interface_has_is_an_error() {
    let config = Config::default().with_interfaces(["no such interface"]);
    match Client::new(config).discover() {
        Err(DiscoverError::NoSuchInterface { available }) => assert!(!available.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use udp_discovery_client::tokio::Client;

    use super::*;

    fn client(server: &Server, timeout: Duration) -> Client {
        Client::new(server.config(timeout))
    }

    #[tokio::test]
    async fn a_server_is_found_once_however_often_it_answers() {
        let server = Server::repeating("SERVER_IP:127.0.0.1:8000");
        let start = Instant::now();
        let mut search = client(&server, 200 * MS).search().unwrap();
        let found = search.next().await.unwrap();
        assert_eq!(found.to_string(), "127.0.0.1:8000");
        assert_eq!(search.next().await, None);
        assert_on_time(start, 200 * MS);
        assert!(search.report().counts.duplicates >= 2);
    }

    #[tokio::test]
    async fn the_first_answer_ends_the_search_for_one() {
        let server = Server::answering("SERVER_IP:127.0.0.1:8000");
        let start = Instant::now();
        let found = client(&server, LONG).discover_one().await.unwrap();
        assert_eq!(found.unwrap().to_string(), "127.0.0.1:8000");
        assert!(start.elapsed() < LONG / 2);
    }

    #[tokio::test]
    async fn a_chatty_server_does_not_move_the_deadline() {
        let (server, stop) = Server::chatty(20 * MS);
        let start = Instant::now();
        let found = client(&server, 500 * MS).discover().await.unwrap();
        assert_on_time(start, 500 * MS);
        assert!(!found.is_empty());
        drop(stop);
    }

    #[tokio::test]
    async fn a_flood_of_servers_neither_moves_the_deadline_nor_is_kept() {
        let (server, stop) = Server::chatty(Duration::ZERO);
        let config = server
            .config(300 * MS)
            .with_max_servers(100.try_into().unwrap());
        let start = Instant::now();
        let mut search = Client::new(config).search().unwrap();
        let mut found = 0;
        while search.next().await.is_some() {
            found += 1;
        }
        assert_on_time(start, 300 * MS);
        assert_eq!(found, 100);
        assert!(search.report().capped());
        drop(stop);
    }

    #[tokio::test]
    async fn an_answer_to_an_earlier_search_is_never_seen_by_the_next() {
        let server = Server::late();
        assert_eq!(client(&server, 20 * MS).discover().await.unwrap(), []);
        let found = client(&server, LONG).discover_one().await.unwrap();
        assert_eq!(found.unwrap().to_string(), "127.0.0.1:2");
    }

    #[tokio::test]
    async fn waiting_for_the_next_server_may_be_cancelled() {
        let (answer, may_answer) = mpsc::channel();
        let server = Server::start(move |socket, client| {
            if may_answer.recv().is_ok() {
                send(socket, "SERVER_IP:127.0.0.1:8000", client);
            }
        });
        let mut search = client(&server, LONG).search().unwrap();
        let cancelled = tokio::time::timeout(10 * MS, search.next()).await;
        assert!(cancelled.is_err());
        answer.send(()).unwrap();
        assert!(search.next().await.is_some());
        drop(answer);
    }
}
