//! What a search finds, and how it handles answers that are late, many, or false.

use std::net::UdpSocket;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use udp_discovery_client::AddressPolicy;
use udp_discovery_server::Config;
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{ENOUGH, FakeServer, Found, LENIENCE, Serving, lasting, next, pair, search};

/// Asserts that the search took the given time, and not much longer.
fn assert_on_time(found: &Found, milliseconds: u64) {
    let timeout = Duration::from_millis(milliseconds);
    assert!(found.elapsed >= timeout, "{:?}", found.elapsed);
    assert!(found.elapsed < timeout + LENIENCE, "{:?}", found.elapsed);
}

#[test]
fn several_servers_are_found_by_one_search_each_once() {
    lab::run(|| {
        let [client, hosts @ ..] = Lab::new().hosts([
            "10.77.1.1/24",
            "10.77.1.2/24",
            "10.77.1.3/24",
            "10.77.1.4/24",
            "10.77.1.5/24",
            "10.77.1.6/24",
        ]);
        let servers: Vec<_> = (8001..)
            .zip(&hosts)
            .map(|(port, host): (u16, _)| {
                Serving::on(host, Config::default().with_advertise_port(port))
            })
            .collect();
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(
            found.texts(),
            [
                "10.77.1.2:8001",
                "10.77.1.3:8002",
                "10.77.1.4:8003",
                "10.77.1.5:8004",
                "10.77.1.6:8005"
            ]
        );
        assert_on_time(&found, ENOUGH);
        for server in &found.servers {
            assert_eq!(server.ip, server.claimed_ip);
            assert_eq!(server.source, Some((server.ip, 9999).into()));
            assert_eq!(server.interface, "eth0");
        }
        drop(servers);
    });
}

#[test]
fn on_two_networks_a_server_is_listed_by_an_address_that_works_on_each() {
    lab::run(|| {
        let lab = Lab::new();
        let (client, server) = (lab.host("client"), lab.host("server"));
        for number in [1, 2] {
            let network = lab.network(&format!("net{number}"), &format!("10.77.{number}.0/24"));
            let interface = format!("eth{number}");
            client.join(&network, &interface, &format!("10.77.{number}.1/24"));
            server.join(&network, &interface, &format!("10.77.{number}.2/24"));
        }
        let _server = Serving::on(&server, Config::default());
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2", "10.77.2.2"]);
        for listed in &found.servers {
            let network = listed.interface.strip_prefix("eth").unwrap();
            assert_eq!(listed.to_string(), format!("10.77.{network}.2"));
            assert_eq!(listed.source.map(|it| it.ip()), Some(listed.ip));
        }
        // Asked on one network only, it is found there only.
        let found = search(&client, lasting(ENOUGH).with_interfaces(["eth2"]));
        assert_eq!(found.texts(), ["10.77.2.2"]);
    });
}

#[test]
fn a_server_on_the_same_host_is_found_with_a_network_and_without() {
    lab::run(|| {
        let [host, _] = pair();
        let _server = Serving::on(&host, Config::default());
        assert_eq!(search(&host, lasting(ENOUGH)).texts(), ["10.77.1.1"]);
        host.ip("link set eth0 down");
        assert_eq!(search(&host, lasting(ENOUGH)).texts(), ["127.0.0.1"]);
    });
}

/// FAULTS 17
#[test]
fn an_answer_that_comes_ten_thousand_times_is_one_server() {
    lab::run(|| {
        let [client, server] = pair();
        let mut answers = 10_000;
        let _server = FakeServer::on(&server, move |socket, client| {
            for _ in 0..std::mem::replace(&mut answers, 1) {
                socket.send_to(b"SERVER_IP:10.77.1.2:8000", client).unwrap();
            }
        });
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2:8000"]);
        assert_on_time(&found, ENOUGH);
        // Answers that don't fit the socket's buffer are lost.
        let counts = found.report.counts;
        assert_eq!(counts.accepted, 1);
        assert!((100..10_010).contains(&counts.duplicates), "{counts:?}");
    });
}

/// A host that, once asked, sends answers of different servers, one after each `pause`, until the
/// returned sender is dropped.
fn chatty(host: &Host, ip: &'static str, pause: Duration) -> (FakeServer, mpsc::Sender<()>) {
    let (stop, stopped) = mpsc::channel::<()>();
    let server = FakeServer::on(host, move |socket, client| {
        let mut port = 0_u16;
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            port = port.wrapping_add(1).max(1);
            // The client may be gone.
            let _ = socket.send_to(format!("SERVER_IP:{ip}:{port}").as_bytes(), client);
        }
    });
    (server, stop)
}

/// FAULTS 18
#[test]
fn a_host_that_keeps_talking_does_not_move_the_deadline() {
    lab::run(|| {
        let [client, slow, fast] =
            Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24", "10.77.1.3/24"]);
        let ms = Duration::from_millis;
        let (slow, stop_slow) = chatty(&slow, "10.77.1.2", ms(400));
        let (fast, stop_fast) = chatty(&fast, "10.77.1.3", ms(2));
        let found = search(&client, lasting(ENOUGH));
        assert_on_time(&found, ENOUGH);
        let from = |ip: &str| {
            let answers = found.servers.iter();
            answers.filter(|it| it.ip.to_string() == ip).count()
        };
        assert!((1..=2).contains(&from("10.77.1.2")));
        assert!(from("10.77.1.3") > 10);
        drop((stop_slow, stop_fast));
        drop((slow, fast));
    });
}

/// FAULTS 20, FAULTS 21
#[test]
fn an_address_that_is_not_the_source_is_judged_by_the_policy_and_told() {
    use AddressPolicy::{Auto, Claim, Match, Source};
    const SOURCE: &str = "10.77.1.2:8000";
    lab::run(|| {
        let [client, host] = pair();
        let cases: [(&str, &str, [Option<&str>; 4]); 3] = [
            // On the client's network, on none of its networks, the server's loopback.
            (
                "SERVER_IP:10.77.1.9:8000",
                "10.77.1.9",
                [
                    Some("10.77.1.9:8000"),
                    Some("10.77.1.9:8000"),
                    Some(SOURCE),
                    None,
                ],
            ),
            (
                "SERVER_IP:172.17.0.1:8000",
                "172.17.0.1",
                [Some(SOURCE), Some("172.17.0.1:8000"), Some(SOURCE), None],
            ),
            (
                "SERVER_IP:127.0.0.1:8000",
                "127.0.0.1",
                [Some(SOURCE), None, Some(SOURCE), None],
            ),
        ];
        for (answer, claim, used) in cases {
            let _server = FakeServer::saying(&host, answer);
            let policies = [Auto, Claim, Source, Match];
            let found = thread::scope(|scope| {
                let search = |policy| search(&client, lasting(ENOUGH).with_address_policy(policy));
                let searches = policies.map(|policy| scope.spawn(move || (policy, search(policy))));
                searches.map(|search| search.join().unwrap())
            });
            for ((policy, found), used) in found.into_iter().zip(used) {
                let used: Vec<_> = used.into_iter().collect();
                assert_eq!(found.texts(), used, "{answer} by {policy:?}");
                for server in &found.servers {
                    assert_eq!(server.claimed_ip.to_string(), claim);
                    assert_eq!(server.source, "10.77.1.2:9999".parse().ok());
                    assert_eq!(server.raw.as_deref(), Some(answer.as_bytes()));
                }
                let refused = found.report.counts.refused_address;
                assert_eq!(refused > 0, used.is_empty(), "{answer} by {policy:?}");
            }
        }
    });
}

/// FAULTS 21, FAULTS 22
#[test]
fn an_answer_without_a_hosts_address_or_a_valid_port_is_refused() {
    lab::run(|| {
        const CLAIMS: [&str; 12] = [
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "300.1.1.1",
            "01.2.3.4",
            "\u{661}.\u{662}.\u{663}.\u{664}",
            "10.77.1.2:0",
            "10.77.1.2:65536",
            "10.77.1.2:-1",
            "10.77.1.2:+80",
            "10.77.1.2:",
            "10.77.1.2:80808080808080808080",
        ];
        let [client, host] = pair();
        let _server = FakeServer::on(&host, |socket, client| {
            for claim in CLAIMS {
                let answer = format!("SERVER_IP:{claim}");
                socket.send_to(answer.as_bytes(), client).unwrap();
            }
            socket.send_to(b"SERVER_IP:10.77.1.2:80", client).unwrap();
        });
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2:80"]);
        let counts = found.report.counts;
        let answers = counts.accepted + counts.duplicates;
        // The search may end in the middle of the last batch.
        let malformed = CLAIMS.len() as u64;
        assert!(
            (answers * malformed..=(answers + 1) * malformed).contains(&counts.malformed),
            "{counts:?}"
        );
    });
}

/// FAULTS 23
#[test]
fn an_answer_to_an_earlier_search_is_not_seen_by_the_next() {
    lab::run(|| {
        let [client, host] = pair();
        let mut first = None;
        let (answered, seen) = mpsc::channel();
        let _server = FakeServer::on(&host, move |socket, client| {
            // The answer to the first search comes late, together with the second's.
            let first = *first.get_or_insert(client);
            if client != first {
                socket.send_to(b"SERVER_IP:10.77.1.2:1", first).unwrap();
                socket.send_to(b"SERVER_IP:10.77.1.2:2", client).unwrap();
                answered.send(()).unwrap();
            }
        });
        assert_eq!(search(&client, lasting(100)).texts(), [""; 0]);
        let found = search(&client, lasting(ENOUGH));
        next(&seen);
        assert_eq!(found.texts(), ["10.77.1.2:2"]);
    });
}

/// FAULTS 24
#[test]
fn an_answer_from_another_port_is_refused_and_counted_unless_it_is_allowed() {
    lab::run(|| {
        let [client, host] = pair();
        let other = host.run(|| UdpSocket::bind("10.77.1.2:5000")).unwrap();
        let _server = FakeServer::on(&host, move |_, client| {
            other.send_to(b"SERVER_IP:10.77.1.2", client).unwrap();
        });
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), [""; 0]);
        assert!(found.report.counts.wrong_source_port > 0);

        let found = search(&client, lasting(ENOUGH).with_any_source_port(true));
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert_eq!(found.servers[0].source.map(|it| it.port()), Some(5000));
    });
}
