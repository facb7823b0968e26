//! What a search did, for users who wonder why it found so little.

use std::fmt::Write as _;

use udp_discovery_client::{
    Config, Counts, DiscoverError, LastResort, Link, Report, SkipReason, Skipped,
};

use crate::failure::Failure;
use crate::options::Verbosity;

/// Whom a search asked, on which interfaces it didn't ask, and what came back.
pub(crate) struct Diagnosis<'a> {
    config: &'a Config,
    found: usize,
    report: &'a Report,
}

impl<'a> Diagnosis<'a> {
    pub(crate) fn new(config: &'a Config, found: usize, report: &'a Report) -> Self {
        Self {
            config,
            found,
            report,
        }
    }

    /// The lines for standard error: everything if nothing was found or if asked for, else only
    /// warnings.
    pub(crate) fn lines(&self, verbosity: Verbosity) -> Vec<String> {
        let mut lines = Vec::new();
        if self.report.capped() {
            lines.push(format!(
                "warning: more than {} servers answered; the others are left out (--max-servers)",
                self.found
            ));
        }
        if self.found == 0 || verbosity.verbose > 0 {
            self.explain(&mut lines);
        } else {
            self.warn_of_links(&mut lines);
        }
        lines
    }

    fn warn_of_links(&self, lines: &mut Vec<String>) {
        for link in &self.report.links {
            if let Some(error) = link.given_up.as_ref().or(link.last_send_error.as_ref()) {
                lines.push(format!(
                    "warning: not every probe could be sent on {} ({}): {error}",
                    link.interface, link.local
                ));
            }
        }
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
        if self.found == 0 {
            lines.push(format!("hint: {}", self.hint()));
        }
    }

    /// The likeliest reason why nothing was found.
    fn hint(&self) -> String {
        let port = self.config.settings().port();
        if self.report.last_resort == Some(LastResort::Loopback) {
            return "this host has no network: only loopback is up".into();
        }
        let left_out = self.report.skipped.iter();
        let left_out = left_out.filter(|it| it.reason == SkipReason::ContainerBridge);
        let names: Vec<&str> = left_out.map(|skipped| skipped.interface.as_str()).collect();
        let mut hint = format!(
            "does a server run on the network, on the same port and with the same words, and do \
             firewalls permit UDP port {port}?"
        );
        if !names.is_empty() {
            let _ = write!(
                hint,
                " To ask on a container bridge too, name it: --interface {}",
                names.join(" ")
            );
        }
        hint
    }
}

/// Why there was no search, and what to do.
pub(crate) fn explain(error: DiscoverError) -> Failure {
    let hint = match &error {
        DiscoverError::NoSuchInterface { .. } => "name one of these with --interface",
        DiscoverError::NoUsableInterface { .. } => {
            "switch an interface on, or name another with --interface"
        }
        DiscoverError::NothingSent { .. } => {
            "is a network connected? Name the interface to ask on with --interface"
        }
        _ => return error.into(),
    };
    Failure::from(error).with_hint(hint)
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
        (counts.wrong_source_port, "from another port than was asked"),
        (
            counts.refused_address,
            "with an address that the policy refuses",
        ),
        (counts.over_the_cap, "over --max-servers"),
        (counts.late, "too late"),
        (counts.receive_errors, "errors on receiving"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Instant;

    use udp_discovery_client::Discovery;
    use udp_discovery_protocol::{Interface, InterfaceAddress};

    use super::*;

    fn lines(config: &Config, report: &Report) -> Vec<String> {
        let verbosity = Verbosity {
            verbose: 0,
            quiet: false,
        };
        Diagnosis::new(config, 0, report).lines(verbosity)
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
        let mut discovery = Discovery::new(now, &config, &[eth0, docker0]).unwrap();
        while let Some(transmit) = discovery.poll_transmit(now) {
            let error = io::Error::from(io::ErrorKind::NetworkUnreachable);
            if !transmit.destination.ip().is_broadcast() {
                discovery.handle_send_error(error);
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
        assert!(lines[4].starts_with("hint: "));
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn it_says_what_was_asked_on_as_a_last_resort() {
        let mut docker0 = Interface::new("docker0", 2);
        docker0.flags.up = true;
        let address = InterfaceAddress::new("172.17.0.1".parse().unwrap(), 16).unwrap();
        docker0.addresses.push(address);
        let config = Config::default();
        let discovery = Discovery::new(Instant::now(), &config, &[docker0]).unwrap();
        let lines = lines(&config, discovery.report());
        let note = "note: asked on container bridges, as no other network is up";
        assert!(lines.iter().any(|line| line == note), "{lines:?}");
    }
}
