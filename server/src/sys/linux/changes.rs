//! Notifications of changed interfaces, addresses and routes (rtnetlink(7)).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::libc::{
    RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE, RTMGRP_LINK,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// Two netlink sockets that receive every change: one wakes the server, one is looked at when a
/// request arrives.
///
/// A change of a link or an address wakes the server at once. Routes may change thousands of times
/// a second on a router, so their socket wakes nobody. When its buffer is full, the kernel drops
/// the notifications, which loses nothing: one is enough.
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
        drain(&self.routes)
    }

    /// Discards all notifications.
    pub(crate) fn drain(&self) {
        drain(&self.addresses);
        drain(&self.routes);
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

/// Discards the notifications of `socket` and returns whether there was one. `ENOBUFS` says that
/// the kernel dropped some.
fn drain(socket: &OwnedFd) -> bool {
    let mut any = false;
    loop {
        // Their contents do not matter. The kernel discards what does not fit.
        match recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
            Ok(_) | Err(Errno::ENOBUFS) => any = true,
            Err(Errno::EINTR) => {}
            Err(_) => return any,
        }
    }
}
