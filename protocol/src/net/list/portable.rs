//! Lists interfaces and their addresses with the crate if-addrs: on Windows by
//! `GetAdaptersAddresses`, on iOS by getifaddrs(3).

use std::io;
use std::net::IpAddr;
use std::vec::Vec;

use if_addrs::{IfAddr, IfOperStatus};

use super::named;
use crate::net::interface::{Interface, InterfaceAddress, InterfaceFlags};

pub(super) fn list() -> io::Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    for entry in if_addrs::get_if_addrs()? {
        let index = || entry.index.unwrap_or(0);
        let interface = named(&mut interfaces, &entry.name, index);
        let loopback = entry.is_loopback();
        interface.flags = InterfaceFlags {
            up: entry.oper_status == IfOperStatus::Up,
            loopback,
            // It is not reported. All other interfaces of Windows can broadcast.
            broadcast: !loopback && !entry.is_p2p,
            point_to_point: entry.is_p2p,
        };
        let (ip, prefix_len) = match entry.addr {
            IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
            IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
        };
        if let Ok(address) = InterfaceAddress::new(ip, prefix_len) {
            interface.addresses.push(address);
        }
    }
    Ok(interfaces)
}
