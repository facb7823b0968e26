//! /proc lists the sockets of a port by number, and the open files of each process
//! (`proc_pid_net(5)`, `proc_pid_fd(5)`).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use procfs::ProcResult;
use procfs::net::UdpNetEntry;
use procfs::process::{FDTarget, Process, StatFlags, all_processes};
use rustix::process::{geteuid, getuid};

use super::mark::is_mark;
use super::{Holder, Holders};

/// How long to wait for a process that is ending. It takes as long as a second only on a very busy
/// machine.
const ENDING: Duration = Duration::from_secs(10);
/// How long to wait before the second look, and at most before later ones.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

impl Holders {
    /// The programs that have `port`.
    pub(crate) fn of(port: u16) -> Self {
        Self::within(port, ENDING)
    }

    /// The programs that have `port`, without waiting longer than `limit` for one that is ending.
    pub(crate) fn within(port: u16, limit: Duration) -> Self {
        let deadline = Instant::now() + limit;
        let (mut pause, longest_pause) = PAUSES;
        let (mut seen, mut unseen) = look(port);
        while !unseen.is_empty() && Instant::now() < deadline {
            let may_be_of_ending = is_any_ending();
            thread::sleep(pause);
            pause = longest_pause.min(pause * 2);
            let (seen_now, unseen_now) = look(port);
            seen = seen_now;
            unseen.retain(|socket| unseen_now.contains(socket));
            if !may_be_of_ending {
                break;
            }
        }
        Self {
            ended: seen.is_empty() && unseen.is_empty(),
            more: !unseen.is_empty(),
            seen,
        }
    }
}

/// Whether any process is ending. Its sockets exist until its last thread has ended, and nothing
/// shows that they are its own.
fn is_any_ending() -> bool {
    let mut processes = all_processes().into_iter().flatten().flatten();
    processes.any(|process| {
        process.stat().is_ok_and(|stat| match stat.state {
            // Without other threads it has ended; its parent has only not collected it yet.
            'Z' => stat.num_threads > 1,
            _ => stat.flags & StatFlags::PF_EXITING.bits() != 0,
        })
    })
}

/// The processes that have `port`, and the numbers of the sockets without a visible process.
fn look(port: u16) -> (Vec<Holder>, HashSet<u64>) {
    let sockets = sockets(port);
    let mut seen = Vec::new();
    if sockets.is_empty() {
        return (seen, sockets);
    }
    let mut found = HashSet::new();
    // A process that can't be read is another user's, or has just ended.
    for process in all_processes().into_iter().flatten().flatten() {
        let open = Open::of(&process, &sockets, port);
        if open.sockets.is_empty() {
            continue;
        }
        if let Ok(is_same_user) = is_same_user(&process) {
            seen.push(Holder {
                pid: process.pid(),
                name: name(&process),
                is_ours: open.is_marked && is_same_user,
            });
            found.extend(open.sockets);
        }
    }
    let unseen = &sockets - &found;
    if unseen.is_empty() {
        return (seen, unseen);
    }
    // Sockets that have been closed since belong to nobody.
    (seen, &unseen & &self::sockets(port))
}

/// Whether the process `pid` is a udp-discovery service of the same user that has `port`.
pub(crate) fn is_our_service_on(port: u16, pid: i32) -> bool {
    let Ok(process) = Process::new(pid) else {
        return false;
    };
    let open = Open::of(&process, &sockets(port), port);
    open.is_marked && !open.sockets.is_empty() && is_same_user(&process).unwrap_or(false)
}

/// Whether more than one socket receives what is sent to `address`, or to one of the addresses that
/// it stands for. For an IPv4 address, an IPv6 socket on every address doesn't count: the kernel prefers
/// IPv4 sockets.
pub(crate) fn is_shared(address: SocketAddr) -> bool {
    is_shared_among(all_sockets(), address)
}

fn is_shared_among(sockets: impl Iterator<Item = UdpNetEntry>, address: SocketAddr) -> bool {
    let overlaps = |other: SocketAddr| {
        let ip = other.ip().to_canonical();
        let is_any = ip.is_unspecified() || address.ip().is_unspecified();
        let is_same_family = ip.is_ipv4() == address.is_ipv4();
        other.port() == address.port() && is_same_family && (is_any || ip == address.ip())
    };
    // The system lists a socket twice if others are opened while it is read.
    let sockets: HashSet<u64> = sockets
        .filter(|socket| overlaps(socket.local_address))
        .map(|socket| socket.inode)
        .collect();
    sockets.len() > 1
}

/// The numbers of the sockets that have `port`, on whichever address.
fn sockets(port: u16) -> HashSet<u64> {
    all_sockets()
        .filter(|socket| socket.local_address.port() == port)
        .map(|socket| socket.inode)
        .collect()
}

/// Every UDP socket of this network namespace.
fn all_sockets() -> impl Iterator<Item = UdpNetEntry> {
    // Not /proc/net, which is missing where a service sees only processes (ProcSubset=pid,
    // systemd.exec(5)).
    let tables = Process::myself().map(|process| [process.udp(), process.udp6()]);
    // A system without IPv6 has no second table.
    tables.into_iter().flatten().flatten().flatten()
}

/// The open files of a process that matter here.
#[derive(Debug, Default)]
struct Open {
    /// Those of the sockets asked for that it has, by number.
    sockets: Vec<u64>,
    /// Whether it has the mark of a service on the port. The socket doesn't show that: it may be
    /// inherited.
    is_marked: bool,
}

impl Open {
    fn of(process: &Process, sockets: &HashSet<u64>, port: u16) -> Self {
        let mut open = Self::default();
        for descriptor in process.fd().into_iter().flatten().flatten() {
            match descriptor.target {
                FDTarget::Socket(number) if sockets.contains(&number) => open.sockets.push(number),
                FDTarget::MemFD(name) if is_mark(&name, port) => open.is_marked = true,
                _ => {}
            }
        }
        open
    }
}

/// The name that ps(1) shows. A program chooses its own, so control characters are escaped.
fn name(process: &Process) -> String {
    match process.stat() {
        Ok(stat) => stat.comm.escape_debug().to_string(),
        Err(_) => "a program".into(),
    }
}

/// Fails if the process has ended.
fn is_same_user(process: &Process) -> ProcResult<bool> {
    let status = process.status()?;
    Ok((status.ruid, status.euid) == (getuid().as_raw(), geteuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use socket2::{Domain, Socket, Type};

    use super::super::mark::Mark;
    use super::*;

    #[test]
    fn this_program_is_seen_to_have_its_port_and_is_a_service_only_with_the_mark_of_the_port() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(socket) = UdpSocket::bind(address) else {
                assert_eq!(address, "[::1]:0", "IPv6 alone may be missing");
                continue;
            };
            let port = socket.local_addr().unwrap().port();
            let own = i32::try_from(std::process::id()).unwrap();
            let holders = Holders::of(port);
            let me = holders
                .seen
                .iter()
                .find(|holder| holder.pid == own)
                .unwrap();
            assert!(!me.name.is_empty());
            assert!(!me.is_ours);
            assert!(!holders.more && !holders.ended);
            assert!(!is_our_service_on(port, own));

            let _other = Mark::new(port.checked_add(1).unwrap_or(1)).unwrap();
            assert!(!is_our_service_on(port, own));
            let _mark = Mark::new(port).unwrap();
            assert!(is_our_service_on(port, own));
        }
    }

    /// Both tables: an IPv6 socket that is bound to an IPv4 address gets what is sent to it.
    #[test]
    fn a_port_is_shared_by_sockets_whose_addresses_overlap() {
        let shared = |first: &str, second: &str| {
            let open = |address: SocketAddr| {
                Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap()
            };
            let address = SocketAddr::new(first.parse().unwrap(), 0);
            let socket = open(address);
            socket.bind(&address.into()).unwrap();
            // Only now: with it, the port could be one that others share.
            socket.set_reuse_address(true).unwrap();
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            assert!(!is_shared(address), "{address}");
            let second = SocketAddr::new(second.parse().unwrap(), address.port());
            let other = open(second);
            other.set_reuse_address(true).unwrap();
            other.bind(&second.into()).unwrap();
            is_shared(address)
        };
        assert!(shared("0.0.0.0", "0.0.0.0"));
        assert!(shared("0.0.0.0", "127.0.0.1"));
        assert!(shared("127.0.0.1", "0.0.0.0"));
        assert!(!shared("127.0.0.1", "127.0.0.2"));
        if UdpSocket::bind("[::1]:0").is_ok() {
            assert!(shared("127.0.0.1", "::ffff:127.0.0.1"));
            assert!(!shared("127.0.0.1", "::1"));
            assert!(shared("::1", "::1"));
            assert!(!shared("::1", "127.0.0.1"));
        }
    }

    #[test]
    fn a_socket_that_is_listed_twice_is_not_shared() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let twice = all_sockets().chain(all_sockets());
        assert!(!is_shared_among(twice, socket.local_addr().unwrap()));
    }

    #[test]
    fn a_free_port_is_nobodys() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        drop(socket);
        let ended = Holders {
            ended: true,
            ..Holders::default()
        };
        assert_eq!(Holders::of(port), ended);
    }
}
