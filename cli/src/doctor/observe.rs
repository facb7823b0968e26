//! Looks at this host, searches, and tries out a target.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use udp_discovery_client::{
    Client, Config, Destination, DestinationKind, DiscoverError, DiscoveredServer, Link, Report,
    Target,
};
use udp_discovery_protocol::{Interface, InterfaceAddress};
use udp_discovery_server::{Config as ServerConfig, Server};

use super::experiments::Reached;
use super::observations::{
    Experiments, Observations, Port, Settings, Silence, Target as TargetSeen, TargetError,
    TargetHost,
};
use super::surroundings::{Surroundings, System};
use crate::failure::with_causes;
use crate::port_holder::Holders;

/// How long servers have to answer. All looks together take less than 3 s.
const SEARCH: Duration = Duration::from_secs(1);
/// How long a server on this host has to answer.
const ON_THIS_HOST: Duration = Duration::from_millis(400);
/// How many of this host's addresses are asked whether a server has the port.
const OWN_ADDRESSES: usize = 16;

/// Looks and sends, with the settings of a client.
pub(crate) fn observe(config: &Config, target: Option<&Target>) -> Observations {
    let mut unseen = Vec::new();
    let mut note = |what: &str, why: String| unseen.push(format!("{what}: {why}"));
    let interfaces = Interface::list().unwrap_or_else(|error| {
        note("the network interfaces", error.to_string());
        Vec::new()
    });
    let config = plain(config);
    let search = search(&config, &mut note);
    let port = port(&config, &interfaces, &mut note);
    let target = target.map(|target| TargetSeen {
        name: target.to_string(),
        outcome: ask(&config, target, &interfaces, &port, &mut note),
    });
    Observations {
        settings: Settings {
            port: config.settings().port(),
            message: config.settings().codec().message().as_str().to_owned(),
            prefix: config.settings().codec().prefix().as_str().to_owned(),
        },
        without_carrier: without_carrier(),
        servers: search.servers,
        report: search.report,
        search_error: search.error,
        lost: search.lost,
        port,
        self_test: self_test().map_err(|error| with_causes(&*error)),
        target,
        surroundings: Surroundings::detect(System::here(), Path::new("/")),
        interfaces,
        unseen,
    }
}

/// The settings that decide whom a search asks and how, without those that end it early.
fn plain(config: &Config) -> Config {
    let plain = Config::default()
        .with_settings(config.settings().clone())
        .with_timeout(SEARCH)
        .with_interfaces(config.interfaces())
        .with_excluded_interfaces(config.excluded_interfaces())
        .with_loopback(config.loopback())
        .with_address_policy(config.address_policy())
        .with_any_source_port(config.any_source_port())
        .with_family(config.family())
        .with_multicast(config.multicast());
    match config.source_port() {
        Some(port) => plain.with_source_port(port.get()),
        None => plain,
    }
}

#[derive(Default)]
struct Searched {
    servers: Vec<DiscoveredServer>,
    report: Report,
    error: Option<DiscoverError>,
    lost: u64,
}

fn search(config: &Config, note: &mut impl FnMut(&str, String)) -> Searched {
    match Client::new(config.clone()).search() {
        Ok(mut search) => {
            let servers = search.by_ref().collect();
            // Before its sockets are closed.
            let lost = lost().unwrap_or_else(|why| {
                note("whether answers were lost", why);
                0
            });
            Searched {
                servers,
                report: search.report().clone(),
                error: search.outcome().err(),
                lost,
            }
        }
        Err(error) => {
            let mut report = Report::default();
            if let DiscoverError::NoUsableInterface { skipped } = &error {
                report.skipped.clone_from(skipped);
            }
            Searched {
                report,
                error: Some(error),
                ..Searched::default()
            }
        }
    }
}

/// Who has the discovery port of this host.
fn port(config: &Config, interfaces: &[Interface], note: &mut impl FnMut(&str, String)) -> Port {
    let port = config.settings().port();
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holders = Holders::within(port, ON_THIS_HOST);
            if answers_here(config, interfaces) {
                Port::Serves(holders)
            } else {
                Port::Taken(holders)
            }
        }
        Err(error) => {
            note(&format!("who has UDP port {port}"), error.to_string());
            Port::Unseen
        }
    }
}

/// Whether a server on this host answers.
fn answers_here(config: &Config, interfaces: &[Interface]) -> bool {
    let own = interfaces.iter().flat_map(Interface::ipv4_addresses);
    let own = own.take(OWN_ADDRESSES).chain([Ipv4Addr::LOCALHOST]);
    let targets = own.filter_map(|ip| ip.to_string().parse().ok());
    let config = config
        .clone()
        .with_targets(targets)
        .with_broadcast(false)
        .with_timeout(ON_THIS_HOST);
    Client::new(config)
        .discover_one()
        .is_ok_and(|server| server.is_some())
}

/// Finds a server over loopback.
fn self_test() -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server = Server::from_socket(socket, ServerConfig::default())?.spawn()?;
    let interfaces = Interface::list()?;
    let loopback = interfaces.iter().filter(|it| it.flags.loopback);
    let loopback: Vec<&str> = loopback.map(|it| it.name.as_str()).collect();
    if loopback.is_empty() {
        return Err("there is no loopback interface".into());
    }
    let config = Config::default()
        .with_port(server.local_addr().port())
        .with_interfaces(loopback)
        .with_timeout(ON_THIS_HOST);
    let found = Client::new(config).discover_one()?;
    server.shutdown()?;
    found
        .map(|_| ())
        .ok_or_else(|| "the server did not answer".into())
}

/// Asks a target alone, then tries out what it answers.
fn ask(
    config: &Config,
    target: &Target,
    interfaces: &[Interface],
    port: &Port,
    note: &mut impl FnMut(&str, String),
) -> Result<TargetHost, TargetError> {
    let config = config
        .clone()
        .with_targets([target.clone()])
        .with_broadcast(false)
        .with_expect(NonZeroUsize::MIN);
    let mut search = Client::new(config.clone()).search().map_err(|error| {
        let text = with_causes(&error);
        match error {
            DiscoverError::NothingToAsk => TargetError::NoRoute,
            DiscoverError::Resolve { .. } | DiscoverError::NotAHost { .. } => {
                TargetError::Unknown(text)
            }
            _ => TargetError::Failed(text),
        }
    })?;
    search.by_ref().for_each(drop);
    let report = search.report();
    let (link, destination) = best(report).ok_or(TargetError::NoRoute)?;
    let address = link.socket_addr(destination);
    let is_here = interfaces.iter().any(|it| it.holds(address.ip())) || address.ip().is_loopback();
    let malformed = report
        .first_malformed
        .as_ref()
        .filter(|it| it.source.ip() == address.ip());
    let mut host = TargetHost {
        address,
        interface: link.interface.clone(),
        local: link.local,
        is_on_link: is_here || interfaces.iter().any(|it| it.is_on_link(address.ip())),
        is_here,
        answered: destination.answered,
        malformed: malformed.map(ToString::to_string),
        send_error: link.last_send_error.as_ref().map(ToString::to_string),
        experiments: Experiments::default(),
        silence: Silence::default(),
    };
    let reached = Reached {
        codec: config.settings().codec(),
        target: address,
        local: link.local_addr(),
        interface: link.index,
        directed: directed_broadcast(interfaces, link.local),
        free_port: matches!(port, Port::Free).then_some(config.settings().port()),
    };
    let done = match (host.answered, is_here) {
        (true, true) => Ok(()),
        (true, false) => reached.experiments().map(|it| host.experiments = it),
        (false, _) => reached.silence().map(|it| host.silence = it),
    };
    if let Err(error) = done {
        note(&format!("what {} answers", address.ip()), error.to_string());
    }
    host.silence.refused |= destination.refused;
    Ok(host)
}

/// The address of a target that says most.
fn best(report: &Report) -> Option<(&Link, &Destination)> {
    let links = report.links.iter();
    let destinations = links.flat_map(|link| link.destinations.iter().map(move |it| (link, it)));
    let asked = destinations.filter(|(_, it)| it.kind == DestinationKind::Unicast);
    asked.min_by_key(|(_, it)| (!it.answered, !it.refused))
}

fn directed_broadcast(interfaces: &[Interface], local: IpAddr) -> Option<Ipv4Addr> {
    let interfaces = interfaces.iter().filter(|it| it.flags.broadcast);
    let mut addresses = interfaces.flat_map(|it| &it.addresses);
    addresses
        .find(|address| address.ip() == local)
        .and_then(InterfaceAddress::directed_broadcast)
}

/// The interfaces that are switched on without a carrier. Only Linux reports them.
#[cfg(target_os = "linux")]
fn without_carrier() -> Vec<String> {
    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::InterfaceFlags;

    let mut names: Vec<String> = Vec::new();
    for it in getifaddrs().into_iter().flatten() {
        let is_on = it.flags.contains(InterfaceFlags::IFF_UP);
        let runs = it.flags.contains(InterfaceFlags::IFF_RUNNING);
        if is_on && !runs && !names.contains(&it.interface_name) {
            names.push(it.interface_name);
        }
    }
    names
}

#[cfg(not(target_os = "linux"))]
fn without_carrier() -> Vec<String> {
    Vec::new()
}

/// How many datagrams the system dropped because the receive buffers of this process were full. Only
/// Linux reports this (`proc_pid_net(5)`).
#[cfg(target_os = "linux")]
fn lost() -> Result<u64, String> {
    use procfs::process::{FDTarget, Process};

    let own = Process::myself().and_then(|process| process.fd());
    let own = own.map_err(|error| error.to_string())?;
    let sockets = own.flatten().filter_map(|file| match file.target {
        FDTarget::Socket(number) => Some(number),
        _ => None,
    });
    let sockets: Vec<u64> = sockets.collect();
    let table = std::fs::read_to_string("/proc/self/net/udp").map_err(|error| error.to_string())?;
    // A system without IPv6 has no second table.
    let table6 = std::fs::read_to_string("/proc/self/net/udp6").unwrap_or_default();
    Ok(drops(&table, &sockets) + drops(&table6, &sockets))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "Linux may not show it")]
fn lost() -> Result<u64, String> {
    Ok(0)
}

/// The drops of these sockets in a table of `/proc`: the last column, of the rows with their numbers.
#[cfg(target_os = "linux")]
fn drops(table: &str, sockets: &[u64]) -> u64 {
    let of_row = |row: &str| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let socket = columns.get(9)?.parse().ok()?;
        let drops = columns.last()?.parse().ok()?;
        sockets.contains(&socket).then_some(drops)
    };
    table
        .lines()
        .filter_map(of_row)
        .fold(0, u64::saturating_add)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_the_own_sockets_are_counted_and_a_strange_table_has_none() {
        let table = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1234: 0201A8C0:270F 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 77 2 0000000000000000 12
 1235: 0201A8C0:2710 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 78 2 0000000000000000 5
 1236: 0201A8C0:2711 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 79 2 0000000000000000 1
";
        assert_eq!(drops(table, &[77, 79]), 13);
        assert_eq!(drops(table, &[]), 0);
        assert_eq!(drops("", &[77]), 0);
        assert_eq!(drops("77 77 77\n\n \u{fffd}", &[77]), 0);
    }
}
