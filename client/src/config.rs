//! The configuration of a client.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(feature = "signed")]
use udp_discovery_protocol::ServerId;
#[cfg(feature = "mdns")]
use udp_discovery_protocol::ServiceType;
use udp_discovery_protocol::{Settings, WordsError};

use crate::address::AddressPolicy;
use crate::interval::WatchInterval;
use crate::target::Target;

#[cfg(feature = "serde")]
mod fields;

/// The default number of probes of a search: 3.
pub const DEFAULT_PROBES: NonZeroU8 = NonZeroU8::new(3).unwrap();

/// The default limit on the servers that a search keeps: 4096.
pub const DEFAULT_MAX_SERVERS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The default pace of a sweep: 2,000 datagrams a second, about 1 Mbit/s.
pub const DEFAULT_PACE: NonZeroU32 = NonZeroU32::new(2000).unwrap();

/// How many addresses a network may have that is a target, without [`Config::large_sweeps`]: 65,536,
/// which is a /16, or a /112 in IPv6.
pub const SWEEP_LIMIT: u32 = 1 << 16;

/// How many addresses a network may have that is a target, with [`Config::large_sweeps`]: 16,777,216,
/// which is a /8, or a /104 in IPv6.
pub const LARGE_SWEEP_LIMIT: u32 = 1 << 24;

/// Which of IPv4 and IPv6 a search asks its networks by. [Targets](Config::targets) are asked by their
/// own.
///
/// By IPv4 a search asks by broadcast, by IPv6 with the multicast group
/// [`MULTICAST_V6`](udp_discovery_protocol::MULTICAST_V6). The plain answer does not name its server,
/// so a server that answers by both is listed twice, unless it offers [details](Config::details).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub enum Family {
    /// IPv4 on each interface that has it, and IPv6 on the others. On an interface with both, IPv6
    /// joins from the second probe on, as long as no server on that interface has answered. A server
    /// is rarely listed twice. The default, and the right choice for most networks.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "auto"))]
    Auto,
    /// IPv4 only.
    #[cfg_attr(feature = "serde", serde(rename = "4"))]
    V4,
    /// IPv6 only.
    #[cfg_attr(feature = "serde", serde(rename = "6"))]
    V6,
    /// Both, IPv4 first. For networks where some of the servers have IPv6 only.
    #[cfg_attr(feature = "serde", serde(rename = "both"))]
    Both,
}

/// The configuration of a [`Client`](crate::Client): the [`Settings`] that servers and clients share,
/// and those of clients only.
///
/// With the feature `serde`, it can be part of an application's own configuration file. The keys
/// are named as the setters, and those of the [`Settings`] stand beside them. Unknown keys are
/// refused.
///
/// ```
/// use std::time::Duration;
/// use udp_discovery_client::{AddressPolicy, Config};
///
/// let config = Config::default()
///     .with_timeout(Duration::from_secs(2))
///     .with_interfaces(["eth0", "wlan*"])
///     .with_address_policy(AddressPolicy::Match);
/// assert_eq!(config.settings().port(), 9999);
/// assert_eq!(config.probes().get(), 3);
/// ```
#[doc(alias = "ClientConfig")]
#[doc(alias = "load_config")]
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
    probes: NonZeroU8,
    interval: WatchInterval,
    interfaces: Vec<String>,
    excluded_interfaces: Vec<String>,
    loopback: bool,
    address_policy: AddressPolicy,
    any_source_port: bool,
    max_servers: NonZeroUsize,
    default_port: Option<u16>,
    first: bool,
    expect: Option<NonZeroUsize>,
    quiet_for: Option<Duration>,
    targets: Vec<Target>,
    broadcast: bool,
    source_port: Option<NonZeroU16>,
    family: Family,
    multicast: bool,
    pace: NonZeroU32,
    large_sweeps: bool,
    remember: Option<PathBuf>,
    details: bool,
    wanted_name: Option<String>,
    wanted_properties: Vec<(String, String)>,
    #[cfg(feature = "signed")]
    pinned_ids: Vec<ServerId>,
    #[cfg(feature = "signed")]
    known_servers: Option<PathBuf>,
    #[cfg(feature = "mdns")]
    mdns: Vec<ServiceType>,
}

impl Config {
    /// The settings that servers and clients share.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many probes a search sends on each link. Default: [`DEFAULT_PROBES`].
    ///
    /// The interval between two probes is `timeout / (probes + 1)`, so that the answers to the last
    /// probe have as much time as the others. It is shorter if [`quiet_for`](Self::quiet_for) is set.
    pub fn probes(&self) -> NonZeroU8 {
        self.probes
    }

    /// How often a [watch](crate::Client::watch) asks. Default: every second after a change, growing to
    /// every 5 s. A search does not use it.
    pub fn interval(&self) -> WatchInterval {
        self.interval
    }

    /// The interfaces to ask on: names, or patterns with `*` and `?`. Default: empty, which means
    /// all that are up, except loopback and
    /// [container bridges](udp_discovery_protocol::Interface::is_container_bridge). If there is
    /// nothing else, the search asks on container bridges, or else on loopback
    /// ([`Report::last_resort`](crate::Report::last_resort)).
    ///
    /// A search asks on an interface that is named here whatever its kind.
    #[doc(alias = "interfaces_whitelist")]
    #[doc(alias = "select_interfaces")]
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// The interfaces to skip: names, or patterns with `*` and `?`. Overrides
    /// [`interfaces`](Self::interfaces). Default: empty.
    #[doc(alias = "interfaces_blacklist")]
    pub fn excluded_interfaces(&self) -> &[String] {
        &self.excluded_interfaces
    }

    /// Whether to ask on the loopback interface too. Default: no. Even then a search asks on it if
    /// [`interfaces`](Self::interfaces) names it, or if there is no other interface.
    pub fn loopback(&self) -> bool {
        self.loopback
    }

    /// How to select the address to use. Default: [`AddressPolicy::Auto`].
    pub fn address_policy(&self) -> AddressPolicy {
        self.address_policy
    }

    /// Whether answers may come from another port than the one asked. Default: no. Such answers are
    /// dropped and counted, because a server answers from the port that it listens on.
    pub fn any_source_port(&self) -> bool {
        self.any_source_port
    }

    /// How many servers a search keeps at most, which bounds its memory. Default:
    /// [`DEFAULT_MAX_SERVERS`]. Further servers are counted and dropped.
    pub fn max_servers(&self) -> NonZeroUsize {
        self.max_servers
    }

    /// The port of servers whose answer has no port. Default: none.
    ///
    /// The Python servers never send a port, and their client assumes 8000.
    pub fn default_port(&self) -> Option<u16> {
        self.default_port
    }

    /// Whether a search ends with the first server. Default: no.
    ///
    /// The conditions that end a search early, this one, [`expect`](Self::expect) and
    /// [`quiet_for`](Self::quiet_for), can be combined. The first that is met ends the search. The
    /// deadline bounds all of them.
    pub fn first(&self) -> bool {
        self.first
    }

    /// With how many servers a search ends. Default: none, which means that it goes on until its
    /// deadline. No probe is sent after the last expected server answered.
    pub fn expect(&self) -> Option<NonZeroUsize> {
        self.expect
    }

    /// How long no new server may answer until a search ends. Default: none.
    ///
    /// The time runs from the last probe or the last new server, whichever is later. Every probe is
    /// sent first, and the interval between two probes is at most half of this time.
    pub fn quiet_for(&self) -> Option<Duration> {
        self.quiet_for
    }

    /// The hosts and networks to ask by unicast, with every probe. Default: empty.
    ///
    /// A name is resolved when the search starts, within its timeout, and each of its addresses is
    /// asked, at most 1,000. A target is asked wherever the routes of the system lead, whatever
    /// [`interfaces`](Self::interfaces) says. Its answers are accepted only from the address and port
    /// that were asked.
    ///
    /// A network is swept: each of its addresses is asked in turn, at the [`pace`](Self::pace), in as
    /// many passes as there are [`probes`](Self::probes). The first pass begins at once, a later one
    /// when its probe is due and the pass before is complete, without the addresses that answered or
    /// refused. Its first and last address (in IPv6 only the first) are left out, unless it is a part of a
    /// network of this host, as are those of the networks of this host, the addresses of this host, and
    /// addresses that another target covers.
    /// A network of two addresses has two hosts. The deadline may end a sweep early:
    /// [`SweepReport::estimate`](crate::SweepReport::estimate) is the time that it takes.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Whether to ask the networks of this host. Default: yes. Without it, only the
    /// [`targets`](Self::targets) are asked.
    pub fn broadcast(&self) -> bool {
        self.broadcast
    }

    /// The port to ask from, for firewalls that need a rule. Default: none, which means that the
    /// system chooses a free one for each search, so that late answers to one search do not reach the
    /// next.
    ///
    /// The port is never shared. A second search from it at the same time is an error
    /// ([`DiscoverError::SourcePortInUse`](crate::DiscoverError::SourcePortInUse)).
    pub fn source_port(&self) -> Option<NonZeroU16> {
        self.source_port
    }

    /// Which of IPv4 and IPv6 to ask by. Default: [`Family::Auto`].
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether to ask also with the IPv4 multicast group
    /// [`MULTICAST_V4`](udp_discovery_protocol::MULTICAST_V4), which takes turns with the broadcast
    /// addresses. Default: no. An interface without broadcast is asked with the group in any case.
    ///
    /// It helps where the network drops broadcasts. Servers receive it if they joined the group.
    pub fn multicast(&self) -> bool {
        self.multicast
    }

    /// How many datagrams a second a sweep sends at most, evenly spread, in bursts of at most 10 ms
    /// worth. Default: [`DEFAULT_PACE`].
    ///
    /// Addresses on link are asked more slowly, whatever the pace: each silent one holds an entry of the
    /// system's neighbor table for 3 s, and a host whose table is full reaches nobody new. A sweep takes
    /// at most a third of Linux's table (`neigh/default/gc_thresh3`, arp(7)), 341 of 1,024 by default and
    /// never more than 500, which makes about 110 addresses a second. With [`details`](Self::details) it is
    /// at most 200, because a socket holds no more of both requests.
    ///
    /// If the system has no room for a datagram nevertheless, the sweep stops on that link for 50 ms,
    /// with each further failure twice as long, up to 2 s, and asks that address again.
    pub fn pace(&self) -> NonZeroU32 {
        self.pace
    }

    /// Whether a target may be a network of more than [`SWEEP_LIMIT`] addresses. Default: no. More than
    /// [`LARGE_SWEEP_LIMIT`] are always refused.
    pub fn large_sweeps(&self) -> bool {
        self.large_sweeps
    }

    /// The file of the addresses that answered, so that the next search asks them first. Default: none.
    ///
    /// The remembered addresses are asked by unicast like those of a network, whether or not a target
    /// covers them. When the search ends or is dropped, the file gets the addresses that answered, then
    /// those that did not but were asked less often than there are [`probes`](Self::probes). If nobody
    /// answered, it remains as it is. Link-local addresses are not remembered.
    ///
    /// After a line with the name of the format, each line has an address and a port, at most 4,096; the
    /// rest is ignored. A missing file is empty. What cannot be read or written is no error of the
    /// search but is reported ([`Remembered::error`](crate::Remembered::error)): of a damaged file the
    /// lines that are whole count, and a file that does not begin with the format's name is neither
    /// read nor replaced. The file is replaced as a whole, so of two searches that end at once the
    /// last one wins. Searches on tokio read and write it on the thread that polls them, which takes a
    /// moment.
    pub fn remember(&self) -> Option<&Path> {
        self.remember.as_deref()
    }

    /// Whether to ask who the servers are, besides where. Default: no. Details are also asked for if a
    /// setting needs them: [`wanted_name`](Self::wanted_name),
    /// [`wanted_properties`](Self::wanted_properties), `pinned_ids` and `known_servers`.
    ///
    /// Beside each request, a request for details of 512 bytes goes to the same destination. In a sweep
    /// both count against the [`pace`](Self::pace). Servers that do not offer details ignore it and are
    /// found as without it, but are returned later: their answers are held until the next probe is due or
    /// the search ends, because the details may follow. [`first`](Self::first),
    /// [`expect`](Self::expect) and [`quiet_for`](Self::quiet_for) count what was returned.
    ///
    /// One server with several addresses is one result with several
    /// [`endpoints`](crate::DiscoveredServer::endpoints), at most 16.
    pub fn details(&self) -> bool {
        self.details
            || self.wanted_name.is_some()
            || !self.wanted_properties.is_empty()
            || self.checks_signatures()
    }

    #[cfg(feature = "signed")]
    fn checks_signatures(&self) -> bool {
        !self.pinned_ids.is_empty() || self.known_servers.is_some()
    }

    #[cfg(not(feature = "signed"))]
    #[allow(clippy::unused_self, reason = "it depends on the feature")]
    fn checks_signatures(&self) -> bool {
        false
    }

    /// The name that a server must have to be found: a name, or a pattern with `*` and `?`. Default:
    /// none. Answers of others are dropped and counted ([`Counts::unwanted`](crate::Counts::unwanted)),
    /// and so are all plain answers, which have no name.
    pub fn wanted_name(&self) -> Option<&str> {
        self.wanted_name.as_deref()
    }

    /// The properties that a server must have to be found: keys, whose case does not matter, and values.
    /// Default: empty. Answers of others are dropped and counted as for
    /// [`wanted_name`](Self::wanted_name).
    pub fn wanted_properties(&self) -> &[(String, String)] {
        &self.wanted_properties
    }

    /// The ids of the only servers to find, which must sign their answers. Default: empty, which means
    /// any server.
    ///
    /// Every other answer is dropped and counted by its reason. Of a pinned server, the address to use is
    /// the one in its answer, even if no network of this host has it.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn pinned_ids(&self) -> &[ServerId] {
        &self.pinned_ids
    }

    /// The file of the servers that are known by name, to trust on first use. Default: none.
    ///
    /// A server that answers with a valid signature and a name is added, if nobody has that name yet.
    /// From then on the name belongs to that id: an unsigned answer with the name is dropped, and so is
    /// one of another id, which is an [alarm](crate::Report::alarms) too. Their plain answers are dropped
    /// with them, or withdrawn from [`Search::servers`](crate::Search::servers) if they were returned
    /// before. Other answers without a name are not affected.
    ///
    /// After a line with the name of the format, each line has an id, a space and the name, at most
    /// 4,096. Servers beyond are not added. To accept another id, delete the line of the known one. A
    /// missing file is empty; what cannot be read or written, or is damaged, is an error
    /// ([`DiscoverError::KnownServers`](crate::DiscoverError::KnownServers)). The file is replaced as a
    /// whole when the search ends or is dropped, if there is a server to add.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn known_servers(&self) -> Option<&Path> {
        self.known_servers.as_deref()
    }

    /// The types of services, such as `_http._tcp`, to look for by multicast DNS (RFC 6762) too, on the
    /// interfaces of the search. Default: none.
    ///
    /// What is found has the origin [`Origin::Mdns`](crate::Origin::Mdns). If another program has the port
    /// of multicast DNS for itself, [`Report::engines`](crate::Report::engines) says so.
    #[cfg(feature = "mdns")]
    #[cfg_attr(docsrs, doc(cfg(feature = "mdns")))]
    pub fn mdns(&self) -> &[ServiceType] {
        &self.mdns
    }

    /// Sets the [`settings`](Self::settings).
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets [`Settings::port`]. Port 0 is reported as an error when a search starts.
    pub fn with_port(self, port: u16) -> Self {
        Self {
            settings: self.settings.with_port(port),
            ..self
        }
    }

    /// Sets the discovery message and the response prefix, as [`Settings::with_words`] does.
    ///
    /// # Errors
    /// [`WordsError`], if they cannot be used.
    pub fn with_words(self, message: &str, prefix: &str) -> Result<Self, WordsError> {
        Ok(Self {
            settings: self.settings.with_words(message, prefix)?,
            ..self
        })
    }

    /// Sets [`Settings::timeout`], how long a search lasts.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self {
            settings: self.settings.with_timeout(timeout),
            ..self
        }
    }

    /// Sets [`probes`](Self::probes).
    pub fn with_probes(self, probes: NonZeroU8) -> Self {
        Self { probes, ..self }
    }

    /// Sets the [`interval`](Self::interval).
    pub fn with_interval(self, interval: WatchInterval) -> Self {
        Self { interval, ..self }
    }

    /// Sets the [`interfaces`](Self::interfaces).
    pub fn with_interfaces<I>(self, interfaces: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self {
            interfaces: interfaces.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Sets the [`excluded_interfaces`](Self::excluded_interfaces).
    pub fn with_excluded_interfaces<I>(self, interfaces: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self {
            excluded_interfaces: interfaces.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Sets [`loopback`](Self::loopback).
    pub fn with_loopback(self, loopback: bool) -> Self {
        Self { loopback, ..self }
    }

    /// Sets the [`address_policy`](Self::address_policy).
    pub fn with_address_policy(self, address_policy: AddressPolicy) -> Self {
        Self {
            address_policy,
            ..self
        }
    }

    /// Sets [`any_source_port`](Self::any_source_port).
    pub fn with_any_source_port(self, any_source_port: bool) -> Self {
        Self {
            any_source_port,
            ..self
        }
    }

    /// Sets [`max_servers`](Self::max_servers).
    pub fn with_max_servers(self, max_servers: NonZeroUsize) -> Self {
        Self {
            max_servers,
            ..self
        }
    }

    /// Sets the [`default_port`](Self::default_port). Port 0 is reported as an error when a search
    /// starts.
    pub fn with_default_port(self, port: u16) -> Self {
        Self {
            default_port: Some(port),
            ..self
        }
    }

    /// Sets the [`targets`](Self::targets).
    pub fn with_targets(self, targets: impl IntoIterator<Item = Target>) -> Self {
        Self {
            targets: targets.into_iter().collect(),
            ..self
        }
    }

    /// Sets [`broadcast`](Self::broadcast). A search that asks neither networks nor targets is an
    /// error when it starts.
    pub fn with_broadcast(self, broadcast: bool) -> Self {
        Self { broadcast, ..self }
    }

    /// Sets the [`source_port`](Self::source_port). Port 0 means none.
    pub fn with_source_port(self, port: u16) -> Self {
        Self {
            source_port: NonZeroU16::new(port),
            ..self
        }
    }

    /// Sets the [`family`](Self::family).
    pub fn with_family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    /// Sets [`multicast`](Self::multicast).
    pub fn with_multicast(self, multicast: bool) -> Self {
        Self { multicast, ..self }
    }

    /// Sets the [`pace`](Self::pace).
    pub fn with_pace(self, pace: NonZeroU32) -> Self {
        Self { pace, ..self }
    }

    /// Sets [`large_sweeps`](Self::large_sweeps).
    pub fn with_large_sweeps(self, large_sweeps: bool) -> Self {
        Self {
            large_sweeps,
            ..self
        }
    }

    /// Sets the file to [`remember`](Self::remember) in.
    pub fn with_remember(self, file: impl Into<PathBuf>) -> Self {
        Self {
            remember: Some(file.into()),
            ..self
        }
    }

    /// Sets [`details`](Self::details).
    pub fn with_details(self, details: bool) -> Self {
        Self { details, ..self }
    }

    /// Sets the [`wanted_name`](Self::wanted_name).
    pub fn with_wanted_name(self, pattern: impl Into<String>) -> Self {
        Self {
            wanted_name: Some(pattern.into()),
            ..self
        }
    }

    /// Sets the [`wanted_properties`](Self::wanted_properties).
    pub fn with_wanted_properties<K, V>(self, properties: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        let properties = properties.into_iter();
        Self {
            wanted_properties: properties.map(|(k, v)| (k.into(), v.into())).collect(),
            ..self
        }
    }

    /// Sets the [`pinned_ids`](Self::pinned_ids).
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn with_pinned_ids(self, ids: impl IntoIterator<Item = ServerId>) -> Self {
        Self {
            pinned_ids: ids.into_iter().collect(),
            ..self
        }
    }

    /// Sets the file of [`known_servers`](Self::known_servers).
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn with_known_servers(self, file: impl Into<PathBuf>) -> Self {
        Self {
            known_servers: Some(file.into()),
            ..self
        }
    }

    /// Sets the services to look for by [multicast DNS](Self::mdns).
    #[cfg(feature = "mdns")]
    #[cfg_attr(docsrs, doc(cfg(feature = "mdns")))]
    pub fn with_mdns(self, services: impl IntoIterator<Item = ServiceType>) -> Self {
        Self {
            mdns: services.into_iter().collect(),
            ..self
        }
    }

    /// Sets [`first`](Self::first).
    pub fn with_first(self, first: bool) -> Self {
        Self { first, ..self }
    }

    /// Sets [`expect`](Self::expect).
    pub fn with_expect(self, servers: NonZeroUsize) -> Self {
        Self {
            expect: Some(servers),
            ..self
        }
    }

    /// Sets [`quiet_for`](Self::quiet_for).
    pub fn with_quiet_for(self, quiet_for: Duration) -> Self {
        Self {
            quiet_for: Some(quiet_for),
            ..self
        }
    }
}

impl Config {
    /// The configuration of the rounds of a watch. Each round lasts for its whole timeout, and the watch
    /// itself knows who answered.
    pub(crate) fn of_a_round(&self) -> Self {
        Self {
            first: false,
            expect: None,
            quiet_for: None,
            remember: None,
            ..self.clone()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            probes: DEFAULT_PROBES,
            interval: WatchInterval::default(),
            interfaces: Vec::new(),
            excluded_interfaces: Vec::new(),
            loopback: false,
            address_policy: AddressPolicy::default(),
            any_source_port: false,
            max_servers: DEFAULT_MAX_SERVERS,
            default_port: None,
            first: false,
            expect: None,
            quiet_for: None,
            targets: Vec::new(),
            broadcast: true,
            source_port: None,
            family: Family::Auto,
            multicast: false,
            pace: DEFAULT_PACE,
            large_sweeps: false,
            remember: None,
            details: false,
            wanted_name: None,
            wanted_properties: Vec::new(),
            #[cfg(feature = "signed")]
            pinned_ids: Vec::new(),
            #[cfg(feature = "signed")]
            known_servers: None,
            #[cfg(feature = "mdns")]
            mdns: Vec::new(),
        }
    }
}

impl From<Settings> for Config {
    fn from(settings: Settings) -> Self {
        Self::default().with_settings(settings)
    }
}
