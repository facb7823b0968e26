//! Lists interfaces and their addresses with getifaddrs(3).

use std::io;
use std::net::IpAddr;
use std::vec::Vec;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags as SystemFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use super::named;
use crate::net::interface::{Interface, InterfaceAddress, InterfaceFlags};

pub(super) fn list() -> io::Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    for entry in getifaddrs()? {
        let name = without_label(&entry.interface_name);
        // The interface may have been removed since the call of getifaddrs(3).
        let Ok(index) = if_nametoindex(name) else {
            continue;
        };
        let interface = named(&mut interfaces, name, || index);
        interface.flags = flags(entry.flags);

        let Some(ip) = entry.address.as_ref().and_then(ip) else {
            continue; // a link-layer address
        };
        let prefix_len = entry
            .netmask
            .as_ref()
            .and_then(|mask| netmask(ip, mask))
            .map_or_else(|| host_prefix_len(ip), prefix_len);
        let peer = entry
            .destination
            .as_ref()
            .and_then(self::ip)
            .filter(|_| interface.flags.point_to_point)
            .unwrap_or(ip);
        if let Ok(address) = InterfaceAddress::with_peer(ip, peer, prefix_len) {
            interface.addresses.push(address);
        }
    }
    Ok(interfaces)
}

/// The name of the interface. Linux lists an address that has a label, such as `eth0:1`, under the
/// label (ip-address(8)). No interface name on Linux contains a colon.
fn without_label(name: &str) -> &str {
    match name.split_once(':') {
        Some((interface, _)) if cfg!(any(target_os = "linux", target_os = "android")) => interface,
        _ => name,
    }
}

fn flags(flags: SystemFlags) -> InterfaceFlags {
    InterfaceFlags {
        up: flags.contains(SystemFlags::IFF_UP),
        loopback: flags.contains(SystemFlags::IFF_LOOPBACK),
        broadcast: flags.contains(SystemFlags::IFF_BROADCAST),
        point_to_point: flags.contains(SystemFlags::IFF_POINTOPOINT),
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(v4.ip().into());
    }
    address.as_sockaddr_in6().map(|v6| v6.ip().into())
}

/// The netmask of `ip`. `None` if its family is unset, as on BSD systems.
fn netmask(ip: IpAddr, mask: &SockaddrStorage) -> Option<IpAddr> {
    self::ip(mask).filter(|mask| mask.is_ipv4() == ip.is_ipv4())
}

fn host_prefix_len(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn prefix_len(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    u8::try_from(ones).expect("an address has at most 128 bits")
}
