//! The tokio face does what the blocking one does.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use udp_discovery_server::{Config, Control, Server, State, Stats};

const WRONG: [&[u8]; 8] = [
    b"",
    b"DISCOVER_SERVER\n",
    b"DISCOVER_SERVER\r\n",
    b"DISCOVER_SERVER\0",
    b"DISCOVER_SERVER ",
    b"discover_server",
    b"\xef\xbb\xbfDISCOVER_SERVER",
    b"SERVER_IP:127.0.0.1",
];

fn on_loopback() -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // What is wrong is to reach the server, which counts it.
    let config = Config::default().with_kernel_filter(false);
    Server::from_socket(socket, config).unwrap()
}

/// Sends what is wrong, then the request; returns every answer until the request's.
fn ask_wrongly_then_rightly(server: SocketAddr) -> Vec<u8> {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    for payload in WRONG {
        client.send(payload).unwrap();
    }
    client.send(b"DISCOVER_SERVER").unwrap();
    let mut answer = [0; 100];
    let len = client.recv(&mut answer).expect("the request is answered");
    client.set_nonblocking(true).unwrap();
    assert!(
        client.recv(&mut [0; 100]).is_err(),
        "one answer and no more"
    );
    answer[..len].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_faces_answer_and_drop_the_same() {
    let blocking = on_loopback().spawn().unwrap();
    let expected = ask_wrongly_then_rightly(blocking.local_addr());
    let expected_stats = without_interface_reads(&blocking.shutdown().unwrap());

    let server = on_loopback();
    let (control, address) = (server.control(), server.local_addr());
    let serving = tokio::spawn(server.serve());
    let answer = tokio::task::spawn_blocking(move || ask_wrongly_then_rightly(address));
    assert_eq!(answer.await.unwrap(), expected);
    control.stop();
    serving.await.unwrap().unwrap();
    assert_eq!(control.state(), State::Stopped);
    assert_eq!(without_interface_reads(&control.stats()), expected_stats);
}

/// The counts, but for how often the interfaces were read, which depends on other programs.
fn without_interface_reads(stats: &Stats) -> String {
    let text = stats.to_string();
    let counts = text
        .split(", ")
        .filter(|count| !count.starts_with("interface lists"));
    counts.collect::<Vec<_>>().join(", ")
}

/// The server has ended and its port is free: at once, but where it runs on a thread of tokio's
/// for blocking work, which takes a moment to notice.
fn assert_closed(control: &Control, address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while cfg!(not(unix)) && control.state() == State::Running && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(control.state(), State::Stopped);
    UdpSocket::bind(address).expect("the port is free");
}

#[tokio::test]
async fn a_dropped_future_closes_the_socket() {
    let server = on_loopback();
    let (control, address) = (server.control(), server.local_addr());
    let serving = tokio::time::timeout(Duration::from_millis(20), server.serve());
    assert!(serving.await.is_err(), "it serves until it is dropped");
    assert_closed(&control, address);
}

#[test]
fn a_dropped_runtime_closes_the_socket() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = on_loopback();
    let (control, address) = (server.control(), server.local_addr());
    runtime.spawn(server.serve());
    assert_eq!(ask_wrongly_then_rightly(address), b"SERVER_IP:127.0.0.1");
    drop(runtime);
    assert_closed(&control, address);
}

#[tokio::test]
async fn a_signal_stops_the_server_and_its_port_is_free() {
    let server = on_loopback();
    let (control, address) = (server.control(), server.local_addr());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_with_shutdown(async {
        let _ = stopped.await;
    }));
    let answer = tokio::task::spawn_blocking(move || ask_wrongly_then_rightly(address));
    assert_eq!(answer.await.unwrap(), b"SERVER_IP:127.0.0.1");
    assert_eq!(control.state(), State::Running);
    drop(stop);
    serving.await.unwrap().unwrap();
    assert_closed(&control, address);
}

#[tokio::test]
async fn a_control_stops_a_server_whose_signal_never_comes() {
    let server = on_loopback();
    let control = server.control();
    control.stop();
    let never = std::future::pending();
    server.serve_with_shutdown(never).await.unwrap();
    assert_eq!(control.state(), State::Stopped);
}
