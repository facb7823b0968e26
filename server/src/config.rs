//! What a server is told.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};

use udp_discovery_protocol::{HostIp, IpNet, NotAHost, Settings};

use crate::rate_limit::RateLimit;

/// What a [`Server`](crate::Server) is told: the shared [`Settings`], and what only a server needs.
///
/// ```
/// use std::num::NonZeroU16;
/// use udp_discovery_server::{Allow, Config};
///
/// let config = Config::default()
///     .with_advertise_port(NonZeroU16::new(8000).unwrap())
///     .with_allow(Allow::Networks(vec!["10.15.0.0/16".parse()?]));
/// assert_eq!(config.settings().port().get(), 9999);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    settings: Settings,
    advertise_ip: Option<HostIp>,
    advertise_port: Option<NonZeroU16>,
    allow: Allow,
    rate_limit: Option<RateLimit>,
    total_limit: Option<RateLimit>,
    kernel_filter: bool,
}

/// Which clients are answered besides those on the link.
///
/// A source is on the link if it is in a network of the interface that its request came by.
/// Answering others lets anybody who can forge a source address have answers sent to it from
/// here, which is why nobody else is answered by default (RFC 6762, sections 5.5 and 11, has the
/// same rule for multicast DNS and the reasons).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Allow {
    /// Those on the link alone. The default.
    #[default]
    OnLink,
    /// Those on the link and those in these networks.
    Networks(Vec<IpNet>),
    /// Everybody.
    Any,
}

impl Allow {
    /// Whether a source that is not on the link is answered.
    pub(crate) fn permits(&self, source: IpAddr) -> bool {
        match self {
            Self::OnLink => false,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&source)),
            Self::Any => true,
        }
    }
}

impl Config {
    /// The settings shared with clients.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The address that every answer names, whatever network it goes to. Default: none; each
    /// answer names the server's address on the network that the request came by.
    pub fn advertise_ip(&self) -> Option<HostIp> {
        self.advertise_ip
    }

    /// The port that every answer names. Default: none; answers name an address alone.
    pub fn advertise_port(&self) -> Option<NonZeroU16> {
        self.advertise_port
    }

    /// Who is answered besides those on the link. Default: [`Allow::OnLink`].
    pub fn allow(&self) -> &Allow {
        &self.allow
    }

    /// Limit for each source. Default: 100 answers a second, 500 at once. None is no limit.
    ///
    /// A source is an IPv4 address, an IPv6 address on the link with its scope, or a /64 of IPv6
    /// off the link.
    ///
    /// The rate bounds what a flood in one name costs. With the default words the longest plain
    /// answer has 57 bytes (31 unless an IPv6 address is advertised). With 28 bytes of IPv4 and UDP
    /// headers and 38 of Ethernet (header, checksum, preamble and gap) that is 123 bytes, or 984
    /// bits, so 100 answers a second take 98.4 kbit/s of the link. The burst adds 500 answers,
    /// once.
    ///
    /// The burst is for honest clients behind one address: containers, a NAT, a build machine. A
    /// search sends 3 probes, a datagram each, in 0.25 s. Of the 600 datagrams of 200 searches that
    /// start within a second at least the first 500 are answered, and every search gets an answer.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// How much is answered in total. Default: no limit.
    ///
    /// It bounds what this host sends, whatever happens. But with it a flood of forged sources
    /// on the link uses up the answers of the real ones, so set it only where the bandwidth that
    /// answers take is worth more than being found during an attack.
    pub fn total_limit(&self) -> Option<RateLimit> {
        self.total_limit
    }

    /// Whether the kernel is asked to drop what isn't the request (Linux alone). Default: yes.
    ///
    /// What it drops is in no count but [`KernelDrops`](crate::Counter::KernelDrops) and comes
    /// to no event handler, so switch it off to see what else reaches the port.
    pub fn kernel_filter(&self) -> bool {
        self.kernel_filter
    }

    /// Sets the [`settings`](Self::settings).
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets the port to listen on, which is one of the [`settings`](Self::settings).
    pub fn with_port(self, port: NonZeroU16) -> Self {
        Self {
            settings: self.settings.with_port(port),
            ..self
        }
    }

    /// Sets the [`advertise_ip`](Self::advertise_ip).
    ///
    /// # Errors
    /// [`NotAHost`], if `ip` can't be the address of a host.
    pub fn with_advertise_ip(self, ip: IpAddr) -> Result<Self, NotAHost> {
        Ok(Self {
            advertise_ip: Some(HostIp::new(ip)?),
            ..self
        })
    }

    /// Sets the [`advertise_port`](Self::advertise_port).
    pub fn with_advertise_port(self, port: NonZeroU16) -> Self {
        Self {
            advertise_port: Some(port),
            ..self
        }
    }

    /// Sets who is [`allowed`](Self::allow).
    pub fn with_allow(self, allow: Allow) -> Self {
        Self { allow, ..self }
    }

    /// Sets the [`rate_limit`](Self::rate_limit).
    pub fn with_rate_limit(self, rate_limit: Option<RateLimit>) -> Self {
        Self { rate_limit, ..self }
    }

    /// Sets the [`total_limit`](Self::total_limit).
    pub fn with_total_limit(self, total_limit: Option<RateLimit>) -> Self {
        Self {
            total_limit,
            ..self
        }
    }

    /// Sets the [`kernel_filter`](Self::kernel_filter).
    pub fn with_kernel_filter(self, kernel_filter: bool) -> Self {
        Self {
            kernel_filter,
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            advertise_ip: None,
            advertise_port: None,
            allow: Allow::default(),
            rate_limit: Some(RateLimit::per_second(NonZeroU32::new(100).unwrap())),
            total_limit: None,
            kernel_filter: true,
        }
    }
}

impl From<Settings> for Config {
    fn from(settings: Settings) -> Self {
        Self::default().with_settings(settings)
    }
}
