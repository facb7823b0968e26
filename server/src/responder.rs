//! The pure core: who is answered, and what.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Instant;

use udp_discovery_protocol::{
    Codec, DecodeError, DetailsRequestError, HostIp, Interface, InterfaceAddress, Message, Nonce,
    Response,
};

use crate::config::Config;
use crate::error::OfferError;
use crate::offer::Offer;
use crate::payload::{Payload, Payloads};
use crate::rate_limit::{Source, SourceLimit, TotalLimit};
use crate::stats::DropReason;

/// Decides about every datagram that reaches a server: whether it is answered, with what, and
/// from which local address. It has no socket and no clock.
///
/// [`Server`](crate::Server) drives it on a socket. Drive it yourself on another runtime, in a
/// simulation or in a test.
///
/// # How to drive it
/// 1. [`new`](Self::new) with the configuration, the port that the socket is bound to and a
///    secret.
/// 2. [`set_interfaces`](Self::set_interfaces) before the first datagram, and again whenever the
///    system's interfaces, addresses or routes change. Without interfaces it answers nobody.
/// 3. [`handle_datagram`](Self::handle_datagram) for each datagram, in the order of arrival.
///    Send the [`Reply`] that it returns, from the address and by the interface that it names.
/// 4. If [`needs_interfaces`](Self::needs_interfaces) returns true after that, the datagram did not
///    fit the interfaces. Set them again and handle the datagram once more, but not more often
///    than once a second: anyone can send such datagrams.
///
/// `now` must not go back from one call to the next. It may come from any monotonic clock. The
/// wall clock is not used.
///
/// ```
/// use std::time::Instant;
/// use udp_discovery_protocol::{Interface, InterfaceAddress};
/// use udp_discovery_server::{Arrival, Config, Datagram, Responder};
///
/// let mut eth0 = Interface::new("eth0", 2);
/// eth0.addresses.push(InterfaceAddress::new("192.168.1.7".parse()?, 24)?);
/// let mut responder = Responder::new(Config::default(), 9999, [1, 2])?;
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
    /// Details, for clients that ask for them.
    offer: Option<Offer>,
    /// Sorted by index.
    interfaces: Vec<Interface>,
    /// Whether the last datagram did not fit the interfaces.
    needs_interfaces: bool,
    payloads: Payloads,
    /// The last plain answer. Most are equal to it.
    last_answer: Option<(Response, Payload)>,
}

/// A datagram as it reached the server.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "the driver of the core constructs it"
)]
pub struct Datagram<'a> {
    /// The bytes that were received.
    pub payload: &'a [u8],
    /// Whether it had more bytes than were received.
    pub truncated: bool,
    /// The source address that it carries.
    pub source: SocketAddr,
    /// Where it arrived.
    pub arrival: Arrival,
}

/// Where a datagram arrived, as far as the system reports it.
///
/// Linux reports all of it (`IP_PKTINFO`, ip(7); `IPV6_PKTINFO`, ipv6(7)). Android, macOS and FreeBSD
/// report the interface and the destination (`IP_RECVDSTADDR` and `IP_RECVIF` on FreeBSD, ip(4)).
/// Elsewhere nothing is known; then the scope of a link-local source or the networks of the interfaces
/// decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "the driver of the core constructs it"
)]
pub struct Arrival {
    /// The index of the interface that it arrived on.
    pub interface: Option<u32>,
    /// The address that it was sent to: a local, a broadcast or a multicast address.
    pub destination: Option<IpAddr>,
    /// The local address that the system would answer from, if it suggests one. For IPv6, the
    /// destination if it is not a multicast address.
    pub local: Option<IpAddr>,
}

/// An answer to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The source of the request.
    pub destination: SocketAddr,
    /// The local address to send from.
    pub local: IpAddr,
    /// The interface to send by, if it must not be the one that the host's routes choose. The
    /// sender must check that those routes do not refuse the destination.
    pub interface: Option<u32>,
    /// What the answer names.
    pub response: Response,
    /// Whether the answer carries details.
    pub details: bool,
    /// The encoded answer.
    pub payload: Payload,
}

impl Responder {
    /// A responder with the configuration `config`, for a socket bound to `port`.
    ///
    /// The `seed` is a secret that nobody on the network can guess. It only decides the place of a
    /// source in the tables of the rate limits.
    ///
    /// Answers with details carry the [`run`](udp_discovery_protocol::Details::run) of
    /// [`Config::details`], which must be drawn for each start.
    ///
    /// # Errors
    /// [`OfferError`], if an answer with the configured details is too long, or if their id is not that
    /// of the signing key.
    pub fn new(config: Config, port: u16, seed: [u64; 2]) -> Result<Self, OfferError> {
        let source_limit = |limit| SourceLimit::new(limit, seed);
        Ok(Self {
            offer: Offer::new(&config, seed)?,
            source_limit: config.rate_limit().map(source_limit),
            total_limit: config.total_limit().map(TotalLimit::new),
            config,
            port,
            interfaces: Vec::new(),
            needs_interfaces: true,
            payloads: Payloads::new(),
            last_answer: None,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets the interfaces that this host has from now on. Returns whether they have changed.
    pub fn set_interfaces(&mut self, mut interfaces: Vec<Interface>) -> bool {
        self.needs_interfaces = false;
        interfaces.sort_by_key(|interface| interface.index);
        let changed = self.interfaces != interfaces;
        self.interfaces = interfaces;
        changed
    }

    /// The interfaces that were set last, sorted by index.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Whether requests for details are answered.
    pub(crate) fn offers_details(&self) -> bool {
        self.offer.is_some()
    }

    /// Whether the interfaces should be set before the last datagram is handled again.
    ///
    /// It is true before interfaces are set, and after a datagram was dropped because it arrived on
    /// an unknown interface, from a source that is not on its link, or where this host has no
    /// address.
    pub fn needs_interfaces(&self) -> bool {
        self.needs_interfaces
    }

    /// The response that an answer sent from `local` carries.
    ///
    /// # Errors
    /// [`DropReason::NoLocalAddress`], if `local` cannot be the address of a host.
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
    /// [`DropReason`], if it is dropped.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: &Datagram<'_>,
    ) -> Result<Reply, DropReason> {
        let decision = self.decide(now, datagram);
        self.needs_interfaces = matches!(
            decision,
            Err(DropReason::UnknownInterface | DropReason::NoLocalAddress | DropReason::OffLink)
        );
        decision
    }

    fn decide(&mut self, now: Instant, datagram: &Datagram<'_>) -> Result<Reply, DropReason> {
        let nonce = self.read_request(datagram)?;
        let source = datagram.source;
        self.check_source(source)?;
        let interface = self.arrival_interface(datagram)?;
        check_source_on(interface, source.ip())?;
        let on_link = self.is_on_link(interface, source.ip());
        if !on_link && !self.config.allow().permits(source.ip()) {
            return Err(DropReason::OffLink);
        }
        let local = self
            .local_address(interface, datagram)
            .ok_or(DropReason::NoLocalAddress)?;
        let pinned =
            (on_link && self.must_leave_by(interface, source.ip())).then_some(interface.index);
        let response = self.response_from(local)?;
        let client = Source::of(source, on_link);
        let payload = if let (Some(nonce), Some(offer)) = (nonce, &mut self.offer) {
            offer.check_limits(now, client)?;
            let codec = self.config.settings().codec();
            offer.encode(codec, response, nonce, datagram.payload)
        } else {
            self.check_limits(now, client)?;
            self.encode(response)
        };
        Ok(Reply {
            destination: source,
            local,
            interface: pinned,
            response,
            details: nonce.is_some(),
            payload,
        })
    }

    /// Accepts only the exact request, and if details are offered, the request for them, which has a
    /// nonce.
    fn read_request(&self, datagram: &Datagram<'_>) -> Result<Option<Nonce>, DropReason> {
        if datagram.truncated {
            return Err(DropReason::TooLong);
        }
        if self.offer.is_some()
            && let Some(request) = self.details_request(datagram.payload)
        {
            return request.map(Some);
        }
        match self.codec().decode(datagram.payload) {
            Ok(Message::Request(_)) => Ok(None),
            Ok(Message::Response(_)) => Err(DropReason::IsResponse),
            Err(DecodeError::Empty) => Err(DropReason::Empty),
            Err(DecodeError::TooLong { .. }) => Err(DropReason::TooLong),
            Err(_) => Err(DropReason::NotRequest),
        }
    }

    /// Reads a request for details, if it begins like one.
    fn details_request(&self, payload: &[u8]) -> Option<Result<Nonce, DropReason>> {
        Some(match self.codec().decode_details_request(payload) {
            Ok(nonce) => Ok(nonce),
            Err(DetailsRequestError::Length { .. }) => Err(DropReason::DetailsLength),
            Err(DetailsRequestError::UnknownVersion) => Err(DropReason::DetailsVersion),
            Err(DetailsRequestError::MalformedNonce) => Err(DropReason::DetailsNonce),
            Err(DetailsRequestError::Padding) => Err(DropReason::DetailsPadding),
            Err(_) => return None,
        })
    }

    /// Refuses sources that no client has, on any interface.
    fn check_source(&self, source: SocketAddr) -> Result<(), DropReason> {
        if source.port() == 0 {
            return Err(DropReason::SourcePortZero);
        }
        if HostIp::new(source.ip()).is_err() {
            return Err(DropReason::SourceNotAHost);
        }
        if source.port() == self.port && self.is_ours(source) {
            return Err(DropReason::SourceIsSelf);
        }
        Ok(())
    }

    /// Whether `source` is an address of this host. Another host may have the same link-local
    /// address on another link.
    fn is_ours(&self, source: SocketAddr) -> bool {
        let ip = source.ip();
        match link_of(source) {
            Some(index) => self.interface(index).is_some_and(|link| link.holds(ip)),
            None => ip.is_loopback() || self.holds(ip),
        }
    }

    /// The interface by its index, or by the scope of the source. If the system reports neither:
    /// the one whose network contains the source, or for an allowed source elsewhere, one that is
    /// connected to other hosts.
    fn arrival_interface(&self, datagram: &Datagram<'_>) -> Result<&Interface, DropReason> {
        let source = datagram.source.ip();
        let index = match (datagram.arrival.interface, link_of(datagram.source)) {
            (Some(index), Some(scope)) if index != scope => return Err(DropReason::SourceScope),
            (index, scope) => index.or(scope),
        };
        let Some(index) = index else {
            let allowed = || self.config.allow().permits(source);
            return self
                .interface_towards(source)
                .or_else(|| self.real_interface(source).filter(|_| allowed()))
                .ok_or(DropReason::OffLink);
        };
        self.interface(index).ok_or(DropReason::UnknownInterface)
    }

    /// The interface that is up and has the longest prefix that contains `ip`.
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

    /// The first interface that is connected to other hosts and has an address of the family of
    /// `source`.
    fn real_interface(&self, source: IpAddr) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| {
            let flags = interface.flags;
            let real = flags.up && !flags.loopback && !interface.is_container_bridge();
            real && interface.first_address_like(source).is_some()
        })
    }

    fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces
            .binary_search_by_key(&index, |interface| interface.index)
            .map(|at| &self.interfaces[at])
            .ok()
    }

    /// Whether `source` is on the link of `interface`. What this host sends to itself arrives on
    /// the loopback interface, from any of its addresses.
    fn is_on_link(&self, interface: &Interface, source: IpAddr) -> bool {
        interface.is_on_link(source) || (interface.flags.loopback && self.holds(source))
    }

    /// The local address on the network that the datagram arrived from: the one that it was sent to;
    /// if it was sent to many, the one on the source's network. If the client is elsewhere and
    /// allowed, the one that the system suggests, if the interface has it, or, if the system suggests
    /// none, the first of the interface.
    fn local_address(&self, interface: &Interface, datagram: &Datagram<'_>) -> Option<IpAddr> {
        let source = datagram.source.ip();
        let Arrival {
            destination, local, ..
        } = datagram.arrival;
        // The system accepts requests to any of the host's addresses on every interface.
        let is_unicast = |ip: &IpAddr| match local {
            Some(local) => local == *ip || interface.holds(*ip),
            None => self.holds(*ip),
        };
        // What this host sends to itself arrives on the loopback interface, for any of its addresses.
        let is_there = |ip: &IpAddr| interface.flags.loopback || interface.holds(*ip);
        destination
            .filter(is_unicast)
            .or_else(|| interface.address_towards(source))
            .or_else(|| match local {
                Some(local) => Some(local).filter(is_there),
                None => interface.first_address_like(source),
            })
    }

    /// Whether an answer to `source`, on the link of `interface`, must leave by that interface and
    /// not by the one that the host's routes choose: if the source is on the link of another
    /// interface too, or its address is valid on every link.
    ///
    /// Otherwise the routes decide. If the sender names the interface, Linux sends even to
    /// destinations that the routes refuse.
    fn must_leave_by(&self, interface: &Interface, source: IpAddr) -> bool {
        let on_another_link = || {
            self.interfaces.iter().any(|other| {
                other.index != interface.index && other.flags.up && other.is_on_link(source)
            })
        };
        !interface.flags.loopback && (is_link_local(source) || on_another_link())
    }

    /// Checks the limit of the source, then the total limit.
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

    fn encode(&mut self, response: Response) -> Payload {
        if let Some((last, payload)) = &self.last_answer
            && *last == response
        {
            return payload.clone();
        }
        // Before the next is written, so that its memory serves again.
        self.last_answer = None;
        let codec = self.config.settings().codec();
        let message = Message::Response(response);
        let payload = self.payloads.write(|out| codec.encode(message, out));
        self.last_answer = Some((response, payload.clone()));
        payload
    }

    fn codec(&self) -> &Codec {
        self.config.settings().codec()
    }
}

/// The index of the interface that a link-local IPv6 address is valid on, if `source` has one and
/// carries it.
fn link_of(source: SocketAddr) -> Option<u32> {
    match source {
        SocketAddr::V6(source) if source.ip().is_unicast_link_local() => {
            Some(source.scope_id()).filter(|scope| *scope > 0)
        }
        _ => None,
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
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
