//! Decides what the observations mean. It looks at nothing itself.

use std::net::IpAddr;

use udp_discovery_client::{
    DestinationKind, DiscoverError, DiscoveredServer, LastResort, Link, SkipReason,
};
use udp_discovery_protocol::{Interface, InterfaceAddress};

use super::finding::{Code, Finding, Severity};
use super::observations::{Observations, Port};
use super::surroundings::System;
use crate::failure::with_causes;

mod target;
#[cfg(test)]
pub(super) mod tests;

use Severity::{Note, Problem, Warning};

/// Everything that is wrong, then what is fine or good to know.
pub(crate) fn findings(seen: &Observations) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(interfaces(seen));
    findings.extend(sending(seen));
    findings.extend(search_error(seen, &findings));
    findings.extend(servers(seen));
    findings.extend(other_words(seen));
    findings.extend(lost(seen));
    findings.push(port(seen));
    findings.push(self_test(seen));
    if let Some(target) = &seen.target {
        findings.extend(target::findings(target, seen));
    }
    findings.extend(surroundings(seen));
    findings.extend(seen.unseen.iter().map(|what| {
        Finding::new(Warning, Code::NotSeen, format!("Could not see {what}."))
            .with_advice("Run it as a user, and in a place, that may see more.")
    }));
    findings.extend(found(seen, &findings));
    // Stable: what is said of one interface stays together.
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Whether a search reaches more than one other host by this interface.
pub(super) fn is_usable(seen: &Observations, interface: &Interface) -> bool {
    let reaches = |link: &Link| {
        let mut kinds = link.destinations.iter().map(|it| it.kind);
        link.interface == interface.name
            && !link.targets_only
            && kinds.any(|kind| kind != DestinationKind::Unicast)
    };
    !interface.flags.loopback
        && !interface.is_container_bridge()
        && !seen.without_carrier.contains(&interface.name)
        && seen.report.links.iter().any(reaches)
}

/// Interfaces that are not used. That keeps servers from being found if no other is.
fn interfaces(seen: &Observations) -> Vec<Finding> {
    let any_usable = seen.interfaces.iter().any(|it| is_usable(seen, it));
    let severity = if any_usable { Note } else { Problem };
    let real = seen.interfaces.iter();
    let real = real.filter(|it| !it.flags.loopback && !it.is_container_bridge());
    let mut findings: Vec<Finding> = real
        .filter_map(|interface| unused(seen, interface, severity))
        .collect();
    if seen.report.last_resort == Some(LastResort::ContainerBridges) {
        let message = "Every network that is up is a container bridge, so a search reaches only \
                       the containers of this host.";
        let severity = if seen.servers.is_empty() {
            Problem
        } else {
            Note
        };
        findings.push(
            Finding::new(severity, Code::OnlyContainerBridges, message).with_advice(
                "Connect this host to a network. To search on a bridge on purpose, name it: \
                 `udp-discovery discover --interface NAME`.",
            ),
        );
    } else if !any_usable && is_alone(seen) {
        let message = "This host has no network: there is no interface but loopback.";
        findings.push(Finding::new(Problem, Code::NoNetwork, message).with_advice(
            "Connect it to a network. A container gets one with its engine's options, such as \
             `--network host`.",
        ));
    }
    findings
}

/// Whether there is no interface but loopback and what software makes.
fn is_alone(seen: &Observations) -> bool {
    let leads_out = |it: &Interface| {
        let is_real = it.flags.broadcast || it.flags.point_to_point || it.flags.up;
        is_real && !it.flags.loopback && !it.is_container_bridge()
    };
    !seen.interfaces.is_empty() && !seen.interfaces.iter().any(leads_out)
}

/// Why an interface leads a search nowhere.
fn unused(seen: &Observations, interface: &Interface, severity: Severity) -> Option<Finding> {
    let name = interface.name.as_str();
    let skipped = seen.report.skipped.iter().find(|it| it.interface == name);
    let finding = match skipped.map(|it| it.reason) {
        Some(SkipReason::Excluded | SkipReason::NotNamed) => {
            if severity == Note || !interface.flags.up {
                return None;
            }
            let message = format!("The settings leave the interface {name} out.");
            Finding::new(severity, Code::SearchFailed, message).with_advice(INTERFACES)
        }
        // The fallback tunnels of Linux, such as `sit0`, are never on.
        Some(SkipReason::Down) if !interface.flags.broadcast => return None,
        Some(SkipReason::Down) => {
            let message = format!("The interface {name} is switched off.");
            let command = match seen.surroundings.system {
                System::Linux => format!("`ip link set dev {name} up`"),
                System::Windows => format!("`Enable-NetAdapter -Name \"{name}\"`"),
                System::MacOs | System::Other => format!("`ifconfig {name} up`"),
            };
            Finding::new(severity, Code::InterfaceDown, message)
                .with_advice(format!("Switch it on: {command}."))
        }
        _ if seen.without_carrier.contains(&interface.name) => {
            let message = format!(
                "The interface {name} is on, but has no carrier: no cable is plugged in, or no \
                 wireless network is joined."
            );
            Finding::new(severity, Code::InterfaceDown, message)
                .with_advice("Plug the cable in, or join the wireless network.")
        }
        Some(reason @ (SkipReason::NoAddress | SkipReason::NoIpv4Address)) => {
            let what = if reason == SkipReason::NoAddress {
                "address"
            } else {
                "IPv4 address"
            };
            no_address(name, what, severity)
        }
        Some(SkipReason::NoIpv6Address) => no_address(name, "IPv6 address", severity),
        Some(SkipReason::NobodyToAsk) => {
            let message = format!(
                "The interface {name} is a point-to-point link without broadcasts, and the address \
                 of its other end is unknown."
            );
            Finding::new(severity, Code::NoBroadcast, message).with_advice(TARGET)
        }
        None if lacks_a_lease(seen, interface) => {
            let message = format!(
                "The interface {name} has only link-local addresses, which it gave itself: no DHCP \
                 server answered."
            );
            Finding::new(Warning, Code::NoAddress, message).with_advice(LEASE)
        }
        None if is_asked_by_unicast_only(seen, name) => {
            let message = format!(
                "The interface {name} is a point-to-point link without broadcasts: a search \
                 reaches only its other end, not the hosts behind it."
            );
            Finding::new(severity, Code::NoBroadcast, message).with_advice(TARGET)
        }
        _ => return None,
    };
    Some(finding.on(name))
}

const TARGET: &str = "Name the servers, or their network: `udp-discovery discover --target \
                      HOST|NETWORK`.";

fn no_address(name: &str, what: &str, severity: Severity) -> Finding {
    let message = format!("The interface {name} is on, but has no {what}.");
    Finding::new(severity, Code::NoAddress, message).with_advice(LEASE)
}

const LEASE: &str = "Check the DHCP server of the network, or set an address, such as `ip address \
                     add 192.168.1.7/24 dev NAME`.";

/// Whether nothing was found, and every network has only link-local addresses (RFC 3927, RFC 4291,
/// section 2.5.6).
fn lacks_a_lease(seen: &Observations, interface: &Interface) -> bool {
    let is_assigned = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let has_one = |interface: &Interface| interface.addresses.iter().any(|it| is_assigned(it.ip()));
    let mut usable = seen.interfaces.iter().filter(|it| is_usable(seen, it));
    is_usable(seen, interface) && seen.servers.is_empty() && !usable.any(has_one)
}

fn is_asked_by_unicast_only(seen: &Observations, name: &str) -> bool {
    let mut links = seen
        .report
        .links
        .iter()
        .filter(|it| it.interface == name && !it.targets_only)
        .peekable();
    let is_unicast = |link: &Link| {
        let mut kinds = link.destinations.iter().map(|it| it.kind);
        kinds.all(|kind| kind == DestinationKind::Unicast)
    };
    links.peek().is_some() && links.all(is_unicast)
}

/// Links that the system refused to send on.
fn sending(seen: &Observations) -> Vec<Finding> {
    let links = &seen.report.links;
    let works = |link: &Link| link.probes_sent > 0 && link.given_up.is_none();
    let mut findings: Vec<Finding> = Vec::new();
    for link in links {
        let Some(error) = link.given_up.as_ref().or(link.last_send_error.as_ref()) else {
            continue;
        };
        let name = link.interface.as_str();
        // Without a carrier it is no wonder. IPv6 adds nothing where IPv4 works, or fails too.
        let is_known = findings
            .iter()
            .any(|it| it.interface.as_deref() == Some(name));
        let is_explained = seen.without_carrier.iter().any(|it| it == name)
            || link.local.is_ipv6()
                && (is_known || links.iter().any(|it| it.interface == name && works(it)));
        if is_explained {
            continue;
        }
        let severity = if works(link) { Warning } else { Problem };
        if link.given_up.is_some() {
            let message = format!("Could not ask on {name} from {}: {error}.", link.local);
            findings.push(Finding::new(severity, Code::NotSeen, message).on(name));
        } else {
            let what = format!(
                "The system refused to send {} of {} requests on {name} from {}",
                link.send_errors,
                link.send_errors + link.destinations.iter().map(|it| it.sent).sum::<u32>(),
                link.local
            );
            findings.push(refused(seen, &what, error, severity).on(name));
        }
    }
    findings
}

/// What a refusal to send means.
fn refused(seen: &Observations, what: &str, error: &std::io::Error, severity: Severity) -> Finding {
    use std::io::ErrorKind::{HostUnreachable, NetworkUnreachable, PermissionDenied};

    let system = seen.surroundings.system;
    let port = seen.settings.port;
    let (meaning, advice) = match error.kind() {
        HostUnreachable | NetworkUnreachable if system == System::MacOs => (
            "macOS says so to programs without the Local Network permission",
            "Allow the program, or the terminal it runs in, in System Settings, Privacy & \
             Security, Local Network."
                .to_owned(),
        ),
        PermissionDenied if system == System::Linux => (
            "a firewall on this host rejects what leaves it",
            format!(
                "Permit UDP to port {port} to leave. `nft list ruleset` and `iptables -S OUTPUT` \
                 list the rules."
            ),
        ),
        PermissionDenied => (
            "a firewall on this host rejects what leaves it",
            format!("Permit UDP to port {port} to leave in the settings of the firewall."),
        ),
        _ => (
            "a route or a rule of this host refuses it",
            "Check the routes: `ip route get 255.255.255.255`.".to_owned(),
        ),
    };
    Finding::new(
        severity,
        Code::SendRefused,
        format!("{what}: {error}; {meaning}."),
    )
    .with_advice(advice)
}

/// Why there was no search, if nothing else explains it.
fn search_error(seen: &Observations, known: &[Finding]) -> Option<Finding> {
    let error = seen.search_error.as_ref()?;
    let is_explained = match error {
        DiscoverError::NoUsableInterface { .. } | DiscoverError::NothingSent { .. } => {
            known.iter().any(|finding| finding.severity == Problem)
        }
        // It stands in what could not be seen.
        DiscoverError::ListInterfaces { .. } => !seen.unseen.is_empty(),
        _ => false,
    };
    if is_explained {
        return None;
    }
    let message = format!("There was no search: {}.", with_causes(error));
    let finding = Finding::new(Problem, Code::SearchFailed, message);
    let advice = match error {
        DiscoverError::SourcePortInUse { .. } => {
            "End the other search, or choose another source_port."
        }
        DiscoverError::NoSuchInterface { .. } | DiscoverError::NoUsableInterface { .. } => {
            INTERFACES
        }
        DiscoverError::OpenSocket { .. } => "Permit this program to open UDP sockets.",
        _ => return Some(finding),
    };
    Some(finding.with_advice(advice))
}

const INTERFACES: &str = "Check the settings interfaces and excluded_interfaces, such as \
                          DISCOVERY_CLIENT_INTERFACES in the environment.";

/// Servers that were found, but whose addresses are strange.
fn servers(seen: &Observations) -> Vec<Finding> {
    let mut findings = Vec::new();
    for server in &seen.servers {
        let source = server.source.map(|source| source.ip());
        let Some(source) = source.filter(|source| !holds(seen, *source)) else {
            continue;
        };
        findings.extend(unreachable_claim(seen, server, source));
        findings.extend(strange_source(seen, server, source));
    }
    findings
}

fn holds(seen: &Observations, ip: IpAddr) -> bool {
    seen.interfaces.iter().any(|it| it.holds(ip))
}

/// A server that names an address of no network of this host.
fn unreachable_claim(
    seen: &Observations,
    server: &DiscoveredServer,
    source: IpAddr,
) -> Option<Finding> {
    let claim = server.claimed_ip;
    let is_on_link = seen.interfaces.iter().any(|it| it.is_on_link(claim));
    if claim == source || is_on_link && !claim.is_loopback() {
        return None;
    }
    let what = if claim.is_loopback() {
        "an address that means the host itself, wherever it is used"
    } else {
        "an address of a network that this host is not on"
    };
    let used = if server.ip == source {
        format!(" The search uses {source}, where the answer came from.")
    } else {
        String::new()
    };
    let message = format!("The server at {source} names {claim}, {what}.{used}");
    let finding = Finding::new(Warning, Code::ClaimsUnreachableAddress, message);
    Some(finding.on(&server.interface).with_advice(format!(
        "Have the server name {source}: `udp-discovery serve --advertise-ip {source}`. Of a server \
         in a container, publish the port or use the network of its host; of a Python server, \
         check the default route and /etc/hosts."
    )))
}

/// A server that a broadcast reached although it is not on the network.
fn strange_source(
    seen: &Observations,
    server: &DiscoveredServer,
    source: IpAddr,
) -> Option<Finding> {
    let interface = seen
        .interfaces
        .iter()
        .find(|it| it.name == server.interface)?;
    let is_expected = match source {
        IpAddr::V4(_) => interface.is_on_link(source),
        // Link-local addresses reach each other whatever the prefixes.
        IpAddr::V6(_) => true,
    };
    if is_expected || interface.flags.point_to_point {
        return None;
    }
    let message = format!(
        "{source} answered a broadcast on {}, but is on none of its networks ({}). One of the two \
         hosts has a wrong prefix length or address.",
        interface.name,
        networks(interface)
    );
    let finding = Finding::new(Warning, Code::PrefixMismatch, message);
    Some(finding.on(&interface.name).with_advice(SAME_PREFIX))
}

const SAME_PREFIX: &str = "Give both hosts the same prefix length: `ip address show` lists it.";

/// The IPv4 networks of an interface.
fn networks(interface: &Interface) -> String {
    let networks = interface.addresses.iter().map(InterfaceAddress::network);
    let networks = networks.filter(|it| it.addr().is_ipv4());
    let networks: Vec<String> = networks.map(|it| it.to_string()).collect();
    networks.join(", ")
}

/// A host that answers with another prefix.
fn other_words(seen: &Observations) -> Option<Finding> {
    let malformed = seen.report.first_malformed.as_ref()?;
    let message = format!(
        "{malformed}, which is not a response: those start with {:?}.",
        seen.settings.prefix
    );
    let finding = Finding::new(Warning, Code::OtherWords, message);
    Some(finding.with_advice(
        "If that is the server, set --prefix, or RESPONSE_PREFIX in the environment, to what its \
         answers start with.",
    ))
}

fn lost(seen: &Observations) -> Option<Finding> {
    let message = format!(
        "The system dropped {} answers, because they came faster than they were read and the \
         receive buffer was full.",
        seen.lost
    );
    let finding = Finding::new(Warning, Code::AnswersLost, message);
    (seen.lost > 0).then(|| {
        finding.with_advice(
            "Permit a larger receive buffer: `sysctl -w net.core.rmem_max=4194304`. More probes \
             help too: --probes 5.",
        )
    })
}

fn port(seen: &Observations) -> Finding {
    let port = seen.settings.port;
    match &seen.port {
        Port::Free => {
            let message = format!("UDP port {port} is free on this host: no server runs here.");
            Finding::new(Note, Code::PortFree, message)
        }
        Port::Serves(holders) => {
            let what = if holders.are_several() {
                "servers that share it. Each answers broadcasts and multicasts, and a request by unicast \
                 reaches only one of them"
            } else {
                "a server that answers"
            };
            let message = format!("UDP port {port} is in use{holders}: {what}.");
            Finding::new(Note, Code::PortServes, message)
        }
        Port::Taken(holders) => {
            let message = format!(
                "UDP port {port} is in use{holders}, and no server on this host answers. No server \
                 can start here."
            );
            Finding::new(Problem, Code::PortTaken, message).with_advice(format!(
                "End that program, or move one of the two to another port, the same for servers \
                 and clients: --port {}. If that program is a server, it uses other words.",
                port.checked_add(1).unwrap_or(9998)
            ))
        }
        Port::Unseen => {
            let message = format!("Whether UDP port {port} is free is unknown.");
            Finding::new(Note, Code::NotSeen, message)
        }
    }
}

fn self_test(seen: &Observations) -> Finding {
    match &seen.self_test {
        Ok(()) => Finding::new(
            Note,
            Code::SelfTestOk,
            "A client finds a server over loopback.",
        ),
        Err(why) => {
            let message = format!("A client does not find a server over loopback: {why}.");
            Finding::new(Problem, Code::SelfTestFailed, message).with_advice(
                "Is the loopback interface up, and do firewalls permit UDP on it? `ip link set dev \
                 lo up` switches it on.",
            )
        }
    }
}

/// Where this program runs, if nothing was found.
fn surroundings(seen: &Observations) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !seen.servers.is_empty() {
        return findings;
    }
    if seen.surroundings.in_wsl {
        let message = "This is Linux within Windows (WSL). In its NAT mode it has a network of its \
                       own, and no broadcast reaches the network of Windows.";
        findings.push(Finding::new(Warning, Code::WslNat, message).with_advice(
            "Set `networkingMode=mirrored` under `[wsl2]` in .wslconfig, or run it on Windows.",
        ));
    }
    if seen.surroundings.in_container {
        let message = "This runs in a container. On a bridge network its broadcasts reach only the \
                       other containers on the bridge.";
        findings.push(Finding::new(Note, Code::InContainer, message).with_advice(
            "Start the container with the network of its host (`--network host`), or on a macvlan \
             network.",
        ));
    }
    findings
}

/// How many servers were found. If none was, what to do if nothing else explains it.
fn found(seen: &Observations, known: &[Finding]) -> Option<Finding> {
    let servers = seen.servers.len();
    if servers > 0 {
        let servers = if servers == 1 {
            "1 server answers.".to_owned()
        } else {
            format!("{servers} servers answer.")
        };
        return Some(Finding::new(Note, Code::ServersFound, servers));
    }
    let is_explained = known.iter().any(|finding| finding.severity == Problem);
    if is_explained || seen.target.is_some() {
        return None;
    }
    let port = seen.settings.port;
    let message =
        format!("No server answers on UDP port {port}, and nothing on this host explains it.");
    let mut advice =
        "Is a server running on these networks? If one should run on HOST, `udp-discovery \
                      doctor --target HOST` finds out what is between."
            .to_owned();
    if seen.surroundings.system == System::Windows {
        advice += WINDOWS;
    }
    Some(Finding::new(Note, Code::NoServer, message).with_advice(advice))
}

/// What Windows drops. The profile of a network cannot be read without its management interface.
const WINDOWS: &str = " On a network with the Public profile, Windows drops what comes in unasked: \
                       `Get-NetConnectionProfile` shows the profile, `Set-NetConnectionProfile` \
                       changes it.";
