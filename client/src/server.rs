//! What a search finds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use udp_discovery_protocol::{DEFAULT_PORT, DEFAULT_RESPONSE_PREFIX, Details, RunId, ServerId};

use crate::report::scoped;

/// A server that answered.
///
/// It is displayed as what a user connects to: `192.168.1.7`, `192.168.1.7:8000`,
/// `[2001:db8::7]:8000`, `[fe80::7%eth0]:8000`.
///
/// ```
/// use udp_discovery_client::DiscoveredServer;
///
/// // A test of a program that uses servers needs no network.
/// let server = DiscoveredServer::new([192, 168, 1, 7], 8000);
/// assert_eq!(server.socket_addr(), Some("192.168.1.7:8000".parse()?));
/// assert_eq!(server.url("http").to_string(), "http://192.168.1.7:8000");
///
/// let without_port = DiscoveredServer::new([192, 168, 1, 7], None);
/// assert_eq!(without_port.socket_addr(), None);
/// assert_eq!(without_port.socket_addr_or(80), "192.168.1.7:80".parse()?);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// Equality compares every field, the round-trip time too. What identifies a server is its
/// [`key`](Self::key).
///
/// With the feature `serde` it implements `Serialize`. The keys are named as the fields, except that
/// the round-trip time is `rtt_ms`, in milliseconds; `raw` is text; and a link-local `ip` has its
/// interface behind it: `fe80::7%eth0`.
#[doc(alias = "DiscoveryResult")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(into = "serialized::Server")
)]
#[non_exhaustive]
pub struct DiscoveredServer {
    /// The address to use, selected by the [`AddressPolicy`](crate::AddressPolicy).
    pub ip: IpAddr,
    /// The index of the interface that a link-local [`ip`](Self::ip) belongs to. 0 for any other
    /// address.
    pub scope_id: u32,
    /// The port of the service: the one in the answer, or else
    /// [`Config::default_port`](crate::Config::default_port). It is not the discovery port.
    pub port: Option<NonZeroU16>,
    /// The address in the answer. It differs from [`ip`](Self::ip) if it is useless here, such as
    /// the address of a container bridge.
    pub claimed_ip: IpAddr,
    /// The address that the answer came from. `None` if another engine found the server.
    pub source: Option<SocketAddr>,
    /// The name of the interface that received the answer. Empty if another engine found the server, unless
    /// its address is link-local.
    pub interface: String,
    /// The time between the probe and the answer. An answer with [details](crate::Config::details) names the
    /// probe. For a plain answer it is the time since the last probe sent from that interface address. `None`
    /// if another engine found the server.
    ///
    /// Plain answers do not name the probe that they belong to. If an answer takes longer than the
    /// interval between two probes, this value is too short by a multiple of that interval.
    ///
    /// For an address that a sweep asked, it is the time since the sweep asked it last, if that is among
    /// the sweep's last 16,384 requests. Otherwise, on an interface address that sent no probe besides
    /// the sweep, it is the time since the start of the search.
    pub rtt: Option<Duration>,
    /// The received datagram. `None` if another engine found the server.
    pub raw: Option<Bytes>,
    /// Who told of the server first.
    pub origin: Origin,
    /// The identity of the server. It and the following fields are known only of an answer with
    /// [details](crate::Config::details).
    pub id: Option<ServerId>,
    /// Which start of the server it is.
    pub run: Option<RunId>,
    /// The name for people, as the server claims it. It need not be unique.
    pub name: Option<String>,
    /// The properties, as the server claims them: keys, whose case does not matter, and values.
    pub properties: Vec<(String, String)>,
    /// Whether the owner of the [`id`](Self::id) signed this answer to this search. It says who answered
    /// the search. It does not authenticate a later connection. Always `false` without the feature
    /// `signed`.
    pub verified: bool,
    /// The addresses that the server answered from, the most reachable one first, which the fields above
    /// describe. At most 16.
    pub endpoints: Vec<Endpoint>,
}

/// An address of a server that answered with details.
///
/// With the feature `serde` it implements `Serialize` as a [`DiscoveredServer`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(into = "serialized::Endpoint")
)]
#[non_exhaustive]
pub struct Endpoint {
    /// The address to use.
    pub ip: IpAddr,
    /// The index of the interface that a link-local [`ip`](Self::ip) belongs to. 0 for any other
    /// address.
    pub scope_id: u32,
    /// The port of the service, if it is known.
    pub port: Option<NonZeroU16>,
    /// The address in the answer.
    pub claimed_ip: IpAddr,
    /// The address that the answer came from. `None` if another engine found it.
    pub source: Option<SocketAddr>,
    /// The name of the interface that received the answer.
    pub interface: String,
    /// The time between the probe that the answer names, sent to this server or broadcast, and the
    /// answer. `None` if another engine found it.
    pub rtt: Option<Duration>,
}

/// Who told of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Origin {
    /// The server itself: it answered a request.
    Answer,
    /// The DNS ([`Target`](crate::Target)).
    Dns,
    /// Multicast DNS.
    Mdns,
}

/// What identifies a server: the address to use and the port. The wire format has no other name
/// for it.
///
/// It is displayed like the server, except that the scope of a link-local address is the index of the
/// interface: `[fe80::7%2]:8000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ServerKey {
    /// The address to use.
    pub ip: IpAddr,
    /// The index of the interface that a link-local address belongs to. 0 for any other address.
    pub scope_id: u32,
    /// The port of the service, if it is known.
    pub port: Option<NonZeroU16>,
}

impl DiscoveredServer {
    /// Creates a server for tests, as if it had claimed `ip` and `port` and had answered from the
    /// default discovery port without delay. Port 0 means none.
    ///
    /// The setters change the other fields.
    pub fn new(ip: impl Into<IpAddr>, port: impl Into<Option<u16>>) -> Self {
        let ip = ip.into();
        let port = port.into().and_then(NonZeroU16::new);
        let key = ServerKey {
            ip,
            scope_id: 0,
            port,
        };
        Self {
            ip,
            scope_id: 0,
            port,
            claimed_ip: ip,
            source: Some(SocketAddr::new(ip, DEFAULT_PORT)),
            interface: String::new(),
            rtt: Some(Duration::ZERO),
            raw: Some(format!("{DEFAULT_RESPONSE_PREFIX}{key}").into()),
            origin: Origin::Answer,
            id: None,
            run: None,
            name: None,
            properties: Vec::new(),
            verified: false,
            endpoints: Vec::new(),
        }
    }

    /// Sets [`claimed_ip`](Self::claimed_ip).
    #[must_use]
    pub fn with_claimed_ip(self, claimed_ip: impl Into<IpAddr>) -> Self {
        Self {
            claimed_ip: claimed_ip.into(),
            ..self
        }
    }

    /// Sets the [`source`](Self::source).
    #[must_use]
    pub fn with_source(self, source: SocketAddr) -> Self {
        let source = Some(source);
        Self { source, ..self }
    }

    /// Sets the [`interface`](Self::interface).
    #[must_use]
    pub fn with_interface(self, interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            ..self
        }
    }

    /// Sets the [`scope_id`](Self::scope_id), and that of a link-local [`source`](Self::source).
    #[must_use]
    pub fn with_scope_id(self, scope_id: u32) -> Self {
        let source = self.source.map(|it| scoped(it.ip(), it.port(), scope_id));
        Self {
            scope_id,
            source,
            ..self
        }
    }

    /// Sets the [`rtt`](Self::rtt).
    #[must_use]
    pub fn with_rtt(self, rtt: Duration) -> Self {
        let rtt = Some(rtt);
        Self { rtt, ..self }
    }

    /// Sets the [`raw`](Self::raw) answer.
    #[must_use]
    pub fn with_raw(self, raw: impl Into<Bytes>) -> Self {
        Self {
            raw: Some(raw.into()),
            ..self
        }
    }

    /// Sets the details, and whether they are [`verified`](Self::verified). The server gets one
    /// [`Endpoint`], with its own fields.
    #[must_use]
    pub fn with_details(self, details: &Details, verified: bool) -> Self {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            id: Some(details.id()),
            run: Some(details.run()),
            name: details.name().map(ToOwned::to_owned),
            properties: details.properties().map(owned).collect(),
            verified,
            endpoints: vec![self.endpoint()],
            ..self
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint {
            ip: self.ip,
            scope_id: self.scope_id,
            port: self.port,
            claimed_ip: self.claimed_ip,
            source: self.source,
            interface: self.interface.clone(),
            rtt: self.rtt,
        }
    }

    /// The value of a property. The case of `key` does not matter.
    pub fn property(&self, key: &str) -> Option<&str> {
        let mut properties = self.properties.iter();
        properties
            .find(|(other, _)| other.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.as_str())
    }

    /// The addresses that it answered from, each with the interface that received the answer.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (SocketAddr, &str)> {
        let endpoints = self.endpoints.iter();
        endpoints
            .map(|it| (it.source, it.interface.as_str()))
            .chain([(self.source, self.interface.as_str())])
            .filter_map(|(source, interface)| Some((source?, interface)))
    }

    /// The address and port to connect to, if the port is known.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.port
            .map(|port| scoped(self.ip, port.get(), self.scope_id))
    }

    /// The address and port to connect to, with `port` if the server's is unknown.
    pub fn socket_addr_or(&self, port: u16) -> SocketAddr {
        self.socket_addr()
            .unwrap_or_else(|| scoped(self.ip, port, self.scope_id))
    }

    /// Displays the server as the beginning of a URL, such as `http://192.168.1.7:8000`.
    ///
    /// An IPv6 address is in brackets (RFC 3986, section 3.2.2). A link-local one has its interface
    /// behind `%25`, percent-encoded where needed (RFC 6874): `http://[fe80::7%25eth0]:8000`. If the
    /// port is unknown, the URL has none, which means the default port of `scheme`.
    pub fn url<'a>(&'a self, scheme: &'a str) -> impl fmt::Display + 'a {
        struct Url<'a>(&'a str, &'a DiscoveredServer);

        impl fmt::Display for Url<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}://", self.0)?;
                self.1.write_address(f, "%25", Encoded)
            }
        }

        Url(scheme, self)
    }

    /// Writes the address and the port, with `separator` and the interface behind a link-local address.
    fn write_address<Z: fmt::Display>(
        &self,
        f: &mut fmt::Formatter<'_>,
        separator: &str,
        zone: fn(String) -> Z,
    ) -> fmt::Result {
        match self.zone() {
            Some(name) => write!(f, "[{}{separator}{}]", self.ip, zone(name))?,
            None if self.ip.is_ipv6() => write!(f, "[{}]", self.ip)?,
            None => write!(f, "{}", self.ip)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }

    /// The interface of a link-local address (RFC 4007, section 11): its name or its index.
    fn zone(&self) -> Option<String> {
        zone(self.scope_id, &self.interface)
    }

    /// The address to use as text, without the port. A link-local one has its interface behind `%`
    /// (RFC 4007, section 11): `fe80::7%eth0`.
    pub fn ip_text(&self) -> String {
        ip_text(self.ip, self.scope_id, &self.interface)
    }

    /// What identifies the server.
    pub fn key(&self) -> ServerKey {
        ServerKey {
            ip: self.ip,
            scope_id: self.scope_id,
            port: self.port,
        }
    }
}

impl Endpoint {
    /// What a plain answer with this address would be listed by.
    pub fn key(&self) -> ServerKey {
        ServerKey {
            ip: self.ip,
            scope_id: self.scope_id,
            port: self.port,
        }
    }

    /// The address to use as text, as [`DiscoveredServer::ip_text`].
    pub fn ip_text(&self) -> String {
        ip_text(self.ip, self.scope_id, &self.interface)
    }
}

/// It is displayed as a [`DiscoveredServer`].
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.ip_text();
        match (self.ip.is_ipv6(), self.port) {
            (false, None) => f.write_str(&ip),
            (false, Some(port)) => write!(f, "{ip}:{port}"),
            (true, None) => write!(f, "[{ip}]"),
            (true, Some(port)) => write!(f, "[{ip}]:{port}"),
        }
    }
}

fn zone(scope_id: u32, interface: &str) -> Option<String> {
    match (scope_id, interface) {
        (0, _) => None,
        (index, "") => Some(index.to_string()),
        (_, name) => Some(name.to_owned()),
    }
}

fn ip_text(ip: IpAddr, scope_id: u32, interface: &str) -> String {
    match zone(scope_id, interface) {
        Some(zone) => format!("{ip}%{zone}"),
        None => ip.to_string(),
    }
}

impl fmt::Display for DiscoveredServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_address(f, "%", |zone| zone)
    }
}

/// A name of an interface as a part of a URL: what is not unreserved is percent-encoded (RFC 3986,
/// section 2).
struct Encoded(String);

impl fmt::Display for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (ip, Some(port)) => write!(f, "{}", scoped(ip, port.get(), self.scope_id)),
            (IpAddr::V4(ip), None) => write!(f, "{ip}"),
            (IpAddr::V6(ip), None) if self.scope_id == 0 => write!(f, "[{ip}]"),
            (IpAddr::V6(ip), None) => write!(f, "[{ip}%{}]", self.scope_id),
        }
    }
}

#[cfg(feature = "serde")]
mod serialized {
    use serde::Serializer;

    use super::{IpAddr, NonZeroU16, RunId, ServerId, SocketAddr};
    use crate::serialize::milliseconds;

    /// A server as it is serialized.
    #[derive(serde::Serialize)]
    pub(super) struct Server {
        ip: String,
        port: Option<NonZeroU16>,
        claimed_ip: IpAddr,
        source: Option<SocketAddr>,
        interface: String,
        rtt_ms: Option<f64>,
        raw: Option<String>,
        origin: super::Origin,
        id: Option<ServerId>,
        run: Option<RunId>,
        name: Option<String>,
        #[serde(serialize_with = "map")]
        properties: Vec<(String, String)>,
        verified: bool,
        endpoints: Vec<super::Endpoint>,
    }

    /// An endpoint as it is serialized.
    #[derive(serde::Serialize)]
    pub(super) struct Endpoint {
        ip: String,
        port: Option<NonZeroU16>,
        claimed_ip: IpAddr,
        source: Option<SocketAddr>,
        interface: String,
        rtt_ms: Option<f64>,
    }

    fn map<S: Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
    }

    impl From<super::Endpoint> for Endpoint {
        fn from(endpoint: super::Endpoint) -> Self {
            Self {
                ip: super::ip_text(endpoint.ip, endpoint.scope_id, &endpoint.interface),
                port: endpoint.port,
                claimed_ip: endpoint.claimed_ip,
                source: endpoint.source,
                interface: endpoint.interface,
                rtt_ms: endpoint.rtt.map(milliseconds),
            }
        }
    }

    impl From<super::DiscoveredServer> for Server {
        fn from(server: super::DiscoveredServer) -> Self {
            Self {
                ip: server.ip_text(),
                port: server.port,
                claimed_ip: server.claimed_ip,
                source: server.source,
                interface: server.interface,
                rtt_ms: server.rtt.map(milliseconds),
                raw: server
                    .raw
                    .map(|raw| String::from_utf8_lossy(&raw).into_owned()),
                origin: server.origin,
                id: server.id,
                run: server.run,
                name: server.name,
                properties: server.properties,
                verified: server.verified,
                endpoints: server.endpoints,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(ip: &str, port: impl Into<Option<u16>>) -> DiscoveredServer {
        DiscoveredServer::new(ip.parse::<IpAddr>().unwrap(), port)
    }

    #[test]
    fn it_is_displayed_as_what_a_user_connects_to() {
        let display = |ip, port: Option<u16>| server(ip, port).to_string();
        assert_eq!(display("192.168.1.7", None), "192.168.1.7");
        assert_eq!(display("192.168.1.7", Some(8000)), "192.168.1.7:8000");
        assert_eq!(display("2001:db8::7", None), "[2001:db8::7]");
        assert_eq!(display("2001:db8::7", Some(8000)), "[2001:db8::7]:8000");
    }

    #[test]
    fn a_url_has_a_port_only_if_the_server_named_one() {
        let url = |ip, port: u16| server(ip, port).url("http").to_string();
        assert_eq!(url("192.168.1.7", 8000), "http://192.168.1.7:8000");
        assert_eq!(url("192.168.1.7", 0), "http://192.168.1.7");
        assert_eq!(url("2001:db8::7", 8000), "http://[2001:db8::7]:8000");
        assert_eq!(url("2001:db8::7", 0), "http://[2001:db8::7]");
    }

    #[test]
    fn fault_42_a_link_local_address_goes_with_its_interface_everywhere() {
        let found = server("fe80::7", 8000)
            .with_interface("eth0")
            .with_scope_id(2);
        assert_eq!(found.to_string(), "[fe80::7%eth0]:8000");
        assert_eq!(
            found.url("http").to_string(),
            "http://[fe80::7%25eth0]:8000"
        );
        assert_eq!(
            found.socket_addr(),
            Some("[fe80::7%2]:8000".parse().unwrap())
        );
        assert_eq!(found.key().to_string(), "[fe80::7%2]:8000");
        assert_eq!(found.source, "[fe80::7%2]:9999".parse().ok());
        assert_ne!(found.key(), found.clone().with_scope_id(3).key());

        let unnamed = server("fe80::7", None)
            .with_interface("eth0")
            .with_scope_id(2);
        assert_eq!(unnamed.to_string(), "[fe80::7%eth0]");
        assert_eq!(unnamed.key().to_string(), "[fe80::7%2]");
        assert_eq!(
            unnamed.socket_addr_or(80),
            "[fe80::7%2]:80".parse().unwrap()
        );

        let windows = found.with_interface("Ethernet 2 (ä)");
        let url = "http://[fe80::7%25Ethernet%202%20%28%C3%A4%29]:8000";
        assert_eq!(windows.url("http").to_string(), url);
        assert_eq!(windows.with_interface("").to_string(), "[fe80::7%2]:8000");
    }

    #[test]
    fn the_port_to_connect_to_is_the_servers_or_the_callers() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let named = server("192.168.1.7", 8000);
        assert_eq!(named.socket_addr(), Some(address("192.168.1.7:8000")));
        assert_eq!(named.socket_addr_or(80), address("192.168.1.7:8000"));
        let unnamed = server("2001:db8::7", None);
        assert_eq!(unnamed.socket_addr(), None);
        assert_eq!(unnamed.socket_addr_or(80), address("[2001:db8::7]:80"));
    }

    #[test]
    fn servers_with_one_address_and_port_have_one_key() {
        let first = server("192.168.1.7", 8000).with_interface("eth0");
        let second = server("192.168.1.7", 8000).with_rtt(Duration::from_millis(1));
        assert_ne!(first, second);
        assert_eq!(first.key(), second.key());
        assert!(first.key() < server("192.168.1.7", 8001).key());
        assert_ne!(first.key(), server("192.168.1.8", 8000).key());
    }

    #[test]
    fn a_made_up_server_is_like_one_that_was_found() {
        let source = "192.168.1.9:9999".parse().unwrap();
        let server = server("192.168.1.7", 8000);
        assert_eq!(server.source, "192.168.1.7:9999".parse().ok());
        assert_eq!(
            server.raw.as_deref(),
            Some(&b"SERVER_IP:192.168.1.7:8000"[..])
        );
        let server = server
            .with_claimed_ip([172, 17, 0, 1])
            .with_source(source)
            .with_raw("SERVER_IP:172.17.0.1:8000");
        assert_eq!(server.claimed_ip.to_string(), "172.17.0.1");
        assert_eq!(server.source, Some(source));
        assert_eq!(
            server.raw.as_deref(),
            Some(&b"SERVER_IP:172.17.0.1:8000"[..])
        );
        assert_eq!(server.to_string(), "192.168.1.7:8000");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_is_serialized_with_milliseconds_and_text() {
        let found = server("192.168.1.7", 8000)
            .with_claimed_ip([172, 17, 0, 1])
            .with_interface("eth0")
            .with_rtt(Duration::from_nanos(1_234_499))
            .with_raw("SERVER_IP:172.17.0.1:8000\n");
        assert_eq!(
            serde_json::to_string(&found).unwrap(),
            r#"{"ip":"192.168.1.7","port":8000,"claimed_ip":"172.17.0.1","source":"192.168.1.7:9999","interface":"eth0","rtt_ms":1.234,"raw":"SERVER_IP:172.17.0.1:8000\n","origin":"answer","id":null,"run":null,"name":null,"properties":{},"verified":false,"endpoints":[]}"#
        );
        let link_local = server("fe80::7", 8000)
            .with_interface("eth0")
            .with_scope_id(2);
        let link_local = serde_json::to_value(link_local).unwrap();
        assert_eq!(link_local["ip"], "fe80::7%eth0");
        assert_eq!(link_local["source"], "[fe80::7%2]:9999");
        let unnamed = serde_json::to_value(server("2001:db8::7", None)).unwrap();
        assert!(unnamed["port"].is_null());
        assert_eq!(unnamed["source"], "[2001:db8::7]:9999");
    }
}
