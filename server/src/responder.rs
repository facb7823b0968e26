//! The pure core: who is answered, and what.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use udp_discovery_protocol::{
    Codec, DecodeError, HostIp, Interface, InterfaceAddress, MAX_DATAGRAM_LEN, Message, Response,
};

use crate::config::Config;
use crate::rate_limit::{Source, SourceLimit, TotalLimit};
use crate::stats::DropReason;

/// Decides about every datagram that reaches a server: whether it is answered, with what, and
/// from which of our addresses. It has no socket and no clock.
///
/// # How to drive it
/// 1. [`new`](Self::new) with the configuration, the port that the socket is bound to and a
///    secret.
/// 2. [`set_interfaces`](Self::set_interfaces) before the first datagram, and again whenever the
///    system's interfaces or addresses change. Without interfaces it answers nobody.
/// 3. [`handle_datagram`](Self::handle_datagram) for each datagram, in the order of arrival.
///    Send the [`Reply`] that comes back, from the address and by the interface that it names.
///
/// `now` must not go back from one call to the next. It may come from any monotonic clock; the
/// wall clock plays no part.
///
/// ```
/// use std::time::Instant;
/// use udp_discovery_protocol::{Interface, InterfaceAddress};
/// use udp_discovery_server::{Arrival, Config, Datagram, Responder};
///
/// let mut eth0 = Interface::new("eth0", 2);
/// eth0.addresses.push(InterfaceAddress::new("192.168.1.7".parse()?, 24)?);
/// let mut responder = Responder::new(Config::default(), 9999, [1, 2]);
/// responder.set_interfaces(vec![eth0]);
///
/// let datagram = Datagram {
///     payload: b"DISCOVER_SERVER",
///     truncated: false,
///     source: "192.168.1.20:50000".parse()?,
///     arrival: Arrival { interface: Some(2), ..Arrival::default() },
/// };
/// let reply = responder.handle_datagram(Instant::now(), &datagram)?;
/// assert_eq!(&reply.payload[..], b"SERVER_IP:192.168.1.7");
/// assert_eq!(reply.destination, datagram.source);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Responder {
    config: Config,
    port: u16,
    source_limit: Option<SourceLimit>,
    total_limit: Option<TotalLimit>,
    /// Sorted by index.
    interfaces: Vec<Interface>,
    scratch: BytesMut,
}

/// A datagram as it reached the server.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "whoever drives the core writes it out"
)]
pub struct Datagram<'a> {
    /// Its bytes, as far as they were received.
    pub payload: &'a [u8],
    /// Whether it had more bytes than were received.
    pub truncated: bool,
    /// Where it says it came from.
    pub source: SocketAddr,
    /// Where it arrived.
    pub arrival: Arrival,
}

/// Where a datagram arrived, as far as the system tells.
///
/// Linux tells all of it (`IP_PKTINFO`, ip(7)). Elsewhere it may be unknown; then the networks
/// of the interfaces decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "whoever drives the core writes it out"
)]
pub struct Arrival {
    /// The index of the interface that it came by.
    pub interface: Option<u32>,
    /// The address that it was sent to: one of ours, or a broadcast address.
    pub destination: Option<IpAddr>,
    /// The local address that the system would answer from.
    pub local: Option<IpAddr>,
}

/// An answer to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// Where to: the source of the request.
    pub destination: SocketAddr,
    /// From which of our addresses.
    pub local: IpAddr,
    /// By which interface, if it must be that one and not the one that the host's routes choose.
    /// Whoever sends it makes sure that those routes do not refuse the destination.
    pub interface: Option<u32>,
    /// What the answer names, besides its bytes.
    pub response: Response,
    /// The bytes.
    pub payload: Bytes,
}

impl Responder {
    /// A responder that answers as `config` says, from a socket bound to `port`. The `seed` is a
    /// secret that nobody on the network can guess; it decides where a source stands in the
    /// table of the rate limit, and nothing else.
    pub fn new(config: Config, port: u16, seed: [u64; 2]) -> Self {
        let source_limit = |limit| SourceLimit::new(limit, seed);
        Self {
            source_limit: config.rate_limit().map(source_limit),
            total_limit: config.total_limit().map(TotalLimit::new),
            config,
            port,
            interfaces: Vec::new(),
            scratch: BytesMut::new(),
        }
    }

    /// Tells the interfaces and addresses that this host has from now on. Returns whether they
    /// are other ones than before.
    pub fn set_interfaces(&mut self, mut interfaces: Vec<Interface>) -> bool {
        interfaces.sort_by_key(|interface| interface.index);
        let changed = self.interfaces != interfaces;
        self.interfaces = interfaces;
        changed
    }

    /// The interfaces that were told last, sorted by index.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What an answer sent from `local` names.
    ///
    /// # Errors
    /// [`DropReason::NoLocalAddress`], if `local` can't be the address of a host.
    pub fn response_from(&self, local: IpAddr) -> Result<Response, DropReason> {
        let ip = match self.config.advertise_ip() {
            Some(ip) => ip,
            None => HostIp::new(local).map_err(|_| DropReason::NoLocalAddress)?,
        };
        let port = self.config.advertise_port().and_then(NonZeroU16::new);
        Ok(Response::new(ip, port))
    }

    /// Decides about one datagram.
    ///
    /// # Errors
    /// [`DropReason`], if it is not to be answered.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: &Datagram<'_>,
    ) -> Result<Reply, DropReason> {
        self.check_payload(datagram)?;
        let source = datagram.source;
        self.check_source(source)?;
        let interface = self.arrival_interface(datagram)?;
        check_source_on(interface, source.ip())?;
        let on_link = self.is_on_link(interface, source.ip());
        if !on_link && !self.config.allow().permits(source.ip()) {
            return Err(DropReason::OffLink);
        }
        let local = local_address(interface, datagram).ok_or(DropReason::NoLocalAddress)?;
        let pinned =
            (on_link && self.must_leave_by(interface, source.ip())).then_some(interface.index);
        let response = self.response_from(local)?;
        self.check_limits(now, Source::of(source, on_link))?;
        Ok(Reply {
            destination: source,
            local,
            interface: pinned,
            response,
            payload: self.encode(response),
        })
    }

    /// The exact request alone goes on.
    fn check_payload(&self, datagram: &Datagram<'_>) -> Result<(), DropReason> {
        if datagram.truncated {
            return Err(DropReason::TooLong);
        }
        match self.codec().decode(datagram.payload) {
            Ok(Message::Request(_)) => Ok(()),
            Ok(Message::Response(_)) => Err(DropReason::IsResponse),
            Err(DecodeError::Empty) => Err(DropReason::Empty),
            Err(DecodeError::TooLong { .. }) => Err(DropReason::TooLong),
            Err(_) => Err(DropReason::NotRequest),
        }
    }

    /// Refuses sources that no client has, wherever they come by.
    fn check_source(&self, source: SocketAddr) -> Result<(), DropReason> {
        if source.port() == 0 {
            return Err(DropReason::SourcePortZero);
        }
        if HostIp::new(source.ip()).is_err() {
            return Err(DropReason::SourceNotAHost);
        }
        let ours = source.ip().is_loopback() || self.holds(source.ip());
        if ours && source.port() == self.port {
            return Err(DropReason::SourceIsSelf);
        }
        Ok(())
    }

    /// The interface by its index; where the system tells none, the one whose network the source
    /// is in, or for a source elsewhere that is allowed, one that leads elsewhere.
    fn arrival_interface(&self, datagram: &Datagram<'_>) -> Result<&Interface, DropReason> {
        let source = datagram.source.ip();
        let Some(index) = datagram.arrival.interface else {
            let allowed = || self.config.allow().permits(source);
            return self
                .interface_towards(source)
                .or_else(|| self.real_interface().filter(|_| allowed()))
                .ok_or(DropReason::OffLink);
        };
        self.interfaces
            .binary_search_by_key(&index, |interface| interface.index)
            .map(|at| &self.interfaces[at])
            .map_err(|_| DropReason::UnknownInterface)
    }

    /// The interface that is up and has the longest prefix that `ip` is in.
    fn interface_towards(&self, ip: IpAddr) -> Option<&Interface> {
        let prefix_len = |interface: &Interface| {
            let networks = interface.networks();
            networks
                .filter(|network| network.contains(&ip))
                .map(|network| network.prefix_len())
                .max()
        };
        self.interfaces
            .iter()
            .filter(|interface| interface.flags.up && prefix_len(interface).is_some())
            .max_by_key(|interface| prefix_len(interface))
    }

    /// The first interface that leads elsewhere, for clients that are on no network of ours.
    fn real_interface(&self) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| {
            let flags = interface.flags;
            let real = flags.up && !flags.loopback && !interface.is_container_bridge();
            real && interface.ipv4_addresses().next().is_some()
        })
    }

    /// Whether `source` is in a network of `interface`. What this host sends to itself comes by
    /// the loopback interface from whichever of its addresses.
    fn is_on_link(&self, interface: &Interface, source: IpAddr) -> bool {
        interface.is_on_link(source) || (interface.flags.loopback && self.holds(source))
    }

    /// Whether an answer to `source`, on the link of `interface`, must leave by that interface
    /// whatever the host's routes choose: it is on the link of another one too, or its address is
    /// valid on every link.
    ///
    /// Otherwise the routes decide. Linux takes any destination for on link when it is told the
    /// interface and has no route: answers would leave though the host's routes refuse them.
    fn must_leave_by(&self, interface: &Interface, source: IpAddr) -> bool {
        let link_local = matches!(source, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let on_another_link = || {
            self.interfaces.iter().any(|other| {
                other.index != interface.index && other.flags.up && other.is_on_link(source)
            })
        };
        !interface.flags.loopback && (link_local || on_another_link())
    }

    /// Each source has its share of answers, and so may all of them together.
    fn check_limits(&mut self, now: Instant, source: Source) -> Result<(), DropReason> {
        if let Some(limit) = &mut self.source_limit
            && !limit.permits(now, source)
        {
            return Err(DropReason::RateLimited);
        }
        if let Some(limit) = &mut self.total_limit
            && !limit.permits(now)
        {
            return Err(DropReason::TotalLimited);
        }
        Ok(())
    }

    fn holds(&self, ip: IpAddr) -> bool {
        self.interfaces.iter().any(|interface| interface.holds(ip))
    }

    fn encode(&mut self, response: Response) -> Bytes {
        let message = Message::Response(response);
        let codec = self.config.settings().codec();
        self.scratch.reserve(MAX_DATAGRAM_LEN);
        codec.encode(message, &mut self.scratch);
        self.scratch.split().freeze()
    }

    fn codec(&self) -> &Codec {
        self.config.settings().codec()
    }
}

/// Refuses sources that no client on `interface` has.
fn check_source_on(interface: &Interface, source: IpAddr) -> Result<(), DropReason> {
    if source.is_loopback() && !interface.flags.loopback {
        return Err(DropReason::SourceLoopback);
    }
    let is_broadcast =
        |address: &InterfaceAddress| address.directed_broadcast().map(IpAddr::V4) == Some(source);
    if interface.addresses.iter().any(is_broadcast) {
        return Err(DropReason::SourceNotAHost);
    }
    Ok(())
}

/// Our address on the network that the datagram came by: the one it was sent to; if it was
/// broadcast, the one on the source's network; else the one the system suggests, if it is there.
fn local_address(interface: &Interface, datagram: &Datagram<'_>) -> Option<IpAddr> {
    let Arrival {
        destination, local, ..
    } = datagram.arrival;
    // What this host sends to itself comes by the loopback interface for any of its addresses.
    let is_ours = |ip: &IpAddr| interface.flags.loopback || interface.holds(*ip);
    destination
        .filter(|destination| local == Some(*destination) || interface.holds(*destination))
        .or_else(|| interface.address_towards(datagram.source.ip()))
        .or_else(|| local.filter(is_ours))
        .or_else(|| {
            // The system told nothing, and the client is allowed though it is elsewhere.
            let nothing_told = datagram.arrival == Arrival::default();
            let first = interface.ipv4_addresses().next().map(IpAddr::V4);
            first.filter(|_| nothing_told)
        })
}
