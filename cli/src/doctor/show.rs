//! What the doctor prints.

use std::fmt::Write as _;

use console::Style;
use serde::Serialize;
use textwrap::{Options, WordSplitter};
use udp_discovery_client::{DiscoveredServer, Link};
use udp_discovery_protocol::Interface;

use super::finding::{Code, Finding, Severity};
use super::observations::{Observations, Port};

/// The widest text.
const WIDTH: usize = 80;

#[derive(Debug, Serialize)]
struct Document<'a> {
    findings: &'a [Finding],
    interfaces: Vec<Row<'a>>,
    servers: &'a [DiscoveredServer],
    self_test: &'static str,
}

/// An interface.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    used: bool,
    /// Why it is not used.
    reason: Option<String>,
    addresses: Vec<String>,
    asked: Vec<String>,
    answers: usize,
}

/// One line of JSON.
pub(crate) fn json(seen: &Observations, findings: &[Finding]) -> String {
    let document = Document {
        findings,
        interfaces: rows(seen),
        servers: &seen.servers,
        self_test: self_test(seen),
    };
    serde_json::to_string(&document).expect("all keys are text")
}

fn self_test(seen: &Observations) -> &'static str {
    if seen.self_test.is_ok() {
        "ok"
    } else {
        "failed"
    }
}

fn rows(seen: &Observations) -> Vec<Row<'_>> {
    seen.interfaces.iter().map(|it| row(seen, it)).collect()
}

fn row<'a>(seen: &Observations, interface: &'a Interface) -> Row<'a> {
    let name = interface.name.as_str();
    let is_of_it = |link: &&Link| link.interface == name && !link.targets_only;
    let links: Vec<&Link> = seen.report.links.iter().filter(is_of_it).collect();
    let skipped = seen.report.skipped.iter().find(|it| it.interface == name);
    let destinations = links.iter().flat_map(|link| &link.destinations);
    let asked = destinations.filter(|it| it.sent > 0);
    let mut asked: Vec<String> = asked.map(|it| it.ip.to_string()).collect();
    // Several addresses of an interface ask 255.255.255.255.
    asked.sort();
    asked.dedup();
    let reason = match (skipped, links.is_empty()) {
        _ if seen.without_carrier.iter().any(|it| it == name) => Some("no carrier".to_owned()),
        (Some(skipped), _) => Some(skipped.reason.to_string()),
        (None, true) => Some("no search".to_owned()),
        (None, false) if asked.is_empty() => Some("nothing was sent".to_owned()),
        (None, false) => None,
    };
    let answers = seen.servers.iter().filter(|it| it.interface == name);
    let addresses = interface.addresses.iter();
    Row {
        name,
        used: reason.is_none(),
        reason,
        addresses: addresses
            .map(|it| format!("{}/{}", it.ip(), it.prefix_len()))
            .collect(),
        asked,
        answers: answers.count(),
    }
}

/// The text for people, for a terminal of `width` columns.
pub(crate) fn text(seen: &Observations, findings: &[Finding], width: usize) -> String {
    let mut page = Page::new(width);
    page.heading("Interfaces");
    for row in rows(seen) {
        page.item(&describe(&row));
    }
    if seen.interfaces.is_empty() {
        page.item("none seen");
    }
    page.heading("This host");
    page.item(&format!(
        "UDP port {}: {}",
        seen.settings.port,
        port(&seen.port)
    ));
    page.item(&format!("self-test over loopback: {}", self_test(seen)));
    page.heading("Servers");
    for server in &seen.servers {
        page.item(&format!(
            "{server} on {}, {:.2} ms",
            server.interface,
            server.rtt.unwrap_or_default().as_secs_f64() * 1e3
        ));
    }
    if seen.servers.is_empty() {
        page.item("none found");
    }
    page.heading("Findings");
    for finding in findings.iter().filter(|it| !is_shown_above(it)) {
        page.finding(finding);
    }
    page.line(&summary(findings));
    page.text
}

fn port(port: &Port) -> String {
    match port {
        Port::Free => "free".into(),
        Port::Serves(holders) => format!("in use{holders}, a server that answers"),
        Port::Taken(holders) => format!("in use{holders}, no server answers"),
        Port::Unseen => "unknown".into(),
    }
}

/// Whether the text says it before the findings.
fn is_shown_above(finding: &Finding) -> bool {
    let is_note = finding.severity == Severity::Note;
    match finding.code {
        Code::PortFree | Code::PortServes | Code::SelfTestOk | Code::ServersFound => true,
        Code::InterfaceDown | Code::NoAddress => is_note,
        _ => false,
    }
}

fn describe(row: &Row<'_>) -> String {
    let mut text = row.name.to_owned();
    if !row.addresses.is_empty() {
        let _ = write!(text, " {}", row.addresses.join(" "));
    }
    if let Some(reason) = &row.reason {
        let _ = write!(text, ": not asked, {reason}");
        return text;
    }
    let answers = match row.answers {
        0 => "no answer".to_owned(),
        1 => "1 answer".to_owned(),
        answers => format!("{answers} answers"),
    };
    let _ = write!(text, ": asked {}; {answers}", row.asked.join(", "));
    text
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let number = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let problems = number(count(Severity::Problem), "problem");
    format!(
        "{problems}, {}",
        number(count(Severity::Warning), "warning")
    )
}

struct Page {
    width: usize,
    text: String,
}

impl Page {
    fn new(width: usize) -> Self {
        Self {
            width: width.min(WIDTH),
            text: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let heading = Style::new().bold().apply_to(heading).to_string();
        self.line(&heading);
    }

    fn item(&mut self, text: &str) {
        self.wrapped(text, "  ", "      ");
    }

    fn finding(&mut self, finding: &Finding) {
        let style = match finding.severity {
            Severity::Problem => Style::new().red().bold(),
            Severity::Warning => Style::new().yellow(),
            Severity::Note => Style::new().green(),
        };
        let severity = finding.severity.name();
        let on = finding.interface.as_ref();
        let on = on.map_or(String::new(), |name| format!(" on {name}"));
        let start = self.text.len();
        self.wrapped(
            &format!("{severity}: {}{on}", finding.code.name()),
            "",
            "  ",
        );
        let styled = style.apply_to(severity).to_string();
        self.text
            .replace_range(start..start + severity.len(), &styled);
        self.wrapped(&finding.message, "  ", "  ");
        if let Some(advice) = &finding.advice {
            self.wrapped(advice, "  > ", "    ");
        }
        self.text.push('\n');
    }

    fn wrapped(&mut self, text: &str, first: &str, others: &str) {
        let options = Options::new(self.width)
            .word_splitter(WordSplitter::NoHyphenation)
            .initial_indent(first)
            .subsequent_indent(others);
        self.line(&textwrap::fill(text, options));
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::findings;
    use super::super::judge::tests::broken;
    use super::*;

    #[test]
    fn the_text_fits_its_width_and_has_every_finding_with_its_advice() {
        let seen = broken();
        let findings = findings(&seen);
        for width in [40, 80, 200] {
            let text = text(&seen, &findings, width);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width.min(WIDTH)), "{text}");
            assert!(!text.contains('\x1b'), "{text}");
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            for finding in findings.iter().filter(|it| !is_shown_above(it)) {
                assert!(text.contains(&finding.code.name()), "{text}");
                assert!(words(&text).contains(&words(&finding.message)), "{text}");
            }
        }
    }

    #[test]
    fn the_json_has_the_promised_keys() {
        let seen = broken();
        let json = json(&seen, &findings(&seen));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(
            keys(&json),
            ["findings", "interfaces", "self_test", "servers"]
        );
        let finding = ["advice", "code", "interface", "message", "severity"];
        assert_eq!(keys(&json["findings"][0]), finding);
        let interface = ["addresses", "answers", "asked", "name", "reason", "used"];
        assert_eq!(keys(&json["interfaces"][0]), interface);
    }
}
