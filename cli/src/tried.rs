//! What a search tried, for those who wonder why it found nothing.

use std::fmt::Write as _;

use udp_discovery_client::{Config, Counts, Link, Report, Skipped};

/// A few lines: whom it asked, on which interfaces it didn't, and what came back.
pub(crate) fn tried(config: &Config, found: usize, report: &Report) -> String {
    let port = config.settings().port();
    let timeout = config.settings().timeout();
    let servers = if found == 0 {
        "no server".into()
    } else {
        format!("{found} found")
    };
    let mut text = format!("{servers} on UDP port {port} within {timeout:?}");
    for each in &report.links {
        let _ = write!(text, "\nasked on {}", link(each));
    }
    if !report.skipped.is_empty() {
        let _ = write!(text, "\nnot asked: {}", list(&report.skipped));
    }
    if let Some(last_resort) = report.last_resort {
        let _ = write!(text, "\nnote: {last_resort}");
    }
    let refused = refused(&report.counts);
    if !refused.is_empty() {
        let _ = write!(text, "\nrefused: {refused}");
    }
    if found == 0 {
        let _ = write!(
            text,
            "\nhint: is a server there, on the same port and with the same words, and do the \
             firewalls let UDP port {port} pass?"
        );
    }
    text
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

/// The datagrams that made no server, by reason.
fn refused(counts: &Counts) -> String {
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

        let text = tried(&config, 0, discovery.report());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "no server on UDP port 9999 within 500ms");
        assert_eq!(
            lines[1],
            "asked on eth0 from 192.168.1.2; probes sent: 1 (0 to 192.168.1.255, \
             1 to 255.255.255.255); send errors: 1, the last: network unreachable"
        );
        assert_eq!(lines[2], "not asked: docker0 (container bridge)");
        assert_eq!(lines[3], "refused: 1 not a response");
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
        let text = tried(&config, 0, discovery.report());
        let note = "\nnote: asked on container bridges, as no other network is up\n";
        assert!(text.contains(note), "{text}");
    }
}
