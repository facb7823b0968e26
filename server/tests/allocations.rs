//! A running server allocates nothing for a datagram or a batch of them.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::BytesMut;
use udp_discovery_server::protocol::{
    Codec, Details, Interface, InterfaceAddress, Nonce, RunId, ServerId,
};
use udp_discovery_server::{Arrival, Config, Datagram, Responder, Server};

/// How many requests are under way at once.
const WINDOW: usize = 32;

/// How many allocations a server makes from its start to its end, with `requests` answered in each
/// family between and half as many other datagrams dropped.
fn allocations(requests: usize) -> u64 {
    let config = Config::default()
        .with_rate_limit(None)
        .with_kernel_filter(false);
    let server = Server::bind(config.with_port(0)).unwrap();
    let port = server.local_addr().port();
    let (hosts, control) = (hosts(&server), server.control());
    let stats = control.clone();
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            let clients = hosts.map(|host| client(host, port));
            for _ in 0..requests / WINDOW {
                clients.iter().for_each(ask_a_window);
            }
            control.stop();
        });
        let allocated = measure(|| server.run().unwrap());
        client.join().unwrap();
        assert_eq!(stats.stats().answered(), 2 * requests as u64);
        allocated.count_total
    })
}

/// Loopback in both families, or IPv4 twice on a host without IPv6.
fn hosts(server: &Server) -> [IpAddr; 2] {
    let v4 = IpAddr::from([127, 0, 0, 1]);
    match server.local_addrs().len() {
        1 => [v4, v4],
        _ => [v4, Ipv6Addr::LOCALHOST.into()],
    }
}

fn client(host: IpAddr, port: u16) -> UdpSocket {
    let client = UdpSocket::bind((host, 0)).unwrap();
    client.connect((host, port)).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client
}

fn ask_a_window(client: &UdpSocket) {
    for at in 0..WINDOW {
        client.send(b"DISCOVER_SERVER").unwrap();
        if at % 2 == 0 {
            client.send(b"something else").unwrap();
        }
    }
    for _ in 0..WINDOW {
        client
            .recv(&mut [0; 100])
            .expect("every request is answered");
    }
}

#[test]
fn a_running_server_allocates_nothing_for_a_datagram() {
    // What this thread allocates once.
    allocations(WINDOW);
    let few = allocations(WINDOW);
    assert!(few > 0, "it counts: a start lists the interfaces");
    let many = allocations(WINDOW * 200);
    // The interfaces may be read again meanwhile. An allocation for each batch would be 200 more.
    assert!(many < few + 100, "{few} {many}");
}

/// How many allocations `config` makes for 1,000 decisions about `payload`, all of them answers.
fn allocations_of_decisions(config: Config, payload: &[u8]) -> u64 {
    let mut responder = Responder::new(config, 9999, [1, 2]).unwrap();
    let mut eth0 = Interface::new("eth0", 2);
    let address = InterfaceAddress::new([192, 168, 1, 7].into(), 24).unwrap();
    eth0.addresses.push(address);
    responder.set_interfaces(vec![eth0]);
    let datagram = Datagram {
        payload,
        truncated: false,
        source: ([192, 168, 1, 20], 4000).into(),
        arrival: Arrival {
            interface: Some(2),
            ..Arrival::default()
        },
    };
    let start = Instant::now();
    let allocated = measure(|| {
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            let reply = responder.handle_datagram(now, &datagram);
            assert!(std::hint::black_box(reply).is_ok());
        }
    });
    allocated.count_total
}

fn details_request() -> BytesMut {
    let mut request = BytesMut::new();
    Codec::default().encode_details_request(Nonce::new([5; 15], 0), &mut request);
    request
}

#[test]
fn a_decision_allocates_nothing() {
    let plain = allocations_of_decisions(Config::default(), b"DISCOVER_SERVER");
    assert_eq!(plain, 0);
    let details = Details::new(ServerId::new([7; 32]), RunId::new([1; 8]))
        .with_name("printer")
        .unwrap();
    let config = Config::default().with_details(details);
    assert_eq!(allocations_of_decisions(config, &details_request()), 0);
}

#[cfg(feature = "signed")]
#[test]
fn a_signed_answer_allocates_nothing() {
    let key = udp_discovery_server::protocol::SigningKey::from_bytes(&[9; 32]);
    let config = Config::default().with_signing_key(key);
    assert_eq!(allocations_of_decisions(config, &details_request()), 0);
}
