//! Hosts and networks that a search asks by unicast.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;
use udp_discovery_protocol::{HostIp, IpNet};

use crate::address::is_link_local;

/// A host to ask by unicast, a name or an address, with or without a port; a network, each address
/// of which is asked; or, with the feature `dns`, a service to look up in the DNS.
///
/// Without a port, the search asks the port of its
/// [`Settings`](udp_discovery_protocol::Settings::port). A link-local IPv6 address needs the name or the
/// index of its interface (RFC 4007, section 11). A network is an address and a prefix length. The bits
/// after the prefix do not matter: `10.15.3.7/18` is the network `10.15.0.0/18`.
///
/// A service is `dns:` and its name, such as `dns:_http._tcp.example.org`. Its instances are looked up with
/// the DNS servers of the system (DNS-SD, RFC 6763: PTR, SRV, TXT and addresses). If it has no instances,
/// SRV records of the name itself count, as of a service in Consul or Kubernetes. The name is absolute: the
/// system's list of domains to search is not used.
///
/// ```
/// use udp_discovery_client::Target;
///
/// for text in [
///     "printer.example",
///     "printer.example:7777",
///     "10.15.0.7",
///     "10.15.0.7:7777",
///     "2001:db8::7",
///     "[2001:db8::7]:7777",
///     "fe80::7%eth0",
///     "10.15.0.0/18",
///     "2001:db8::/120",
/// ] {
///     let target: Target = text.parse()?;
///     assert_eq!(target.to_string(), text);
/// }
/// assert!("255.255.255.255".parse::<Target>().is_err());
/// # Ok::<(), udp_discovery_client::ParseTargetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "String", into = "String")
)]
pub struct Target {
    host: TargetHost,
    port: Option<NonZeroU16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum TargetHost {
    Name(String),
    Ip(HostIp),
    /// A link-local address and its interface.
    LinkLocal(HostIp, String),
    Network(IpNet),
    /// The name of a service in the DNS.
    Service(String),
}

/// Why a text is not a [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseTargetError {
    /// It is neither a host name nor an IP address, with or without a port, nor a network.
    #[error(
        "the target `{target}` is not a host name or an IP address, with or without a port, or a network such as 10.15.0.0/18"
    )]
    Malformed {
        /// The text.
        target: String,
    },
    /// It names a service in the DNS, and the feature `dns` is off.
    #[error("the target `{target}` needs the feature `dns`")]
    WithoutDns {
        /// The text.
        target: String,
    },
    /// It is an address that no host can have.
    #[error("the target `{target}` cannot be the address of a host")]
    NotAHost {
        /// The text.
        target: String,
    },
    /// It is a link-local IPv6 address without its interface, or another address with one.
    #[error(
        "the target `{target}` needs an interface if its address is link-local (fe80::7%eth0), and only then"
    )]
    Interface {
        /// The text.
        target: String,
    },
    /// Its prefix length is not one that a network of its family can have.
    #[error("the prefix length of the target `{target}` is not a number from 0 to {max}")]
    PrefixLen {
        /// The text.
        target: String,
        /// The longest prefix of the family: 32 or 128.
        max: u8,
    },
    /// Its port is not a number from 1 to 65535.
    #[error("the port of the target `{target}` is not a number from 1 to 65535")]
    Port {
        /// The text.
        target: String,
    },
}

impl Target {
    /// The name to resolve, if the target has one.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.host {
            TargetHost::Name(name) => Some(name),
            _ => None,
        }
    }

    /// The service to look up in the DNS, if the target is one.
    pub(crate) fn service(&self) -> Option<&str> {
        match &self.host {
            TargetHost::Service(name) => Some(name),
            _ => None,
        }
    }

    /// The interface of a link-local address.
    pub(crate) fn interface(&self) -> Option<&str> {
        match &self.host {
            TargetHost::LinkLocal(_, interface) => Some(interface),
            _ => None,
        }
    }

    /// The network, if the target is one.
    pub(crate) fn network(&self) -> Option<IpNet> {
        match &self.host {
            TargetHost::Network(network) => Some(*network),
            _ => None,
        }
    }

    /// The address, if the target has one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            TargetHost::Ip(ip) | TargetHost::LinkLocal(ip, _) => Some(ip.get()),
            _ => None,
        }
    }

    /// The port to ask, if it is not the one of the settings.
    pub(crate) fn port_or(&self, port: u16) -> u16 {
        self.port.map_or(port, NonZeroU16::get)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (TargetHost::Name(name), None) => f.write_str(name),
            (TargetHost::Service(name), _) => write!(f, "dns:{name}"),
            (TargetHost::Name(name), Some(port)) => write!(f, "{name}:{port}"),
            (TargetHost::Ip(ip), None) => ip.fmt(f),
            (TargetHost::Network(network), _) => network.fmt(f),
            (TargetHost::LinkLocal(ip, interface), None) => write!(f, "{ip}%{interface}"),
            (TargetHost::LinkLocal(ip, interface), Some(port)) => {
                write!(f, "[{ip}%{interface}]:{port}")
            }
            (TargetHost::Ip(ip), Some(port)) => {
                write!(f, "{}", SocketAddr::new(ip.get(), port.get()))
            }
        }
    }
}

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        let malformed = || ParseTargetError::Malformed {
            target: text.to_owned(),
        };
        if let Some((address, prefix_len)) = text.split_once('/') {
            let host = network(text, address, prefix_len)?;
            return Ok(Self { host, port: None });
        }
        if let Some(service) = text.strip_prefix("dns:")
            && parse_port(service).is_none()
        {
            return service_target(text, service);
        }
        let (host, port) = split(text).ok_or_else(malformed)?;
        let port = port
            .map(|port| {
                parse_port(port).ok_or_else(|| ParseTargetError::Port {
                    target: text.to_owned(),
                })
            })
            .transpose()?;
        let (address, interface) = match host.split_once('%') {
            Some((address, interface)) => (address, Some(interface)),
            None => (host, None),
        };
        let Ok(ip) = address.parse::<IpAddr>() else {
            return if is_name(host) {
                let host = TargetHost::Name(host.to_owned());
                Ok(Self { host, port })
            } else {
                Err(malformed())
            };
        };
        let ip = HostIp::new(ip).map_err(|_| ParseTargetError::NotAHost {
            target: text.to_owned(),
        })?;
        let is_link_local = is_link_local(ip.get());
        let host = match interface {
            None if !is_link_local => TargetHost::Ip(ip),
            Some(name) if is_link_local && !name.is_empty() => {
                TargetHost::LinkLocal(ip, name.to_owned())
            }
            _ => {
                return Err(ParseTargetError::Interface {
                    target: text.to_owned(),
                });
            }
        };
        Ok(Self { host, port })
    }
}

/// The target of a service in the DNS.
fn service_target(text: &str, service: &str) -> Result<Target, ParseTargetError> {
    let target = text.to_owned();
    if !is_name(service) {
        return Err(ParseTargetError::Malformed { target });
    }
    if !cfg!(feature = "dns") {
        return Err(ParseTargetError::WithoutDns { target });
    }
    let host = TargetHost::Service(service.to_owned());
    Ok(Target { host, port: None })
}

/// The network, or the host that is the whole of it.
fn network(text: &str, address: &str, prefix_len: &str) -> Result<TargetHost, ParseTargetError> {
    let target = || text.to_owned();
    // A network has no port.
    let ip = address.parse::<IpAddr>().ok();
    let Some(ip) = ip.filter(|_| !prefix_len.contains(':')) else {
        return Err(ParseTargetError::Malformed { target: target() });
    };
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let digits = prefix_len.bytes().all(|byte| byte.is_ascii_digit());
    let prefix_len = prefix_len.parse().ok().filter(|_| digits);
    let network = prefix_len.and_then(|prefix_len| IpNet::new(ip, prefix_len).ok());
    let network = network.ok_or_else(|| ParseTargetError::PrefixLen {
        target: target(),
        max,
    })?;
    let network = network.trunc();
    let not_a_host = || ParseTargetError::NotAHost { target: target() };
    let first = HostIp::new(network.network()).map_err(|_| not_a_host())?;
    HostIp::new(network.broadcast()).map_err(|_| not_a_host())?;
    match network {
        _ if is_link_local(network.network()) => {
            Err(ParseTargetError::Interface { target: target() })
        }
        _ if network.prefix_len() == max => Ok(TargetHost::Ip(first)),
        _ => Ok(TargetHost::Network(network)),
    }
}

/// The host without brackets, and the text of the port.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let (address, _) = host.split_once('%').unwrap_or((host, ""));
        address.parse::<Ipv6Addr>().ok()?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        // An IPv6 address without brackets.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn parse_port(text: &str) -> Option<NonZeroU16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Whether `text` is a host name (RFC 1123, section 2.1), with underscores allowed. A last label of
/// digits would be an address, such as `10.1`, which resolvers read as 10.0.0.1.
fn is_name(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text).split('.');
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = labels.clone().next_back().unwrap_or_default();
    text.len() <= 254
        && labels.clone().all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(feature = "serde")]
impl TryFrom<String> for Target {
    type Error = ParseTargetError;

    fn try_from(text: String) -> Result<Self, ParseTargetError> {
        text.parse()
    }
}

#[cfg(feature = "serde")]
impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_displayed_as_it_is_parsed() {
        for text in [
            "localhost",
            "a.example.",
            "_x-1.example:1",
            "1a",
            "10.0.0.7",
            "10.0.0.7:65535",
            "fd00::7",
            "[fd00::7]:80",
            "fe80::7%eth0",
            "[fe80::7%2]:80",
            "10.15.0.0/18",
            "fd00::/8",
            "127.0.0.0/8",
        ] {
            let target = text.parse::<Target>().map(|it| it.to_string());
            assert_eq!(target.as_deref(), Ok(text));
        }
        let bracketed = "[fd00::7]".parse::<Target>().unwrap();
        assert_eq!(bracketed.to_string(), "fd00::7");
        let shown = |text: &str| text.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("10.15.3.7/18"), "10.15.0.0/18");
        assert_eq!(shown("10.15.3.7/32"), "10.15.3.7");
        assert_eq!(shown("fd00::7/128"), "fd00::7");
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_target_in_the_error() {
        let too_long = format!("{}a", "a.".repeat(127));
        let long_label = "a".repeat(64);
        for text in [
            "",
            ":80",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a\n",
            "a%b",
            "10.1",
            "300.1.1.1",
            "01.2.3.4",
            "1.2.3.4.5",
            "[10.0.0.7]",
            "[fd00::7",
            "[fd00::7]80",
            "fd00::7]",
            "::g",
            "é",
            "a/24",
            "http://a",
            "10.0.0.0/24:80",
            "[fd00::]/64",
            "10.0.0/8",
            "/8",
            &too_long,
            &long_label,
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(
                matches!(error, ParseTargetError::Malformed { .. }),
                "{text}"
            );
            assert!(error.to_string().contains(text));
        }
        for text in [
            ":",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:x",
            "10.0.0.7:-1",
            "[fd00::7]:",
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(matches!(error, ParseTargetError::Port { .. }), "{text}");
        }
        for text in [
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255:80",
            "::",
            "[ff02::1]:80",
            "0.0.0.0/0",
            "0.0.0.0/4",
            "10.0.0.0/2",
            "224.0.0.0/24",
            "240.0.0.0/8",
            "::/0",
            "ff00::/8",
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(matches!(error, ParseTargetError::NotAHost { .. }), "{text}");
        }
        for text in [
            "fe80::7",
            "[fe80::7]:80",
            "fe80::7%",
            "fd00::7%eth0",
            "10.0.0.7%eth0",
            "fe80::/120",
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(
                matches!(error, ParseTargetError::Interface { .. }),
                "{text}"
            );
        }
        for text in [
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/256",
            "fd00::/129",
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(
                matches!(error, ParseTargetError::PrefixLen { .. }),
                "{text}"
            );
        }
    }
}
