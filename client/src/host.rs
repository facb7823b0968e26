//! What a search must know of its host.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

use udp_discovery_protocol::Interface;
#[cfg(feature = "signed")]
use udp_discovery_protocol::ServerId;

use crate::server::DiscoveredServer;
use crate::target::Target;

/// How many addresses on link a sweep may have asked that are still silent, if the system does not
/// say: a third of the 1,024 entries of Linux's neighbor table (`neigh/default/gc_thresh3`, arp(7)).
pub const DEFAULT_MAX_SILENT: NonZeroUsize = NonZeroUsize::new(341).unwrap();

/// What a [`Discovery`](crate::Discovery) must know of its host: the interfaces, and how the targets of
/// its configuration are reached.
#[derive(Debug)]
#[non_exhaustive]
pub struct Host {
    /// All interfaces of this host. The configuration selects those to ask on.
    pub interfaces: Vec<Interface>,
    /// The [targets](crate::Config::targets) of the configuration, resolved.
    pub targets: Vec<ResolvedTarget>,
    /// Addresses that answered an earlier search ([`Config::remember`](crate::Config::remember)), at
    /// most 4,096. They are asked first.
    pub remembered: Vec<Route>,
    /// Servers known from earlier rounds of a [`Watch`](crate::Watch). Their answers are accepted even if
    /// [`Config::max_servers`](crate::Config::max_servers) others have answered. On an interface where
    /// one is known, the search asks by the families of those known
    /// ([`Family::Auto`](crate::Family::Auto)).
    pub expected: Vec<DiscoveredServer>,
    /// The servers known by name ([`Config::known_servers`](crate::Config::known_servers)): names and ids.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub known_servers: Vec<(String, ServerId)>,
    /// How many IPv4 addresses on link a sweep may have asked within 3 s that are still silent. Each may
    /// hold an entry of the system's neighbor table. Default: [`DEFAULT_MAX_SILENT`].
    pub max_silent_v4: NonZeroUsize,
    /// The same for IPv6, which has a table of its own.
    pub max_silent_v6: NonZeroUsize,
}

impl Host {
    /// A host with these interfaces, and without targets.
    pub fn new(interfaces: impl Into<Vec<Interface>>) -> Self {
        Self {
            interfaces: interfaces.into(),
            targets: Vec::new(),
            remembered: Vec::new(),
            expected: Vec::new(),
            #[cfg(feature = "signed")]
            known_servers: Vec::new(),
            max_silent_v4: DEFAULT_MAX_SILENT,
            max_silent_v6: DEFAULT_MAX_SILENT,
        }
    }

    /// Sets the [`targets`](Self::targets).
    pub fn with_targets(self, targets: impl IntoIterator<Item = ResolvedTarget>) -> Self {
        let targets = targets.into_iter().collect();
        Self { targets, ..self }
    }

    /// Sets [`remembered`](Self::remembered).
    pub fn with_remembered(self, remembered: impl IntoIterator<Item = Route>) -> Self {
        let remembered = remembered.into_iter().collect();
        Self { remembered, ..self }
    }

    /// Sets [`expected`](Self::expected).
    pub fn with_expected(self, expected: impl IntoIterator<Item = DiscoveredServer>) -> Self {
        let expected = expected.into_iter().collect();
        Self { expected, ..self }
    }

    /// Sets the [`known_servers`](Self::known_servers).
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn with_known_servers(
        self,
        known_servers: impl IntoIterator<Item = (String, ServerId)>,
    ) -> Self {
        let known_servers = known_servers.into_iter().collect();
        Self {
            known_servers,
            ..self
        }
    }

    /// Sets [`max_silent_v4`](Self::max_silent_v4) and [`max_silent_v6`](Self::max_silent_v6).
    pub fn with_max_silent(self, v4: NonZeroUsize, v6: NonZeroUsize) -> Self {
        Self {
            max_silent_v4: v4,
            max_silent_v6: v6,
            ..self
        }
    }
}

/// A target whose name was resolved, and from which of our addresses it is asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResolvedTarget {
    /// The target.
    pub target: Target,
    /// Its addresses. Of a network, its first host, which tells from which of our addresses the
    /// addresses are asked that are not on link.
    pub routes: Vec<Route>,
}

/// The address of a target, and the address of ours that the system's routes lead from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "callers make it for `Discovery`")]
pub struct Route {
    /// The address and the port to ask.
    pub remote: SocketAddr,
    /// The address to ask from.
    pub local: IpAddr,
}

impl ResolvedTarget {
    /// Creates a target with its addresses.
    pub fn new(target: Target, routes: impl IntoIterator<Item = Route>) -> Self {
        let routes = routes.into_iter().collect();
        Self { target, routes }
    }
}
