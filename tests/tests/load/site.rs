//! A server, a client and an attacker on one network, while no other test runs.

use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_server::{Config, Handle, Server};
use udp_discovery_tests::lab::{self, Host, Lab};

pub(crate) const REQUEST: &[u8] = b"DISCOVER_SERVER";
/// The prefix length of the network, of which the tests' own addresses are a small part: the
/// room that forged sources on the link have.
pub(crate) const PREFIX_LEN: u8 = 8;

const ATTACKER: &str = "10.77.1.3";
const ADDRESS: &str = "10.77.1.1:9999";
/// How long a client waits for an answer: long enough on a busy machine that a missing answer is
/// lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a flood may last: far longer than 100 requests take on a busy machine.
pub(crate) const FLOOD_TIME: Duration = Duration::from_secs(20);

/// The hosts.
pub(crate) struct Site {
    pub(crate) server: Host,
    pub(crate) client: Host,
    pub(crate) attacker: Host,
}

/// Waits until no other test of this program runs, and keeps others waiting until it is dropped.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body`, a closure of the calling test, in the laboratory, while no other test runs.
pub(crate) fn run(body: impl FnOnce(&Site)) {
    let _turn = turn();
    let test = lab::test_name(&body);
    lab::run_within(lab::DEFAULT_TIME_LIMIT, test, || body(&Site::new()));
}

/// Asserts that the server answers 90 of 100 requests during one of up to three floods: other
/// programs may take the processors during one.
pub(crate) fn assert_served(mut served_during_a_flood: impl FnMut() -> u32) {
    assert!((0..3).any(|_| served_during_a_flood() >= 90));
}

/// Where the server is asked.
pub(crate) fn address() -> SocketAddrV4 {
    ADDRESS.parse().expect("it is an address")
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new();
        let network = lab.network("net0", "10.77.1.0/24");
        let host = |name: &str, address: &str| {
            let host = lab.host(name);
            host.join(&network, "eth0", &format!("{address}/{PREFIX_LEN}"));
            // The neighbour table is one for all namespaces of a machine: no forged source may
            // get an entry in it. All but the hosts is to be reached by the attacker, who
            // forwards nothing.
            host.ip("route add 10.77.1.0/24 dev eth0");
            host.ip(&format!("route delete 10.0.0.0/{PREFIX_LEN} dev eth0"));
            host
        };
        let site = Self {
            server: host("server", "10.77.1.1"),
            client: host("client", "10.77.1.2"),
            attacker: host("attacker", ATTACKER),
        };
        site.server
            .ip(&format!("route add 10.0.0.0/{PREFIX_LEN} via {ATTACKER}"));
        site
    }

    /// A server that runs on its host.
    pub(crate) fn serve(&self, config: Config) -> Handle {
        let start = || Server::bind(config).unwrap().spawn().unwrap();
        self.server.run(start)
    }

    /// A client that has been answered already, so that no address is left to be resolved.
    pub(crate) fn client(&self) -> Client {
        let client = Client::new(&self.client);
        let known = (0..100).any(|_| client.ask());
        assert!(known, "the server answers");
        client
    }
}

/// A client that asks one request after the other.
pub(crate) struct Client(UdpSocket);

impl Client {
    fn new(host: &Host) -> Self {
        let socket = host.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
        socket.connect(ADDRESS).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Asks once; whether an answer came in time.
    pub(crate) fn ask(&self) -> bool {
        self.forget_late_answers();
        self.0.send(REQUEST).expect("the network is up");
        self.0.recv(&mut [0; 64]).is_ok()
    }

    /// Sends 100 requests, at least `spacing` apart, and counts the answers. Gives up when more
    /// than ten are lost. 100 requests stay below the limit for each source.
    pub(crate) fn served(&self, spacing: Duration) -> u32 {
        let mut next = Instant::now();
        let mut lost = 0;
        for asked in 0..100 {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next = Instant::now() + spacing;
            lost += u32::from(!self.ask());
            if lost > 10 {
                return asked + 1 - lost;
            }
        }
        100 - lost
    }

    fn forget_late_answers(&self) {
        self.0.set_nonblocking(true).unwrap();
        let end = loop {
            if let Err(error) = self.0.recv(&mut [0; 64]) {
                break error;
            }
        };
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
        self.0.set_nonblocking(false).unwrap();
    }
}
