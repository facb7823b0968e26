//! Details on real sockets, on loopback only, for the blocking and the tokio search.
#![cfg(feature = "signed")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, fs, process};

use bytes::BytesMut;
use udp_discovery_client::protocol::{
    Codec, Details, EncodedDetails, Interface, Nonce, Response, RunId, SigningKey,
};
use udp_discovery_client::{Client, Config, DiscoverError, DiscoveredServer};

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(30);

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// A server on loopback with details, on a thread that ends when it is dropped.
struct Server {
    socket: UdpSocket,
    thread: Option<JoinHandle<()>>,
    nonces: Receiver<Nonce>,
}

impl Server {
    /// A server that is called `name`. With a key, its answers are signed.
    fn start(name: &str, key: Option<SigningKey>) -> Self {
        let codec = Codec::default();
        let id = self::key(key.as_ref().map_or(1, |_| 0)).id();
        let id = key.as_ref().map_or(id, SigningKey::id);
        let details = Details::new(id, RunId::new([1; 8]));
        let details = details.with_name(name).unwrap();
        let encoded = EncodedDetails::new(&details, &codec, key.is_some()).unwrap();
        let response = Response::new("127.0.0.1".parse().unwrap(), 8000.try_into().ok());

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listening = socket.try_clone().unwrap();
        let (sender, nonces) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 1024];
            loop {
                let (len, client) = listening.recv_from(&mut buffer).unwrap();
                if client == address {
                    return; // stopped by `drop`
                }
                let request = &buffer[..len];
                let mut answer = BytesMut::new();
                if let Ok(nonce) = codec.decode_details_request(request) {
                    let _ = sender.send(nonce);
                    codec.encode_details(response, nonce, &encoded, &mut answer);
                    if let Some(key) = &key {
                        key.sign(request, &mut answer);
                    }
                } else {
                    assert_eq!(request, b"DISCOVER_SERVER");
                    answer.extend_from_slice(b"SERVER_IP:127.0.0.1:8000");
                }
                let _ = listening.send_to(&answer, client);
            }
        });
        Self {
            socket,
            thread: Some(thread),
            nonces,
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The configuration of a client that asks only this server.
    fn config(&self) -> Config {
        let interfaces = Interface::list().unwrap();
        let loopback = interfaces.into_iter().find(|it| it.flags.loopback);
        Config::default()
            .with_port(self.address().port())
            .with_timeout(LONG)
            .with_first(true)
            .with_interfaces([loopback.expect("every host has one").name])
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

type Face = fn(Config) -> Result<Vec<DiscoveredServer>, DiscoverError>;

const FACES: &[Face] = &[
    |config| Client::new(config).discover(),
    #[cfg(feature = "tokio")]
    |config| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let client = Client::new(config);
        runtime.unwrap().block_on(client.discover_async())
    },
];

#[test]
fn a_server_says_who_it_is() {
    let server = Server::start("printer", None);
    for discover in FACES {
        let servers = discover(server.config().with_details(true)).unwrap();
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].to_string(), "127.0.0.1:8000");
        assert_eq!(servers[0].name.as_deref(), Some("printer"));
        assert_eq!(servers[0].endpoints.len(), 1);
        assert!(!servers[0].verified);

        let plain = discover(server.config()).unwrap();
        assert_eq!((plain.len(), plain[0].id), (1, None));
    }
}

#[test]
fn a_pinned_server_is_found_and_another_one_is_not() {
    let server = Server::start("printer", Some(key(9)));
    for discover in FACES {
        let found = discover(server.config().with_pinned_ids([key(9).id()])).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].verified);

        let config = server.config().with_pinned_ids([key(8).id()]);
        let found = discover(config.with_timeout(Duration::from_millis(200))).unwrap();
        assert!(found.is_empty());
    }
}

#[test]
fn fault_58_each_search_has_a_fresh_nonce() {
    let server = Server::start("printer", None);
    for discover in FACES {
        for _ in 0..3 {
            discover(server.config().with_details(true)).unwrap();
        }
    }
    let nonces: Vec<Nonce> = server.nonces.try_iter().collect();
    assert_eq!(nonces.len(), 3 * FACES.len());
    for (at, nonce) in nonces.iter().enumerate() {
        assert_ne!(nonce.random(), [0; 15]);
        let others = &nonces[at + 1..];
        assert!(others.iter().all(|it| it.random() != nonce.random()));
    }
}

#[test]
fn fault_65_a_server_is_known_from_the_first_search_and_replaced_by_nobody() {
    let server = Server::start("db", Some(key(9)));
    let impostor = Server::start("db", Some(key(8)));
    for (number, discover) in FACES.iter().enumerate() {
        let file = env::temp_dir().join(format!("details-{number}-{}", process::id()));
        let _ = fs::remove_file(&file);
        let known = |server: &Server| server.config().with_known_servers(&file);
        assert_eq!(discover(known(&server)).unwrap().len(), 1);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.ends_with(&format!("\n{} db\n", key(9).id())), "{text}");
        assert_eq!(discover(known(&server)).unwrap().len(), 1);

        let soon = known(&impostor).with_timeout(Duration::from_millis(200));
        let mut search = Client::new(soon.clone()).search().unwrap();
        assert_eq!(search.next().map(|it| it.name), None);
        assert_eq!(search.report().alarms.len(), 1);
        assert!(!search.report().alarms[0].known_answered);
        assert!(discover(soon).unwrap().is_empty());
        assert_eq!(fs::read_to_string(&file).unwrap(), text);

        fs::write(&file, "").unwrap();
        let error = discover(known(&server)).unwrap_err();
        assert!(matches!(error, DiscoverError::KnownServers { .. }));
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_file_of_known_servers_that_cannot_be_written_is_an_error_in_the_end() {
    let server = Server::start("db", Some(key(9)));
    let missing = env::temp_dir()
        .join(format!("missing-{}", process::id()))
        .join("known");
    for discover in FACES {
        let error = discover(server.config().with_known_servers(&missing)).unwrap_err();
        assert!(matches!(error, DiscoverError::KnownServers { .. }));
    }
}
