//! The addresses and prefixes that an interface may have, and what is answered there.

use std::fs::File;
use std::io;
use std::process::Command;

use udp_discovery_server::compat::server_ip;
use udp_discovery_server::{Allow, Config, DropReason};
use udp_discovery_tests::lab::raw::Datagram;
use udp_discovery_tests::lab::{self, Host, Lab, Process};

use crate::endpoints::{
    Asker, ENOUGH, REQUEST, SOON, Serving, answer_of, lasting, search, unfiltered, wait_until,
};

/// FAULTS 11
#[test]
fn two_addresses_are_a_network_without_a_broadcast_address() {
    lab::run(|| {
        let [a, b] = Lab::new().hosts(["10.77.1.0/31", "10.77.1.1/31"]);
        for (server, client, ip) in [(&b, &a, "10.77.1.1"), (&a, &b, "10.77.1.0")] {
            let serving = Serving::on(server, Config::default());
            assert_eq!(search(client, lasting(ENOUGH)).texts(), [ip]);
            let asker = Asker::at(client, "0.0.0.0:0");
            assert_eq!(asker.ask(&format!("{ip}:9999")), answer_of(ip));
            drop(serving);
        }
    });
}

/// FAULTS 11
#[test]
fn an_address_by_itself_is_a_network_of_nobody_else() {
    lab::run(|| {
        let [a, b] = Lab::new().hosts(["10.77.1.1/32", "10.77.1.2/32"]);
        // The kernels reach each other, but not by a route to a network on link.
        a.ip("route add default dev eth0");
        b.ip("route add default dev eth0");
        let server = Serving::on(&b, unfiltered());
        let nobody = search(&a, lasting(200));
        assert_eq!(nobody.texts(), [""; 0]);
        let asked: u32 = nobody.report.links.iter().map(|it| it.probes_sent).sum();
        wait_until("all of them", || {
            server.stats().dropped(DropReason::OffLink) == u64::from(asked)
        });
        assert_eq!(server.stop().answered(), 0);

        let allow = Allow::Networks(vec!["10.77.1.1/32".parse().unwrap()]);
        let _server = Serving::on(&b, unfiltered().with_allow(allow));
        assert_eq!(search(&a, lasting(ENOUGH)).texts(), ["10.77.1.2"]);
    });
}

/// FAULTS 11
#[test]
fn with_a_prefix_of_no_bits_everybody_is_on_the_link() {
    lab::run(|| {
        let [a, b] = Lab::new().hosts(["10.77.200.9/0", "10.77.1.2/0"]);
        // The kernel adds no route for such a network, and sends nothing without one.
        for host in [&a, &b] {
            host.ip("route add default dev eth0");
        }
        let server = Serving::on(&b, unfiltered());
        a.raw("eth0").send(&Datagram::new(
            "203.0.113.9:5000".parse().unwrap(),
            "255.255.255.255:9999".parse().unwrap(),
            REQUEST,
        ));
        let asker = Asker::at(&a, "10.77.200.9:0");
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        assert_eq!(server.stop().answered(), 2);

        let _server = Serving::on(&b, unfiltered());
        assert_eq!(search(&a, lasting(ENOUGH)).texts(), ["10.77.1.2"]);
    });
}

/// FAULTS 11
#[test]
fn each_of_several_addresses_of_an_interface_is_answered_from() {
    lab::run(|| {
        let [a, b] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"]);
        b.ip("address add 10.77.1.3/24 dev eth0");
        b.ip("address add 10.77.5.2/24 broadcast + dev eth0");
        b.ip("address add 10.77.6.2/16 broadcast + dev eth0");
        a.ip("address add 10.77.5.1/24 broadcast + dev eth0");
        let _server = Serving::on(&b, unfiltered());
        for (from, to, named) in [
            ("10.77.1.1", "10.77.1.2", "10.77.1.2"),
            ("10.77.1.1", "10.77.1.3", "10.77.1.3"),
            ("10.77.5.1", "10.77.5.2", "10.77.5.2"),
            ("10.77.1.1", "10.77.5.2", "10.77.5.2"),
            // The longest prefix counts: 10.77.6.2/16 has both networks in it.
            ("10.77.1.1", "10.77.1.255", "10.77.1.2"),
            ("10.77.5.1", "10.77.5.255", "10.77.5.2"),
            ("10.77.1.1", "255.255.255.255", "10.77.1.2"),
            ("10.77.5.1", "255.255.255.255", "10.77.5.2"),
        ] {
            let asker = Asker::at(&a, &format!("{from}:0"));
            let answer = asker.ask(&format!("{to}:9999"));
            assert_eq!(answer, answer_of(named), "{from} to {to}");
        }
        let found = search(&a, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2", "10.77.5.2"]);
    });
}

/// FAULTS 11
#[test]
fn an_address_with_a_label_belongs_to_its_interface() {
    lab::run(|| {
        let [a, b] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"]);
        // As `ifconfig eth0:1` makes it; getifaddrs(3) then gives the label for a name.
        b.ip("address add 10.77.5.2/24 broadcast + dev eth0 label eth0:1");
        b.ip("address add 10.77.6.2/24 broadcast + dev eth0 label eth0:2");
        let server = Serving::on(&b, unfiltered());
        for network in [1, 5, 6] {
            let from = format!("10.77.{network}.1");
            if network > 1 {
                a.ip(&format!("address add {from}/24 broadcast + dev eth0"));
            }
            let asker = Asker::at(&a, &format!("{from}:0"));
            let named = format!("10.77.{network}.2");
            for to in [&named, &format!("10.77.{network}.255")] {
                asker.send(REQUEST, &format!("{to}:9999"));
                wait_until("a decision", || {
                    let stats = server.stats();
                    stats.received() > 0
                        && stats.answered() + stats.dropped_in_total() == stats.received()
                });
                let stats = server.stats();
                assert_eq!(stats.dropped_in_total(), 0, "{from} to {to}: {stats}");
                assert_eq!(asker.answer(), answer_of(&named), "{from} to {to}");
            }
        }
    });
}

/// The device that makes point-to-point interfaces.
const TUN: &str = "/dev/net/tun";

/// Carries packets between two point-to-point interfaces, which it opens by their names.
const TUNNEL: &str = r#"
import fcntl, os, select, struct, sys
IFF_TUN, IFF_NO_PI, TUNSETIFF = 1, 0x1000, 0x400454ca
ends = []
for name in sys.argv[1:]:
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    ends.append(end)
print("ready", flush=True)
while True:
    for end in select.select(ends, [], [])[0]:
        packet = os.read(end, 65536)
        try:
            os.write(ends[end == ends[0]], packet)
        except OSError:
            pass  # the other end is down
"#;

/// Two hosts on a point-to-point link, and what carries its packets.
fn point_to_point() -> (Host, Host, Process) {
    let lab = Lab::new();
    let (a, b) = (lab.host("a"), lab.host("b"));
    let mut tunnel = Command::new("python3");
    tunnel.args(["-c", TUNNEL, "tun0", "tun1"]);
    let tunnel = a.spawn(tunnel);
    tunnel.wait_for_line("ready", SOON);
    let mut there = Command::new("sleep");
    there.arg("60");
    let there = b.spawn(there);
    a.ip(&format!("link set tun1 netns {}", there.id()));
    a.ip("address add 10.77.1.1 peer 10.77.1.2/32 dev tun0");
    b.ip("address add 10.77.1.2 peer 10.77.1.1/32 dev tun1");
    a.ip("link set tun0 up");
    b.ip("link set tun1 up");
    (a, b, tunnel)
}

/// FAULTS 11
#[test]
fn the_other_end_of_a_point_to_point_link_is_found() {
    if !lab::have("python3") {
        return lab::skip("`python3` is not installed");
    }
    match File::options().read(true).write(true).open(TUN) {
        // No package would help, so this is no failure in CI either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("skipped: this user may not open {TUN}");
            return;
        }
        Err(error) => return lab::skip(&format!("{TUN}: {error}")),
        Ok(_) => {}
    }
    lab::run(|| {
        let (a, b, _tunnel) = point_to_point();
        let _server = Serving::on(&b, Config::default());
        let found = search(&a, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert_eq!(found.servers[0].interface, "tun0");
    });
}

#[test]
fn without_a_default_route_the_servers_ip_is_that_of_a_real_interface() {
    lab::run(|| {
        let [a, b] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"]);
        let ip = |host: &Host| host.run(server_ip).unwrap().to_string();
        assert_eq!(ip(&b), "10.77.1.2");
        let _server = Serving::on(&b, Config::default());
        assert_eq!(search(&a, lasting(ENOUGH)).texts(), ["10.77.1.2"]);

        // With one it is the address there, whatever the order of the interfaces.
        let lab = Lab::new();
        b.join(&lab.network("net1", "10.77.2.0/24"), "eth1", "10.77.2.2/24");
        b.ip("route add default via 10.77.2.1");
        assert_eq!(ip(&b), "10.77.2.2");
        b.ip("route del default");
        b.ip("link set eth0 down");
        assert_eq!(ip(&b), "10.77.2.2");
        b.ip("link set eth1 down");
        assert_eq!(ip(&b), "127.0.0.1");
    });
}
