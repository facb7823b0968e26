//! On which interfaces a socket is a member of its multicast group.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use udp_discovery_protocol::{Interface, InterfaceAddress, MULTICAST_V4, MULTICAST_V6};

use crate::event::Event;
use crate::reporter::Reporter;
use crate::sys::{Family, GoneLinks, Link, Transport};

/// The memberships of one socket.
#[derive(Debug)]
pub(crate) struct Memberships {
    family: Family,
    all: Vec<Membership>,
}

#[derive(Debug)]
struct Membership {
    link: Link,
    /// If not, the system refused it, and this was reported.
    joined: bool,
}

impl Memberships {
    pub(crate) fn new(family: Family) -> Self {
        let all = Vec::new();
        Self { family, all }
    }

    /// Joins the group on every interface that is up and has an address of the family, except
    /// loopback, and leaves it elsewhere. Where an interface that is `gone` was replaced by another one,
    /// the group is left and joined again. What the system refused before is tried again and not
    /// reported again.
    pub(crate) fn update(
        &mut self,
        socket: &impl Transport,
        interfaces: &[Interface],
        gone: &GoneLinks,
        reporter: &mut Reporter,
    ) {
        // Container bridges last: the system limits the number of memberships.
        let (bridges, real): (Vec<_>, Vec<_>) = interfaces
            .iter()
            .filter(|interface| interface.flags.up && !interface.flags.loopback)
            .partition(|interface| interface.is_container_bridge());
        let wanted: Vec<(Link, &str)> = real
            .into_iter()
            .chain(bridges)
            .filter_map(|interface| Some((self.link(interface)?, interface.name.as_str())))
            .collect();
        self.all.retain(|membership| {
            let is_wanted = wanted.iter().any(|(link, _)| *link == membership.link);
            let stays = is_wanted && !gone.may_contain(membership.link.index);
            if !stays && membership.joined {
                // It fails if the interface is gone, and the membership with it.
                let _ = socket.leave(membership.link);
            }
            stays
        });
        for (link, name) in wanted {
            self.join(socket, link, name, reporter);
        }
    }

    fn join(
        &mut self,
        socket: &impl Transport,
        link: Link,
        interface: &str,
        reporter: &mut Reporter,
    ) {
        let known = self.all.iter().position(|it| it.link == link);
        if known.is_some_and(|at| self.all[at].joined) {
            return;
        }
        let result = socket.join(link);
        let joined = result.as_ref().err().is_none_or(is_member);
        match (known, result) {
            (Some(at), _) => self.all[at].joined = joined,
            (None, result) => {
                self.all.push(Membership { link, joined });
                if let (false, Err(error)) = (joined, result) {
                    reporter.report(&Event::MulticastUnavailable {
                        interface,
                        group: self.group(),
                        error: &error,
                    });
                }
            }
        }
    }

    fn group(&self) -> IpAddr {
        match self.family {
            Family::V4 => MULTICAST_V4.into(),
            Family::V6 => MULTICAST_V6.into(),
        }
    }

    /// `None` if `interface` has no address of the family.
    fn link(&self, interface: &Interface) -> Option<Link> {
        let mut ips = interface.addresses.iter().map(InterfaceAddress::ip);
        let first = ips.find(|ip| ip.is_ipv4() == self.group().is_ipv4())?;
        Some(Link {
            index: interface.index,
            ipv4: match first {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            },
        })
    }
}

/// Whether `error` says that the socket is a member already.
fn is_member(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrInUse
}
