//! A search to which other engines tell anything that a network may have told them, beside plain answers.
//! What comes out is bounded text, and addresses that lead to hosts.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use udp_discovery_client::protocol::{Interface, InterfaceAddress, InterfaceFlags};
use udp_discovery_client::{
    Config, DiscoveredServer, Discovery, Family, Host, Instance, Origin, ServerKey,
};

use crate::input::Input;
use crate::wire;

const ADDRESSES: [&str; 8] = [
    "10.0.0.7",
    "10.0.0.8",
    "192.0.2.7",
    "2001:db8::7",
    "fe80::7",
    "0.0.0.0",
    "224.0.0.1",
    "::ffff:10.0.0.7",
];
/// More steps than find anything.
const MAX_STEPS: usize = 64;
const MAX_SERVERS: usize = 8;

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let family = input.choose(&[Family::Auto, Family::V4, Family::V6]);
    let details = input.flag();
    let config = Config::default()
        .with_family(family)
        .with_details(details)
        .with_max_servers(NonZeroUsize::new(MAX_SERVERS).expect("it is not 0"));
    let now = Instant::now();
    let host = Host::new([interface()]);
    let mut search = Discovery::new(now, &config, &host, [7; 15]).expect("it has a network");
    while search.poll_transmit(now).is_some() {}
    let mut returned = Vec::new();
    for step in 1..=MAX_STEPS {
        if input.is_empty() {
            break;
        }
        let now = now + Duration::from_millis(step as u64);
        if input.flag() {
            let source = SocketAddr::new(input.ip_among(&ADDRESSES), 9999);
            search.handle_datagram(now, 0, source, input.bytes());
        } else {
            let origin = input.choose(&[Origin::Dns, Origin::Mdns]);
            search.handle_instance(now, origin, instance(&mut input));
        }
        while let Some(server) = search.poll_event() {
            returned.push(server);
        }
    }
    search.handle_timeout(search.deadline());
    while let Some(server) = search.poll_event() {
        returned.push(server);
    }
    let listed: Vec<&DiscoveredServer> = search.servers().collect();
    assert_eq!(listed.len(), returned.len());
    assert!(listed.len() <= MAX_SERVERS);
    let keys: BTreeSet<ServerKey> = listed.iter().map(|it| it.key()).collect();
    assert_eq!(
        keys.len(),
        listed.len(),
        "nobody has details, so each address is one server"
    );
    for server in returned.iter().chain(listed) {
        check_server(server, family);
    }
}

fn instance(input: &mut Input<'_>) -> Instance {
    let name = input.bytes();
    let port = input.u16();
    let addresses: Vec<(IpAddr, u32)> = (0..input.byte() % 32)
        .map(|_| (input.ip_among(&ADDRESSES), input.byte().into()))
        .collect();
    let texts: Vec<&[u8]> = (0..input.byte() % 32).map(|_| input.bytes()).collect();
    Instance::new(name, port, addresses, texts)
}

fn check_server(server: &DiscoveredServer, family: Family) {
    assert!(!server.verified && server.id.is_none());
    let is_text = |text: &str| !text.chars().any(char::is_control);
    if let Some(name) = &server.name {
        assert!(name.len() <= 63 && is_text(name), "{name:?}");
    }
    let mut len = 0;
    let mut seen = BTreeSet::new();
    for (key, value) in &server.properties {
        len += key.len() + value.len();
        let is_printable = key
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=');
        assert!(!key.is_empty() && is_printable, "{key:?}");
        assert!(is_text(value), "{value:?}");
        assert!(
            seen.insert(key.to_ascii_lowercase()),
            "{key:?} stands twice"
        );
    }
    assert!(len <= 1300);
    assert!(server.endpoints.len() <= 16);
    let endpoints = server.endpoints.iter().map(|it| (it.ip, it.scope_id));
    for (ip, scope_id) in endpoints.chain([(server.ip, server.scope_id)]) {
        assert!(wire::is_host(ip), "{ip}");
        let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        assert_eq!(is_link_local, scope_id != 0, "{ip}");
    }
    if server.origin != Origin::Answer {
        assert!(server.rtt.is_none() && server.source.is_none() && server.raw.is_none());
        let has_family = |ip: IpAddr| match family {
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
            _ => true,
        };
        assert!(server.endpoints.iter().all(|it| has_family(it.ip)));
    }
}

/// An interface with both families.
fn interface() -> Interface {
    let mut interface = Interface::new("eth0", 2);
    interface.flags = InterfaceFlags {
        up: true,
        broadcast: true,
        ..InterfaceFlags::default()
    };
    for (ip, prefix_len) in [("10.0.0.2", 24), ("fe80::2", 64)] {
        let ip = ip.parse().expect("it is an address");
        let address = InterfaceAddress::new(ip, prefix_len).expect("it is a prefix length");
        interface.addresses.push(address);
    }
    interface
}
