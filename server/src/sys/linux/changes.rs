//! Notifications of changed interfaces, addresses and routes (rtnetlink(7)).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::libc::{
    RTM_DELLINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::sys::GoneLinks;

/// Two netlink sockets that receive every change: one wakes the server, one is looked at when a
/// request arrives.
///
/// A change of a link or an address wakes the server at once. Routes may change thousands of times
/// a second on a router, so their socket wakes nobody. When its buffer is full, the kernel drops
/// the notifications, which loses only which interfaces are gone: one is enough.
#[derive(Debug)]
pub(crate) struct Changes {
    addresses: OwnedFd,
    routes: OwnedFd,
}

impl Changes {
    /// Subscribes to changes. `registry` reports those of links and addresses under `token`.
    pub(crate) fn watch(registry: &Registry, token: Token) -> io::Result<Option<Self>> {
        let addresses = subscribe(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)?;
        let routes = subscribe(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)?;
        registry.register(
            &mut SourceFd(&addresses.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        Ok(Some(Self { addresses, routes }))
    }

    /// Whether a route has changed since this was last asked.
    pub(crate) fn routes_changed(&self) -> bool {
        drain(&self.routes, |_| {})
    }

    /// Discards all notifications, after adding the interfaces that they say are gone to `gone`.
    pub(crate) fn drain(&self, gone: &mut GoneLinks) {
        drain(&self.addresses, |notification| match notification {
            Some(notification) => gone.indices.extend(gone_link(notification)),
            None => gone.any = true,
        });
        drain(&self.routes, |_| {});
    }
}

fn subscribe(groups: i32) -> io::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    bind(
        socket.as_raw_fd(),
        &NetlinkAddr::new(0, groups.cast_unsigned()),
    )?;
    Ok(socket)
}

/// A notification about a link: a header (netlink(7)) and a `struct ifinfomsg` (rtnetlink(7)).
type Notification = [u8; 24];

/// Takes the notifications of `socket`, calls `each` with the beginning of each, and returns whether
/// there was one. `None` says that the kernel dropped some (`ENOBUFS`).
fn drain(socket: &OwnedFd, mut each: impl FnMut(Option<&Notification>)) -> bool {
    let mut any = false;
    loop {
        let mut notification = Notification::default();
        // The kernel discards what does not fit.
        match recv(
            socket.as_raw_fd(),
            &mut notification,
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(_) => each(Some(&notification)),
            Err(Errno::ENOBUFS) => each(None),
            Err(Errno::EINTR) => continue,
            Err(_) => return any,
        }
        any = true;
    }
}

/// The index of the interface that is gone, if `notification` says that one is. Of those about a
/// bridge, which have a family, none does.
fn gone_link(notification: &Notification) -> Option<u32> {
    let [_, _, _, _, t0, t1, ..] = *notification;
    let [.., family, _, _, _, i0, i1, i2, i3] = *notification;
    let is_gone = u16::from_ne_bytes([t0, t1]) == RTM_DELLINK && family == 0;
    is_gone.then_some(u32::from_ne_bytes([i0, i1, i2, i3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_gone_if_it_is_deleted_and_not_if_it_leaves_a_bridge() {
        const RTM_NEWLINK: u16 = 16;
        const AF_BRIDGE: u8 = 7;
        let gone = |kind: u16, family: u8| {
            let mut notification = Notification::default();
            notification[4..6].copy_from_slice(&kind.to_ne_bytes());
            notification[16] = family;
            notification[20..].copy_from_slice(&77_u32.to_ne_bytes());
            gone_link(&notification)
        };
        assert_eq!(gone(RTM_DELLINK, 0), Some(77));
        assert_eq!(gone(RTM_DELLINK, AF_BRIDGE), None);
        assert_eq!(gone(RTM_NEWLINK, 0), None);
    }
}
