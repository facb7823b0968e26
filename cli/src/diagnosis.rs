//! What a search did, for users who wonder why it found so little.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use humantime::FormattedDuration;
use udp_discovery_client::{
    Alarm, Config, Counts, DiscoverError, EngineReport, LastResort, Link, Origin, Report,
    SWEEP_LIMIT, SkipReason, Skipped, TargetReport,
};

use crate::escape::escaped;
use crate::failure::Failure;
use crate::options::Verbosity;

const NO_NETWORK: &str =
    "this host has no network: no interface but loopback is up and has an IPv4 address";

const DOCTOR: &str = "`udp-discovery doctor` looks for the reason";

/// Whom a search asked, on which interfaces it didn't ask, and what came back.
pub(crate) struct Diagnosis<'a> {
    pub(crate) config: &'a Config,
    pub(crate) found: usize,
    pub(crate) report: &'a Report,
}

impl Diagnosis<'_> {
    /// The lines for standard error: everything if nothing was found or if asked for, else only
    /// warnings.
    pub(crate) fn lines(&self, verbosity: Verbosity) -> Vec<String> {
        let mut lines = Vec::new();
        if self.report.capped() {
            let found = self.found;
            let servers = if found == 1 { "server" } else { "servers" };
            lines.push(format!(
                "warning: more than {found} {servers} answered; the others are left out (--max-servers)"
            ));
        }
        lines.extend(self.unmatched());
        lines.extend(self.remembered());
        lines.extend(self.unfinished_sweep());
        lines.extend(self.failed_engines());
        lines.extend(self.repeated_ids());
        lines.extend(self.other_ids());
        if self.found == 0 || verbosity.verbose > 0 {
            self.explain(&mut lines);
        } else {
            lines.extend(self.report.links.iter().filter_map(send_warning));
        }
        lines
    }

    fn explain(&self, lines: &mut Vec<String>) {
        let port = self.config.settings().port();
        let timeout = self.config.settings().timeout();
        let servers = match self.found {
            0 => "no server".into(),
            found => format!("{found} found"),
        };
        lines.push(format!("{servers} on UDP port {port} within {timeout:?}"));
        for each in &self.report.links {
            lines.push(format!("asked on {}", link(each)));
        }
        lines.extend(self.report.targets.iter().map(target));
        let engines = self.report.engines.iter();
        lines.extend(engines.map(|it| format!("{}: {} found", looked_for(it), it.found)));
        if !self.report.skipped.is_empty() {
            lines.push(format!("not asked: {}", list(&self.report.skipped)));
        }
        if let Some(last_resort) = self.report.last_resort {
            lines.push(format!("note: {last_resort}"));
        }
        let dropped = dropped(&self.report.counts);
        if !dropped.is_empty() {
            lines.push(format!("dropped: {dropped}"));
        }
        lines.extend(self.malformed());
        if self.found == 0 {
            lines.push(format!("hint: {}", self.hint()));
            lines.push(DOCTOR.into());
        }
    }

    /// The names of interfaces that are likely mistyped.
    fn unmatched(&self) -> Option<String> {
        let names = self.report.unmatched.join(", ");
        (!names.is_empty()).then(|| format!("warning: no interface is named {names}"))
    }

    /// Why the file of addresses that answered could not be used.
    fn remembered(&self) -> Option<String> {
        let error = self.report.remembered.as_ref()?.error.as_ref()?;
        let path = self.config.remember()?.display();
        Some(format!("warning: cannot use {path}: {error}"))
    }

    /// How far a sweep came that the timeout ended early.
    fn unfinished_sweep(&self) -> Option<String> {
        let sweep = self.report.sweep.filter(|it| !it.complete)?;
        // A search that ended with enough servers was not too short.
        let enough = self.config.first() && self.found > 0
            || self
                .config
                .expect()
                .is_some_and(|it| self.found >= it.get());
        let asked = format!(
            "asked {} of {} addresses in {:?}",
            grouped(sweep.asked),
            grouped(sweep.addresses),
            self.config.settings().timeout()
        );
        let why = if sweep.no_room > 0 && self.config.settings().timeout() > sweep.estimate {
            "the system had no room for more at once: use a longer --timeout".into()
        } else {
            too_short(sweep.estimate)
        };
        (!enough).then(|| format!("warning: {asked}; {why}"))
    }

    /// What other engines could not look for.
    fn failed_engines(&self) -> impl Iterator<Item = String> {
        let engines = self.report.engines.iter();
        engines.filter_map(|engine| {
            let error = escaped(engine.error.as_deref()?);
            Some(format!("warning: {}: {error}", looked_for(engine)))
        })
    }

    /// The ids that several servers have.
    fn repeated_ids(&self) -> impl Iterator<Item = String> {
        self.report.repeated_ids.iter().map(|id| {
            format!(
                "warning: several servers answered with the id {id}: the file with it was copied, or the \
                 server was started again during the search"
            )
        })
    }

    /// The ids that answered beside that of a known server, under its name.
    fn other_ids(&self) -> impl Iterator<Item = String> {
        let alarms = self.report.alarms.iter().filter(|it| it.known_answered);
        alarms.map(|Alarm { name, id, source, .. }| {
            let name = escaped(name);
            format!(
                "warning: left out another server with the name of a known one, {name}, which answered from \
                 {source} with the id {id}"
            )
        })
    }

    /// What was answered instead of a response.
    fn malformed(&self) -> Option<String> {
        let malformed = self.report.first_malformed.as_ref()?;
        let fault = if self.has_other_prefix() {
            let prefix = self.config.settings().codec().prefix().as_str();
            format!("does not start with {prefix:?}")
        } else {
            "is not a response".into()
        };
        Some(format!("{malformed}, which {fault}"))
    }

    fn has_other_prefix(&self) -> bool {
        let prefix = self.config.settings().codec().prefix().as_bytes();
        let malformed = self.report.first_malformed.as_ref();
        malformed.is_some_and(|datagram| !datagram.payload.starts_with(prefix))
    }

    /// The likeliest reason why nothing was found.
    fn hint(&self) -> String {
        if self.report.last_resort == Some(LastResort::Loopback) {
            return NO_NETWORK.into();
        }
        if self.has_other_prefix() {
            return "if that is the server, set --prefix to what its answers start with".into();
        }
        let counts = &self.report.counts;
        if counts.other_id > 0 {
            return "a server answered, but not the known one".into();
        }
        if counts.unsigned + counts.not_pinned + counts.wrong_signature + counts.not_verified > 0 {
            return "servers answered, but none of those that are wanted; do they offer details (serve \
                    --key), and are the ids that are pinned theirs (udp-discovery id FILE)?"
                .into();
        }
        if counts.unwanted > 0 {
            return "servers answered, but none with the wanted name and properties; what do they offer \
                    (discover --details)?"
                .into();
        }
        let targets = &self.report.targets;
        if targets.iter().any(|target| target.refused > 0) {
            return "a target that refuses is up, but no server listens on that port; start one \
                    there, or name its port: --target HOST:PORT"
                .into();
        }
        let mut hint = format!(
            "does a server run on the network, on the same port and with the same words, and do \
             firewalls permit UDP port {}?",
            self.config.settings().port()
        );
        let skipped = self.report.skipped.iter();
        let bridges = skipped.filter(|it| it.reason == SkipReason::ContainerBridge);
        let names: Vec<&str> = bridges.map(|it| it.interface.as_str()).collect();
        if !names.is_empty() {
            hint += " To ask on a container bridge too, name it: --interface ";
            hint += &names.join(" ");
        }
        hint
    }
}

/// What to say of servers that answered in the names of known ones, which did not answer.
pub(crate) fn alarms(config: &Config, report: &Report) -> Vec<String> {
    let file = config.known_servers().unwrap_or(Path::new(""));
    let alarms = report.alarms.iter().filter(|it| !it.known_answered);
    alarms
        .map(|alarm| {
            format!(
                "error: another server answered with the name of a known one: {}\n  \
                 known:    {}\n  \
                 answered: {} from {}\n\
                 hint: somebody may have taken its place. If it got another key on purpose, delete the \
                 line of the known id in {}",
                escaped(&alarm.name),
                alarm.known_id,
                alarm.id,
                alarm.source,
                file.display()
            )
        })
        .collect()
}

/// Why there was no search, and what to do.
pub(crate) fn explain(error: DiscoverError) -> Failure {
    let is_without_network = |skipped: &[Skipped]| {
        use SkipReason::{Down, Loopback, NoIpv4Address};
        let mut reasons = skipped.iter().map(|it| it.reason);
        reasons.all(|reason| matches!(reason, Down | Loopback | NoIpv4Address))
    };
    let hint = match &error {
        DiscoverError::NoUsableInterface { skipped, .. } if is_without_network(skipped) => {
            NO_NETWORK
        }
        DiscoverError::NoSuchInterface { .. } => "name one of these with --interface",
        DiscoverError::NoUsableInterface { .. } => {
            "switch an interface on, or name another with --interface"
        }
        DiscoverError::NetworkTooLarge { limit, .. } if *limit == SWEEP_LIMIT => {
            "to ask all of them, add --force"
        }
        DiscoverError::KnownServers { source, .. } if source.kind() == ErrorKind::InvalidData => {
            "restore it from a copy, or delete it to trust the servers that answer next"
        }
        DiscoverError::NothingSent { .. } => {
            "is a network connected? Name the interface to ask on with --interface"
        }
        _ => return error.into(),
    };
    Failure::from(error).with_hint(hint)
}

/// What to say before a sweep that its timeout ends early.
pub(crate) fn estimate(config: &Config, report: &Report) -> Option<String> {
    let sweep = report
        .sweep
        .filter(|it| it.estimate > config.settings().timeout())?;
    let addresses = grouped(sweep.addresses);
    let too_short = too_short(sweep.estimate);
    Some(format!(
        "there are {addresses} addresses to ask; {too_short}"
    ))
}

/// How long a sweep takes, and the timeout that is long enough: its last addresses need time to answer.
fn too_short(estimate: Duration) -> String {
    let takes = rounded_up(estimate);
    let enough = rounded_up(estimate + Duration::from_secs(1));
    let enough = enough.to_string().replace(' ', "");
    format!("to ask each once takes {takes}: --timeout {enough}")
}

/// A time in whole seconds.
pub(crate) fn rounded_up(time: Duration) -> FormattedDuration {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    humantime::format_duration(Duration::from_secs(seconds))
}

/// A number with a comma after each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn send_warning(link: &Link) -> Option<String> {
    let error = link.given_up.as_ref().or(link.last_send_error.as_ref())?;
    let (interface, local) = (&link.interface, link.local);
    let warning = "warning: not every probe could be sent on";
    Some(format!("{warning} {interface} ({local}): {error}"))
}

fn link(link: &Link) -> String {
    let destinations: Vec<String> = link
        .destinations
        .iter()
        .map(|destination| format!("{} to {}", destination.sent, destination.ip))
        .collect();
    let mut text = format!(
        "{} from {}; probes sent: {} ({})",
        link.interface,
        link.local,
        link.probes_sent,
        destinations.join(", ")
    );
    if let Some(error) = &link.last_send_error {
        let _ = write!(
            text,
            "; send errors: {}, the last: {error}",
            link.send_errors
        );
    }
    if let Some(error) = &link.given_up {
        let _ = write!(text, "; given up: {error}");
    }
    text
}

/// What became of a target.
fn target(report: &TargetReport) -> String {
    let mut text = format!(
        "target {}: {} of {} {} asked, {} answered",
        report.target,
        grouped(report.asked.into()),
        grouped(report.addresses.into()),
        if report.addresses == 1 {
            "address"
        } else {
            "addresses"
        },
        report.answered
    );
    if report.refused > 0 {
        let _ = write!(text, ", {} refused (port unreachable)", report.refused);
    }
    text
}

fn list(skipped: &[Skipped]) -> String {
    let texts: Vec<String> = skipped
        .iter()
        .map(|skipped| format!("{} ({})", skipped.interface, skipped.reason))
        .collect();
    texts.join(", ")
}

/// The datagrams that are no new server, by reason.
fn dropped(counts: &Counts) -> String {
    let texts: Vec<String> = [
        (counts.malformed, "not a response"),
        (counts.too_long, "too long"),
        (
            counts.wrong_source_port,
            "from another port than the one asked",
        ),
        (counts.not_asked, "from a host that was not asked"),
        (counts.refused_address, "refused by --address-policy"),
        (counts.over_the_cap, "more than --max-servers"),
        (counts.wrong_nonce, "to another search"),
        (counts.unwanted, "with another name or other properties"),
        (counts.unsigned, "not signed"),
        (counts.not_pinned, "with an id that is not pinned"),
        (counts.wrong_signature, "with a wrong signature"),
        (
            counts.not_verified,
            "not verified, after too many wrong ones",
        ),
        (counts.other_id, "with another id than the known server"),
        (counts.late, "too late"),
        (counts.receive_errors, "receive errors"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    texts.join(", ")
}

/// What an engine looked for, and where.
fn looked_for(engine: &EngineReport) -> String {
    let place = match engine.origin {
        Origin::Mdns => "by multicast DNS",
        _ => "in the DNS",
    };
    format!("looked for {} {place}", engine.service)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use udp_discovery_client::{Discovery, Host, ResolvedTarget, Route};
    use udp_discovery_protocol::{Interface, InterfaceAddress};

    use super::*;

    fn lines(config: &Config, report: &Report) -> Vec<String> {
        let verbosity = Verbosity {
            verbose: 0,
            quiet: false,
        };
        let diagnosis = Diagnosis {
            config,
            found: 0,
            report,
        };
        diagnosis.lines(verbosity)
    }

    #[test]
    fn it_says_who_was_asked_who_was_not_and_what_was_refused() {
        let mut eth0 = Interface::new("eth0", 2);
        eth0.flags.up = true;
        eth0.flags.broadcast = true;
        let address = InterfaceAddress::new("192.168.1.2".parse().unwrap(), 24).unwrap();
        eth0.addresses.push(address);
        let mut docker0 = eth0.clone();
        docker0.name = "docker0".into();

        let config = Config::default();
        let now = Instant::now();
        let mut discovery =
            Discovery::new(now, &config, &Host::new([eth0, docker0]), [0; 15]).unwrap();
        while let Some(transmit) = discovery.poll_transmit(now) {
            let error = io::Error::from(io::ErrorKind::NetworkUnreachable);
            if transmit.destination.ip() != Ipv4Addr::BROADCAST {
                discovery.handle_send_error(transmit, error);
            }
        }
        let source = "192.168.1.9:9999".parse().unwrap();
        discovery.handle_datagram(now, 0, source, b"hello");

        let lines = lines(&config, discovery.report());
        assert_eq!(lines[0], "no server on UDP port 9999 within 500ms");
        assert_eq!(
            lines[1],
            "asked on eth0 from 192.168.1.2; probes sent: 1 (0 to 192.168.1.255, \
             1 to 255.255.255.255); send errors: 1, the last: network unreachable"
        );
        assert_eq!(lines[2], "not asked: docker0 (container bridge)");
        assert_eq!(lines[3], "dropped: 1 not a response");
        assert_eq!(
            lines[4],
            r#"192.168.1.9:9999 answered "hello", which does not start with "SERVER_IP:""#
        );
        assert!(lines[5].starts_with("hint: "));
        assert!(lines[5].contains("--prefix"));
        assert_eq!(lines[6], DOCTOR);
        assert_eq!(lines.len(), 7);
    }

    fn interface(name: &str, address: &str) -> Interface {
        let mut interface = Interface::new(name, 2);
        interface.flags.up = true;
        let address = InterfaceAddress::new(address.parse().unwrap(), 24).unwrap();
        interface.addresses.push(address);
        interface
    }

    fn hint(interfaces: &[Interface]) -> String {
        let config = Config::default();
        let discovery =
            Discovery::new(Instant::now(), &config, &Host::new(interfaces), [0; 15]).unwrap();
        let mut lines = lines(&config, discovery.report());
        assert_eq!(lines.pop().as_deref(), Some(DOCTOR));
        lines.pop().unwrap()
    }

    #[test]
    fn the_hint_names_what_was_left_out() {
        let eth0 = interface("eth0", "192.168.1.2");
        let docker0 = interface("docker0", "172.17.0.1");
        assert!(hint(std::slice::from_ref(&eth0)).ends_with("firewalls permit UDP port 9999?"));
        assert!(hint(&[eth0, docker0]).ends_with("name it: --interface docker0"));
    }

    #[test]
    fn without_a_network_the_hint_says_so() {
        let mut lo = interface("lo", "127.0.0.1");
        lo.flags.loopback = true;
        assert_eq!(hint(&[lo.clone()]), format!("hint: {NO_NETWORK}"));
        let mut eth0 = interface("eth0", "192.168.1.2");
        eth0.flags.up = false;
        lo.flags.up = false;
        let error = Discovery::new(
            Instant::now(),
            &Config::default(),
            &Host::new([lo, eth0]),
            [0; 15],
        )
        .unwrap_err();
        assert!(explain(error).to_string().ends_with(NO_NETWORK));
    }

    #[test]
    fn a_name_that_no_interface_has_is_a_warning() {
        let config = Config::default().with_interfaces(["eth0", "eth1", "wlan0"]);
        let eth0 = interface("eth0", "192.168.1.2");
        let discovery =
            Discovery::new(Instant::now(), &config, &Host::new([eth0]), [0; 15]).unwrap();
        let lines = lines(&config, discovery.report());
        assert_eq!(lines[0], "warning: no interface is named eth1, wlan0");
    }

    #[test]
    fn a_sweep_that_the_system_had_no_room_for_does_not_promise_its_estimate_again() {
        let network = "127.7.0.0/20".parse().unwrap();
        let route = Route {
            remote: "127.7.0.1:9999".parse().unwrap(),
            local: "127.0.0.1".parse().unwrap(),
        };
        let lo = interface("lo", "127.0.0.1");
        let host = Host::new([lo]).with_targets([ResolvedTarget::new(network, [route])]);
        let config = Config::default().with_broadcast(false);
        let config = config.with_timeout(Duration::from_secs(60));
        let discovery = Discovery::new(Instant::now(), &config, &host, [0; 15]).unwrap();
        let mut report = discovery.report().clone();
        assert!(
            lines(&config, &report)[0]
                .ends_with(" in 60s; to ask each once takes 3s: --timeout 4s")
        );
        report.sweep.as_mut().unwrap().no_room = 1;
        let line = &lines(&config, &report)[0];
        assert!(
            line.contains("no room") && !line.contains("takes"),
            "{line}"
        );
    }

    #[test]
    fn it_says_what_was_asked_on_as_a_last_resort() {
        let mut docker0 = Interface::new("docker0", 2);
        docker0.flags.up = true;
        let address = InterfaceAddress::new("172.17.0.1".parse().unwrap(), 16).unwrap();
        docker0.addresses.push(address);
        let config = Config::default();
        let discovery =
            Discovery::new(Instant::now(), &config, &Host::new([docker0]), [0; 15]).unwrap();
        let lines = lines(&config, discovery.report());
        let note = "note: asking on container bridges, because no other network is up";
        assert!(lines.iter().any(|line| line == note), "{lines:?}");
    }
}
