//! The server's multicast groups.

use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process;
use std::sync::mpsc;
use std::time::Duration;

use udp_discovery_server::protocol::{MULTICAST_V4, MULTICAST_V6};
use udp_discovery_server::{Config, Event, Server};
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{Asker, REQUEST, Serving, answer_of, next, pair, unfiltered, wait_until};
use crate::ipv6::{Asker6, add, answer6, have_ipv6};

/// On how many interfaces of `host` the groups have members, in each family, and how many members
/// there are (proc(5)).
fn members(host: &Host) -> [Vec<u32>; 2] {
    host.run(|| {
        let read = |file| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
        let v4 = format!("{:08X}", u32::from_ne_bytes(MULTICAST_V4.octets()));
        let v6 = format!("{:032x}", MULTICAST_V6.to_bits());
        // The number of members is after the group's address.
        let counts = |text: String, group: &str| -> Vec<u32> {
            let lines = text.lines().filter_map(|line| line.split_once(group));
            let count = |(_, rest): (&str, &str)| rest.split_whitespace().next()?.parse().ok();
            lines.filter_map(count).collect()
        };
        [
            counts(read("igmp").unwrap(), &v4),
            counts(read("igmp6").unwrap_or_default(), &v6),
        ]
    })
}

/// FAULTS R43
#[test]
fn a_request_to_a_group_is_answered_by_unicast_from_our_address_there() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let [a, b] = pair();
        add(&a, "eth0", &["fd77::1/64", "fe80::77:1/64"]);
        add(&b, "eth0", &["fd77::2/64", "fe80::77:2/64"]);
        b.ip("address flush dev eth0 scope link");
        add(&b, "eth0", &["fe80::77:2/64"]);
        a.ip("route add 239.0.0.0/8 dev eth0");
        let group = MULTICAST_V6.to_string();
        for start in [Serving::on, Serving::on_tokio] {
            let server = start(&b, Config::default());
            let v4 = Asker::at(&a, "10.77.1.1:0");
            let (answer, _) = v4.ask_until_answered(&format!("{MULTICAST_V4}:9999"));
            assert_eq!(answer, answer_of("10.77.1.2"));
            for (from, named) in [("fd77::1", "fd77::2"), ("fe80::77:1", "fe80::77:2")] {
                let asker = Asker6::at(&a, "eth0", from);
                assert_eq!(asker.ask(&group), answer6(named));
            }
            assert_eq!(members(&b), [vec![1], vec![1]]);
            server.stop();
            wait_until("the end of the memberships", || {
                members(&b) == [vec![], vec![]]
            });
        }
    });
}

/// FAULTS R43
#[test]
fn groups_are_joined_again_on_interfaces_that_come_and_go() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let lab = Lab::new();
        let network = lab.network("net0", "10.77.1.0/24");
        let (a, b) = (lab.host("a"), lab.host("b"));
        a.join(&network, "eth0", "10.77.1.1/24");
        add(&a, "eth0", &["fd77::1/64"]);
        let _server = Serving::on(&b, Config::default());
        let asker = Asker6::at(&a, "eth0", "fd77::1");
        for _ in 0..3 {
            b.join(&network, "eth0", "10.77.1.2/24");
            add(&b, "eth0", &["fd77::2/64"]);
            wait_until("both groups", || members(&b) == [vec![1], vec![1]]);
            assert_eq!(asker.ask(&MULTICAST_V6.to_string()), answer6("fd77::2"));
            b.ip("link set eth0 down");
            b.ip("link set eth0 up");
            add(&b, "eth0", &["fd77::3/64"]);
            wait_until("both groups", || members(&b) == [vec![1], vec![1]]);
            b.ip("link del eth0");
            wait_until("no group", || members(&b) == [vec![], vec![]]);
        }
    });
}

/// An interface of a host that is deleted and made again, with its other end in another host.
struct Replaced<'a> {
    server: &'a Host,
    client: &'a Host,
    /// The network namespace of the client.
    far: File,
}

impl<'a> Replaced<'a> {
    fn new(server: &'a Host, client: &'a Host) -> Self {
        let far = client.run(|| File::open("/proc/thread-self/ns/net").unwrap());
        let replaced = Self {
            server,
            client,
            far,
        };
        server.ip_batch(&replaced.commands(77));
        replaced.set_up_client();
        replaced
    }

    /// The commands that make it, with this index.
    fn commands(&self, index: u32) -> String {
        let far = format!("/proc/{}/fd/{}", process::id(), self.far.as_raw_fd());
        format!(
            "link add eth1 index {index} type veth peer name eth1 netns {far}\n\
             address add 10.77.9.2/24 broadcast + dev eth1\n\
             address add fd79::2/64 dev eth1 nodad\n\
             link set eth1 up\n"
        )
    }

    /// Deletes it and makes it again in one go.
    fn replace(&self, index: u32) {
        let commands = self.commands(index);
        self.server.ip_batch(&format!("link del eth1\n{commands}"));
        self.set_up_client();
    }

    fn set_up_client(&self) {
        self.client.ip_batch(
            "address add 10.77.9.1/24 broadcast + dev eth1\n\
             address add fd79::1/64 dev eth1 nodad\n\
             link set eth1 up\n\
             route add 239.0.0.0/8 dev eth1\n",
        );
    }

    fn assert_is_answered(&self) {
        wait_until("both groups", || members(self.server) == [vec![1], vec![1]]);
        let v4 = Asker::at(self.client, "10.77.9.1:0");
        let (answer, _) = v4.ask_until_answered(&format!("{MULTICAST_V4}:9999"));
        assert_eq!(answer, answer_of("10.77.9.2"));
        let v6 = Asker6::at(self.client, "eth1", "fd79::1");
        assert_eq!(v6.ask(&MULTICAST_V6.to_string()), answer6("fd79::2"));
    }
}

/// FAULTS R43
#[test]
fn an_interface_that_is_replaced_by_one_of_its_name_and_index_or_another_is_joined_again() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let lab = Lab::new();
        let (a, b) = (lab.host("a"), lab.host("b"));
        let replaced = Replaced::new(&b, &a);
        let _server = Serving::on(&b, Config::default());
        replaced.assert_is_answered();
        for index in [77, 78, 77] {
            replaced.replace(index);
            replaced.assert_is_answered();
        }
    });
}

/// FAULTS R43
///
/// The server sees only the interface before and the one after.
#[test]
fn an_interface_that_is_replaced_while_the_server_is_busy_is_joined_again() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let lab = Lab::new();
        let (a, b) = (lab.host("a"), lab.host("b"));
        let replaced = Replaced::new(&b, &a);
        let (busy, is_busy) = mpsc::sync_channel(0);
        let (release, released) = mpsc::channel::<()>();
        let server = b.run(|| Server::bind(Config::default())).unwrap();
        let mut hold = Some((busy, released));
        let server = server.on_event(move |event| {
            if let Event::Answered { .. } = event
                && let Some((busy, released)) = hold.take()
            {
                busy.send(()).unwrap();
                let _ = released.recv();
            }
        });
        let _server = Serving::run(&b, server);
        wait_until("both groups", || members(&b) == [vec![1], vec![1]]);
        Asker::at(&a, "10.77.9.1:0").send(REQUEST, "10.77.9.2:9999");
        next(&is_busy);
        replaced.replace(77);
        assert_eq!(members(&b), [vec![], vec![]]);
        release.send(()).unwrap();
        replaced.assert_is_answered();
    });
}

/// FAULTS R43
#[test]
fn an_address_that_is_lost_and_comes_back_keeps_one_membership() {
    lab::run(|| {
        let [_, b] = pair();
        let _server = Serving::on(&b, Config::default().with_ipv6(false));
        // A leak would reach the limit of 20 for a socket.
        for _ in 0..30 {
            wait_until("the group", || members(&b)[0] == [1]);
            b.ip("address del 10.77.1.2/24 dev eth0");
            wait_until("no group", || members(&b)[0].is_empty());
            b.ip("address add 10.77.1.2/24 broadcast + dev eth0");
        }
        wait_until("the group", || members(&b)[0] == [1]);
    });
}

/// FAULTS R43
#[test]
fn more_memberships_than_the_system_allows_are_reported_and_the_rest_works() {
    lab::run(|| {
        let [a, b] = pair();
        let path = "/proc/sys/net/ipv4/igmp_max_memberships";
        b.run(|| fs::write(path, "1").unwrap());
        b.ip("link add eth1 type veth peer name peer1");
        b.ip("address add 10.77.9.1/24 dev eth1");
        b.ip("link set eth1 up");
        let (sender, reports) = mpsc::channel();
        let server = b.run(|| Server::bind(Config::default().with_ipv6(false)));
        let server = server.unwrap().on_event(move |event| {
            if let Event::MulticastUnavailable { .. } = event {
                let _ = sender.send(event.to_string());
            }
        });
        let server = Serving::run(&b, server);
        let report = next(&reports);
        assert!(
            report.contains("cannot join 239.255.39.15 on eth"),
            "{report}"
        );
        let asker = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(asker.ask("10.77.1.255:9999"), answer_of("10.77.1.2"));
        assert_eq!(members(&b)[0], [1]);
        server.stop();
        assert_eq!(reports.iter().count(), 0, "it is reported once");
    });
}

/// FAULTS R43
#[test]
fn with_multicast_off_a_group_is_not_joined_and_that_of_another_program_not_answered() {
    lab::run(|| {
        let [a, b] = pair();
        a.ip("route add 239.0.0.0/8 dev eth0");
        let server = Serving::on(&b, unfiltered().with_multicast(false));
        let other = b.run(|| {
            let other = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 9998)).unwrap();
            let ours = "10.77.1.2".parse().unwrap();
            other.join_multicast_v4(&MULTICAST_V4, &ours).unwrap();
            other
        });
        let asker = Asker::at(&a, "10.77.1.1:0");
        asker.send(REQUEST, &format!("{MULTICAST_V4}:9998"));
        asker.send(REQUEST, &format!("{MULTICAST_V4}:9999"));
        other
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        assert!(
            other.recv(&mut [0; 20]).is_ok(),
            "the group reaches the host"
        );
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        assert_eq!(server.stop().received(), 1);
    });
}
