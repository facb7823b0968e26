//! What servers and clients need for multicast DNS (RFC 6762), besides an engine.

use std::borrow::ToOwned as _;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::string::String;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// The port of multicast DNS (RFC 6762, section 3).
pub const MDNS_PORT: u16 = 5353;

/// Checks that this host's port of multicast DNS can be shared, as those who use it do (RFC 6762,
/// section 15.1). On Windows it always can, whether the other program wants it or not.
///
/// # Errors
/// The system's error: [`AddrInUse`](io::ErrorKind::AddrInUse), if a program has the port for itself.
pub fn check_mdns_port() -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, MDNS_PORT));
    socket.bind(&address.into())
}

/// A type of service in DNS-SD, such as `_http._tcp` (RFC 6763, section 7): the name of a service
/// (RFC 6335, section 5.1) and `_tcp`, or `_udp` for everything else, with underscores.
///
/// ```
/// use udp_discovery_protocol::ServiceType;
///
/// let service: ServiceType = "_http._tcp".parse()?;
/// assert_eq!(service.as_str(), "_http._tcp");
/// assert!("http".parse::<ServiceType>().is_err());
/// # Ok::<(), udp_discovery_protocol::InvalidServiceType>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "String", into = "String")
)]
pub struct ServiceType(String);

/// A text is not a [`ServiceType`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not a type of service such as _http._tcp: `_`, at most 15 letters, digits and hyphens, and `._tcp` or `._udp`"
)]
#[non_exhaustive]
pub struct InvalidServiceType {
    /// The text.
    pub text: String,
}

impl ServiceType {
    /// The type as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceType {
    type Err = InvalidServiceType;

    fn from_str(text: &str) -> Result<Self, InvalidServiceType> {
        let name = text
            .strip_suffix("._tcp")
            .or_else(|| text.strip_suffix("._udp"))
            .and_then(|name| name.strip_prefix('_'));
        if name.is_some_and(is_service_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidServiceType {
                text: text.to_owned(),
            })
        }
    }
}

/// Whether `name` is the name of a service (RFC 6335, section 5.1).
fn is_service_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    (1..=15).contains(&name.len())
        && bytes
            .clone()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-')
        && bytes.any(|it| it.is_ascii_alphabetic())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl TryFrom<String> for ServiceType {
    type Error = InvalidServiceType;

    fn try_from(text: String) -> Result<Self, InvalidServiceType> {
        text.parse()
    }
}

#[cfg(feature = "serde")]
impl From<ServiceType> for String {
    fn from(service: ServiceType) -> Self {
        service.0
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::net::UdpSocket;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_port_that_a_program_has_for_itself_cannot_be_shared() {
        // If another program shares it, this cannot be shown.
        if let Ok(_own) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, MDNS_PORT)) {
            let error = check_mdns_port().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        } else {
            check_mdns_port().unwrap();
        }
    }

    #[test]
    fn a_type_is_the_name_of_a_service_and_a_protocol() {
        for text in [
            "_http._tcp",
            "_a._udp",
            "_a-1._tcp",
            "_123456789abcdef._tcp",
        ] {
            let service = text.parse::<ServiceType>();
            assert_eq!(service.unwrap().as_str(), text);
        }
        for text in [
            "",
            "http",
            "_http",
            "http._tcp",
            "_._tcp",
            "_http._sctp",
            "_http._tcp.local",
            "_-a._tcp",
            "_a-._tcp",
            "_a--b._tcp",
            "_1._tcp",
            "_a b._tcp",
            "_\u{e4}._tcp",
            "_123456789abcdefg._tcp",
        ] {
            let error = text.parse::<ServiceType>().unwrap_err();
            assert_eq!(error.text, text);
        }
    }
}
