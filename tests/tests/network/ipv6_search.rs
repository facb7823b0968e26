//! Searches by IPv6 and by multicast, answered by bare sockets.

use std::net::UdpSocket;
use std::thread::JoinHandle;

use nix::net::if_::if_nametoindex;
use udp_discovery_client::Family;
use udp_discovery_client::protocol::{MULTICAST_V4, MULTICAST_V6};
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{ENOUGH, FakeServer, REQUEST, lasting, pair, search};
use crate::targets::targets;

/// A server on IPv6: a bare socket in the group, on port 9999.
struct Ipv6Server {
    host: Host,
    thread: Option<JoinHandle<()>>,
}

impl Ipv6Server {
    /// Answers each request by IPv6 with `answer`, from all of `interfaces`.
    fn saying(host: &Host, interfaces: &[&str], answer: &'static str) -> Self {
        let socket = host.run(|| {
            // It would hear IPv4 too.
            std::fs::write("/proc/sys/net/ipv6/bindv6only", "1").unwrap();
            let socket = UdpSocket::bind("[::]:9999").unwrap();
            for interface in interfaces {
                let index = if_nametoindex(*interface).unwrap();
                socket.join_multicast_v6(&MULTICAST_V6, index).unwrap();
            }
            socket
        });
        let thread = host.spawn_thread(move || {
            let mut buffer = [0; 64];
            loop {
                let (len, client) = socket.recv_from(&mut buffer).unwrap();
                if &buffer[..len] == b"stop" {
                    return;
                }
                assert_eq!(&buffer[..len], REQUEST);
                socket.send_to(answer.as_bytes(), client).unwrap();
            }
        });
        Self {
            host: host.clone(),
            thread: Some(thread),
        }
    }
}

impl Drop for Ipv6Server {
    fn drop(&mut self) {
        self.host.run(|| {
            let socket = UdpSocket::bind("[::1]:0").unwrap();
            socket.send_to(b"stop", "[::1]:9999").unwrap();
        });
        let _ = self.thread.take().expect("it runs").join();
    }
}

/// Gives `eth0` of each host a link-local address at once, without duplicate address detection.
pub(crate) fn with_ipv6<const N: usize>(hosts: [Host; N]) -> [Host; N] {
    for (number, host) in (1..).zip(&hosts) {
        give_ipv6(host, "eth0", number);
    }
    hosts
}

/// The only link-local address of the interface ends in `number`.
pub(crate) fn give_ipv6(host: &Host, interface: &str, number: u16) {
    host.ip(&format!("-6 address flush dev {interface}"));
    host.add_ipv6(interface, &format!("fe80::{number}/64"));
}

fn without_ipv4(host: &Host) {
    host.ip("-4 address flush dev eth0");
}

#[test]
fn where_there_is_ipv6_only_a_server_is_found_with_an_address_that_works() {
    lab::run(|| {
        let [client, server] = with_ipv6(pair());
        without_ipv4(&client);
        without_ipv4(&server);
        let _server = Ipv6Server::saying(&server, &["eth0"], "SERVER_IP:[fe80::2]:9999");
        for family in [Family::Auto, Family::V6, Family::Both] {
            let found = search(&client, lasting(ENOUGH).with_family(family));
            assert_eq!(found.texts(), ["[fe80::2%eth0]:9999"], "{family:?}");
            let address = found.servers[0].socket_addr().unwrap();
            let answers = client.run(|| {
                let socket = UdpSocket::bind("[::]:0").unwrap();
                socket.send_to(REQUEST, address).unwrap();
                socket.recv_from(&mut [0; 64]).is_ok()
            });
            assert!(answers);
        }
    });
}

#[test]
fn a_server_with_ipv6_only_is_found_from_a_host_with_both() {
    lab::run(|| {
        let [client, server] = with_ipv6(pair());
        without_ipv4(&server);
        let _server = Ipv6Server::saying(&server, &["eth0"], "SERVER_IP:[fe80::2]:9999");
        for (family, found) in [(Family::Auto, 1), (Family::Both, 1), (Family::V4, 0)] {
            let servers = search(&client, lasting(ENOUGH).with_family(family)).servers;
            assert_eq!(servers.len(), found, "{family:?}");
        }
    });
}

#[test]
fn a_server_with_both_is_listed_once_or_by_both_with_ipv4_first() {
    lab::run(|| {
        let [client, server] = with_ipv6(pair());
        let _ipv4 = FakeServer::saying(&server, "SERVER_IP:10.77.1.2:8000");
        let _ipv6 = Ipv6Server::saying(&server, &["eth0"], "SERVER_IP:[fe80::2]:8000");
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2:8000"]);
        let found = search(&client, lasting(ENOUGH).with_family(Family::Both));
        assert_eq!(found.texts(), ["10.77.1.2:8000", "[fe80::2%eth0]:8000"]);
        assert_eq!(found.report.links[0].local.to_string(), "10.77.1.1");
    });
}

/// FAULTS R42
#[test]
fn the_same_link_local_address_on_two_links_is_two_servers_that_both_work() {
    lab::run(|| {
        let lab = Lab::new();
        let client = lab.host("client");
        let servers = [1, 2].map(|number| {
            let network = lab.network(&format!("net{number}"), &format!("10.77.{number}.0/24"));
            let server = lab.host(&format!("server{number}"));
            server.join(&network, "eth0", &format!("10.77.{number}.2/24"));
            give_ipv6(&server, "eth0", 7);
            let interface = format!("eth{number}");
            client.join(&network, &interface, &format!("10.77.{number}.1/24"));
            give_ipv6(&client, &interface, 1);
            Ipv6Server::saying(&server, &["eth0"], "SERVER_IP:[fe80::7]:8000")
        });
        let found = search(&client, lasting(ENOUGH).with_family(Family::V6));
        // Either may answer first.
        let mut texts = found.texts();
        texts.sort_unstable();
        assert_eq!(texts, ["[fe80::7%eth1]:8000", "[fe80::7%eth2]:8000"]);
        drop(servers);
    });
}

#[test]
fn a_link_local_target_is_asked_on_its_interface() {
    lab::run(|| {
        let [client, server] = with_ipv6(pair());
        let _server = Ipv6Server::saying(&server, &["eth0"], "SERVER_IP:[fe80::2]:8000");
        let config = lasting(ENOUGH)
            .with_broadcast(false)
            .with_targets(targets(["fe80::2%eth0", "[fe80::2%eth0]:7777"]));
        let found = search(&client, config);
        assert_eq!(found.texts(), ["[fe80::2%eth0]:8000"]);
        let refused = found.report.targets.iter().map(|it| it.refused);
        assert_eq!(refused.collect::<Vec<_>>(), [0, 1]);
    });
}

/// FAULTS R44
#[test]
fn ipv6_that_is_off_or_tentative_leaves_ipv4_working() {
    lab::run(|| {
        let [client, server] = pair();
        let _server = FakeServer::saying(&server, "SERVER_IP:10.77.1.2");
        for (name, value) in [("dad_transmits", "100"), ("disable_ipv6", "1")] {
            let path = format!("/proc/sys/net/ipv6/conf/eth0/{name}");
            client.run(|| std::fs::write(&path, value).unwrap());
            if name == "dad_transmits" {
                client.ip("-6 address flush dev eth0");
                client.ip("address add fe80::1/64 dev eth0");
            }
            for family in [Family::Auto, Family::Both] {
                let found = search(&client, lasting(ENOUGH).with_family(family));
                assert_eq!(found.texts(), ["10.77.1.2"], "{name}");
                assert_eq!(found.report.links.len(), 1, "{name}");
            }
        }
    });
}

#[test]
fn the_ipv4_group_reaches_a_server_that_hears_nothing_else() {
    lab::run(|| {
        let [client, server] = pair();
        let socket = server.run(|| UdpSocket::bind((MULTICAST_V4, 9999)).unwrap());
        let own = "10.77.1.2".parse().unwrap();
        server.run(|| socket.join_multicast_v4(&MULTICAST_V4, &own).unwrap());
        let answers = server.run(|| UdpSocket::bind("10.77.1.2:9999").unwrap());
        let thread = server.spawn_thread(move || {
            let (_, client) = socket.recv_from(&mut [0; 64]).unwrap();
            answers.send_to(b"SERVER_IP:10.77.1.2", client).unwrap();
        });
        let config = lasting(ENOUGH).with_family(Family::V4);
        assert_eq!(search(&client, config.clone()).texts(), [""; 0]);
        let found = search(&client, config.with_multicast(true));
        assert_eq!(found.texts(), ["10.77.1.2"]);
        thread.join().unwrap();
    });
}
