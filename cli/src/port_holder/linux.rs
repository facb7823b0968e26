//! Linux tells by /proc: the sockets of a port by number, and which processes have them open
//! (`proc_pid_net(5)`, `proc_pid_fd(5)`).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use procfs::net::UdpNetEntry;
use procfs::process::{FDTarget, Process, all_processes};
use rustix::process::{geteuid, getuid};

use super::{Holder, Holders};

/// The file name of our own program.
const PROGRAM: &str = "udp-discovery";
/// What Linux writes behind the name of a program whose file has been removed or replaced.
const DELETED: &str = " (deleted)";

/// Those that have `port`.
pub(crate) fn holders(port: NonZeroU16) -> Holders {
    let sockets = sockets(port);
    if sockets.is_empty() {
        return Holders::default();
    }
    let mut unseen = sockets.clone();
    let mut seen = Vec::new();
    // A process that can't be read is another user's, or has just ended.
    for process in all_processes().into_iter().flatten().flatten() {
        let open: Vec<u64> = open_sockets(&process)
            .filter(|socket| sockets.contains(socket))
            .collect();
        if open.is_empty() {
            continue;
        }
        for socket in open {
            unseen.remove(&socket);
        }
        seen.push(Holder {
            pid: process.pid(),
            name: name(&process),
            is_ours: is_our_service(&process),
        });
    }
    Holders {
        seen,
        more: !unseen.is_empty(),
    }
}

/// Whether the process `pid` is a udp-discovery service of the same user that has `port`.
pub(crate) fn is_our_service_on(port: NonZeroU16, pid: i32) -> bool {
    let Ok(process) = Process::new(pid) else {
        return false;
    };
    let sockets = sockets(port);
    is_our_service(&process) && open_sockets(&process).any(|socket| sockets.contains(&socket))
}

/// Whether more than one socket gets what is sent to `address`, or to one of the addresses that
/// it stands for. An IPv6 socket on every address is not meant: the kernel prefers those of IPv4.
pub(crate) fn is_shared(address: SocketAddr) -> bool {
    let overlaps = |other: SocketAddr| {
        let ip = other.ip().to_canonical();
        let is_same = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
        other.port() == address.port() && matches!(ip, IpAddr::V4(_)) && is_same
    };
    let sockets = all_sockets().filter(|socket| overlaps(socket.local_address));
    sockets.count() > 1
}

/// The numbers of the sockets that have `port`, on whichever address.
fn sockets(port: NonZeroU16) -> HashSet<u64> {
    all_sockets()
        .filter(|socket| socket.local_address.port() == port.get())
        .map(|socket| socket.inode)
        .collect()
}

/// Every UDP socket of this network namespace.
fn all_sockets() -> impl Iterator<Item = UdpNetEntry> {
    // Not /proc/net: that is missing where a service sees processes alone (ProcSubset=pid,
    // systemd.exec(5)).
    let tables = Process::myself().map(|process| [process.udp(), process.udp6()]);
    // A system without IPv6 has no second table.
    tables.into_iter().flatten().flatten().flatten()
}

fn open_sockets(process: &Process) -> impl Iterator<Item = u64> {
    let descriptors = process.fd().into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| match descriptor.target {
        FDTarget::Socket(number) => Some(number),
        _ => None,
    })
}

/// The name that ps(1) shows. A program chooses its own, so control characters are escaped.
fn name(process: &Process) -> String {
    match process.stat() {
        Ok(stat) => stat.comm.escape_debug().to_string(),
        Err(_) => "a program".into(),
    }
}

/// Whether it is of the same user, is called `udp-discovery`, and was told to `serve`.
fn is_our_service(process: &Process) -> bool {
    let is_same_user = process
        .status()
        .is_ok_and(|status| (status.ruid, status.euid) == (getuid().as_raw(), geteuid().as_raw()));
    let is_our_program = process.exe().is_ok_and(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.strip_suffix(DELETED).unwrap_or(name) == PROGRAM)
    });
    let serves = process
        .cmdline()
        .is_ok_and(|arguments| arguments.get(1).is_some_and(|command| command == "serve"));
    is_same_user && is_our_program && serves
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn this_program_is_seen_to_have_its_port_and_is_no_service() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(socket) = UdpSocket::bind(address) else {
                assert_eq!(address, "[::1]:0", "IPv6 alone may be missing");
                continue;
            };
            let port = NonZeroU16::new(socket.local_addr().unwrap().port()).unwrap();
            let own = i32::try_from(std::process::id()).unwrap();
            let holders = holders(port);
            let me = holders
                .seen
                .iter()
                .find(|holder| holder.pid == own)
                .unwrap();
            assert!(!me.name.is_empty());
            assert!(!me.is_ours);
            assert!(!holders.more);
            assert!(!is_our_service_on(port, own));
        }
    }

    /// Both tables: an IPv6 socket that is bound to an IPv4 address gets what is sent to it.
    #[test]
    fn a_port_is_shared_by_sockets_whose_addresses_overlap() {
        let shared = |first: &str, second: &str| {
            let reusable = |address: SocketAddr| {
                let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
                socket.set_reuse_address(true).unwrap();
                socket.bind(&address.into()).unwrap();
                socket
            };
            let socket = reusable(SocketAddr::new(first.parse().unwrap(), 0));
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            assert!(!is_shared(address), "{address}");
            let _second = reusable(SocketAddr::new(second.parse().unwrap(), address.port()));
            is_shared(address)
        };
        assert!(shared("0.0.0.0", "0.0.0.0"));
        assert!(shared("0.0.0.0", "127.0.0.1"));
        assert!(shared("127.0.0.1", "0.0.0.0"));
        assert!(!shared("127.0.0.1", "127.0.0.2"));
        if UdpSocket::bind("[::1]:0").is_ok() {
            assert!(shared("127.0.0.1", "::ffff:127.0.0.1"));
            assert!(!shared("127.0.0.1", "::1"));
        }
    }

    #[test]
    fn a_free_port_is_nobodys() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = NonZeroU16::new(socket.local_addr().unwrap().port()).unwrap();
        drop(socket);
        assert_eq!(holders(port), Holders::default());
    }
}
