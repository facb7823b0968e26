//! Starting and stopping on real sockets, all of them on loopback or with nothing sent.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use udp_discovery_server::compat::is_port_in_use;
use udp_discovery_server::protocol::{
    BufferSize, Codec, Details, Nonce, RunId, ServerId, Settings,
};
use udp_discovery_server::{BindError, Config, Counter, DropReason, Event, Handle, Server, State};

/// Far more than a stop needs, far less than a polling interval of the old packages.
const AT_ONCE: Duration = Duration::from_millis(250);

fn on_loopback() -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // What is wrong is to reach the server, which counts it.
    let config = Config::default().with_kernel_filter(false);
    Server::from_socket(socket, config).unwrap()
}

/// A socket that asks the server, and waits for answers for two seconds.
fn client(server: &Handle) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    client
}

fn ask(client: &UdpSocket) -> Option<String> {
    let mut answer = [0; 100];
    client.send(b"DISCOVER_SERVER").unwrap();
    let len = client.recv(&mut answer).ok()?;
    Some(String::from_utf8(answer[..len].to_vec()).unwrap())
}

/// A server on every address and a port that was free a moment ago.
fn bound() -> (Server, u16) {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        drop(socket);
        match Server::bind(Config::default().with_port(port)) {
            Ok(server) => return (server, port),
            Err(BindError::PortInUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_server_answers_until_it_is_shut_down() {
    let server = on_loopback().spawn().unwrap();
    let client = client(&server);
    assert_eq!(ask(&client).as_deref(), Some("SERVER_IP:127.0.0.1"));
    assert!(server.is_running());

    let control = server.control();
    let stopping = Instant::now();
    let stats = server.shutdown().unwrap();
    assert!(stopping.elapsed() < AT_ONCE);
    assert_eq!(control.state(), State::Stopped);
    assert_eq!((stats.received(), stats.answered()), (1, 1));
}

#[test]
fn dropping_the_handle_frees_the_port_at_once() {
    let (server, port) = bound();
    let server = server.spawn().unwrap();
    assert!(is_port_in_use(port, Ipv4Addr::UNSPECIFIED.into()).unwrap());
    drop(server);
    assert!(!is_port_in_use(port, Ipv4Addr::UNSPECIFIED.into()).unwrap());
}

#[test]
fn run_returns_when_it_is_stopped_before_or_while_it_runs() {
    let server = on_loopback();
    server.control().stop();
    server.run().unwrap();

    let server = on_loopback();
    let control = server.control();
    let thread = std::thread::spawn(|| server.run());
    control.stop();
    control.stop();
    thread.join().unwrap().unwrap();
    assert_eq!(control.state(), State::Stopped);
}

#[test]
fn a_taken_port_is_an_error_that_names_it_whoever_has_it() {
    let (first, port) = bound();
    let refused = || match Server::bind(Config::default().with_port(port)) {
        Err(BindError::PortInUse { port, .. }) => port,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(), port);
    drop(first);

    // One that would share the port, and one that has it on one address alone.
    for address in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
        let other = other.unwrap();
        other.set_reuse_address(true).unwrap();
        #[cfg(unix)]
        other.set_reuse_port(true).unwrap();
        let address = std::net::SocketAddr::from((address, port));
        other.bind(&address.into()).unwrap();
        assert_eq!(refused(), port);
    }
    assert!(Server::bind(Config::default().with_port(port)).is_ok());
}

#[test]
#[cfg(unix)]
fn nobody_shares_the_port_of_a_server() {
    let (server, port) = bound();
    for address in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
        let other = other.unwrap();
        other.set_reuse_address(true).unwrap();
        other.set_reuse_port(true).unwrap();
        let address = std::net::SocketAddr::from((address, port));
        assert!(other.bind(&address.into()).is_err());
    }
    drop(server);
}

#[test]
fn events_report_what_happens() {
    let (told, events) = mpsc::channel();
    let server = on_loopback().on_event(move |event| {
        let _ = told.send(match event {
            Event::Answered { client, .. } => format!("answered {}", client.port()),
            Event::Dropped { reason, .. } => format!("dropped {reason}"),
            other => format!("{other:?}"),
        });
    });
    let server = server.spawn().unwrap();
    let client = client(&server);
    client.send(b"DISCOVER_SERVER\n").unwrap();
    ask(&client).unwrap();
    let wait = Duration::from_secs(2);
    assert_eq!(
        events.recv_timeout(wait).unwrap(),
        "dropped not the request"
    );
    let port = client.local_addr().unwrap().port();
    assert_eq!(
        events.recv_timeout(wait).unwrap(),
        format!("answered {port}")
    );
    let stats = server.shutdown().unwrap();
    assert_eq!(stats.dropped(DropReason::NotRequest), 1);
}

#[test]
fn a_panic_in_the_event_handler_is_survived() {
    let server = on_loopback().on_event(|_| std::panic::resume_unwind(Box::new("no message")));
    let server = server.spawn().unwrap();
    let client = client(&server);
    assert!(ask(&client).is_some());
    assert!(ask(&client).is_some());
    let stats = server.shutdown().unwrap();
    assert_eq!(stats.counter(Counter::HandlerPanics), 2);
}

#[test]
#[cfg(target_os = "linux")]
fn what_arrived_before_the_socket_was_ours_is_dropped_and_what_comes_after_answered() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let early = UdpSocket::bind("127.0.0.1:0").unwrap();
    early
        .send_to(b"DISCOVER_SERVER", socket.local_addr().unwrap())
        .unwrap();
    let server = Server::from_socket(socket, Config::default()).unwrap();
    let server = server.spawn().unwrap();
    assert!(ask(&client(&server)).is_some());
    let stats = server.shutdown().unwrap();
    assert_eq!(stats.dropped(DropReason::NoPacketInfo), 1);
    assert_eq!(stats.answered(), 1);
}

#[test]
fn a_server_lists_its_response_on_each_interface() {
    let (server, _) = bound();
    let responses = server.responses().into_iter();
    let on_loopback = responses.filter(|(interface, _)| interface.flags.loopback);
    let texts: Vec<String> = on_loopback.map(|(_, it)| it.to_string()).collect();
    assert!(texts.contains(&"127.0.0.1".into()), "{texts:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_not_the_request_is_dropped_in_the_kernel_and_counted() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::from_socket(socket, Config::default()).unwrap();
    let server = server.spawn().unwrap();
    let client = client(&server);
    for junk in [
        &b""[..],
        b"DISCOVER_SERVER\n",
        b"DISCOVER_SERVE",
        b"discover_server",
    ] {
        client.send(junk).unwrap();
    }
    assert!(ask(&client).is_some());
    let stats = server.shutdown().unwrap();
    assert_eq!((stats.received(), stats.answered()), (1, 1));
    assert_eq!(stats.counter(Counter::KernelDrops), 4);
}

/// The kernel then reports more about each datagram than the headers had room for before.
#[test]
#[cfg(target_os = "linux")]
fn the_first_drop_in_the_kernel_loses_no_request() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::from_socket(socket, Config::default()).unwrap();
    let server = server.spawn().unwrap();
    let client = client(&server);
    assert!(ask(&client).is_some());
    client.send(b"junk").unwrap();
    assert!(ask(&client).is_some());
    assert!(ask(&client).is_some());
    let stats = server.shutdown().unwrap();
    assert_eq!((stats.received(), stats.answered()), (3, 3));
    assert_eq!(stats.counter(Counter::KernelDrops), 1);
}

#[test]
fn join_waits_for_a_server_that_another_thread_stops() {
    let server = on_loopback().spawn().unwrap();
    let control = server.control();
    let (joined, end) = mpsc::channel();
    let joining = std::thread::spawn(move || {
        server.join().unwrap();
        joined.send(()).unwrap();
    });
    let early = end.recv_timeout(Duration::from_millis(20));
    assert!(early.is_err(), "joining does not stop it");
    assert_eq!(control.state(), State::Running);
    control.stop();
    end.recv_timeout(Duration::from_secs(5)).unwrap();
    joining.join().unwrap();
    assert!(control.wait(Duration::ZERO));
}

#[test]
fn a_server_that_is_dropped_without_having_run_has_stopped() {
    let server = on_loopback();
    let control = server.control();
    assert_eq!(control.state(), State::Running);
    drop(server);
    assert_eq!(control.state(), State::Stopped);
}

#[test]
fn a_socket_that_no_request_can_come_by_is_refused() {
    let unbound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    let refused = Server::from_socket(unbound.into(), Config::default());
    assert!(matches!(refused, Err(BindError::Socket { .. })));
    // Where it is bound to every address of both families, IPv4 clients would get no answer.
    let Some(both) = ipv6_socket() else { return };
    if both.set_only_v6(false).is_ok() && both.bind(&any_ipv6(0)).is_ok() {
        let refused = Server::from_socket(both.into(), Config::default());
        assert!(matches!(refused, Err(BindError::Socket { .. })));
    }
}

/// A socket, or `None` on a host without IPv6.
fn ipv6_socket() -> Option<socket2::Socket> {
    UdpSocket::bind("[::1]:0").ok()?;
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
    socket.set_only_v6(true).unwrap();
    Some(socket)
}

fn any_ipv6(port: u16) -> socket2::SockAddr {
    std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)).into()
}

#[test]
fn a_server_answers_in_both_families_on_one_port() {
    if ipv6_socket().is_none() {
        return;
    }
    let (server, port) = bound();
    let families: Vec<_> = server
        .local_addrs()
        .iter()
        .map(std::net::SocketAddr::is_ipv4)
        .collect();
    assert_eq!(families, [true, false]);
    assert!(server.local_addrs().iter().all(|it| it.port() == port));
    let texts: Vec<_> = server
        .responses()
        .iter()
        .map(|it| it.1.to_string())
        .collect();
    assert!(texts.contains(&"127.0.0.1".into()) && texts.contains(&"[::1]".into()));
    let server = server.spawn().unwrap();
    for (host, answer) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]")] {
        let client = UdpSocket::bind(format!("{host}:0")).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        client.connect(format!("{host}:{port}")).unwrap();
        assert_eq!(ask(&client), Some(format!("SERVER_IP:{answer}")));
    }
    assert_eq!(server.shutdown().unwrap().answered(), 2);
}

#[test]
fn the_port_must_be_free_in_both_families_unless_ipv6_is_off() {
    let Some(other) = ipv6_socket() else { return };
    let (server, port) = bound();
    drop(server);
    other.bind(&any_ipv6(port)).unwrap();
    let config = Config::default().with_port(port);
    let taken = Server::bind(config.clone());
    assert!(
        matches!(taken, Err(BindError::PortInUse { .. })),
        "{taken:?}"
    );
    let server = Server::bind(config.with_ipv6(false)).unwrap();
    assert_eq!(server.local_addrs(), [server.local_addr()]);
    assert!(server.responses().iter().all(|it| it.1.ip().is_ipv4()));
}

#[test]
fn with_port_0_the_system_chooses_one_for_both_families() {
    let server = Server::bind(Config::default().with_port(0)).unwrap();
    let port = server.local_addr().port();
    assert_ne!(port, 0);
    assert!(server.local_addrs().iter().all(|it| it.port() == port));
}

#[test]
fn a_socket_of_either_family_is_served() {
    let Some(socket) = ipv6_socket() else { return };
    let loopback = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
    socket.bind(&loopback.into()).unwrap();
    let server = Server::from_socket(socket.into(), Config::default()).unwrap();
    let server = server.spawn().unwrap();
    let client = UdpSocket::bind("[::1]:0").unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    client.connect(server.local_addr()).unwrap();
    client.send(b"junk").unwrap();
    assert_eq!(ask(&client).as_deref(), Some("SERVER_IP:[::1]"));
    let stats = server.shutdown().unwrap();
    #[cfg(target_os = "linux")]
    assert_eq!(stats.counter(Counter::KernelDrops), 1);
    assert_eq!(stats.answered(), 1);
}

/// What a server with details answers to a client that asks for them on its port, by these addresses.
fn details_of(server: &Handle, hosts: &[IpAddr]) -> Vec<(ServerId, RunId)> {
    let codec = Codec::default();
    let (mut request, nonce) = (BytesMut::new(), Nonce::new([5; 15], 0));
    codec.encode_details_request(nonce, &mut request);
    let ask = |host: &IpAddr| {
        let client = UdpSocket::bind((*host, 0)).unwrap();
        let timeout = Some(Duration::from_secs(2));
        client.set_read_timeout(timeout).unwrap();
        let server = (*host, server.local_addr().port());
        client.connect(server).unwrap();
        client.send(&request[..511]).unwrap();
        client.send(&[&request[..], b" "].concat()).unwrap();
        client.send(&request).unwrap();
        let mut answer = [0; 1024];
        let len = client.recv(&mut answer).unwrap();
        let answer = codec.decode_details(&answer[..len]).unwrap();
        assert_eq!(answer.nonce, nonce);
        assert_eq!(answer.response.ip(), *host);
        (answer.id, answer.run)
    };
    hosts.iter().map(ask).collect()
}

#[test]
fn each_start_has_a_run_of_its_own_and_one_id_in_both_families_and_with_the_least_buffer() {
    let id = ServerId::new([7; 32]);
    let (mut runs, mut started) = (HashSet::new(), 0);
    for filtered in [true, false] {
        let settings = Settings::default().with_buffer_size(BufferSize::MIN);
        let config = Config::from(settings.with_port(0))
            .with_kernel_filter(filtered)
            .with_details(Details::new(id, RunId::new([0; 8])));
        for _ in 0..2 {
            let server = Server::bind(config.clone()).unwrap().spawn().unwrap();
            let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let hosts = &loopback[..server.local_addrs().len()];
            for (answered, run) in details_of(&server, hosts) {
                assert_eq!(answered, id);
                runs.insert(run);
            }
            started += 1;
            let stats = server.shutdown().unwrap();
            let asked = hosts.len() as u64;
            assert_eq!((stats.details_answered(), stats.answered()), (asked, 0));
            let in_kernel = filtered && cfg!(target_os = "linux");
            let dropped = if in_kernel { 0 } else { 2 * asked };
            assert_eq!(stats.dropped_in_total(), dropped, "{stats}");
            let reasons = [DropReason::DetailsLength, DropReason::TooLong];
            let counted: u64 = reasons.iter().map(|reason| stats.dropped(*reason)).sum();
            assert_eq!(counted, dropped, "{stats}");
        }
    }
    assert_eq!(runs.len(), started);
}

#[test]
fn details_that_do_not_fit_are_an_error_when_the_server_is_bound() {
    let details = Details::new(ServerId::new([7; 32]), RunId::new([0; 8]));
    let details = details.with_property("v", &"x".repeat(400)).unwrap();
    let config = Config::default().with_port(0).with_details(details);
    let error = Server::bind(config).unwrap_err();
    assert!(matches!(error, BindError::Details { .. }), "{error}");
    assert!(error.to_string().contains("bytes too many"), "{error}");
}

fn bound_to(ip: &str, port: u16) -> UdpSocket {
    UdpSocket::bind((ip, port)).unwrap()
}

#[test]
fn a_socket_of_each_family_makes_one_server_in_either_order() {
    if ipv6_socket().is_none() {
        return;
    }
    for ipv6_first in [false, true] {
        let v4 = bound_to("127.0.0.1", 0);
        let port = v4.local_addr().unwrap().port();
        // The port may be taken in the other family.
        let Ok(v6) = UdpSocket::bind(("::1", port)) else {
            continue;
        };
        let mut sockets = vec![v4, v6];
        if ipv6_first {
            sockets.reverse();
        }
        let server = Server::from_sockets(sockets, Config::default()).unwrap();
        assert!(server.local_addr().is_ipv4());
        let server = server.spawn().unwrap();
        for (ip, answer) in [
            ("127.0.0.1", "SERVER_IP:127.0.0.1"),
            ("::1", "SERVER_IP:[::1]"),
        ] {
            let client = bound_to(ip, 0);
            client
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            client.connect((ip, port)).unwrap();
            assert_eq!(ask(&client).as_deref(), Some(answer));
        }
        assert_eq!(server.shutdown().unwrap().answered(), 2);
    }
}

#[test]
fn no_socket_two_of_a_family_and_two_ports_are_refused() {
    let refused = |sockets: Vec<UdpSocket>| {
        let refused = Server::from_sockets(sockets, Config::default());
        assert!(matches!(refused, Err(BindError::Socket { .. })));
    };
    refused(vec![]);
    let v4 = || bound_to("127.0.0.1", 0);
    refused(vec![v4(), v4()]);
    if let Ok(v6) = UdpSocket::bind("[::1]:0") {
        let v4 = loop {
            let v4 = v4();
            if v4.local_addr().unwrap().port() != v6.local_addr().unwrap().port() {
                break v4;
            }
        };
        refused(vec![v4, v6]);
    }
}
