//! Who is answered: sources that are forged, and sources from elsewhere.

use std::fs;

use udp_discovery_server::{Allow, Counter, DropReason};
use udp_discovery_tests::lab::raw::Datagram;
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{Asker, REQUEST, Serving, answer_of, pair, unfiltered, wait_until};

/// Has `b` get the request from `source` as a broadcast and as a unicast, and then tells why it
/// was dropped each time; none of a time that the kernel dropped it first.
fn dropped(a: &Host, b: &Host, source: &str) -> Vec<DropReason> {
    let server = Serving::on(b, unfiltered());
    let attacker = a.raw("eth0");
    let victim = b.raw("eth0").mac();
    let datagram = |destination: &str| {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Datagram::new(source, destination, REQUEST)
    };
    attacker.send(&datagram("255.255.255.255:9999"));
    attacker.send(&datagram("10.77.1.2:9999").with_mac(victim));
    // Datagrams keep their order on this network: with this answer all is decided.
    let asker = Asker::at(a, "10.77.1.1:0");
    assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
    let stats = server.stop();
    assert_eq!(stats.answered(), 1, "{source}: {stats}");
    assert_eq!(stats.received(), stats.dropped_in_total() + 1);
    let reasons = DropReason::ALL.iter().flat_map(|&reason| {
        let count = usize::try_from(stats.dropped(reason)).unwrap();
        std::iter::repeat_n(reason, count)
    });
    reasons.collect()
}

/// Switches on what the kernel doesn't let in or through by itself.
fn allow(host: &Host, setting: &str) {
    host.run(|| fs::write(format!("/proc/sys/net/ipv4/conf/all/{setting}"), "1").unwrap());
}

/// FAULTS 8
#[test]
fn a_source_that_no_client_has_is_dropped() {
    use DropReason::{SourceNotAHost, SourcePortZero};
    lab::run(|| {
        let [a, b] = pair();
        // In the end: how often the kernel lets it through, as a broadcast and as a unicast.
        for (source, reason, times) in [
            ("10.77.1.1:0", SourcePortZero, 2),
            ("0.0.0.0:68", SourceNotAHost, 1),
            ("0.0.0.5:5000", SourceNotAHost, 2),
            ("240.1.2.3:5000", SourceNotAHost, 2),
            ("10.77.1.255:5000", SourceNotAHost, 2),
        ] {
            assert_eq!(dropped(&a, &b, source), vec![reason; times], "{source}");
        }
        // The kernel drops these by itself; the core is asked about them elsewhere.
        for source in ["255.255.255.255:5000", "224.0.0.1:5000"] {
            assert_eq!(dropped(&a, &b, source), [], "{source}");
        }
    });
}

/// FAULTS 8
#[test]
fn a_source_of_this_host_is_dropped_by_the_kernel_or_where_that_lets_it_in_by_the_server() {
    use DropReason::{SourceIsSelf, SourceLoopback};
    lab::run(|| {
        let [a, b] = pair();
        let table = [
            ("127.0.0.1:5000", SourceLoopback),
            ("127.0.0.1:9999", SourceIsSelf),
            ("10.77.1.2:9999", SourceIsSelf),
        ];
        for (source, _) in table {
            assert_eq!(dropped(&a, &b, source), [], "{source}");
        }
        // Some hosts are set up so, behind a load balancer for example (ip-sysctl).
        allow(&b, "accept_local");
        allow(&b, "route_localnet");
        for (source, reason) in table {
            assert_eq!(dropped(&a, &b, source), [reason, reason], "{source}");
        }
    });
}

/// FAULTS 9
#[test]
fn a_request_in_the_name_of_another_server_makes_one_packet_and_no_more() {
    lab::run(|| {
        let [a, b, attacker] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24", "10.77.1.3/24"]);
        let servers = [Serving::on(&a, unfiltered()), Serving::on(&b, unfiltered())];
        let sender = attacker.raw("eth0");
        sender.send(&Datagram::new(
            "10.77.1.2:9999".parse().unwrap(),
            "10.77.1.1:9999".parse().unwrap(),
            REQUEST,
        ));
        wait_until("the answer at the other server", || {
            servers[1].stats().dropped(DropReason::IsResponse) == 1
        });
        // Whatever the second had sent to the first would have come before this.
        let asker = Asker::at(&b, "10.77.1.2:0");
        assert_eq!(asker.ask("10.77.1.1:9999"), answer_of("10.77.1.1"));
        let [first, second] = servers.map(Serving::stop);
        assert_eq!((first.received(), first.answered()), (2, 2));
        assert_eq!((second.received(), second.answered()), (1, 0));
    });
}

/// A server on 10.77.1.2, and a client on 10.77.2.2 behind the router that is also returned.
fn behind_a_router() -> (Host, Host, Host) {
    let lab = Lab::new();
    let networks = [
        lab.network("net1", "10.77.1.0/24"),
        lab.network("net2", "10.77.2.0/24"),
    ];
    let (server, router, client) = (lab.host("server"), lab.host("router"), lab.host("client"));
    server.join(&networks[0], "eth0", "10.77.1.2/24");
    router.join(&networks[0], "eth0", "10.77.1.1/24");
    router.join(&networks[1], "eth1", "10.77.2.1/24");
    client.join(&networks[1], "eth0", "10.77.2.2/24");
    server.ip("route add default via 10.77.1.1");
    client.ip("route add default via 10.77.2.1");
    allow(&router, "forwarding");
    (server, router, client)
}

/// FAULTS 10
#[test]
fn a_source_off_the_link_is_answered_only_if_it_is_allowed() {
    lab::run(|| {
        let (host, router, client) = behind_a_router();
        let networks = |text: &str| Allow::Networks(vec![text.parse().unwrap()]);
        for (allow, answered) in [
            (Allow::OnLink, false),
            (networks("10.77.3.0/24"), false),
            (networks("10.77.2.0/24"), true),
            (Allow::Any, true),
        ] {
            let server = Serving::on(&host, unfiltered().with_allow(allow.clone()));
            let asker = Asker::at(&client, "10.77.2.2:5000");
            asker.send(REQUEST, "10.77.1.2:9999");
            // A broadcast in its name; the router lets none through from there.
            router.raw("eth0").send(&Datagram::new(
                "10.77.2.2:5000".parse().unwrap(),
                "10.77.1.255:9999".parse().unwrap(),
                REQUEST,
            ));
            if answered {
                for _ in ["unicast", "broadcast"] {
                    assert_eq!(asker.answer(), answer_of("10.77.1.2"), "{allow:?}");
                }
            }
            // With this answer all is decided.
            let neighbour = Asker::at(&router, "10.77.1.1:0");
            assert_eq!(neighbour.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
            let stats = server.stop();
            asker.hears_nothing();
            let (off_link, in_total) = if answered { (0, 3) } else { (2, 1) };
            assert_eq!(stats.dropped(DropReason::OffLink), off_link, "{allow:?}");
            assert_eq!(stats.answered(), in_total, "{allow:?}");
        }
    });
}

/// FAULTS 14
#[test]
fn answers_to_hosts_that_are_not_there_keep_nobody_from_an_answer() {
    lab::run(|| {
        let [a, b] = pair();
        let server = Serving::on(&b, unfiltered());
        let asker = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        // As many as each may have at once, to ten hosts: they wait for three seconds in the
        // send buffer, of which Linux's default has room for 256.
        let attacker = a.raw("eth0");
        let victim = b.raw("eth0").mac();
        for request in 0..1000 {
            let source = format!("10.77.1.{}:5000", 100 + request % 10);
            let (source, to) = (source.parse().unwrap(), "10.77.1.2:9999".parse().unwrap());
            attacker.send(&Datagram::new(source, to, REQUEST).with_mac(victim));
            if request % 100 == 99 {
                // More at once would overflow a busy kernel's queues.
                wait_until("they are decided", || {
                    server.stats().received() == request + 2
                });
            }
        }
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        let stats = server.stop();
        assert_eq!(stats.counter(Counter::SendOverloaded), 0, "{stats}");
    });
}
