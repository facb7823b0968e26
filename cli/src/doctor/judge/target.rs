//! What the experiments with a target mean.

use super::super::finding::{Code, Finding, Severity};
use super::super::observations::{
    Experiments, Observations, Silence, Tally, Target, TargetError, TargetHost,
};
use super::super::surroundings::System;
use super::{SAME_PREFIX, WINDOWS};

use Severity::{Note, Problem, Warning};

pub(super) fn findings(target: &Target, seen: &Observations) -> Vec<Finding> {
    let name = &target.name;
    match &target.outcome {
        Err(TargetError::Unknown(why)) => {
            let message = format!("No host is known as {name}: {why}.");
            vec![
                Finding::new(Problem, Code::TargetUnknown, message)
                    .with_advice("Name the target by its address."),
            ]
        }
        Err(TargetError::Failed(why)) => {
            let message = format!("{name} could not be asked: {why}.");
            vec![Finding::new(Problem, Code::NotSeen, message)]
        }
        Err(TargetError::NoRoute) => {
            let message = format!("No route of this host leads to {name}.");
            vec![
                Finding::new(Problem, Code::TargetElsewhere, message).with_advice(
                    "Connect this host to that network, or set a default route: `ip route` lists \
                     the routes.",
                ),
            ]
        }
        Ok(host) => of_host(host, seen),
    }
}

fn of_host(host: &TargetHost, seen: &Observations) -> Vec<Finding> {
    let mut findings = if host.answered {
        answers(host, seen)
    } else {
        vec![silent(host, seen)]
    };
    if !host.interface.is_empty() {
        for finding in &mut findings {
            finding.interface = Some(host.interface.clone());
        }
    }
    findings
}

/// A target that answers what is sent to it alone.
fn answers(host: &TargetHost, seen: &Observations) -> Vec<Finding> {
    let ip = host.address.ip();
    let tries = &host.experiments;
    let mut findings = Vec::new();
    let mismatch = mismatch(host);
    let is_first_answered = tries.directed.answered + tries.limited.answered > 0;
    let is_later_answered = tries.directed_again.answered + tries.limited_again.answered > 0;
    if host.is_here {
        let message = format!("{ip} is this host, and a server on it answers.");
        findings.push(Finding::new(Note, Code::TargetAnswers, message));
    } else if is_first_answered {
        let message = format!("{ip} answers: {}.", counts(tries));
        findings.push(Finding::new(Note, Code::TargetAnswers, message));
    } else if is_later_answered {
        findings.push(dropped(host, seen));
    } else if !host.is_on_link {
        findings.push(elsewhere(host, seen));
    } else if tries.directed.sent + tries.limited.sent > 0 {
        findings.push(not_delivered(host, seen));
    } else {
        let message = format!("{ip} answers what is sent to it alone. No broadcast could be sent.");
        findings.push(Finding::new(Warning, Code::NotSeen, message));
    }
    findings.extend(mismatch);
    findings
}

/// `2 of 3 broadcasts, 3 of 3 requests to it alone`, and the requests for details if it offers them.
fn counts(tries: &Experiments) -> String {
    let broadcasts = Tally {
        sent: tries.directed.sent + tries.limited.sent,
        answered: tries.directed.answered + tries.limited.answered,
    };
    let details = match tries.details {
        Tally { answered: 0, .. } => String::new(),
        Tally { sent, answered } => format!(", {answered} of {sent} requests for details"),
    };
    format!(
        "{} of {} broadcasts, {} of {} requests to it alone{details}",
        broadcasts.answered, broadcasts.sent, tries.unicast.answered, tries.unicast.sent
    )
}

/// A broadcast is answered only on a port that the firewall has seen the target answer on.
fn dropped(host: &TargetHost, seen: &Observations) -> Finding {
    let ip = host.address.ip();
    let port = seen.settings.port;
    let message = format!(
        "{ip} answers broadcasts, but the answers are dropped: {}, and {} of {} broadcasts on a \
         port on which it had answered already. A stateful firewall does that, because an answer to \
         a broadcast comes from another address than the broadcast went to. It is on this host, or \
         something stateful in front of it.",
        counts(&host.experiments),
        host.experiments.directed_again.answered + host.experiments.limited_again.answered,
        host.experiments.directed_again.sent + host.experiments.limited_again.sent,
    );
    let own = host.experiments.from_discovery_port;
    let mut advice = if own.answered > 0 {
        format!(
            "This firewall lets in what comes to port {port}: ask from it, `udp-discovery discover \
             --source-port {port}`."
        )
    } else {
        format!(
            "Ask from one port, `udp-discovery discover --source-port 9998`, and permit UDP from \
             port {port} to port 9998 to come in. Or ask the host alone: --target {ip}."
        )
    };
    if seen.surroundings.system == System::Windows {
        advice += WINDOWS;
    }
    Finding::new(Problem, Code::AnswersToBroadcastDropped, message).with_advice(advice)
}

fn not_delivered(host: &TargetHost, seen: &Observations) -> Finding {
    let ip = host.address.ip();
    let by = if ip.is_ipv4() {
        "broadcast"
    } else {
        "multicast"
    };
    let message = format!(
        "{ip} answers what is sent to it alone, but no {by}: {}. Something between the two hosts \
         does not deliver it: an access point that isolates its clients, a VLAN, a switch with storm \
         control, or a firewall on {ip}.",
        counts(&host.experiments)
    );
    let multicast = if host.experiments.multicast.answered > 0 {
        "Multicast gets through: `udp-discovery discover --multicast`. "
    } else {
        ""
    };
    let mut advice = format!(
        "{multicast}Switch client isolation off, or ask the host alone: `udp-discovery discover \
         --target {ip}`."
    );
    if seen.surroundings.in_container {
        advice += " This runs in a container; on a bridge network, start it with `--network host`.";
    }
    Finding::new(Problem, Code::BroadcastNotDelivered, message).with_advice(advice)
}

/// A target behind a router that answers.
fn elsewhere(host: &TargetHost, seen: &Observations) -> Finding {
    let ip = host.address.ip();
    let message = format!(
        "{ip} answers, but it is on another network than {}, and routers do not forward broadcasts.",
        host.local
    );
    let network = if ip.is_ipv4() { "/24" } else { "/120" };
    let mut advice = format!(
        "Name it, `udp-discovery discover --target {ip}`, or its network: --target {ip}{network}."
    );
    if seen.surroundings.in_container {
        advice +=
            " This runs in a container; with `--network host` it is on the network of its host.";
    }
    Finding::new(Problem, Code::TargetElsewhere, message).with_advice(advice)
}

/// The directed broadcast is none for the target, whose network has another size.
fn mismatch(host: &TargetHost) -> Option<Finding> {
    let tries = &host.experiments;
    let directed = tries.directed.answered + tries.directed_again.answered;
    let limited = tries.limited.answered + tries.limited_again.answered;
    let is_deaf_to_directed = tries.directed.sent > 0 && directed == 0 && limited > 0;
    let is_off_link = !host.is_on_link && limited > 0;
    let ip = host.address.ip();
    if !(is_deaf_to_directed || is_off_link) || ip.is_ipv6() {
        return None;
    }
    let message = format!(
        "{ip} hears 255.255.255.255, but not the broadcast address of this host's network. One of \
         the two hosts has a wrong prefix length or address."
    );
    Some(Finding::new(Warning, Code::PrefixMismatch, message).with_advice(SAME_PREFIX))
}

/// A target that does not answer what is sent to it alone.
fn silent(host: &TargetHost, seen: &Observations) -> Finding {
    let ip = host.address.ip();
    let port = host.address.port();
    let Silence {
        refused,
        prohibited,
        up,
        neighbor,
    } = host.silence;
    if refused {
        let message = format!(
            "{ip} is up, but refuses UDP port {port}: no server runs there, or a firewall rejects it."
        );
        return Finding::new(Problem, Code::PortClosed, message).with_advice(format!(
            "Start the server there: `udp-discovery serve --port {port}`. If it has another port: \
             --target {ip}:PORT. On that host, `udp-discovery doctor` shows who has the port."
        ));
    }
    if let Some(error) = &host.send_error {
        let message = format!("The system refused to send to {ip}: {error}.");
        return Finding::new(Problem, Code::SendRefused, message).with_advice(
            "Check the firewall and the routes of this host: `nft list ruleset`, `ip route get \
             ADDRESS`."
                .replace("ADDRESS", &ip.to_string()),
        );
    }
    if let Some(malformed) = &host.malformed {
        let message = format!(
            "{malformed}, which is not a response: those start with {:?}.",
            seen.settings.prefix
        );
        return Finding::new(Problem, Code::NoAnswer, message).with_advice(
            "Use the same words on both sides: --message and --prefix here, or there.",
        );
    }
    if !host.is_on_link {
        let message = format!(
            "{ip} does not answer. It is on another network than {}: by default a server answers \
             only its own networks.",
            host.local
        );
        return Finding::new(Problem, Code::TargetElsewhere, message).with_advice(format!(
            "On the server, allow this network: `udp-discovery serve --allow {}`. Check that \
             firewalls between the two permit UDP port {port}.",
            host.local
        ));
    }
    let (what, advice) = if prohibited {
        (
            format!("A firewall forbids requests to UDP port {port} of {ip}."),
            format!("Permit UDP port {port} there."),
        )
    } else if neighbor == Some(false) {
        (
            format!("No host on this link has the address {ip} (ARP)."),
            "Is it switched on, on the same network or VLAN, and is that its address?".to_owned(),
        )
    } else if up {
        (
            format!(
                "{ip} is up and does not refuse UDP port {port}, but does not answer: the server has \
                 other words than {:?}, or does not take {} for a client on its network, or a \
                 firewall drops requests.",
                seen.settings.message, host.local
            ),
            format!(
                "Compare --message and the prefix lengths of both hosts. On the server, try `--allow \
                 {}`, and permit UDP port {port} in its firewall.",
                host.local
            ),
        )
    } else {
        (
            format!(
                "{ip} does not answer at all: it is off, or a firewall drops what comes to it, or \
                 the answers."
            ),
            format!("Permit UDP port {port} in the firewall of {ip}, and answers from it here."),
        )
    };
    Finding::new(Problem, Code::NoAnswer, what).with_advice(advice)
}
