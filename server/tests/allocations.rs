//! A running server allocates nothing for a datagram or a batch of them.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use udp_discovery_server::protocol::{Interface, InterfaceAddress};
use udp_discovery_server::{Arrival, Config, Datagram, Responder, Server};

/// How many requests are under way at once.
const WINDOW: usize = 32;

/// How many allocations a server makes from its start to its end, with `requests` answered between
/// and half as many other datagrams dropped.
fn allocations(requests: usize) -> u64 {
    let config = Config::default()
        .with_rate_limit(None)
        .with_kernel_filter(false);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::from_socket(socket, config).unwrap();
    let (address, control) = (server.local_addr(), server.control());
    thread::scope(|scope| {
        scope.spawn(|| {
            ask(address, requests);
            control.stop();
        });
        let allocated = measure(|| server.run().unwrap());
        assert_eq!(control.stats().answered(), requests as u64);
        allocated.count_total
    })
}

fn ask(server: SocketAddr, requests: usize) {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    for _ in 0..requests / WINDOW {
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

#[test]
fn a_decision_allocates_nothing() {
    let mut responder = Responder::new(Config::default(), 9999, [1, 2]);
    let mut eth0 = Interface::new("eth0", 2);
    let address = InterfaceAddress::new([192, 168, 1, 7].into(), 24).unwrap();
    eth0.addresses.push(address);
    responder.set_interfaces(vec![eth0]);
    let datagram = Datagram {
        payload: b"DISCOVER_SERVER",
        truncated: false,
        source: ([192, 168, 1, 20], 4000).into(),
        arrival: Arrival {
            interface: Some(2),
            ..Arrival::default()
        },
    };
    let now = Instant::now();
    let allocated = measure(|| {
        for _ in 0..1000 {
            let _ = std::hint::black_box(responder.handle_datagram(now, &datagram));
        }
    });
    assert_eq!(allocated.count_total, 0);
}
