//! A round of a watch: one search.

use std::net::SocketAddr;

use crate::config::Config;
use crate::host::{Host, ResolvedTarget, Route};
use crate::select::is_network_or_broadcast_address;
use crate::server::DiscoveredServer;
use crate::target::Target;

/// A round of a watch: what a [`Discovery`](crate::Discovery) is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Round {
    /// The configuration.
    pub config: Config,
    /// The servers known from earlier rounds.
    pub known: Vec<DiscoveredServer>,
    /// The addresses of the known servers to ask by unicast, with every probe.
    pub asked: Vec<SocketAddr>,
}

impl Round {
    /// A search that belongs to no watch.
    pub(crate) fn search(config: Config) -> Self {
        Self {
            config,
            known: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Adds the known servers to a host that has the targets of the configuration. `routes` are those to
    /// the addresses [`asked`](Self::asked). Without one, an address is not asked.
    pub fn on_host(&self, host: Host, routes: impl IntoIterator<Item = Route>) -> Host {
        // A source may be forged, and the address of a host may since have become that of a network.
        let is_host =
            |route: &Route| !is_network_or_broadcast_address(&host.interfaces, route.remote.ip());
        let target = |route: Route| {
            let target: Target = route.remote.to_string().parse().ok()?;
            Some(ResolvedTarget::new(target, [route]))
        };
        let routes = routes.into_iter().filter(is_host);
        let servers: Vec<ResolvedTarget> = routes.filter_map(target).collect();
        let targets: Vec<ResolvedTarget> = host.targets.iter().cloned().chain(servers).collect();
        host.with_targets(targets)
            .with_expected(self.known.iter().cloned())
    }
}

/// The targets without networks, which take too long to sweep.
pub(super) fn hosts(config: &Config) -> Vec<Target> {
    let targets = config.targets().iter();
    let is_host = |target: &&Target| target.network().is_none();
    targets.filter(is_host).cloned().collect()
}
