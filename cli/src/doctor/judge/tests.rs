use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use udp_discovery_client::{Config, Discovery, Host as ClientHost, Report};
use udp_discovery_protocol::InterfaceFlags;

use super::super::observations::{
    Experiments, Settings, Silence, Tally, Target, TargetError, TargetHost,
};
use super::super::surroundings::Surroundings;
use super::*;
use crate::port_holder::{Holder, Holders};

fn interface(name: &str, addresses: &[&str]) -> Interface {
    let mut interface = Interface::new(name, 2);
    interface.flags.up = true;
    interface.flags.loopback = name == "lo";
    interface.flags.broadcast = name != "lo";
    interface.addresses = addresses
        .iter()
        .map(|address| {
            let (ip, prefix_len) = address.split_once('/').unwrap();
            InterfaceAddress::new(ip.parse().unwrap(), prefix_len.parse().unwrap()).unwrap()
        })
        .collect();
    interface
}

fn lo() -> Interface {
    interface("lo", &["127.0.0.1/8"])
}

fn eth0() -> Interface {
    interface("eth0", &["10.77.1.1/24"])
}

/// A host whose search is answered by nobody.
struct Host {
    interfaces: Vec<Interface>,
    /// The interface on which nothing can be sent.
    refuses: Option<(&'static str, io::ErrorKind)>,
    /// Where an answer comes from, and what it is.
    answers: Vec<(&'static str, &'static str)>,
}

impl Host {
    fn with(interfaces: impl Into<Vec<Interface>>) -> Self {
        Self {
            interfaces: interfaces.into(),
            refuses: None,
            answers: Vec::new(),
        }
    }

    /// What the doctor sees there.
    fn seen(self) -> Observations {
        let now = Instant::now();
        let config = Config::default();
        let (mut servers, mut report, mut search_error) = (Vec::new(), Report::default(), None);
        match Discovery::new(
            now,
            &config,
            &ClientHost::new(self.interfaces.clone()),
            [0; 15],
        ) {
            Ok(mut discovery) => {
                while let Some(transmit) = discovery.poll_transmit(now) {
                    let interface = &discovery.links()[transmit.link].interface;
                    if let Some((name, kind)) = self.refuses
                        && interface == name
                    {
                        discovery.handle_send_error(transmit, kind.into());
                    }
                }
                for (source, answer) in self.answers {
                    let source: SocketAddr = source.parse().unwrap();
                    discovery.handle_datagram(now, 0, source, answer.as_bytes());
                }
                servers.extend(std::iter::from_fn(|| discovery.poll_event()));
                report = discovery.report().clone();
                search_error = discovery.outcome().err();
            }
            Err(error) => {
                if let DiscoverError::NoUsableInterface { skipped } = &error {
                    report.skipped.clone_from(skipped);
                }
                search_error = search_error.or(Some(error));
            }
        }
        Observations {
            settings: Settings {
                port: 9999,
                message: "DISCOVER_SERVER".into(),
                prefix: "SERVER_IP:".into(),
            },
            interfaces: self.interfaces,
            without_carrier: Vec::new(),
            servers,
            report,
            search_error,
            lost: 0,
            port: Port::Free,
            self_test: Ok(()),
            target: None,
            surroundings: Surroundings {
                system: System::Linux,
                in_container: false,
                in_wsl: false,
            },
            unseen: Vec::new(),
        }
    }
}

fn healthy() -> Observations {
    Host::with([lo(), eth0()]).seen()
}

/// A host with many faults.
pub(in super::super) fn broken() -> Observations {
    let mut down = interface("eth1", &["10.77.2.1/24"]);
    down.flags.up = false;
    let eth0 = interface(
        "eth0",
        &["10.77.1.1/24", "fd00:77:1234:5678:9abc:def0:1234:5678/64"],
    );
    let mut host = Host::with([lo(), eth0, down]);
    host.answers = vec![("10.77.1.2:9999", "SERVER_IP:127.0.0.1:8000")];
    let mut seen = host.seen();
    seen.lost = 12;
    seen.port = Port::Taken(Holders::default());
    seen.self_test = Err("Operation not permitted (os error 1)".into());
    seen.unseen = vec!["whether answers were lost: No such file or directory".into()];
    let outcome = Ok(TargetHost {
        experiments: Experiments {
            directed: tally(0, 3),
            limited: tally(0, 3),
            ..all_answered()
        },
        ..target()
    });
    let name = "10.77.1.2".into();
    seen.target = Some(Target { name, outcome });
    seen
}

/// The problems and warnings, as `problem no-network`, with ` eth0` if they are about an interface.
fn faults(seen: &Observations) -> Vec<String> {
    let findings = findings(seen).into_iter();
    let faults = findings.filter(|it| it.severity != Note);
    faults.map(|it| label(&it)).collect()
}

fn label(finding: &Finding) -> String {
    let on = finding.interface.iter().map(|name| format!(" {name}"));
    let on: String = on.collect();
    format!("{} {}{on}", finding.severity.name(), finding.code.name())
}

fn all(seen: &Observations) -> Vec<String> {
    findings(seen).iter().map(label).collect()
}

/// The finding with this code.
fn finding(seen: &Observations, code: Code) -> Finding {
    let findings = findings(seen);
    let found = findings.iter().find(|it| it.code == code);
    found.unwrap_or_else(|| panic!("{findings:#?}")).clone()
}

#[test]
fn a_healthy_host_without_servers_has_notes_only() {
    assert_eq!(
        all(&healthy()),
        ["note port-free", "note self-test-ok", "note no-server"]
    );
}

#[test]
fn a_healthy_network_with_a_server_has_notes_only() {
    let mut host = Host::with([lo(), interface("eth0", &["10.77.1.1/24", "fe80::1/64"])]);
    host.answers = vec![("10.77.1.2:9999", "SERVER_IP:10.77.1.2:8000")];
    assert_eq!(
        all(&host.seen()),
        ["note port-free", "note self-test-ok", "note servers-found"]
    );
}

#[test]
fn loopback_alone_is_no_network() {
    assert_eq!(faults(&Host::with([lo()]).seen()), ["problem no-network"]);
}

#[test]
fn an_interface_that_is_down_is_a_problem_only_if_there_is_no_other() {
    let mut down = eth0();
    down.flags.up = false;
    let alone = Host::with([lo(), down.clone()]).seen();
    assert_eq!(faults(&alone), ["problem interface-down eth0"]);
    let advice = finding(&alone, Code::InterfaceDown).advice.unwrap();
    assert!(advice.contains("ip link set dev eth0 up"), "{advice}");

    let other = interface("eth1", &["10.77.2.1/24"]);
    let seen = Host::with([lo(), down, other]).seen();
    assert_eq!(faults(&seen), [""; 0]);
    assert_eq!(finding(&seen, Code::InterfaceDown).severity, Note);
}

#[test]
fn an_interface_without_a_carrier_is_down() {
    let mut seen = healthy();
    seen.without_carrier = vec!["eth0".into()];
    assert_eq!(faults(&seen), ["problem interface-down eth0"]);
    let message = finding(&seen, Code::InterfaceDown).message;
    assert!(message.contains("no carrier"), "{message}");
}

#[test]
fn the_fallback_tunnels_of_linux_are_not_mentioned() {
    let mut sit0 = interface("sit0", &[]);
    sit0.flags = InterfaceFlags::default();
    assert_eq!(
        faults(&Host::with([lo(), sit0]).seen()),
        ["problem no-network"]
    );
}

#[test]
fn an_interface_without_an_address_is_a_problem_only_if_there_is_no_other() {
    let bare = interface("eth0", &[]);
    let alone = Host::with([lo(), bare.clone()]).seen();
    assert_eq!(faults(&alone), ["problem no-address eth0"]);
    let other = interface("eth1", &["10.77.2.1/24"]);
    let seen = Host::with([lo(), bare, other]).seen();
    assert_eq!(faults(&seen), [""; 0]);
    assert_eq!(finding(&seen, Code::NoAddress).severity, Note);
}

#[test]
fn only_link_local_addresses_are_a_warning_unless_a_server_is_found() {
    for addresses in [&["fe80::1/64"][..], &["169.254.3.4/16", "fe80::1/64"]] {
        let host = || Host::with([lo(), interface("eth0", addresses)]);
        assert_eq!(faults(&host().seen()), ["warning no-address eth0"]);
        let mut found = host();
        found.answers = vec![("[fe80::2%2]:9999", "SERVER_IP:[fe80::2]")];
        if addresses.len() == 1 {
            assert_eq!(faults(&found.seen()), [""; 0]);
        }
    }
}

#[test]
fn a_point_to_point_link_has_no_broadcast() {
    let mut tun0 = interface("tun0", &[]);
    tun0.flags.broadcast = false;
    tun0.flags.point_to_point = true;
    let (ip, peer) = ("10.8.0.1".parse().unwrap(), "10.8.0.2".parse().unwrap());
    let address = InterfaceAddress::with_peer(ip, peer, 32).unwrap();
    tun0.addresses.push(address);
    let seen = Host::with([lo(), tun0.clone()]).seen();
    assert_eq!(faults(&seen), ["problem no-broadcast tun0"]);
    assert_eq!(
        faults(&Host::with([lo(), tun0.clone(), eth0()]).seen()),
        [""; 0]
    );

    // Its other end is unknown.
    tun0.addresses = interface("tun0", &["10.8.0.1/32"]).addresses;
    let seen = Host::with([lo(), tun0]).seen();
    assert_eq!(faults(&seen), ["problem no-broadcast tun0"]);
}

#[test]
fn container_bridges_alone_are_a_problem_unless_a_server_is_found() {
    let docker0 = || interface("docker0", &["172.17.0.1/16"]);
    let seen = Host::with([lo(), docker0()]).seen();
    assert_eq!(faults(&seen), ["problem only-container-bridges"]);
    let mut host = Host::with([lo(), docker0()]);
    host.answers = vec![("172.17.0.2:9999", "SERVER_IP:172.17.0.2")];
    assert_eq!(faults(&host.seen()), [""; 0]);
    assert_eq!(faults(&Host::with([docker0(), eth0()]).seen()), [""; 0]);
}

#[test]
fn settings_that_leave_no_interface_are_named() {
    let mut seen = Host::with([]).seen();
    seen.interfaces = vec![lo(), eth0()];
    seen.search_error = Some(DiscoverError::NoSuchInterface {
        available: vec!["eth0".into()],
    });
    assert!(faults(&seen).contains(&"problem search-failed".to_owned()));
    let advice = finding(&seen, Code::SearchFailed).advice.unwrap();
    assert!(advice.contains("DISCOVERY_CLIENT_INTERFACES"), "{advice}");
}

#[test]
fn a_firewall_that_refuses_to_send_is_a_problem() {
    let mut host = Host::with([lo(), eth0()]);
    host.refuses = Some(("eth0", io::ErrorKind::PermissionDenied));
    let seen = host.seen();
    assert_eq!(faults(&seen), ["problem send-refused eth0"]);
    let found = finding(&seen, Code::SendRefused);
    assert!(found.message.contains("firewall"), "{found:?}");
    assert!(found.advice.unwrap().contains("nft list ruleset"));
}

#[test]
fn on_macos_a_refused_broadcast_names_the_local_network_permission() {
    for kind in [
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NetworkUnreachable,
    ] {
        let mut host = Host::with([lo(), eth0()]);
        host.refuses = Some(("eth0", kind));
        let mut seen = host.seen();
        seen.surroundings.system = System::MacOs;
        let advice = finding(&seen, Code::SendRefused).advice.unwrap();
        assert!(advice.contains("Local Network"), "{advice}");
        seen.surroundings.system = System::Linux;
        let advice = finding(&seen, Code::SendRefused).advice.unwrap();
        assert!(!advice.contains("Local Network"), "{advice}");
    }
}

#[test]
fn ipv6_that_cannot_send_is_no_fault_where_ipv4_can() {
    let mut host = Host::with([lo(), interface("eth0", &["10.77.1.1/24", "fe80::1/64"])]);
    host.answers = vec![("10.77.1.2:9999", "SERVER_IP:10.77.1.2")];
    let mut seen = host.seen();
    let error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let links = &mut seen.report.links;
    let v6 = links.iter_mut().find(|it| it.local.is_ipv6()).unwrap();
    v6.given_up = Some(error.into());
    assert_eq!(faults(&seen), [""; 0]);
}

#[test]
fn a_server_that_claims_loopback_or_a_foreign_network_is_a_warning() {
    for claim in ["127.0.0.1", "172.17.0.2"] {
        let answer: &'static str = format!("SERVER_IP:{claim}:8000").leak();
        let mut host = Host::with([lo(), eth0()]);
        host.answers = vec![("10.77.1.2:9999", answer)];
        let seen = host.seen();
        assert_eq!(faults(&seen), ["warning claims-unreachable-address eth0"]);
        let found = finding(&seen, Code::ClaimsUnreachableAddress);
        assert!(found.message.contains(claim), "{found:?}");
        assert!(found.advice.unwrap().contains("--advertise-ip 10.77.1.2"));
    }
    // Another address of the server's on our network is no fault.
    let mut host = Host::with([lo(), eth0()]);
    host.answers = vec![("10.77.1.2:9999", "SERVER_IP:10.77.1.3:8000")];
    assert_eq!(faults(&host.seen()), [""; 0]);
}

#[test]
fn a_server_that_is_on_none_of_our_networks_has_another_prefix() {
    let mut host = Host::with([lo(), eth0()]);
    host.answers = vec![("10.77.2.5:9999", "SERVER_IP:10.77.2.5")];
    let seen = host.seen();
    assert_eq!(faults(&seen), ["warning prefix-mismatch eth0"]);
    let message = finding(&seen, Code::PrefixMismatch).message;
    assert!(message.contains("10.77.1.0/24"), "{message}");
}

#[test]
fn a_host_with_another_response_prefix_is_a_warning() {
    let mut host = Host::with([lo(), eth0()]);
    host.answers = vec![("10.77.1.2:9999", "PRINTER:10.77.1.2\x1b[2J")];
    let seen = host.seen();
    assert_eq!(faults(&seen), ["warning other-words"]);
    let message = finding(&seen, Code::OtherWords).message;
    assert!(message.contains(r"PRINTER:10.77.1.2\x1b[2J"), "{message}");
}

#[test]
fn answers_that_the_receive_buffer_had_no_room_for_are_a_warning() {
    let mut seen = healthy();
    seen.lost = 12;
    assert_eq!(faults(&seen), ["warning answers-lost"]);
    let found = finding(&seen, Code::AnswersLost);
    assert!(found.message.contains("12 answers"), "{found:?}");
    assert!(found.advice.unwrap().contains("net.core.rmem_max"));
}

#[test]
fn a_port_that_is_taken_by_what_does_not_answer_is_a_problem_that_names_it() {
    let holders = || Holders {
        seen: vec![Holder {
            pid: 12,
            name: "nc".into(),
            is_ours: false,
        }],
        ..Holders::default()
    };
    let mut seen = healthy();
    seen.port = Port::Taken(holders());
    assert_eq!(faults(&seen), ["problem port-taken"]);
    let message = finding(&seen, Code::PortTaken).message;
    assert!(message.contains("nc (pid 12)"), "{message}");

    seen.port = Port::Serves(holders());
    assert_eq!(faults(&seen), [""; 0]);
    let message = finding(&seen, Code::PortServes).message;
    assert!(message.contains("nc (pid 12)"), "{message}");
    assert!(!message.contains("unicast"), "{message}");

    let both = Holders {
        more: true,
        ..holders()
    };
    seen.port = Port::Serves(both);
    let message = finding(&seen, Code::PortServes).message;
    assert!(
        message.contains("a request by unicast reaches only one"),
        "{message}"
    );
}

#[test]
fn a_failed_self_test_is_a_problem() {
    let mut seen = healthy();
    seen.self_test = Err("Operation not permitted".into());
    assert_eq!(faults(&seen), ["problem self-test-failed"]);
}

#[test]
fn fault_56_what_could_not_be_seen_is_said() {
    let mut seen = healthy();
    seen.unseen = vec!["the network interfaces: Too many open files".into()];
    seen.port = Port::Unseen;
    assert_eq!(faults(&seen), ["warning not-seen"]);
    let message = finding(&seen, Code::NotSeen).message;
    assert!(message.contains("Too many open files"), "{message}");
}

#[test]
fn fault_56_a_host_that_shows_nothing_is_not_said_to_have_no_network() {
    let mut seen = Host::with([]).seen();
    let source = io::Error::from(io::ErrorKind::PermissionDenied);
    seen.search_error = Some(DiscoverError::ListInterfaces {
        source: source.into(),
    });
    seen.unseen = vec!["the network interfaces: permission denied".into()];
    assert_eq!(faults(&seen), ["warning not-seen"]);
}

#[test]
fn where_it_runs_is_said_if_nothing_is_found() {
    let mut seen = healthy();
    seen.surroundings.in_container = true;
    let found = finding(&seen, Code::InContainer);
    assert_eq!(found.severity, Note);
    assert!(found.advice.unwrap().contains("--network host"));
    seen.surroundings.in_wsl = true;
    assert_eq!(faults(&seen), ["warning wsl-nat"]);
    let advice = finding(&seen, Code::WslNat).advice.unwrap();
    assert!(advice.contains("networkingMode=mirrored"), "{advice}");

    let mut host = Host::with([lo(), eth0()]);
    host.answers = vec![("10.77.1.2:9999", "SERVER_IP:10.77.1.2")];
    let mut seen = host.seen();
    seen.surroundings.in_container = true;
    seen.surroundings.in_wsl = true;
    assert_eq!(faults(&seen), [""; 0]);
}

#[test]
fn on_windows_the_public_profile_is_named() {
    let mut seen = healthy();
    seen.surroundings.system = System::Windows;
    let advice = finding(&seen, Code::NoServer).advice.unwrap();
    assert!(advice.contains("Public profile"), "{advice}");
}

// With a target

fn tally(answered: u32, sent: u32) -> Tally {
    Tally { sent, answered }
}

/// Experiments in which everything is answered.
fn all_answered() -> Experiments {
    Experiments {
        directed: tally(3, 3),
        limited: tally(3, 3),
        unicast: tally(3, 3),
        directed_again: tally(3, 3),
        limited_again: tally(3, 3),
        multicast: tally(3, 3),
        details: tally(0, 3),
        from_discovery_port: tally(2, 2),
    }
}

/// A host on the link that answers everything.
fn target() -> TargetHost {
    TargetHost {
        address: "10.77.1.2:9999".parse().unwrap(),
        interface: "eth0".into(),
        local: "10.77.1.1".parse().unwrap(),
        is_on_link: true,
        is_here: false,
        answered: true,
        malformed: None,
        send_error: None,
        experiments: all_answered(),
        silence: Silence::default(),
    }
}

/// What the doctor sees of a target.
fn asked(outcome: Result<TargetHost, TargetError>) -> Observations {
    let mut seen = healthy();
    let name = "10.77.1.2".into();
    seen.target = Some(Target { name, outcome });
    seen
}

fn tried(experiments: Experiments) -> Observations {
    asked(Ok(TargetHost {
        experiments,
        ..target()
    }))
}

fn not_answered(silence: Silence) -> Observations {
    asked(Ok(TargetHost {
        answered: false,
        experiments: Experiments::default(),
        silence,
        ..target()
    }))
}

#[test]
fn a_target_that_answers_broadcasts_is_fine() {
    let seen = tried(all_answered());
    assert_eq!(
        all(&seen),
        [
            "note port-free",
            "note self-test-ok",
            "note target-answers eth0"
        ]
    );
    // A lost packet is no fault.
    let lossy = Experiments {
        directed: tally(1, 3),
        limited: tally(2, 3),
        ..all_answered()
    };
    assert_eq!(faults(&tried(lossy)), [""; 0]);
}

#[test]
fn details_are_optional_and_named_if_the_target_offers_them() {
    let message = |details| {
        let seen = tried(Experiments {
            details,
            ..all_answered()
        });
        assert_eq!(faults(&seen), [""; 0]);
        finding(&seen, Code::TargetAnswers).message
    };
    assert!(!message(tally(0, 3)).contains("details"));
    assert!(message(tally(3, 3)).contains("3 of 3 requests for details"));
}

#[test]
fn broadcasts_that_are_answered_only_after_a_unicast_meet_a_stateful_firewall() {
    let stateful = Experiments {
        directed: tally(0, 3),
        limited: tally(0, 3),
        from_discovery_port: tally(0, 2),
        ..all_answered()
    };
    let seen = tried(stateful);
    assert_eq!(faults(&seen), ["problem answers-to-broadcast-dropped eth0"]);
    let found = finding(&seen, Code::AnswersToBroadcastDropped);
    assert!(found.message.contains("this host, or something stateful"));
    assert!(found.message.contains("0 of 6 broadcasts"));
    assert!(found.message.contains("6 of 6 broadcasts on a port"));

    let seen = tried(Experiments {
        from_discovery_port: tally(2, 2),
        ..stateful
    });
    let advice = finding(&seen, Code::AnswersToBroadcastDropped)
        .advice
        .unwrap();
    assert!(advice.contains("--source-port 9999"), "{advice}");
}

#[test]
fn broadcasts_that_are_never_answered_are_not_delivered() {
    let deaf = Experiments {
        unicast: tally(3, 3),
        directed: tally(0, 3),
        limited: tally(0, 3),
        directed_again: tally(0, 3),
        limited_again: tally(0, 3),
        multicast: tally(0, 3),
        details: tally(0, 3),
        from_discovery_port: tally(0, 2),
    };
    let seen = tried(deaf);
    assert_eq!(faults(&seen), ["problem broadcast-not-delivered eth0"]);
    let advice = finding(&seen, Code::BroadcastNotDelivered).advice.unwrap();
    assert!(!advice.contains("--multicast"), "{advice}");
    let seen = tried(Experiments {
        multicast: tally(2, 3),
        ..deaf
    });
    let advice = finding(&seen, Code::BroadcastNotDelivered).advice.unwrap();
    assert!(advice.contains("--multicast"), "{advice}");
}

#[test]
fn a_target_that_hears_only_the_limited_broadcast_has_another_prefix() {
    let seen = tried(Experiments {
        directed: tally(0, 3),
        directed_again: tally(0, 3),
        ..all_answered()
    });
    assert_eq!(faults(&seen), ["warning prefix-mismatch eth0"]);
    // By IPv6 there is one kind of broadcast.
    let seen = asked(Ok(TargetHost {
        address: "[fe80::2%2]:9999".parse().unwrap(),
        experiments: Experiments {
            directed: tally(0, 0),
            directed_again: tally(0, 0),
            ..all_answered()
        },
        ..target()
    }));
    assert_eq!(faults(&seen), [""; 0]);
}

#[test]
fn a_target_off_the_link_is_elsewhere_whether_it_answers_or_not() {
    let elsewhere = |answered| {
        asked(Ok(TargetHost {
            address: "10.78.0.2:9999".parse().unwrap(),
            is_on_link: false,
            answered,
            experiments: Experiments {
                unicast: tally(3, 3),
                limited: tally(0, 3),
                limited_again: tally(0, 3),
                ..Experiments::default()
            },
            ..target()
        }))
    };
    assert_eq!(faults(&elsewhere(true)), ["problem target-elsewhere eth0"]);
    let advice = finding(&elsewhere(true), Code::TargetElsewhere)
        .advice
        .unwrap();
    assert!(advice.contains("--target 10.78.0.2"), "{advice}");
    assert_eq!(faults(&elsewhere(false)), ["problem target-elsewhere eth0"]);
    let advice = finding(&elsewhere(false), Code::TargetElsewhere)
        .advice
        .unwrap();
    assert!(advice.contains("--allow 10.77.1.1"), "{advice}");

    let no_route = asked(Err(TargetError::NoRoute));
    assert_eq!(faults(&no_route), ["problem target-elsewhere"]);
}

#[test]
fn a_target_off_the_link_that_hears_a_broadcast_has_another_prefix() {
    let seen = asked(Ok(TargetHost {
        is_on_link: false,
        ..target()
    }));
    assert_eq!(faults(&seen), ["warning prefix-mismatch eth0"]);
}

#[test]
fn a_port_that_is_refused_is_closed() {
    let seen = not_answered(Silence {
        refused: true,
        ..Silence::default()
    });
    assert_eq!(faults(&seen), ["problem port-closed eth0"]);
}

#[test]
fn silence_is_told_apart_as_far_as_can_be() {
    let message = |silence| {
        let seen = not_answered(silence);
        assert_eq!(faults(&seen), ["problem no-answer eth0"]);
        finding(&seen, Code::NoAnswer).message
    };
    let silence = Silence::default();
    assert!(message(silence).contains("it is off, or a firewall"));
    let absent = Silence {
        neighbor: Some(false),
        ..silence
    };
    assert!(message(absent).contains("No host on this link has the address 10.77.1.2"));
    let up = Silence {
        up: true,
        neighbor: Some(true),
        ..silence
    };
    assert!(message(up).contains("other words than \"DISCOVER_SERVER\""));
    let prohibited = Silence {
        prohibited: true,
        ..silence
    };
    assert!(message(prohibited).contains("A firewall forbids"));
}

#[test]
fn a_target_that_answers_something_else_has_other_words() {
    let seen = asked(Ok(TargetHost {
        answered: false,
        malformed: Some("10.77.1.2:9999 answered \"PRINTER:\"".into()),
        ..target()
    }));
    assert_eq!(faults(&seen), ["problem no-answer eth0"]);
    let message = finding(&seen, Code::NoAnswer).message;
    assert!(message.contains("PRINTER:"), "{message}");
}

#[test]
fn a_target_that_nothing_can_be_sent_to_is_refused_here() {
    let seen = asked(Ok(TargetHost {
        answered: false,
        send_error: Some("Operation not permitted".into()),
        ..target()
    }));
    assert_eq!(faults(&seen), ["problem send-refused eth0"]);
}

#[test]
fn a_name_that_does_not_resolve_is_unknown() {
    let seen = asked(Err(TargetError::Unknown("no such name".into())));
    assert_eq!(faults(&seen), ["problem target-unknown"]);
}

#[test]
fn this_host_as_a_target_is_fine_if_it_answers() {
    let seen = asked(Ok(TargetHost {
        is_here: true,
        experiments: Experiments::default(),
        ..target()
    }));
    assert_eq!(faults(&seen), [""; 0]);
}
