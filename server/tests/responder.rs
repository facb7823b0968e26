//! The rules of who is answered, and what, without a socket.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use udp_discovery_protocol::{
    Codec, Interface, InterfaceAddress, InterfaceRoute, MAX_DATAGRAM_LEN, Settings,
};
use udp_discovery_server::{
    Allow, Arrival, Config, Datagram, DropReason, RateLimit, Reply, Responder,
};

const REQUEST: &[u8] = b"DISCOVER_SERVER";
const LO: u32 = 1;
const ETH0: u32 = 2;
const ETH1: u32 = 3;
const TUN0: u32 = 4;

/// A host with loopback, two networks and a tunnel, and its responder.
struct Host {
    responder: Responder,
}

impl Host {
    fn new(config: Config) -> Self {
        let mut responder = Responder::new(config, 9999, [1, 2]).unwrap();
        let mut lo = interface("lo", LO, &[("127.0.0.1", 8)]);
        lo.flags.loopback = true;
        let eth0 = interface("eth0", ETH0, &[("192.168.1.7", 24), ("192.168.1.8", 24)]);
        let eth1 = interface("eth1", ETH1, &[("10.0.0.7", 8)]);
        let mut tun0 = interface("tun0", TUN0, &[]);
        let peer = InterfaceAddress::with_peer(ip("10.200.0.1"), ip("172.16.0.9"), 32).unwrap();
        tun0.addresses.push(peer);
        responder.set_interfaces(vec![eth1, lo, tun0, eth0]);
        Self { responder }
    }

    fn handle(&mut self, datagram: &Datagram<'_>) -> Result<Reply, DropReason> {
        self.responder.handle_datagram(Instant::now(), datagram)
    }

    /// The request from `source`, broadcast by `interface`.
    fn broadcast(&mut self, interface: u32, source: &str) -> Result<Reply, DropReason> {
        self.handle(&broadcast(REQUEST, interface, source))
    }

    /// The request from `source`, sent by `interface` to `destination`, one of our addresses.
    fn unicast(
        &mut self,
        interface: u32,
        source: &str,
        destination: &str,
    ) -> Result<Reply, DropReason> {
        let mut datagram = broadcast(REQUEST, interface, source);
        datagram.arrival.destination = Some(ip(destination));
        datagram.arrival.local = Some(ip(destination));
        self.handle(&datagram)
    }
}

fn interface(name: &str, index: u32, addresses: &[(&str, u8)]) -> Interface {
    let mut interface = Interface::new(name, index);
    interface.flags.up = true;
    interface.addresses = addresses
        .iter()
        .map(|&(address, prefix_len)| InterfaceAddress::new(ip(address), prefix_len).unwrap())
        .collect();
    interface
}

fn broadcast<'a>(payload: &'a [u8], interface: u32, source: &str) -> Datagram<'a> {
    Datagram {
        payload,
        truncated: false,
        source: source.parse().unwrap(),
        arrival: Arrival {
            interface: Some(interface),
            destination: Some(ip("255.255.255.255")),
            local: None,
        },
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host() -> Host {
    Host::new(Config::default())
}

#[test]
fn our_own_address_is_on_the_link_only_of_its_interface_and_of_loopback() {
    let own_on_eth1 = "10.0.0.7:4000";
    let elsewhere = host().broadcast(ETH0, own_on_eth1);
    assert_eq!(elsewhere, Err(DropReason::OffLink));
    assert!(host().unicast(LO, own_on_eth1, "10.0.0.7").is_ok());
    let other = host().unicast(LO, "10.0.0.8:4000", "10.0.0.7");
    assert_eq!(other, Err(DropReason::OffLink));
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked_on_whichever_interface_it_is() {
    // The system accepts requests to any of its addresses on every interface.
    let reply = host()
        .unicast(ETH0, "192.168.1.20:4000", "10.0.0.7")
        .unwrap();
    assert_eq!(reply.local, ip("10.0.0.7"));
    // An address of the interface counts without the system's word.
    let mut datagram = broadcast(REQUEST, ETH0, "192.168.1.20:4000");
    datagram.arrival.destination = Some(ip("192.168.1.8"));
    assert_eq!(host().handle(&datagram).unwrap().local, ip("192.168.1.8"));
}

// FAULTS 1 and 12

#[test]
fn a_broadcast_is_answered_from_and_with_our_address_on_that_network() {
    let reply = host().broadcast(ETH0, "192.168.1.20:4000").unwrap();
    assert_eq!(&reply.payload[..], b"SERVER_IP:192.168.1.7");
    assert_eq!(reply.local, ip("192.168.1.7"));
    assert_eq!(reply.interface, None, "the host's routes lead there");
    assert_eq!(reply.destination, "192.168.1.20:4000".parse().unwrap());

    let reply = host().broadcast(ETH1, "10.9.9.9:4000").unwrap();
    assert_eq!(&reply.payload[..], b"SERVER_IP:10.0.0.7");
}

#[test]
fn a_unicast_is_answered_from_and_with_the_address_it_reached() {
    let reply = host().unicast(ETH0, "192.168.1.20:4000", "192.168.1.8");
    assert_eq!(&reply.unwrap().payload[..], b"SERVER_IP:192.168.1.8");
}

#[test]
fn what_is_advertised_is_what_is_set() {
    let config = Config::default()
        .with_advertise_ip(ip("203.0.113.5"))
        .unwrap()
        .with_advertise_port(8000);
    let reply = Host::new(config).broadcast(ETH0, "192.168.1.20:4000");
    let reply = reply.unwrap();
    assert_eq!(&reply.payload[..], b"SERVER_IP:203.0.113.5:8000");
    assert_eq!(reply.local, ip("192.168.1.7"));
}

#[test]
fn this_host_is_answered_on_loopback_by_each_of_its_addresses() {
    for address in ["127.0.0.1", "192.168.1.7", "10.0.0.7"] {
        let reply = host().unicast(LO, &format!("{address}:4000"), address);
        let expected = format!("SERVER_IP:{address}");
        assert_eq!(&reply.unwrap().payload[..], expected.as_bytes());
    }
}

// FAULTS 2 to 7

#[test]
fn only_the_exact_request_is_answered() {
    let mut wrong: Vec<Vec<u8>> = (0..REQUEST.len())
        .map(|len| REQUEST[..len].to_vec())
        .collect();
    for bit in 0..REQUEST.len() * 8 {
        let mut flipped = REQUEST.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        wrong.push(flipped);
    }
    for end in ["\n", "\r\n", "\0", " "] {
        wrong.push([REQUEST, end.as_bytes()].concat());
    }
    wrong.push(REQUEST.to_ascii_lowercase());
    wrong.push([b"\xef\xbb\xbf", REQUEST].concat());
    wrong.push(b"\xff\xfe\x1b[2J".to_vec());
    wrong.push(b"2026-01-01 INFO all is well\r\n".to_vec());
    wrong.push([REQUEST, &vec![b'x'; 65_507 - REQUEST.len()]].concat());
    let mut host = host();
    for payload in wrong {
        let refused = host.handle(&broadcast(&payload, ETH0, "192.168.1.20:4000"));
        assert!(refused.is_err(), "{payload:?}");
    }
}

#[test]
fn why_a_datagram_is_no_request_is_reported() {
    let mut host = host();
    let mut refused = |payload: &[u8]| {
        let datagram = broadcast(payload, ETH0, "192.168.1.20:4000");
        host.handle(&datagram).unwrap_err()
    };
    assert_eq!(refused(b""), DropReason::Empty);
    assert_eq!(refused(b"SERVER_IP:10.0.0.1"), DropReason::IsResponse);
    assert_eq!(refused(b"SERVER_IP:nowhere"), DropReason::NotRequest);
    assert_eq!(refused(&[b'x'; MAX_DATAGRAM_LEN + 1]), DropReason::TooLong);
}

#[test]
fn truncation_never_makes_a_datagram_valid() {
    let mut datagram = broadcast(REQUEST, ETH0, "192.168.1.20:4000");
    datagram.truncated = true;
    assert_eq!(host().handle(&datagram), Err(DropReason::TooLong));
}

fn with_words(message: &str, prefix: &str) -> Config {
    let codec = Codec::new(message.parse().unwrap(), prefix.parse().unwrap());
    Settings::default().with_codec(codec.unwrap()).into()
}

#[test]
fn with_words_of_its_own_a_server_answers_those_and_no_others() {
    let mut host = Host::new(with_words("WHERE?", "here "));
    let mut ask = |payload: &[u8]| host.handle(&broadcast(payload, ETH0, "192.168.1.20:4000"));
    assert_eq!(&ask(b"WHERE?").unwrap().payload[..], b"here 192.168.1.7");
    assert_eq!(ask(b"here 10.0.0.1"), Err(DropReason::IsResponse));
    assert_eq!(ask(REQUEST), Err(DropReason::NotRequest));
    assert_eq!(ask(b"SERVER_IP:10.0.0.1"), Err(DropReason::NotRequest));
    assert_eq!(ask(b"WHERE"), Err(DropReason::NotRequest));
    assert_eq!(ask(b"WHERE??"), Err(DropReason::NotRequest));
}

#[test]
fn with_the_longest_words_every_answer_is_whole() {
    let (message, prefix) = ("m".repeat(64), "p".repeat(64));
    let config = with_words(&message, &prefix)
        .with_advertise_ip(ip("fd00:1111:2222:3333:4444:5555:6666:7777"))
        .unwrap()
        .with_advertise_port(u16::MAX);
    let mut host = Host::new(config);
    let expected = format!("{prefix}[fd00:1111:2222:3333:4444:5555:6666:7777]:65535");
    // The second answer shares the first one's buffer.
    let replies: Vec<Reply> = (0..50)
        .map(|_| {
            let datagram = broadcast(message.as_bytes(), ETH0, "192.168.1.20:4000");
            host.handle(&datagram).unwrap()
        })
        .collect();
    for reply in replies {
        assert_eq!(&reply.payload[..], expected.as_bytes());
    }
}

// FAULTS 8

#[test]
fn sources_that_no_client_has_are_dropped() {
    let refused = |interface, source: &str| host().broadcast(interface, source).unwrap_err();
    assert_eq!(refused(ETH0, "192.168.1.20:0"), DropReason::SourcePortZero);
    for source in [
        "0.0.0.0:4000",
        "0.1.2.3:4000",
        "255.255.255.255:4000",
        "192.168.1.255:4000",
        "224.0.0.1:4000",
        "239.1.1.1:4000",
        "240.0.0.1:4000",
        "[::]:4000",
        "[ff02::1]:4000",
    ] {
        assert_eq!(
            refused(ETH0, source),
            DropReason::SourceNotAHost,
            "{source}"
        );
    }
    assert_eq!(refused(ETH0, "127.0.0.1:4000"), DropReason::SourceLoopback);
    for own in ["192.168.1.7:9999", "10.0.0.7:9999", "127.0.0.1:9999"] {
        assert_eq!(refused(LO, own), DropReason::SourceIsSelf, "{own}");
    }
}

// FAULTS 9

#[test]
fn a_server_never_answers_an_answer() {
    let mut a = host();
    let reply = a.broadcast(ETH0, "192.168.1.20:9999").unwrap();
    let mut b = host();
    let refused = b.handle(&broadcast(&reply.payload, ETH0, "192.168.1.21:9999"));
    assert_eq!(refused, Err(DropReason::IsResponse));
}

// FAULTS 10

#[test]
fn a_source_off_the_link_is_dropped_by_broadcast_and_by_unicast() {
    for source in ["10.1.1.1:4000", "203.0.113.9:4000"] {
        assert_eq!(host().broadcast(ETH0, source), Err(DropReason::OffLink));
        let refused = host().unicast(ETH0, source, "192.168.1.7");
        assert_eq!(refused, Err(DropReason::OffLink));
    }
}

#[test]
fn a_source_off_the_link_is_answered_if_it_is_allowed() {
    let networks = Allow::Networks(vec!["203.0.113.0/24".parse().unwrap()]);
    let mut some = Host::new(Config::default().with_allow(networks));
    let reply = some
        .unicast(ETH0, "203.0.113.9:4000", "192.168.1.7")
        .unwrap();
    assert_eq!(&reply.payload[..], b"SERVER_IP:192.168.1.7");
    assert_eq!(reply.interface, None, "its route is the system's to choose");
    let refused = some.unicast(ETH0, "198.51.100.9:4000", "192.168.1.7");
    assert_eq!(refused, Err(DropReason::OffLink));

    let mut any = Host::new(Config::default().with_allow(Allow::Any));
    assert!(
        any.unicast(ETH0, "198.51.100.9:4000", "192.168.1.7")
            .is_ok()
    );
    let forged = any.broadcast(ETH0, "127.0.0.1:4000");
    assert_eq!(forged, Err(DropReason::SourceLoopback));
}

#[test]
fn an_allowed_broadcast_is_answered_with_the_address_that_the_system_suggests_there() {
    let mut any = Host::new(Config::default().with_allow(Allow::Any));
    let mut datagram = broadcast(REQUEST, ETH0, "198.51.100.9:4000");
    datagram.arrival.local = Some(ip("192.168.1.8"));
    assert_eq!(any.handle(&datagram).unwrap().local, ip("192.168.1.8"));
    datagram.arrival.local = Some(ip("10.0.0.7"));
    assert_eq!(any.handle(&datagram), Err(DropReason::NoLocalAddress));
}

// Where the system reports the destination and suggests no address

#[test]
fn an_address_that_was_asked_answers_though_the_system_suggests_none() {
    let mut host = Host::new(Config::default().with_allow(Allow::Any));
    for source in ["192.168.1.20:4000", "198.51.100.9:4000"] {
        for ours in ["192.168.1.8", "10.0.0.7"] {
            let mut datagram = broadcast(REQUEST, ETH0, source);
            datagram.arrival.destination = Some(ip(ours));
            let reply = host.handle(&datagram).unwrap();
            assert_eq!(reply.local, ip(ours), "{source}");
            assert_eq!(&reply.payload[..], format!("SERVER_IP:{ours}").as_bytes());
        }
    }
}

#[test]
fn a_broadcast_is_answered_from_the_interface_that_it_arrived_on_though_the_system_suggests_no_address()
 {
    let mut any = Host::new(Config::default().with_allow(Allow::Any));
    for destination in ["192.168.1.255", "255.255.255.255", "239.255.39.15"] {
        for (source, local) in [
            ("192.168.1.20:4000", "192.168.1.7"),
            ("198.51.100.9:4000", "192.168.1.7"),
        ] {
            let mut datagram = broadcast(REQUEST, ETH0, source);
            datagram.arrival.destination = Some(ip(destination));
            assert_eq!(any.handle(&datagram).unwrap().local, ip(local), "{source}");
        }
    }
    let on_eth1 = any.handle(&broadcast(REQUEST, ETH1, "198.51.100.9:4000"));
    assert_eq!(on_eth1.unwrap().local, ip("10.0.0.7"));
}

// FAULTS 11

#[test]
fn every_kind_of_prefix_is_decided_right() {
    let mut responder = Responder::new(Config::default(), 9999, [1, 2]).unwrap();
    let addresses = [
        ("10.0.0.0", 31),
        ("10.1.0.1", 32),
        ("10.2.0.1", 30),
        ("10.2.0.2", 30),
    ];
    responder.set_interfaces(vec![interface("eth0", ETH0, &addresses)]);
    let mut host = Host { responder };
    let claim = |host: &mut Host, source: &str| {
        let reply = host.broadcast(ETH0, source)?;
        Ok(String::from_utf8(reply.payload.to_vec()).unwrap())
    };
    let named = |address: &str| Ok(format!("SERVER_IP:{address}"));
    assert_eq!(claim(&mut host, "10.0.0.1:4000"), named("10.0.0.0"));
    assert_eq!(claim(&mut host, "10.1.0.1:4000"), named("10.1.0.1"));
    assert_eq!(claim(&mut host, "10.1.0.2:4000"), Err(DropReason::OffLink));
    assert_eq!(claim(&mut host, "10.2.0.1:4000"), named("10.2.0.1"));
    let broadcast = claim(&mut host, "10.2.0.3:4000");
    assert_eq!(broadcast, Err(DropReason::SourceNotAHost));

    let mut responder = Responder::new(Config::default(), 9999, [1, 2]).unwrap();
    responder.set_interfaces(vec![interface("eth0", ETH0, &[("10.0.0.1", 0)])]);
    let mut host = Host { responder };
    assert_eq!(claim(&mut host, "203.0.113.9:4000"), named("10.0.0.1"));
}

#[test]
fn the_far_end_of_a_tunnel_is_on_its_link() {
    let reply = host().broadcast(TUN0, "172.16.0.9:4000").unwrap();
    assert_eq!(reply.local, ip("10.200.0.1"));
    let other = host().broadcast(TUN0, "172.16.0.10:4000");
    assert_eq!(other, Err(DropReason::OffLink));
}

// FAULTS D13

#[test]
fn the_hosts_routes_decide_unless_the_source_is_on_the_link_of_several_interfaces() {
    let pinned = |interfaces: &[Interface], index: u32, source: &str| {
        let mut responder = Responder::new(Config::default(), 9999, [1, 2]).unwrap();
        responder.set_interfaces(interfaces.to_vec());
        let mut host = Host { responder };
        host.broadcast(index, source).unwrap().interface
    };
    let eth0 = interface("eth0", ETH0, &[("10.0.0.7", 24), ("fe80::1", 64)]);
    let eth1 = interface("eth1", ETH1, &[("10.0.0.8", 8)]);
    let both = [eth0.clone(), eth1.clone()];
    assert_eq!(pinned(&both, ETH0, "10.0.0.20:4000"), Some(ETH0));
    assert_eq!(pinned(&both, ETH1, "10.0.0.20:4000"), Some(ETH1));
    assert_eq!(pinned(&both, ETH1, "10.1.0.20:4000"), None);
    let mut down = eth1;
    down.flags.up = false;
    let one_is_down = [eth0.clone(), down];
    assert_eq!(pinned(&one_is_down, ETH0, "10.0.0.20:4000"), None);
    // A link-local address says nothing about its link.
    let link_local = pinned(&[eth0], ETH0, "[fe80::9%2]:4000");
    assert_eq!(link_local, Some(ETH0));
}

// Where the system tells no interface, and where it tells one that has gone

#[test]
fn without_an_interface_the_networks_decide() {
    let mut datagram = broadcast(REQUEST, ETH0, "192.168.1.20:4000");
    datagram.arrival = Arrival::default();
    assert_eq!(host().handle(&datagram).unwrap().local, ip("192.168.1.7"));
    datagram.source = "203.0.113.9:4000".parse().unwrap();
    assert_eq!(host().handle(&datagram), Err(DropReason::OffLink));
    let mut any = Host::new(Config::default().with_allow(Allow::Any));
    assert_eq!(any.handle(&datagram).unwrap().local, ip("192.168.1.7"));
}

/// The address that names this host to a client when the system doesn't tell the interface.
fn named_without_an_interface(
    allow: Allow,
    interfaces: Vec<Interface>,
    source: &str,
) -> Result<IpAddr, DropReason> {
    let mut responder = Responder::new(Config::default().with_allow(allow), 9999, [1, 2]).unwrap();
    responder.set_interfaces(interfaces);
    let mut datagram = broadcast(REQUEST, ETH0, source);
    datagram.arrival = Arrival::default();
    let reply = responder.handle_datagram(Instant::now(), &datagram)?;
    Ok(reply.local)
}

#[test]
fn without_an_interface_the_longest_prefix_that_is_up_decides() {
    let named = |interfaces| named_without_an_interface(Allow::OnLink, interfaces, "10.1.2.3:4000");
    let wide = interface("wide", 5, &[("10.0.0.1", 8)]);
    let narrow = interface("narrow", 2, &[("10.1.2.1", 24)]);
    let mut narrowest = interface("narrowest", 3, &[("10.1.2.2", 30)]);
    narrowest.flags.up = false;
    let all = vec![narrow, wide.clone(), narrowest];
    assert_eq!(named(all), Ok(ip("10.1.2.1")));
    assert_eq!(named(vec![wide]), Ok(ip("10.0.0.1")));
    assert_eq!(named(vec![]), Err(DropReason::OffLink));
}

#[test]
fn without_an_interface_an_allowed_client_elsewhere_is_answered_by_a_real_one() {
    let mut lo = interface("lo", 1, &[("127.0.0.1", 8)]);
    lo.flags.loopback = true;
    let mut down = interface("eth0", 2, &[("10.2.0.1", 24)]);
    down.flags.up = false;
    let bridge = interface("docker0", 3, &[("172.17.0.1", 16)]);
    let without_address = interface("eth1", 4, &[]);
    let real = interface("eth2", 5, &[("10.5.0.1", 24)]);
    let unfit = vec![lo, down, bridge, without_address];
    let named = |interfaces| named_without_an_interface(Allow::Any, interfaces, "203.0.113.9:4000");
    assert_eq!(named(unfit.clone()), Err(DropReason::OffLink));
    assert_eq!(named([unfit, vec![real]].concat()), Ok(ip("10.5.0.1")));
}

#[test]
fn a_source_on_loopback_or_of_ours_is_this_server_only_by_its_port() {
    let mut host = host();
    assert!(host.unicast(LO, "127.0.0.1:9998", "127.0.0.1").is_ok());
    assert!(host.unicast(LO, "192.168.1.7:9998", "192.168.1.7").is_ok());
    assert!(host.broadcast(ETH0, "192.168.1.20:9999").is_ok());
}

#[test]
fn setting_interfaces_says_whether_they_changed() {
    let mut responder = Responder::new(Config::default(), 9999, [1, 2]).unwrap();
    let eth0 = interface("eth0", ETH0, &[("192.168.1.7", 24)]);
    let eth1 = interface("eth1", ETH1, &[("10.0.0.7", 8)]);
    assert!(responder.set_interfaces(vec![eth1.clone(), eth0.clone()]));
    assert!(!responder.set_interfaces(vec![eth0.clone(), eth1.clone()]));
    assert_eq!(responder.interfaces(), [eth0.clone(), eth1]);
    assert!(responder.set_interfaces(vec![eth0]));
}

#[test]
fn a_datagram_on_an_interface_that_is_gone_is_dropped() {
    let refused = host().broadcast(77, "192.168.1.20:4000");
    assert_eq!(refused, Err(DropReason::UnknownInterface));
}

// How much is answered

#[test]
fn a_source_over_its_limit_is_not_answered_and_others_are() {
    let mut host = host();
    let now = Instant::now();
    let mut ask = |source: &str| {
        let datagram = broadcast(REQUEST, ETH0, source);
        host.responder.handle_datagram(now, &datagram)
    };
    let asked = (0..1000).filter(|_| ask("192.168.1.20:4000").is_ok());
    assert_eq!(asked.count(), 500);
    let other_port = ask("192.168.1.20:4001");
    assert_eq!(
        other_port,
        Err(DropReason::RateLimited),
        "an address is one source"
    );
    assert!(ask("192.168.1.21:4000").is_ok());
}

/// In how many of 100 searches a client finds the server while about `rate` requests a second, at
/// random times, are forged in its name: three probes each, an eighth of a second apart.
fn found_under_forgery(rate: f64) -> usize {
    let mut host = host();
    let datagram = broadcast(REQUEST, ETH0, "192.168.1.20:4000");
    let start = Instant::now();
    let mut random = 1_u32;
    let mut forged = start;
    let mut found = 0;
    // The flood has used up the burst by then.
    for search in 10..110 {
        let mut answers = 0;
        for probe in 0..3 {
            // Not in step with the hundredths of a second in which the share fills.
            let now = start
                + Duration::from_micros(1_013_579) * search
                + Duration::from_millis(125) * probe;
            while forged < now {
                let _ = host.responder.handle_datagram(forged, &datagram);
                // A linear congruential generator, and the gaps of a Poisson process.
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let uniform = (f64::from(random) + 1.0) / 4_294_967_296.0;
                forged += Duration::from_secs_f64(-uniform.ln() / rate);
            }
            answers += usize::from(host.responder.handle_datagram(now, &datagram).is_ok());
        }
        found += usize::from(answers > 0);
    }
    found
}

// FAULTS D15

#[test]
fn a_client_whose_share_is_used_up_in_its_name_is_answered_again_as_it_fills() {
    assert_eq!(found_under_forgery(80.0), 100);
    let found = found_under_forgery(500.0);
    assert!((35..=65).contains(&found), "{found}");
}

#[test]
fn limits_can_be_lifted_and_set_in_total() {
    let ask = |config: Config| {
        let mut host = Host::new(config);
        let now = Instant::now();
        let asked = (0..2000_u16).map(|client| {
            let source = format!("192.168.1.{}:4000", client % 2 + 20);
            let datagram = broadcast(REQUEST, ETH0, &source);
            host.responder.handle_datagram(now, &datagram)
        });
        asked.flatten().count()
    };
    assert_eq!(ask(Config::default().with_rate_limit(None)), 2000);
    let five = RateLimit::per_second(NonZeroU32::new(5).unwrap());
    assert_eq!(ask(Config::default().with_rate_limit(Some(five))), 50);
    assert_eq!(ask(Config::default().with_total_limit(Some(five))), 25);
}

/// How many of 200 searches from one address, started over `spread`, get an answer: three probes
/// each, one datagram a probe, an eighth of a second apart.
fn searches_that_find_the_server(spread: Duration) -> usize {
    const SEARCHES: u32 = 200;
    let start = Instant::now();
    let probes = (0..SEARCHES).flat_map(|search| {
        (0..3).map(move |probe| {
            let at = spread / SEARCHES * search + Duration::from_millis(125) * probe;
            (start + at, search)
        })
    });
    let mut probes: Vec<(Instant, u32)> = probes.collect();
    probes.sort_unstable();
    let mut host = host();
    let mut found = std::collections::BTreeSet::new();
    for (now, search) in probes {
        let source = format!("192.168.1.20:{}", 4000 + search);
        let datagram = broadcast(REQUEST, ETH0, &source);
        if host.responder.handle_datagram(now, &datagram).is_ok() {
            found.insert(search);
        }
    }
    found.len()
}

#[test]
fn of_200_searches_at_once_from_one_address_all_find_the_server() {
    for spread in (0..=1000).step_by(50).map(Duration::from_millis) {
        assert_eq!(searches_that_find_the_server(spread), 200, "{spread:?}");
    }
}

/// The most answers that `source` gets in any second of a lasting flood, after its burst.
fn answers_a_second(host: &mut Host, datagram: &Datagram<'_>) -> usize {
    let start = Instant::now();
    let spacing = Duration::from_micros(100);
    let mut answered_in = |from: u32, to: u32| {
        let times = (from * 10_000..to * 10_000).map(|at| start + spacing * at);
        times
            .filter(|&now| host.responder.handle_datagram(now, datagram).is_ok())
            .count()
    };
    answered_in(0, 1);
    (1..20)
        .map(|second| answered_in(second, second + 1))
        .max()
        .unwrap()
}

#[test]
fn the_answers_to_a_source_that_floods_take_100_kbit_a_second_at_most() {
    // UDP's header; Ethernet's header, checksum, preamble and gap.
    const AROUND: usize = 8 + 14 + 4 + 8 + 12;
    for (source, ip_header, least) in [
        ("192.168.1.20:4000", 20, 80_000),
        ("[2001:db8::20]:4000", 40, 99_000),
    ] {
        let longest = Config::default()
            .with_advertise_ip(ip("fd00:1111:2222:3333:4444:5555:6666:7777"))
            .unwrap()
            .with_advertise_port(u16::MAX);
        let mut host = ipv6_host(longest);
        let datagram = broadcast(REQUEST, ETH0, source);
        let payload = host.handle(&datagram).unwrap().payload;
        assert_eq!(payload.len(), 57);
        let bytes = payload.len() + ip_header + AROUND;
        let bits = answers_a_second(&mut host, &datagram) * bytes * 8;
        assert!((least..=100_000).contains(&bits), "{source}: {bits}");
    }
}

/// Whether `source` is answered by the interface `index` after 500 answers to `others`.
fn answered_after(index: u32, others: &str, source: &str) -> bool {
    let mut responder =
        Responder::new(Config::default().with_allow(Allow::Any), 9999, [1, 2]).unwrap();
    let both =
        |name, index, network: &str| interface(name, index, &[("fe80::1", 64), (network, 64)]);
    responder.set_interfaces(vec![
        both("eth0", ETH0, "2001:db8:0:1::1"),
        both("eth1", ETH1, "2001:db8:0:2::1"),
    ]);
    let mut host = Host { responder };
    let now = Instant::now();
    let others = broadcast(REQUEST, ETH0, others);
    let others = Datagram {
        arrival: Arrival {
            local: Some(ip("fe80::1")),
            ..others.arrival
        },
        ..others
    };
    for _ in 0..500 {
        host.responder.handle_datagram(now, &others).unwrap();
    }
    let datagram = broadcast(REQUEST, index, source);
    let datagram = Datagram {
        arrival: Arrival {
            local: Some(ip("fe80::1")),
            ..datagram.arrival
        },
        ..datagram
    };
    host.responder.handle_datagram(now, &datagram).is_ok()
}

#[test]
fn an_ipv6_source_on_the_link_is_one_address_with_its_scope() {
    assert!(!answered_after(
        ETH0,
        "[fe80::9%2]:4000",
        "[fe80::9%2]:4001"
    ));
    assert!(answered_after(ETH0, "[fe80::9%2]:4000", "[fe80::8%2]:4000"));
    assert!(answered_after(ETH1, "[fe80::9%2]:4000", "[fe80::9%3]:4000"));
    let neighbour = "[2001:db8:0:1::8]:4000";
    assert!(answered_after(ETH0, "[2001:db8:0:1::9]:4000", neighbour));
}

#[test]
fn an_ipv6_source_off_the_link_is_a_network_of_64_bits() {
    let host = "[2001:db8:0:9::9]:4000";
    assert!(!answered_after(ETH0, host, "[2001:db8:0:9::8]:4000"));
    assert!(answered_after(ETH0, host, "[2001:db8:0:8::9]:4000"));
}

proptest! {
    /// Whatever comes, an answer goes to its source, is the encoding of what it names, is no
    /// request, and is short.
    #[test]
    fn an_answer_keeps_its_promises(
        payload in prop_oneof![
            3 => Just(REQUEST.to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..300),
        ],
        source in (any::<u32>(), any::<u16>()),
        index in 0..6_u32,
        destination in any::<Option<u32>>(),
        local in any::<Option<u32>>(),
    ) {
        let source = SocketAddr::from((source.0.to_be_bytes(), source.1));
        let address = |bits: u32| IpAddr::from(bits.to_be_bytes());
        let datagram = Datagram {
            payload: &payload,
            truncated: false,
            source,
            arrival: Arrival {
                interface: Some(index),
                destination: destination.map(address),
                local: local.map(address),
            },
        };
        let mut any = Host::new(Config::default().with_allow(Allow::Any));
        if let Ok(reply) = any.handle(&datagram) {
            prop_assert_eq!(&payload[..], REQUEST);
            prop_assert_eq!(reply.destination, source);
            prop_assert!(source.port() != 0);
            prop_assert!(reply.payload.len() <= 31);
            let expected = format!("SERVER_IP:{}", reply.response);
            prop_assert_eq!(&reply.payload[..], expected.as_bytes());
        }
    }
}

#[test]
fn a_source_that_a_route_leads_to_is_answered_whether_or_not_the_interface_is_known() {
    let mut responder = Responder::new(Config::default(), 9999, [1, 2]).unwrap();
    let mut eth0 = interface("eth0", ETH0, &[("10.77.0.2", 32)]);
    let network = "10.77.0.1/32".parse().unwrap();
    eth0.routes.extend(InterfaceRoute::new(network, None));
    responder.set_interfaces(vec![eth0]);
    for arrival in [None, Some(ETH0)] {
        let mut answer = |source| {
            let mut datagram = broadcast(REQUEST, ETH0, source);
            datagram.arrival = Arrival {
                interface: arrival,
                ..Arrival::default()
            };
            let reply = responder.handle_datagram(Instant::now(), &datagram);
            reply.map(|reply| reply.local)
        };
        assert_eq!(answer("10.77.0.1:5000"), Ok(ip("10.77.0.2")));
        assert_eq!(answer("10.77.0.3:5000"), Err(DropReason::OffLink));
    }
}

// IPv6: FAULTS R41, R42

/// A host with a global and a link-local address on eth0, and the same link-local address on eth1.
fn ipv6_host(config: Config) -> Host {
    let mut responder = Responder::new(config, 9999, [1, 2]).unwrap();
    let mut lo = interface("lo", LO, &[("127.0.0.1", 8), ("::1", 128)]);
    lo.flags.loopback = true;
    let eth0 = [("192.168.1.7", 24), ("fe80::7", 64), ("2001:db8::7", 64)];
    let eth0 = interface("eth0", ETH0, &eth0);
    let eth1 = interface("eth1", ETH1, &[("fe80::7", 64), ("fd77::7", 64)]);
    responder.set_interfaces(vec![eth1, lo, eth0]);
    Host { responder }
}

/// The request from `source`, multicast by `interface`.
fn multicast(interface: u32, source: &str) -> Datagram<'static> {
    let mut datagram = broadcast(REQUEST, interface, source);
    datagram.arrival.destination = Some(ip("ff12::8000:270f"));
    datagram
}

#[test]
fn an_ipv6_client_is_named_an_address_of_the_kind_that_it_has() {
    let mut host = ipv6_host(Config::default());
    for (interface, source, named) in [
        (ETH0, "[2001:db8::20]:4000", "2001:db8::7"),
        (ETH0, "[fe80::20%2]:4000", "fe80::7"),
        (ETH1, "[fd77::20]:4000", "fd77::7"),
        (ETH1, "[fe80::20%3]:4000", "fe80::7"),
    ] {
        let reply = host.handle(&multicast(interface, source)).unwrap();
        assert_eq!(reply.local, ip(named), "{source}");
        assert_eq!(
            reply.payload[..],
            *format!("SERVER_IP:[{named}]").as_bytes()
        );
        assert_eq!(reply.destination, source.parse().unwrap());
        let link_local = source.starts_with("[fe80");
        assert_eq!(reply.interface, link_local.then_some(interface), "{source}");
    }
    let reached = host.unicast(ETH0, "[fe80::20%2]:4000", "2001:db8::7");
    assert_eq!(reached.unwrap().local, ip("2001:db8::7"));
}

#[test]
fn ipv6_sources_that_no_client_there_has_are_dropped() {
    let mut host = ipv6_host(Config::default().with_allow(Allow::Any));
    for (interface, source, reason) in [
        (ETH0, "[::]:4000", DropReason::SourceNotAHost),
        (ETH0, "[ff02::1]:4000", DropReason::SourceNotAHost),
        (
            ETH0,
            "[::ffff:192.168.1.20]:4000",
            DropReason::SourceNotAHost,
        ),
        (ETH0, "[2001:db8::20]:0", DropReason::SourcePortZero),
        (ETH0, "[::1]:4000", DropReason::SourceLoopback),
        (LO, "[::1]:9999", DropReason::SourceIsSelf),
        (ETH0, "[2001:db8::7]:9999", DropReason::SourceIsSelf),
        (ETH1, "[fd77::7]:9999", DropReason::SourceIsSelf),
        (ETH0, "[fe80::7%2]:9999", DropReason::SourceIsSelf),
        (ETH0, "[fe80::20%3]:4000", DropReason::SourceScope),
        (77, "[fe80::20%77]:4000", DropReason::UnknownInterface),
    ] {
        let refused = host.handle(&multicast(interface, source));
        assert_eq!(refused, Err(reason), "{source}");
    }
    let mut on_link = ipv6_host(Config::default());
    for (interface, source) in [(ETH1, "[2001:db8::20]:4000"), (ETH0, "[fd77::20]:4000")] {
        let refused = on_link.handle(&multicast(interface, source));
        assert_eq!(refused, Err(DropReason::OffLink), "{source}");
    }
}

#[test]
fn another_host_may_have_our_link_local_address_on_another_link() {
    let mut responder = Responder::new(Config::default(), 9999, [1, 2]).unwrap();
    let eth0 = interface("eth0", ETH0, &[("fe80::7", 64)]);
    let eth1 = interface("eth1", ETH1, &[("fe80::8", 64)]);
    responder.set_interfaces(vec![eth0, eth1]);
    let mut host = Host { responder };
    let reply = host.handle(&multicast(ETH1, "[fe80::7%3]:9999")).unwrap();
    assert_eq!((reply.local, reply.interface), (ip("fe80::8"), Some(ETH1)));
    let ours = host.handle(&multicast(ETH0, "[fe80::7%2]:9999"));
    assert_eq!(ours, Err(DropReason::SourceIsSelf));
}

#[test]
fn the_scope_of_a_link_local_source_is_its_interface_if_none_is_reported() {
    let mut host = ipv6_host(Config::default());
    let mut datagram = multicast(ETH0, "[fe80::20%3]:4000");
    datagram.arrival = Arrival::default();
    let reply = host.handle(&datagram).unwrap();
    assert_eq!((reply.local, reply.interface), (ip("fe80::7"), Some(ETH1)));
}

#[test]
fn an_allowed_ipv6_client_elsewhere_is_named_an_address_that_it_can_reach() {
    let mut host = ipv6_host(Config::default().with_allow(Allow::Any));
    let multicast = host.handle(&multicast(ETH0, "[2001:db8:9::9]:4000"));
    assert_eq!(multicast.unwrap().local, ip("2001:db8::7"));
    let mut unknown = broadcast(REQUEST, ETH0, "[2001:db8:9::9]:4000");
    unknown.arrival = Arrival::default();
    assert_eq!(host.handle(&unknown).unwrap().local, ip("2001:db8::7"));
}
