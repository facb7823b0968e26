//! The addresses of the targets, and from which of our addresses the system's routes lead there.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_protocol::Interface;

use crate::address::is_of_any_link;
use crate::config::Config;
use crate::error::DiscoverError;
use crate::host::{ResolvedTarget, Route};
use crate::report::scoped;
use crate::sweep;
use crate::target::Target;

/// How many addresses of one name are asked. The others are ignored.
const MAX_ADDRESSES: usize = 1000;

/// Whether a name is to be resolved, which takes time.
#[cfg(feature = "tokio")]
pub(crate) fn has_names(config: &Config) -> bool {
    config
        .targets()
        .iter()
        .any(|target| target.name().is_some())
}

/// Resolves the targets of `config` within `timeout`.
pub(crate) fn targets(
    config: &Config,
    timeout: Duration,
) -> Result<Vec<ResolvedTarget>, DiscoverError> {
    let names = config.targets().iter().filter_map(Target::name);
    let names = resolve(names, timeout, |name| (name, 0).to_socket_addrs());
    let interfaces = Interface::list().unwrap_or_default();
    let addresses = |target: &Target| -> Result<Vec<IpAddr>, DiscoverError> {
        let Some(name) = target.name() else {
            let network = target.network().map(sweep::first_host);
            return Ok(target.ip().or(network).into_iter().collect());
        };
        let unresolved = |source| DiscoverError::Resolve {
            target: target.clone(),
            source,
        };
        match names.get(name) {
            Some(Ok(addresses)) if !addresses.is_empty() => Ok(addresses.clone()),
            Some(Ok(_)) => {
                let text = "the name has no address that a host can have";
                let error = io::Error::new(io::ErrorKind::NotFound, text);
                Err(unresolved(Arc::new(error)))
            }
            Some(Err(error)) => Err(unresolved(Arc::clone(error))),
            None => {
                let text = "the system did not resolve the name in time";
                let error = io::Error::new(io::ErrorKind::TimedOut, text);
                Err(unresolved(Arc::new(error)))
            }
        }
    };
    config
        .targets()
        .iter()
        .filter(|target| target.service().is_none())
        .map(|target| {
            let port = target.port_or(config.settings().port());
            // An address that no route leads to is missing in the report.
            let scope_id = scope_id(target, &interfaces)?;
            let addresses = addresses(target)?.into_iter();
            let routes = routes(addresses.map(|ip| scoped(ip, port, scope_id)));
            Ok(ResolvedTarget::new(target.clone(), routes))
        })
        .collect()
}

/// From which of our addresses the system's routes lead to each address. Those without a route are
/// missing.
pub(crate) fn routes(
    addresses: impl IntoIterator<Item = SocketAddr>,
) -> impl Iterator<Item = Route> {
    addresses.into_iter().filter_map(|remote| {
        let local = local_address(remote).ok()?;
        Some(Route { remote, local })
    })
}

/// The index of the interface of a link-local target, otherwise 0.
fn scope_id(target: &Target, interfaces: &[Interface]) -> Result<u32, DiscoverError> {
    let Some(name) = target.interface() else {
        return Ok(0);
    };
    let named = interfaces.iter().find(|it| it.name == name);
    let index = named.map_or_else(|| name.parse().ok(), |it| Some(it.index));
    index.ok_or_else(|| DiscoverError::Resolve {
        target: target.clone(),
        source: Arc::new(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no network interface `{name}`"),
        )),
    })
}

/// The address of ours from which the system would send to `remote`. Nothing is sent.
fn local_address(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

type Resolved = Result<Vec<IpAddr>, Arc<io::Error>>;

/// Resolves each name on a thread of its own. Those that take longer than `timeout` are missing, and
/// their threads end when the system answers.
fn resolve<'a, A>(
    names: impl Iterator<Item = &'a str>,
    timeout: Duration,
    lookup: fn(&str) -> io::Result<A>,
) -> HashMap<String, Resolved>
where
    A: Iterator<Item = SocketAddr> + 'static,
{
    let start = Instant::now();
    let mut resolved = HashMap::new();
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    // In groups, so that many names do not take as many threads at once.
    for group in names.chunks(16) {
        let (sender, receiver) = mpsc::channel();
        for &name in group {
            let (sender, name) = (sender.clone(), name.to_owned());
            let lookup = move || {
                let result = lookup(&name).map(hosts).map_err(Arc::new);
                // Nobody waits any more if it took too long.
                let _ = sender.send((name, result));
            };
            if let Err(error) = thread::Builder::new().spawn(lookup) {
                let name = group.first().copied().unwrap_or_default();
                resolved.insert(name.to_owned(), Err(Arc::new(error)));
            }
        }
        drop(sender);
        while let Ok((name, result)) =
            receiver.recv_timeout(timeout.saturating_sub(start.elapsed()))
        {
            resolved.insert(name, result);
        }
    }
    resolved
}

/// The addresses that a host can have, each once, and not too many.
fn hosts(addresses: impl Iterator<Item = SocketAddr>) -> Vec<IpAddr> {
    let mut hosts: Vec<IpAddr> = Vec::new();
    for ip in addresses.map(|address| address.ip()) {
        if hosts.len() == MAX_ADDRESSES {
            break;
        }
        if is_of_any_link(ip) && !hosts.contains(&ip) {
            hosts.push(ip);
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn address(number: u32) -> SocketAddr {
        (Ipv4Addr::from(number), 0).into()
    }

    #[test]
    fn fault_46_of_a_name_with_very_many_addresses_a_thousand_are_asked_each_once() {
        let addresses = (0..1500_u32).map(|number| 0x0a00_0000 + number);
        let twice = addresses.flat_map(|it| [address(it), address(it)]);
        let hosts = hosts(twice);
        assert_eq!(hosts.len(), MAX_ADDRESSES);
        let distinct: std::collections::HashSet<_> = hosts.iter().collect();
        assert_eq!(distinct.len(), MAX_ADDRESSES);
    }

    #[test]
    fn addresses_that_no_host_has_or_that_name_no_interface_are_ignored() {
        let link_local = "[fe80::7]:0".parse().unwrap();
        let hosts = hosts([address(0), address(u32::MAX), link_local].into_iter());
        assert!(hosts.is_empty());
    }

    #[test]
    fn every_name_is_resolved() {
        let names: Vec<String> = (0..40).map(|number| format!("host{number}")).collect();
        let resolved = resolve(names.iter().map(String::as_str), LONG, |name| match name {
            "host7" => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(std::iter::once(address(0x0a00_0001))),
        });
        assert_eq!(resolved.len(), 40);
        assert!(resolved["host7"].is_err());
        assert_eq!(resolved["host39"].as_ref().unwrap().len(), 1);
    }

    #[test]
    fn fault_46_a_name_that_resolves_slowly_does_not_hold_up_the_search() {
        let start = Instant::now();
        let resolved = resolve(
            ["slow", "quick"].into_iter(),
            Duration::from_millis(200),
            |name| {
                if name == "slow" {
                    thread::park_timeout(Duration::from_secs(5));
                }
                Ok(std::iter::once(address(0x0a00_0001)))
            },
        );
        assert!(start.elapsed() < Duration::from_secs(4));
        assert!(resolved.contains_key("quick"));
        assert!(!resolved.contains_key("slow"));
    }
}
