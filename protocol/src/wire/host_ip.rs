//! Addresses that a host can have.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use thiserror::Error;

/// An IP address that a host can have.
///
/// These addresses are excluded: 0.0.0.0/8 ("this network", RFC 1122, section 3.2.1.3), 240.0.0.0/4
/// (reserved, RFC 1112, section 4) including the limited broadcast address, the unspecified address,
/// multicast addresses, and IPv4-mapped IPv6 addresses, which could hide any of the others. Loopback
/// addresses are allowed.
///
/// ```
/// use udp_discovery_protocol::HostIp;
///
/// let ip: HostIp = "192.168.1.7".parse()?;
/// assert_eq!(ip.to_string(), "192.168.1.7");
/// assert!(HostIp::new([224, 0, 0, 1].into()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "IpAddr", into = "IpAddr")
)]
pub struct HostIp(IpAddr);

/// No host can have this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{ip} cannot be the address of a host")]
#[non_exhaustive]
pub struct NotAHost {
    /// The address.
    pub ip: IpAddr,
}

/// Why a text is not a [`HostIp`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseHostIpError {
    /// It is not an IP address.
    #[error("not an IP address")]
    NotAnAddress,
    /// It is an IP address that no host can have.
    #[error(transparent)]
    NotAHost(#[from] NotAHost),
}

impl HostIp {
    /// Checks that `ip` is an address that a host can have.
    ///
    /// # Errors
    /// [`NotAHost`], if it is not.
    #[inline]
    pub const fn new(ip: IpAddr) -> Result<Self, NotAHost> {
        let possible = match ip {
            IpAddr::V4(ip) => !matches!(ip.octets()[0], 0 | 224..=255),
            IpAddr::V6(ip) => {
                !(ip.is_unspecified() || ip.is_multicast() || ip.to_ipv4_mapped().is_some())
            }
        };
        if possible {
            Ok(Self(ip))
        } else {
            Err(NotAHost { ip })
        }
    }

    /// The address.
    pub const fn get(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for HostIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<HostIp> for IpAddr {
    fn from(ip: HostIp) -> Self {
        ip.0
    }
}

impl TryFrom<IpAddr> for HostIp {
    type Error = NotAHost;

    fn try_from(ip: IpAddr) -> Result<Self, NotAHost> {
        Self::new(ip)
    }
}

impl FromStr for HostIp {
    type Err = ParseHostIpError;

    fn from_str(text: &str) -> Result<Self, ParseHostIpError> {
        let ip = text.parse().map_err(|_| ParseHostIpError::NotAnAddress)?;
        Ok(Self::new(ip)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_reserved_multicast_and_mapped_addresses_are_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "0.255.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "254.1.2.3",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:0.0.0.0",
            "::ffff:10.0.0.1",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(HostIp::new(ip), Err(NotAHost { ip }), "{text}");
        }
    }

    #[test]
    fn every_other_address_is_accepted() {
        for text in [
            "1.0.0.0",
            "10.0.0.7",
            "127.0.0.1",
            "169.254.1.1",
            "223.255.255.255",
            "::1",
            "fe80::1",
            "2001:db8::7",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(HostIp::new(ip).map(HostIp::get), Ok(ip), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_address_is_distinguished_from_one_that_no_host_has() {
        assert_eq!(
            "10.0.0".parse::<HostIp>(),
            Err(ParseHostIpError::NotAnAddress)
        );
        assert!(matches!(
            "0.0.0.0".parse::<HostIp>(),
            Err(ParseHostIpError::NotAHost(_))
        ));
    }
}
