//! A watch with real sockets, on loopback only. Every rule holds for the blocking and the tokio watch.

use std::net::{SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, DiscoverError, Family, WatchEvent, Watcher};
use udp_discovery_protocol::Interface;

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(30);

/// The longest interval between two rounds.
const LONGEST: Duration = Duration::from_secs(5);

/// A server on loopback that answers until it is dropped.
struct Server {
    socket: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let listening = socket.try_clone().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            loop {
                let (_, client) = listening.recv_from(&mut buffer).unwrap();
                if client == address {
                    return; // stopped by `drop`
                }
                // It may be a round that has ended.
                let _ = listening.send_to(b"SERVER_IP:127.0.0.1:8000", client);
            }
        });
        Self {
            socket,
            thread: Some(thread),
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.socket.send_to(b"stop", self.address()).unwrap();
        let result = self.thread.take().unwrap().join();
        if !thread::panicking() {
            result.unwrap();
        }
    }
}

/// A client that asks only on loopback.
fn client(port: u16) -> Client {
    let interfaces = Interface::list().unwrap().into_iter();
    let loopback = interfaces.filter(|interface| interface.flags.loopback);
    let config = Config::default()
        .with_port(port)
        .with_timeout(Duration::from_millis(200))
        .with_family(Family::V4)
        .with_interfaces(loopback.map(|interface| interface.name));
    Client::new(config)
}

/// Both faces of a watch.
enum Face {
    Blocking(Box<Watcher>),
    #[cfg(feature = "tokio")]
    Tokio(
        ::tokio::runtime::Runtime,
        Box<udp_discovery_client::tokio::Watcher>,
    ),
}

impl Face {
    fn all(client: &Client) -> Vec<Self> {
        vec![
            Self::Blocking(Box::new(client.watch().unwrap())),
            #[cfg(feature = "tokio")]
            Self::Tokio(
                ::tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap(),
                Box::new(client.watch_async().unwrap()),
            ),
        ]
    }

    fn next_timeout(&mut self, timeout: Duration) -> Option<WatchEvent> {
        match self {
            Self::Blocking(watch) => watch.next_timeout(timeout),
            #[cfg(feature = "tokio")]
            Self::Tokio(runtime, watch) => runtime.block_on(async {
                let next = ::tokio::time::timeout(timeout, watch.next());
                next.await.ok()
            }),
        }
    }

    /// The text of the next event.
    fn next(&mut self) -> String {
        let event = self.next_timeout(LONG).expect("something happens");
        let text = event.to_string();
        text.split(" on ").next().unwrap().to_owned()
    }

    fn servers(&self) -> Vec<String> {
        match self {
            Self::Blocking(watch) => watch.servers().map(ToString::to_string).collect(),
            #[cfg(feature = "tokio")]
            Self::Tokio(_, watch) => watch.servers().map(ToString::to_string).collect(),
        }
    }
}

#[test]
fn a_server_that_comes_goes_and_comes_back_is_noticed() {
    let server = Server::start(([127, 0, 0, 1], 0).into());
    let address = server.address();
    let mut faces = Face::all(&client(address.port()));
    for face in &mut faces {
        assert_eq!(face.next(), "appeared: 127.0.0.1:8000");
        assert_eq!(face.servers(), ["127.0.0.1:8000"]);
    }
    drop(server);
    for face in &mut faces {
        let start = Instant::now();
        assert_eq!(face.next(), "gone: 127.0.0.1:8000");
        assert!(start.elapsed() < 2 * LONGEST + Duration::from_secs(2));
        assert!(face.servers().is_empty());
    }
    let _server = Server::start(address);
    for face in &mut faces {
        assert_eq!(face.next(), "appeared: 127.0.0.1:8000");
    }
}

#[test]
fn a_call_with_a_timeout_returns_in_time_in_a_round_and_between_two() {
    let server = Server::start(([127, 0, 0, 1], 0).into());
    for mut face in Face::all(&client(server.address().port())) {
        assert_eq!(face.next(), "appeared: 127.0.0.1:8000");
        let start = Instant::now();
        for _ in 0..30 {
            assert!(face.next_timeout(Duration::from_millis(50)).is_none());
        }
        assert!(start.elapsed() >= Duration::from_millis(1500));
        assert!(start.elapsed() < LONG);
        assert_eq!(face.servers().len(), 1);
    }
}

#[test]
fn an_interface_that_is_not_there_is_an_event() {
    let config = Config::default().with_interfaces(["no-such-interface"]);
    for mut face in Face::all(&Client::new(config)) {
        let event = face.next_timeout(LONG);
        let Some(WatchEvent::Unavailable { error }) = event else {
            panic!("{event:?}");
        };
        assert!(matches!(error, DiscoverError::NoSuchInterface { .. }));
        assert!(face.next_timeout(Duration::from_millis(1500)).is_none());
    }
}

#[test]
fn a_watch_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Watcher>();
    #[cfg(feature = "tokio")]
    is_send::<udp_discovery_client::tokio::Watcher>();
}

/// A stream of the crates that know streams.
#[cfg(feature = "tokio")]
#[test]
fn a_watch_on_tokio_is_a_stream() {
    use futures_core::Stream;

    let server = Server::start(([127, 0, 0, 1], 0).into());
    let runtime = ::tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut watch = client(server.address().port()).watch_async().unwrap();
    let next = std::future::poll_fn(|context| std::pin::Pin::new(&mut watch).poll_next(context));
    let event = runtime.block_on(next);
    assert!(matches!(event, Some(WatchEvent::Appeared(_))));
}
