//! Lists links, addresses and routes with rtnetlink(7).

use std::io;
use std::net::IpAddr;
use std::time::Instant;
use std::vec::Vec;

use ipnet::IpNet;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use self::dump::{Entry, Link, TIMEOUT, dump};
use crate::net::interface::{Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute};

mod dump;

/// How many routes of each family are read. A router with the full routing table of the internet has
/// about a million, and reading them would take a second.
const ROUTES_READ: usize = 16_384;

/// How many routes of an interface are kept. A server searches them for each datagram whose source is
/// in none of the networks of the addresses.
const ROUTES_KEPT: usize = 1_024;

pub(super) fn list() -> io::Result<Vec<Interface>> {
    let deadline = Instant::now() + TIMEOUT;
    let mut interfaces = Vec::new();
    for entry in dump(links(), usize::MAX, deadline)? {
        if let Entry::Link(link) = entry {
            interfaces.push(interface(link));
        }
    }
    interfaces.sort_by_key(|interface| interface.index);
    for entry in dump(addresses(), usize::MAX, deadline)? {
        if let Entry::Address(message) = entry {
            // An interface that was added after the links were read is missing from this list.
            if let Some(interface) = with_index(&mut interfaces, message.header.index) {
                interface.addresses.extend(address(&message));
            }
        }
    }
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        // It fails if the kernel lacks the family. Then there are no routes.
        for entry in dump(routes(family), ROUTES_READ, deadline).unwrap_or_default() {
            if let Entry::Route(message) = entry
                && let Some((index, route)) = route(&message)
                && let Some(interface) = with_index(&mut interfaces, index)
            {
                add_route(interface, route);
            }
        }
    }
    Ok(interfaces)
}

/// Requests all links, without their counters.
fn links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask([LinkExtentMask::SkipStats].into()));
    RouteNetlinkMessage::GetLink(message)
}

/// Requests the addresses of both families.
fn addresses() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

/// Requests the unicast routes of the main table.
fn routes(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.kind = RouteType::Unicast;
    RouteNetlinkMessage::GetRoute(message)
}

fn interface(link: Link) -> Interface {
    let mut interface = Interface::new(link.name, link.index);
    interface.flags = InterfaceFlags {
        up: link.flags.contains(LinkFlags::Up),
        loopback: link.flags.contains(LinkFlags::Loopback),
        broadcast: link.flags.contains(LinkFlags::Broadcast),
        point_to_point: link.flags.contains(LinkFlags::Pointopoint),
    };
    interface
}

fn with_index(interfaces: &mut [Interface], index: u32) -> Option<&mut Interface> {
    interfaces
        .binary_search_by_key(&index, |interface| interface.index)
        .ok()
        .map(|at| &mut interfaces[at])
}

/// The address in a message, if it is usable.
fn address(message: &AddressMessage) -> Option<InterfaceAddress> {
    if is_unusable(&message.header, &message.attributes) {
        return None;
    }
    let (mut local, mut other) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => other = Some(*ip),
            _ => {}
        }
    }
    // IFA_ADDRESS is the peer's address, or the own address if there is no peer. IPv6 without a peer
    // has no IFA_LOCAL.
    let other = other.or(local)?;
    InterfaceAddress::with_peer(local.unwrap_or(other), other, message.header.prefix_len).ok()
}

/// Whether the kernel does not use an IPv6 address, because duplicate address detection is not
/// finished or has failed.
fn is_unusable(header: &AddressHeader, attributes: &[AddressAttribute]) -> bool {
    // The header has room for eight flags. Newer kernels send all flags as an attribute too.
    let unusable = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    header.flags.intersects(unusable)
        || attributes.iter().any(|attribute| match attribute {
            AddressAttribute::Flags(flags) => {
                flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
            }
            _ => false,
        })
}

/// The route in a message and the index of its interface, if the route puts a network on link.
fn route(message: &RouteMessage) -> Option<(u32, InterfaceRoute)> {
    let header = &message.header;
    // Kernels older than 4.20 do not filter.
    if header.table != RouteHeader::RT_TABLE_MAIN
        || header.kind != RouteType::Unicast
        || header
            .flags
            .intersects(RouteFlags::Dead | RouteFlags::Cloned)
    {
        return None;
    }
    let (mut index, mut destination, mut source) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Destination(address) => destination = ip(address),
            RouteAttribute::PrefSource(address) => source = ip(address),
            // A gateway, perhaps of the other family, or a tunnel.
            RouteAttribute::Gateway(_)
            | RouteAttribute::Via(_)
            | RouteAttribute::MultiPath(_)
            | RouteAttribute::Encap(_) => return None,
            _ => {}
        }
    }
    let network = IpNet::new(destination?, header.destination_prefix_length).ok()?;
    Some((index?, InterfaceRoute::new(network, source)?))
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

/// Adds `route`, unless an address has the same network. The kernel adds such a route for each
/// address.
fn add_route(interface: &mut Interface, route: InterfaceRoute) {
    let mut addresses = interface.addresses.iter();
    if interface.routes.len() < ROUTES_KEPT && !addresses.any(|it| it.network() == route.network())
    {
        interface.routes.push(route);
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::route::RouteVia;

    use super::*;

    fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn message(prefix_len: u8, attributes: &[AddressAttribute]) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.prefix_len = prefix_len;
        message.attributes = attributes.to_vec();
        message
    }

    #[test]
    fn an_address_is_read_with_its_peer() {
        use AddressAttribute::{Address, Label, Local};
        let plain = [
            Address(parsed("10.77.0.2")),
            Local(parsed("10.77.0.2")),
            Label("lo".into()),
        ];
        let read = address(&message(24, &plain)).unwrap();
        assert_eq!((read.ip(), read.peer()), (parsed("10.77.0.2"), None));
        assert_eq!(read.network(), parsed("10.77.0.0/24"));

        let peer = [Address(parsed("10.77.0.1")), Local(parsed("10.77.0.2"))];
        let read = address(&message(32, &peer)).unwrap();
        assert_eq!(read.ip(), parsed::<IpAddr>("10.77.0.2"));
        assert_eq!(read.peer(), Some(parsed("10.77.0.1")));
        assert_eq!(read.network(), parsed("10.77.0.1/32"));

        let read = address(&message(64, &[Address(parsed("fe80::2"))])).unwrap();
        assert_eq!((read.ip(), read.peer()), (parsed("fe80::2"), None));

        assert_eq!(address(&message(24, &[])), None);
        assert_eq!(address(&message(33, &plain)), None);
    }

    #[test]
    fn an_address_that_another_host_may_have_is_left_out() {
        let ip = AddressAttribute::Address(parsed("fe80::2"));
        for flags in [AddressFlags::Tentative, AddressFlags::Dadfailed] {
            let flags = AddressAttribute::Flags(flags | AddressFlags::Permanent);
            assert_eq!(address(&message(64, &[ip.clone(), flags])), None);
        }
        for flags in [AddressHeaderFlags::Tentative, AddressHeaderFlags::Dadfailed] {
            let mut message = message(64, std::slice::from_ref(&ip));
            message.header.flags = flags;
            assert_eq!(address(&message), None);
        }
        let flags = AddressAttribute::Flags(AddressFlags::Permanent | AddressFlags::Deprecated);
        assert!(address(&message(64, &[ip, flags])).is_some());
    }

    /// A route without a gateway to 10.77.0.0/24 by interface 2, with more attributes.
    fn on_link(more: &[RouteAttribute]) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.kind = RouteType::Unicast;
        message.header.destination_prefix_length = 24;
        message.attributes = [
            RouteAttribute::Destination(RouteAddress::Inet(parsed("10.77.0.0"))),
            RouteAttribute::Oif(2),
        ]
        .into();
        message.attributes.extend_from_slice(more);
        message
    }

    #[test]
    fn a_route_without_a_gateway_is_read_with_the_source_that_it_prefers() {
        let (index, read) = route(&on_link(&[])).unwrap();
        assert_eq!((index, read.source()), (2, None));
        assert_eq!(read.network(), parsed("10.77.0.0/24"));
        let source = RouteAttribute::PrefSource(RouteAddress::Inet(parsed("10.77.0.2")));
        let (_, read) = route(&on_link(&[source])).unwrap();
        assert_eq!(read.source(), Some(parsed("10.77.0.2")));
    }

    #[test]
    fn other_routes_make_nothing_on_link() {
        for attribute in [
            RouteAttribute::Gateway(RouteAddress::Inet(parsed("10.77.0.9"))),
            RouteAttribute::Via(RouteVia::Inet6(parsed("fe80::9"))),
            RouteAttribute::MultiPath(Vec::new()),
            RouteAttribute::Encap(Vec::new()),
        ] {
            assert_eq!(
                route(&on_link(std::slice::from_ref(&attribute))),
                None,
                "{attribute:?}"
            );
        }
        let changed = |change: fn(&mut RouteMessage)| {
            let mut message = on_link(&[]);
            change(&mut message);
            route(&message)
        };
        assert_eq!(changed(|it| it.header.table = 255), None);
        assert_eq!(changed(|it| it.header.kind = RouteType::BlackHole), None);
        assert_eq!(changed(|it| it.header.flags = RouteFlags::Dead), None);
        assert_eq!(changed(|it| it.header.flags = RouteFlags::Cloned), None);
        assert_eq!(changed(|it| it.header.destination_prefix_length = 1), None);
        assert_eq!(changed(|it| it.header.destination_prefix_length = 33), None);
        assert_eq!(changed(|it| it.attributes.truncate(1)), None);
        assert_eq!(changed(|it| drop(it.attributes.remove(0))), None);
        assert!(changed(|it| it.header.flags = RouteFlags::Onlink).is_some());
    }

    #[test]
    fn a_route_that_an_address_has_already_is_not_kept_and_no_more_than_1024_are() {
        let mut interface = Interface::new("eth0", 2);
        let address = InterfaceAddress::new(parsed("10.77.0.2"), 24).unwrap();
        interface.addresses.push(address);
        let mut add = |network: std::string::String| {
            add_route(
                &mut interface,
                InterfaceRoute::new(parsed(&network), None).unwrap(),
            );
            interface.routes.len()
        };
        assert_eq!(add("10.77.0.0/24".into()), 0);
        for n in 0..1_100_usize {
            let kept = add(std::format!("10.{}.{}.0/24", 100 + n / 256, n % 256));
            assert_eq!(kept, (n + 1).min(1_024));
        }
    }
}
