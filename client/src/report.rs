//! What a search did: whom it asked, and what became of the answers.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use udp_discovery_protocol::ServerId;

use crate::origins::Service;
use crate::server::Origin;
use crate::sweep::Sweep;
use crate::target::Target;

/// How many bytes of a dropped datagram are kept or recorded.
const BEGINNING: usize = 64;

/// What a search has done so far. It explains why nothing was found.
///
/// With the feature `serde` it implements `Serialize`. Errors of the system are serialized as text.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// The interface addresses that the search asks from.
    pub links: Vec<Link>,
    /// The hosts and networks that the search asks by unicast, in the order of
    /// [`Config::targets`](crate::Config::targets).
    pub targets: Vec<TargetReport>,
    /// How far the sweep is, if a target is a network or there are remembered addresses to ask.
    pub sweep: Option<SweepReport>,
    /// What became of the addresses that an earlier search remembered
    /// ([`Config::remember`](crate::Config::remember)).
    pub remembered: Option<Remembered>,
    /// The interfaces that the search skips.
    pub skipped: Vec<Skipped>,
    /// The names in [`Config::interfaces`](crate::Config::interfaces) and
    /// [`Config::excluded_interfaces`](crate::Config::excluded_interfaces) that no interface has. Patterns
    /// with `*` or `?` are not among them. Empty if the search asks only targets.
    pub unmatched: Vec<String>,
    /// What the search asks on only because there is nothing else.
    pub last_resort: Option<LastResort>,
    /// The services that other engines look for, in the order of [`Config::targets`](crate::Config::targets),
    /// then those of multicast DNS.
    pub engines: Vec<EngineReport>,
    /// How many datagrams were received, by what became of them.
    pub counts: Counts,
    /// The ids that answered with several runs, which are listed as several servers: a server was started
    /// again during the search, or the file of its id was copied.
    pub repeated_ids: Vec<ServerId>,
    /// The known names that another id answered with
    /// ([`Config::known_servers`](crate::Config::known_servers)).
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub alarms: Vec<Alarm>,
    /// The first of the [malformed](Counts::malformed) datagrams.
    pub first_malformed: Option<MalformedDatagram>,
}

impl Report {
    /// Whether more servers answered than
    /// [`Config::max_servers`](crate::Config::max_servers) allows.
    pub fn capped(&self) -> bool {
        self.counts.over_the_cap > 0
    }
}

/// What another engine than the search found of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EngineReport {
    /// The engine.
    pub origin: Origin,
    /// The name of the service in the DNS, or its type in multicast DNS.
    pub service: String,
    /// How many instances it found. Some of them may be servers that were known.
    pub found: u32,
    /// Whether it has ended, so that nothing more is to come.
    pub ended: bool,
    /// What failed first, such as that no DNS server answers.
    pub error: Option<String>,
}

impl EngineReport {
    pub(crate) fn new(service: Service) -> Self {
        Self {
            origin: service.origin,
            service: service.name,
            found: 0,
            ended: false,
            error: None,
        }
    }
}

/// Another id answered, with a valid signature, under the name of a
/// [known server](crate::Config::known_servers). It is not among the servers found.
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Alarm {
    /// The name.
    pub name: String,
    /// The id that answered.
    pub id: ServerId,
    /// The address that it answered from first.
    pub source: SocketAddr,
    /// The id that is known by the name; the first one, if there are several.
    pub known_id: ServerId,
    /// Whether a known id answered in this search too. If not, somebody may have taken the place of the
    /// known server.
    pub known_answered: bool,
}

/// How far a sweep is: of the targets that are networks, and of the addresses that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SweepReport {
    /// How many addresses it has.
    pub addresses: u64,
    /// How many of them were asked at least once.
    pub asked: u64,
    /// How many passes over the addresses are complete. The second and later ones leave out who
    /// answered or refused.
    pub passes: u32,
    /// Whether the first pass is complete: every address was asked, except those that the system
    /// refused to send to. If not, the deadline or the wanted servers ended the sweep early.
    pub complete: bool,
    /// How many times the system had no room for a datagram, such as in a full neighbor table. The sweep
    /// waits then and asks that address again.
    pub no_room: u64,
    /// How long the first pass takes if nobody answers, which is the longest that it takes. The longer of
    /// - the time that the [pace](crate::Config::pace) takes for all `addresses`, and
    /// - for `n` addresses on link and a limit of `m` silent ones, 3 s · ⌊(`n` − 1) / `m`⌋ and the time
    ///   that the pace takes for (`n` − 1) mod `m` addresses. `m` is a third of the system's neighbor
    ///   table, 341 by default and at most 500, or 200 with details. IPv4 and IPv6 have a table each, and
    ///   the longer time counts.
    ///
    /// The pace takes `n` / pace for `n` datagrams up to 100 a second. Above, it takes
    /// 1.01 · `n` / pace − 10 ms, because it begins with a burst. With details, two datagrams go to each
    /// address.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "udp_discovery_protocol::duration::serialize")
    )]
    pub estimate: Duration,
}

impl SweepReport {
    pub(crate) fn new(sweep: &Sweep) -> Self {
        Self {
            addresses: sweep.addresses(),
            asked: 0,
            passes: 0,
            complete: false,
            no_room: 0,
            estimate: sweep.estimate(),
        }
    }
}

/// What became of the addresses that an earlier search remembered.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Remembered {
    /// How many addresses the file has. Those that no route leads to are not asked.
    pub addresses: u32,
    /// How many of them were asked.
    pub asked: u32,
    /// How many of them answered.
    pub answered: u32,
    /// Why the file could not be read or written.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::error"))]
    pub error: Option<Arc<io::Error>>,
}

/// An interface address. The search asks from it with a socket of its own.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Link {
    /// The name of the interface. Empty if no interface has the address, on a link that asks only
    /// targets.
    pub interface: String,
    /// The index of the interface. 0 if no interface has the address.
    pub index: u32,
    /// The address.
    pub local: IpAddr,
    /// The addresses that the probes go to: each probe to one of the broadcast and multicast
    /// addresses, in turn, and to every unicast one.
    pub destinations: Vec<Destination>,
    /// Whether it asks by IPv6 on an interface that has IPv4 too, only from the second probe on and as
    /// long as no server on that interface has answered ([`Family::Auto`](crate::Family::Auto)).
    pub waits_for_ipv4: bool,
    /// Whether it asks only targets, and not the network of the interface.
    pub targets_only: bool,
    /// How many probes were sent to at least one destination.
    pub probes_sent: u32,
    /// How many datagrams the system refused to send.
    pub send_errors: u32,
    /// The error of the last datagram that the system refused to send.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::error"))]
    pub last_send_error: Option<Arc<io::Error>>,
    /// Why the link was given up, if it was: its socket could not be opened or used.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::error"))]
    pub given_up: Option<Arc<io::Error>>,
}

impl Link {
    /// The address to bind a socket to, with any port, and with the interface as the scope of a
    /// link-local IPv6 address.
    pub fn local_addr(&self) -> SocketAddr {
        scoped(self.local, 0, self.index)
    }

    /// The address and port of a destination, with the interface as the scope of a link-local IPv6
    /// address (RFC 4007, section 6).
    pub fn socket_addr(&self, destination: &Destination) -> SocketAddr {
        scoped(destination.ip, destination.port, self.index)
    }

    pub(crate) fn new(
        interface: &str,
        index: u32,
        local: IpAddr,
        destinations: Vec<Destination>,
    ) -> Self {
        Self {
            interface: interface.to_owned(),
            index,
            local,
            destinations,
            waits_for_ipv4: false,
            targets_only: false,
            probes_sent: 0,
            send_errors: 0,
            last_send_error: None,
            given_up: None,
        }
    }
}

/// The address and port, with `scope_id` if the address needs one.
pub(crate) fn scoped(ip: IpAddr, port: u16, scope_id: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(ip) if needs_scope(ip) => SocketAddrV6::new(ip, port, 0, scope_id).into(),
        _ => SocketAddr::new(ip, port),
    }
}

/// Whether an address is unique only on one link: a link-local one, or a multicast group of that
/// scope.
pub(crate) fn needs_scope(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || ip.segments()[0] & 0xff0f == 0xff02
}

/// An address that the probes of a [`Link`] go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Destination {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The kind of the address.
    pub kind: DestinationKind,
    /// How many datagrams were sent to it.
    pub sent: u32,
    /// Whether the host with this address answered. Always `false` for a broadcast address.
    pub answered: bool,
    /// Whether the host with this address refused the datagram, because nobody listens on the port
    /// (ICMP "port unreachable"). Only Linux reports this, and only for targets.
    pub refused: bool,
}

impl Destination {
    pub(crate) fn new(ip: IpAddr, port: u16, kind: DestinationKind) -> Self {
        Self {
            ip,
            port,
            kind,
            sent: 0,
            answered: false,
            refused: false,
        }
    }
}

/// The kind of the address of a [`Destination`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum DestinationKind {
    /// It reaches every host of a network.
    Broadcast,
    /// It reaches the hosts of a network that joined the group.
    Multicast,
    /// It reaches one host.
    Unicast,
}

/// What became of a [`Target`].
///
/// An address that several targets share is asked once and counts for the first of them. The
/// [`Destination`]s of the links name each address, except those of networks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TargetReport {
    /// The target.
    pub target: Target,
    /// How many addresses it has that a route leads to.
    pub addresses: u32,
    /// How many of them were asked.
    pub asked: u32,
    /// How many of them answered.
    pub answered: u32,
    /// How many of them refused, because nobody listens on the port (ICMP "port unreachable"). Only
    /// Linux reports this.
    pub refused: u32,
}

impl TargetReport {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            addresses: 0,
            asked: 0,
            answered: 0,
            refused: 0,
        }
    }
}

/// How many datagrams were received, by what became of them. Each is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Counts {
    /// Answers of new servers.
    pub accepted: u64,
    /// Further answers of servers already found.
    pub duplicates: u64,
    /// Datagrams that are not a response.
    pub malformed: u64,
    /// Datagrams longer than any response.
    pub too_long: u64,
    /// Datagrams from another port than the one asked. See
    /// [`Config::any_source_port`](crate::Config::any_source_port).
    pub wrong_source_port: u64,
    /// Datagrams from an address that was not asked, on a link that asks only targets.
    pub not_asked: u64,
    /// Responses that the [`AddressPolicy`](crate::AddressPolicy) refuses, or whose source cannot
    /// be a host.
    pub refused_address: u64,
    /// Answers of new servers beyond [`Config::max_servers`](crate::Config::max_servers).
    pub over_the_cap: u64,
    /// Answers with details to another search, or with the number of a probe that was not sent to their
    /// source.
    pub wrong_nonce: u64,
    /// Answers of servers with another name or other properties than those wanted
    /// ([`Config::wanted_name`](crate::Config::wanted_name),
    /// [`Config::wanted_properties`](crate::Config::wanted_properties)).
    pub unwanted: u64,
    /// Answers without a signature, where one is needed: with
    /// [pinned ids](crate::Config::details), or under a known name.
    pub unsigned: u64,
    /// Answers of other ids than the pinned ones.
    pub not_pinned: u64,
    /// Answers with a wrong signature, where one is needed.
    pub wrong_signature: u64,
    /// Answers whose signature was not verified, where one is needed: after 2 wrong ones from the same
    /// source, or 1,000 verifications.
    pub not_verified: u64,
    /// Answers of another id under a known name. Each is an alarm too.
    pub other_id: u64,
    /// Datagrams that arrived after the end of the search.
    pub late: u64,
    /// Errors of the system on receiving.
    pub receive_errors: u64,
}

impl Counts {
    /// Counts a dropped datagram. Returns how many were dropped for this reason so far.
    pub(crate) fn count(&mut self, reason: DropReason) -> u64 {
        let count = match reason {
            DropReason::Malformed => &mut self.malformed,
            DropReason::TooLong => &mut self.too_long,
            DropReason::WrongSourcePort => &mut self.wrong_source_port,
            DropReason::NotAsked => &mut self.not_asked,
            DropReason::RefusedAddress => &mut self.refused_address,
            DropReason::Duplicate => &mut self.duplicates,
            DropReason::OverTheCap => &mut self.over_the_cap,
            DropReason::WrongNonce => &mut self.wrong_nonce,
            DropReason::Unwanted => &mut self.unwanted,
            DropReason::Unsigned => &mut self.unsigned,
            DropReason::NotPinned => &mut self.not_pinned,
            DropReason::WrongSignature => &mut self.wrong_signature,
            DropReason::NotVerified => &mut self.not_verified,
            DropReason::OtherId => &mut self.other_id,
        };
        *count += 1;
        *count
    }
}

/// Why a datagram that was received during the search is not a new server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "signed"),
    allow(dead_code, reason = "some are of signatures")
)]
pub(crate) enum DropReason {
    Malformed,
    TooLong,
    WrongSourcePort,
    NotAsked,
    RefusedAddress,
    Duplicate,
    OverTheCap,
    WrongNonce,
    Unwanted,
    Unsigned,
    NotPinned,
    WrongSignature,
    NotVerified,
    OtherId,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a response",
            Self::TooLong => "longer than any response",
            Self::WrongSourcePort => "from another port than the one asked",
            Self::NotAsked => "from an address that was not asked",
            Self::RefusedAddress => "refused by the address policy",
            Self::Duplicate => "repeated answer",
            Self::OverTheCap => "more servers than the limit",
            Self::WrongNonce => "to another search or to a probe that was not sent there",
            Self::Unwanted => "another name or other properties than those wanted",
            Self::Unsigned => "not signed",
            Self::NotPinned => "not a pinned id",
            Self::WrongSignature => "wrong signature",
            Self::NotVerified => "signature not verified, above the limit",
            Self::OtherId => "another id under a known name",
        })
    }
}

/// A datagram that is not a response.
///
/// It is displayed with its bytes escaped: `10.0.0.7:9999 answered "HELLO\n"`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MalformedDatagram {
    /// The address that it came from.
    pub source: SocketAddr,
    /// Its first 64 bytes.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::text"))]
    pub payload: Bytes,
    /// Its length in bytes.
    pub len: usize,
}

impl MalformedDatagram {
    pub(crate) fn new(source: SocketAddr, payload: &[u8]) -> Self {
        Self {
            source,
            payload: Bytes::copy_from_slice(beginning(payload)),
            len: payload.len(),
        }
    }
}

impl fmt::Display for MalformedDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.len > self.payload.len() {
            "…"
        } else {
            ""
        };
        let payload = self.payload.escape_ascii();
        write!(f, "{} answered \"{payload}{more}\"", self.source)
    }
}

/// The first [`BEGINNING`] bytes.
pub(crate) fn beginning(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(BEGINNING)]
}

/// An interface that a search skips.
///
/// It is displayed with the reason: `docker0: container bridge`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Skipped {
    /// The name of the interface.
    pub interface: String,
    /// Why the search skips it.
    pub reason: SkipReason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.interface, self.reason)
    }
}

/// What a search without [`Config::interfaces`](crate::Config::interfaces) asks on if there is
/// nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum LastResort {
    /// Container bridges: no other interface is up and has an address to ask from.
    ContainerBridges,
    /// Loopback: no interface that leads to other hosts is up and has an address to ask from.
    Loopback,
}

impl fmt::Display for LastResort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContainerBridges => "asking on container bridges, because no other network is up",
            Self::Loopback => "asking on loopback, because no network is up",
        })
    }
}

/// Why a search skips an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum SkipReason {
    /// [`Config::excluded_interfaces`](crate::Config::excluded_interfaces) names it.
    Excluded,
    /// [`Config::interfaces`](crate::Config::interfaces) names only others.
    NotNamed,
    /// It is switched off.
    Down,
    /// It leads to this host only.
    Loopback,
    /// It is a [container bridge](udp_discovery_protocol::Interface::is_container_bridge).
    ContainerBridge,
    /// It has no address to ask from.
    NoAddress,
    /// It has no IPv4 address to ask from, and [`Config::family`](crate::Config::family) is IPv4 only.
    NoIpv4Address,
    /// It has no IPv6 address to ask from, and [`Config::family`](crate::Config::family) is IPv6 only.
    NoIpv6Address,
    /// It leads to one other host, whose address is unknown.
    NobodyToAsk,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "excluded",
            Self::NotNamed => "not named",
            Self::Down => "down",
            Self::Loopback => "loopback",
            Self::ContainerBridge => "container bridge",
            Self::NoAddress => "no address",
            Self::NoIpv4Address => "no IPv4 address",
            Self::NoIpv6Address => "no IPv6 address",
            Self::NobodyToAsk => "point-to-point, without the address of its other end",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_interface_says_why() {
        let skipped = Skipped {
            interface: "docker0".into(),
            reason: SkipReason::ContainerBridge,
        };
        assert_eq!(skipped.to_string(), "docker0: container bridge");
    }

    #[test]
    fn a_malformed_datagram_is_displayed_escaped_and_cut() {
        let source = "10.0.0.7:9999".parse().unwrap();
        let display = |payload: &[u8]| MalformedDatagram::new(source, payload).to_string();
        assert_eq!(
            display(b"HELLO\n\x1b[2J"),
            r#"10.0.0.7:9999 answered "HELLO\n\x1b[2J""#
        );
        let cut = format!("10.0.0.7:9999 answered \"{}…\"", "x".repeat(64));
        assert_eq!(display(&[b'x'; 65]), cut);
        assert!(!display(&[b'x'; 64]).contains('…'));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_report_is_serialized_with_errors_as_text() {
        let ip = |text: &str| text.parse().unwrap();
        let broadcast = DestinationKind::Broadcast;
        let destinations = vec![Destination::new(ip("255.255.255.255"), 9999, broadcast)];
        let mut link = Link::new("eth0", 2, ip("10.0.0.2"), destinations);
        link.last_send_error = Some(Arc::new(io::Error::other("no route")));
        let report = Report {
            links: vec![link],
            targets: vec![TargetReport::new("printer.example:80".parse().unwrap())],
            skipped: vec![Skipped {
                interface: "lo".into(),
                reason: SkipReason::NoIpv4Address,
            }],
            last_resort: Some(LastResort::ContainerBridges),
            first_malformed: Some(MalformedDatagram::new(
                "10.0.0.7:9999".parse().unwrap(),
                b"HELLO",
            )),
            ..Report::default()
        };
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["links"][0]["local"], "10.0.0.2");
        assert_eq!(json["targets"][0]["target"], "printer.example:80");
        assert_eq!(json["links"][0]["destinations"][0]["kind"], "broadcast");
        assert_eq!(json["links"][0]["last_send_error"], "no route");
        assert!(json["links"][0]["given_up"].is_null());
        assert_eq!(json["skipped"][0]["reason"], "no_ipv4_address");
        assert_eq!(json["last_resort"], "container_bridges");
        assert_eq!(json["counts"]["malformed"], 0);
        assert_eq!(json["first_malformed"]["source"], "10.0.0.7:9999");
        assert_eq!(json["first_malformed"]["payload"], "HELLO");
    }
}
