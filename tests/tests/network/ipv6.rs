//! The server on IPv6.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use udp_discovery_server::{Config, DropReason, Event, Server};
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{
    Asker, NEVER, REQUEST, Serving, answer_of, pair, two_networks, unfiltered, wait_until,
};

/// Whether the kernel has IPv6. Otherwise the test is skipped.
pub(crate) fn have_ipv6() -> bool {
    let have = std::fs::exists("/proc/net/if_inet6").unwrap_or(false);
    if !have {
        lab::skip("there is no IPv6");
    }
    have
}

/// A client's IPv6 socket on `host`, and the index of the interface that it asks on.
pub(crate) struct Asker6 {
    socket: UdpSocket,
    interface: u32,
}

impl Asker6 {
    /// At `ip`, an address of `interface`.
    pub(crate) fn at(host: &Host, interface: &str, ip: &str) -> Self {
        Self::at_port(host, interface, ip, 0)
    }

    pub(crate) fn at_port(host: &Host, interface: &str, ip: &str, port: u16) -> Self {
        let ip: Ipv6Addr = ip.parse().unwrap();
        let (socket, interface) = host.run(|| {
            let interface = if_nametoindex(interface).unwrap();
            let scope = if ip.is_unicast_link_local() {
                interface
            } else {
                0
            };
            let address = std::net::SocketAddrV6::new(ip, port, 0, scope);
            (UdpSocket::bind(address).unwrap(), interface)
        });
        let socket_ref = socket2::SockRef::from(&socket);
        socket_ref.set_multicast_if_v6(interface).unwrap();
        Self { socket, interface }
    }

    pub(crate) fn send(&self, to: &str) {
        let ip: Ipv6Addr = to.parse().unwrap();
        let to = std::net::SocketAddrV6::new(ip, 9999, 0, self.interface);
        self.socket.send_to(REQUEST, to).unwrap();
    }

    /// The next answer, and the address that it came from.
    pub(crate) fn answer(&self, patience: Duration) -> Option<(String, std::net::IpAddr)> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 128];
        let (len, source) = self.socket.recv_from(&mut buffer).ok()?;
        assert_eq!(source.port(), 9999);
        let text = std::str::from_utf8(&buffer[..len]).unwrap();
        Some((text.to_owned(), source.ip()))
    }

    pub(crate) fn ask(&self, to: &str) -> (String, std::net::IpAddr) {
        self.send(to);
        self.answer(crate::endpoints::SOON).expect("an answer")
    }
}

/// What a server at `ip` answers, and the address that it answers from.
pub(crate) fn answer6(ip: &str) -> (String, std::net::IpAddr) {
    (format!("SERVER_IP:[{ip}]"), ip.parse().unwrap())
}

/// Gives `interface` of `host` these addresses, which are used at once.
pub(crate) fn add(host: &Host, interface: &str, addresses: &[&str]) {
    for address in addresses {
        host.add_ipv6(interface, address);
    }
}

/// A server on `host`, and what it reports about IPv6.
fn reporting(host: &Host) -> (Serving, Receiver<String>) {
    let (sender, reports) = mpsc::channel();
    let server = host.run(|| Server::bind(Config::default())).unwrap();
    let server = server.on_event(move |event| {
        if let Event::Ipv6Unavailable { error } = event {
            let _ = sender.send(error.to_string());
        }
    });
    (Serving::run(host, server), reports)
}

/// FAULTS R41
#[test]
fn a_request_is_answered_from_and_with_the_address_that_it_reached_or_that_the_client_can_reach() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let [a, b] = pair();
        add(&a, "eth0", &["fd77::1/64", "fe80::77:1/64"]);
        add(&b, "eth0", &["fd77::2/64", "fd77::3/64", "fe80::77:2/64"]);
        for start in [Serving::on, Serving::on_tokio] {
            let server = start(&b, Config::default());
            let global = Asker6::at(&a, "eth0", "fd77::1");
            let local = Asker6::at(&a, "eth0", "fe80::77:1");
            assert_eq!(global.ask("fd77::2"), answer6("fd77::2"));
            assert_eq!(global.ask("fd77::3"), answer6("fd77::3"));
            assert_eq!(local.ask("fe80::77:2"), answer6("fe80::77:2"));
            let v4 = Asker::at(&a, "10.77.1.1:0");
            assert_eq!(v4.ask("10.77.1.255:9999"), answer_of("10.77.1.2"));
            wait_until("answers", || server.stats().answered() == 4);
            server.stop();
        }
    });
}

/// FAULTS R41
#[test]
fn a_source_off_the_link_is_not_answered_by_ipv6() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let [a, b] = pair();
        add(&a, "eth0", &["fd77:9::1/64"]);
        add(&b, "eth0", &["fd77::2/64"]);
        a.ip("route add fd77::/64 dev eth0");
        b.ip("route add default dev eth0");
        let server = Serving::on(&b, unfiltered());
        let dropped = |reason| server.stats().dropped(reason);
        let off_link = Asker6::at(&a, "eth0", "fd77:9::1");
        off_link.send("fd77::2");
        wait_until("a drop", || dropped(DropReason::OffLink) == 1);
        assert_eq!(off_link.answer(NEVER), None);
        assert_eq!(server.stop().answered(), 0);
    });
}

/// FAULTS R42
#[test]
fn clients_with_one_link_local_address_on_two_links_are_both_answered() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let (server, clients) = two_networks();
        for interface in ["eth1", "eth2"] {
            add(&server, interface, &["fe80::77:2/64"]);
        }
        let _server = Serving::on(&server, Config::default());
        let askers: Vec<_> = clients
            .iter()
            .map(|client| {
                add(client, "eth0", &["fe80::77:1/64"]);
                Asker6::at_port(client, "eth0", "fe80::77:1", 5000)
            })
            .collect();
        for _ in 0..3 {
            for asker in &askers {
                asker.send("fe80::77:2");
            }
            for asker in &askers {
                assert_eq!(
                    asker.answer(crate::endpoints::SOON),
                    Some(answer6("fe80::77:2"))
                );
                assert_eq!(asker.answer(Duration::from_millis(20)), None);
            }
        }
    });
}

/// FAULTS R44
#[test]
fn a_host_without_ipv6_addresses_is_served_on_ipv4_and_says_so_once() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let [a, b] = pair();
        b.run(|| {
            for scope in ["all", "default", "eth0"] {
                let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
                std::fs::write(path, "1").unwrap();
            }
        });
        let (server, reports) = reporting(&b);
        let asker = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(asker.ask("10.77.1.255:9999"), answer_of("10.77.1.2"));
        b.ip("address add 10.77.1.3/24 dev eth0");
        wait_until("another look at the interfaces", || {
            server
                .stats()
                .counter(udp_discovery_server::Counter::InterfaceReads)
                > 1
        });
        server.stop();
        let reports: Vec<_> = reports.iter().collect();
        assert_eq!(reports, ["no interface has an IPv6 address"]);
    });
}

/// FAULTS R44
#[test]
fn a_tentative_address_is_reported_and_served_once_it_is_ready() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let lab = Lab::new();
        let network = lab.network("net0", "10.77.1.0/24");
        let [a, b] = ["a", "b"].map(|name| lab.host(name));
        a.join(&network, "eth0", "10.77.1.1/24");
        add(&a, "eth0", &["fd77::1/64"]);
        b.join(&network, "eth0", "10.77.1.2/24");
        b.ip("address flush dev eth0 scope link");
        b.ip("address add fd77::2/64 dev eth0");
        let (server, reports) = reporting(&b);
        let v4 = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(v4.ask("10.77.1.255:9999"), answer_of("10.77.1.2"));
        let asker = Asker6::at(&a, "eth0", "fd77::1");
        let mut answer = None;
        wait_until("the address", || {
            asker.send("fd77::2");
            answer = asker.answer(Duration::from_millis(20));
            answer.is_some()
        });
        assert_eq!(answer, Some(answer6("fd77::2")));
        server.stop();
        assert_eq!(reports.iter().count(), 1);
    });
}

/// FAULTS R44
#[test]
fn with_ipv6_off_nothing_listens_on_it_and_nothing_is_reported() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let [_, b] = pair();
        let _server = Serving::on(&b, Config::default().with_ipv6(false));
        b.run(|| {
            let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9999));
            let other = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None);
            let other = other.unwrap();
            other.set_only_v6(true).unwrap();
            other.bind(&any.into()).unwrap();
        });
    });
}
