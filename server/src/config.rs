//! The configuration of a server.

use std::net::IpAddr;
use std::num::NonZeroU32;

#[cfg(feature = "signed")]
use udp_discovery_protocol::SigningKey;
use udp_discovery_protocol::{Details, HostIp, IpNet, NotAHost, RunId, Settings, WordsError};

use crate::rate_limit::RateLimit;

#[cfg(feature = "serde")]
mod fields;

/// At most 100 kbit/s of the link for a source, and 200 searches at once.
const DEFAULT_RATE_LIMIT: RateLimit =
    RateLimit::per_second(NonZeroU32::new(87).unwrap()).with_burst(NonZeroU32::new(500).unwrap());

/// A client asks for details with each of its 3 probes, so that 13 searches at once get them.
const DEFAULT_DETAILS_LIMIT: RateLimit =
    RateLimit::per_second(NonZeroU32::new(20).unwrap()).with_burst(NonZeroU32::new(40).unwrap());

/// At most a few hundredths of a processor.
#[cfg(feature = "signed")]
const DEFAULT_SIGNATURE_LIMIT: RateLimit =
    RateLimit::per_second(NonZeroU32::new(500).unwrap()).with_burst(NonZeroU32::new(500).unwrap());

/// The configuration of a [`Server`](crate::Server): the shared [`Settings`] and what only a
/// server needs.
///
/// With the feature `serde`, it can be part of an application's own configuration file. The keys
/// are named as the setters, with those of the [`Settings`] beside them; unknown keys are refused.
/// `allow` is `"any"` or a list of networks, a limit is a number for each second or `"off"`. The
/// [`details`](Self::details) and the signing key are no part of it: they are of one instance, and are
/// kept apart from settings that are copied.
///
/// ```
/// use udp_discovery_server::{Allow, Config};
///
/// let config = Config::default()
///     .with_advertise_port(8000)
///     .with_allow(Allow::Networks(vec!["10.15.0.0/16".parse()?]));
/// assert_eq!(config.settings().port(), 9999);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "fields::Fields", into = "fields::Fields")
)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are independent settings"
)]
pub struct Config {
    settings: Settings,
    advertise_ip: Option<HostIp>,
    advertise_port: Option<u16>,
    allow: Allow,
    rate_limit: Option<RateLimit>,
    total_limit: Option<RateLimit>,
    kernel_filter: bool,
    ipv6: bool,
    multicast: bool,
    shared_port: bool,
    details: Option<Details>,
    #[cfg(feature = "signed")]
    signing_key: Option<SigningKey>,
    details_limit: Option<RateLimit>,
    #[cfg(feature = "signed")]
    signature_limit: Option<RateLimit>,
}

/// Which clients are answered besides those on the link.
///
/// A client is on the link if its address is in a network of the interface that its request
/// arrived on. Answering other addresses lets anybody who can forge a source address direct
/// answers to it, so it is off by default. RFC 6762, sections 5.5 and 11, has the same rule for
/// multicast DNS, and the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Allow {
    /// Only clients on the link. The default.
    #[default]
    OnLink,
    /// Clients on the link and clients in these networks.
    Networks(Vec<IpNet>),
    /// Every client.
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

    /// The address that every answer names, on every network. Default: none; each answer names the
    /// server's address on the network that the request arrived on.
    pub fn advertise_ip(&self) -> Option<HostIp> {
        self.advertise_ip
    }

    /// The port that every answer names. Default: none; answers name only an address.
    pub fn advertise_port(&self) -> Option<u16> {
        self.advertise_port
    }

    /// Which clients are answered besides those on the link. Default: [`Allow::OnLink`].
    pub fn allow(&self) -> &Allow {
        &self.allow
    }

    /// The limit of plain answers for each source. Default: 87 a second, 500 at once. `None` is no limit.
    ///
    /// A source is an IPv4 address, an IPv6 address on the link with its scope, or a /64 of IPv6
    /// off the link.
    ///
    /// The rate bounds what a flood in one name costs. With the default words the longest plain
    /// answer has 57 bytes, because it names an IPv6 address (31 with an IPv4 address). With 48 bytes
    /// of IPv6 and UDP headers and 38 of Ethernet (header, checksum, preamble and gap) that is 143
    /// bytes, or 1,144 bits, so 87 answers a second take 99.5 kbit/s of the link. The burst adds 500
    /// answers, once.
    ///
    /// The burst is for honest clients behind one address: containers, a NAT, a build machine. A
    /// search sends 3 probes, one datagram each, in 0.25 s. Of the 600 datagrams of 200 searches
    /// that start within a second, at least the first 500 are answered, and every search gets an
    /// answer.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// How many answers all sources together get. Default: `None`, no limit. Plain answers and answers
    /// with [details](Self::details) each have this limit, so that neither uses up the other's.
    ///
    /// It bounds what this host sends in every case. A flood of forged sources on the link then
    /// uses up the answers of real clients. Set it only where the bandwidth of the answers is worth
    /// more than being found during an attack.
    pub fn total_limit(&self) -> Option<RateLimit> {
        self.total_limit
    }

    /// Whether the kernel drops what is not a request (Linux only). Default: yes.
    ///
    /// Datagrams that the kernel drops are counted only by
    /// [`KernelDrops`](crate::Counter::KernelDrops), and event handlers do not see them. Switch it
    /// off to see what else reaches the port.
    pub fn kernel_filter(&self) -> bool {
        self.kernel_filter
    }

    /// Whether the server also listens on IPv6. Default: yes.
    ///
    /// A second socket has the same port, for IPv6 only, and the same rules. A host without IPv6
    /// is served on IPv4, and an [`Event`](crate::Event::Ipv6Unavailable) reports it once.
    pub fn ipv6(&self) -> bool {
        self.ipv6
    }

    /// Whether other servers on this host may have the same port, if they run as the same user and share
    /// it too. Default: no. Only Linux can (`SO_REUSEPORT`, socket(7)).
    ///
    /// For several services on a host that are found separately: each receives every broadcast and
    /// multicast and answers it, under limits of its own. Clients tell the servers apart by the ports that
    /// they [advertise](Self::advertise_port), so each needs one of its own. A request by unicast reaches
    /// only one of them, so clients must not use [targets](https://docs.rs/udp-discovery-client) to find
    /// them.
    pub fn shared_port(&self) -> bool {
        self.shared_port
    }

    /// Whether the server joins the multicast groups [`MULTICAST_V4`] and [`MULTICAST_V6`], on every
    /// interface that is up, except loopback. Default: yes.
    ///
    /// It joins again when interfaces come and leaves when they go. A request to a group is answered
    /// by unicast, like one to a broadcast address. If the system refuses a membership, for example
    /// because there are more than `igmp_max_memberships`, an
    /// [`Event`](crate::Event::MulticastUnavailable) reports it.
    ///
    /// [`MULTICAST_V4`]: udp_discovery_protocol::MULTICAST_V4
    /// [`MULTICAST_V6`]: udp_discovery_protocol::MULTICAST_V6
    pub fn multicast(&self) -> bool {
        self.multicast
    }

    /// Who the server is, for clients that ask: its id, and optionally a name and properties. Default:
    /// none, and requests for details are dropped like other datagrams.
    ///
    /// Everybody on the link can read them. Clients that do not ask for them get the same answers as
    /// without.
    pub fn details(&self) -> Option<&Details> {
        self.details.as_ref()
    }

    /// The key that signs answers with details. Default: none; they are not signed.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn signing_key(&self) -> Option<&SigningKey> {
        self.signing_key.as_ref()
    }

    /// The limit of answers with details for each source. Default: 20 a second, 40 at once. `None` is no
    /// limit.
    ///
    /// A source is what it is for the [`rate_limit`](Self::rate_limit), which counts only plain answers.
    /// A search asks for details with each of its 3 probes.
    pub fn details_limit(&self) -> Option<RateLimit> {
        self.details_limit
    }

    /// How many answers are signed for all sources together. Default: 500 a second, 500 at once. `None`
    /// is no limit.
    ///
    /// It bounds the processor time that requests from many sources cost. Above it, requests for details
    /// get no answer; plain requests do. The [`details_limit`](Self::details_limit) is checked first, so
    /// that one source cannot use it up.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn signature_limit(&self) -> Option<RateLimit> {
        self.signature_limit
    }

    /// The details that answers carry, if the server offers any.
    pub(crate) fn offered_details(&self) -> Option<Details> {
        #[cfg(feature = "signed")]
        if let (None, Some(key)) = (&self.details, &self.signing_key) {
            return Some(Details::new(key.id(), RunId::new([0; 8])));
        }
        self.details.clone()
    }

    /// Sets the run of what is offered, for one start of a server.
    pub(crate) fn with_run(self, run: RunId) -> Self {
        let details = self.offered_details().map(|details| details.with_run(run));
        Self { details, ..self }
    }

    /// Sets the [`settings`](Self::settings).
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets the port to listen on, one of the [`settings`](Self::settings). With 0 the system
    /// chooses one.
    pub fn with_port(self, port: u16) -> Self {
        Self {
            settings: self.settings.with_port(port),
            ..self
        }
    }

    /// Sets the discovery message and the response prefix, two of the
    /// [`settings`](Self::settings).
    ///
    /// # Errors
    /// As [`Settings::with_words`].
    pub fn with_words(self, message: &str, prefix: &str) -> Result<Self, WordsError> {
        Ok(Self {
            settings: self.settings.with_words(message, prefix)?,
            ..self
        })
    }

    /// Sets the [`advertise_ip`](Self::advertise_ip).
    ///
    /// # Errors
    /// [`NotAHost`], if `ip` cannot be the address of a host.
    pub fn with_advertise_ip(self, ip: IpAddr) -> Result<Self, NotAHost> {
        Ok(Self {
            advertise_ip: Some(HostIp::new(ip)?),
            ..self
        })
    }

    /// Sets the [`advertise_port`](Self::advertise_port). 0 is an error when the server is bound.
    pub fn with_advertise_port(self, port: u16) -> Self {
        Self {
            advertise_port: Some(port),
            ..self
        }
    }

    /// Sets which clients are [allowed](Self::allow).
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

    /// Sets whether the server listens on [`ipv6`](Self::ipv6).
    pub fn with_ipv6(self, ipv6: bool) -> Self {
        Self { ipv6, ..self }
    }

    /// Sets whether the server has a [`shared_port`](Self::shared_port).
    pub fn with_shared_port(self, shared_port: bool) -> Self {
        Self {
            shared_port,
            ..self
        }
    }

    /// Sets whether the server joins the [`multicast`](Self::multicast) groups.
    pub fn with_multicast(self, multicast: bool) -> Self {
        Self { multicast, ..self }
    }

    /// Sets the [`details`](Self::details).
    ///
    /// The server draws a [`run`](Details::run) each time it is bound, and ignores the one in `details`.
    /// Binding fails with [`BindError::Details`](crate::BindError::Details) if an answer with the
    /// configured words would have more than 512 bytes, or if the id is not that of the configured
    /// signing key.
    ///
    /// ```
    /// use udp_discovery_server::Config;
    /// use udp_discovery_server::protocol::{Details, RunId, ServerId};
    ///
    /// let id = ServerId::new([7; 32]); // 32 random bytes that the application keeps
    /// let details = Details::new(id, RunId::new([0; 8]))
    ///     .with_name("Printer, 2nd floor")?
    ///     .with_property("version", "1.2")?;
    /// let config = Config::default().with_details(details);
    /// # Ok::<(), udp_discovery_server::protocol::InvalidDetails>(())
    /// ```
    pub fn with_details(self, details: Details) -> Self {
        Self {
            details: Some(details),
            ..self
        }
    }

    /// Sets the [`signing_key`](Self::signing_key). Its public key is the id of the server. Without
    /// [`details`](Self::details), the server offers that id only.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn with_signing_key(self, key: SigningKey) -> Self {
        Self {
            signing_key: Some(key),
            ..self
        }
    }

    /// Sets the [`details_limit`](Self::details_limit).
    pub fn with_details_limit(self, details_limit: Option<RateLimit>) -> Self {
        Self {
            details_limit,
            ..self
        }
    }

    /// Sets the [`signature_limit`](Self::signature_limit).
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn with_signature_limit(self, signature_limit: Option<RateLimit>) -> Self {
        Self {
            signature_limit,
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
            rate_limit: Some(DEFAULT_RATE_LIMIT),
            total_limit: None,
            kernel_filter: true,
            ipv6: true,
            multicast: true,
            shared_port: false,
            details: None,
            #[cfg(feature = "signed")]
            signing_key: None,
            details_limit: Some(DEFAULT_DETAILS_LIMIT),
            #[cfg(feature = "signed")]
            signature_limit: Some(DEFAULT_SIGNATURE_LIMIT),
        }
    }
}

impl From<Settings> for Config {
    fn from(settings: Settings) -> Self {
        Self::default().with_settings(settings)
    }
}
