//! Memberships in multicast groups by the index of an interface, which stays when its address goes
//! (`ip_mreqn`, ip(7) of Linux, ip(4) of macOS and FreeBSD).

use std::io;

use socket2::{InterfaceIndexOrAddress, SockRef};
use udp_discovery_protocol::{MULTICAST_V4, MULTICAST_V6};

use super::{Family, Link};

pub(super) fn join(socket: &SockRef<'_>, family: Family, link: Link) -> io::Result<()> {
    match family {
        Family::V4 => {
            let link = InterfaceIndexOrAddress::Index(link.index);
            socket.join_multicast_v4_n(&MULTICAST_V4, &link)
        }
        Family::V6 => socket.join_multicast_v6(&MULTICAST_V6, link.index),
    }
}

pub(super) fn leave(socket: &SockRef<'_>, family: Family, link: Link) -> io::Result<()> {
    match family {
        Family::V4 => {
            let link = InterfaceIndexOrAddress::Index(link.index);
            socket.leave_multicast_v4_n(&MULTICAST_V4, &link)
        }
        Family::V6 => socket.leave_multicast_v6(&MULTICAST_V6, link.index),
    }
}
