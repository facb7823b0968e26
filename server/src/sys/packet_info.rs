//! What recvmsg(2) reports about a datagram, and sendmsg(2) takes, in the form that all Unix systems
//! share: the source, and the packet info of IPv6 (RFC 3542, section 6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::libc::{in_addr, in6_addr, in6_pktinfo};
use nix::sys::socket::SockaddrStorage;

use crate::responder::Arrival;

/// Without the flow label, which belongs to the sender.
pub(super) fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || {
        address
            .as_sockaddr_in()
            .map(|it| SocketAddr::new(it.ip().into(), it.port()))
    };
    let v6 = || {
        let it = address.as_sockaddr_in6()?;
        Some(SocketAddrV6::new(it.ip(), it.port(), 0, it.scope_id()).into())
    };
    v4().or_else(v6)
}

pub(super) fn is_link_local(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local())
}

pub(super) fn ip(address: in_addr) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be(address.s_addr)).into()
}

pub(super) fn address(ip: Ipv4Addr) -> in_addr {
    in_addr {
        s_addr: ip.to_bits().to_be(),
    }
}

/// `None` if no interface is reported: the datagram arrived before the option was set.
pub(super) fn arrival_v6(info: &in6_pktinfo) -> Option<Arrival> {
    let destination = Ipv6Addr::from(info.ipi6_addr.s6_addr);
    let local = Some(destination).filter(|ip| !ip.is_multicast());
    Some(Arrival {
        interface: Some(index(info.ipi6_ifindex)?),
        destination: Some(destination.into()),
        local: local.map(IpAddr::V6),
    })
}

/// Without an interface, the routes choose it.
pub(super) fn packet_info_v6(local: Ipv6Addr, interface: Option<u32>) -> in6_pktinfo {
    in6_pktinfo {
        ipi6_ifindex: system_index(interface),
        ipi6_addr: in6_addr {
            s6_addr: local.octets(),
        },
    }
}

/// The index of an interface, which is an `int` on some systems. 0 is none.
pub(super) fn index(index: impl TryInto<u32>) -> Option<u32> {
    index.try_into().ok().filter(|index| *index > 0)
}

/// The reverse of [`index`].
pub(super) fn system_index<T: TryFrom<u32> + Default>(index: Option<u32>) -> T {
    let index = index.and_then(|index| T::try_from(index).ok());
    index.unwrap_or_default()
}
