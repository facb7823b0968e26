//! Multicast DNS beside avahi.

use std::fs;
use std::num::NonZeroU16;
use std::process::Command;
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, Origin};
use udp_discovery_server::Config as ServerConfig;
use udp_discovery_server::mdns::{AnnounceError, AnnouncementEvent, Service};
use udp_discovery_tests::lab::{self, Host, Process};

use crate::endpoints::{ENOUGH, SOON, Serving, lacks, lasting, pair, search, wait_until};
use crate::mounts::{mount, private_run};

/// Where avahi and its clients meet.
const BUS: &str = "unix:path=/run/bus";

/// Avahi on a host, with the message bus that it needs.
struct Avahi<'a> {
    host: &'a Host,
    _processes: [Process; 2],
}

impl<'a> Avahi<'a> {
    fn on(host: &'a Host) -> Self {
        private_run();
        // Avahi looks its user up, which has no id in the namespace of an unprivileged user.
        for (file, text) in [
            ("passwd", "root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\n"),
            ("group", "root:x:0:\navahi:x:0:\nnetdev:x:0:\n"),
        ] {
            let own = format!("/run/{file}");
            fs::write(&own, text).unwrap();
            mount(&["--bind", &own, &format!("/etc/{file}")]);
        }
        fs::write(
            "/run/avahi.conf",
            "[server]\nhost-name=printer\nuse-ipv6=no\n",
        )
        .unwrap();
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile", "--print-address"]);
        let bus = host.spawn(with_bus(bus.arg(format!("--address={BUS}"))));
        bus.wait_for_line("unix:", SOON);
        let mut daemon = Command::new("avahi-daemon");
        daemon.args([
            "-f",
            "/run/avahi.conf",
            "--no-drop-root",
            "--no-chroot",
            "--no-rlimits",
        ]);
        let daemon = host.spawn(with_bus(&mut daemon));
        daemon.wait_for_line("startup complete", SOON);
        Self {
            host,
            _processes: [bus, daemon],
        }
    }

    /// Announces a service, until it is dropped.
    fn publish(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new("avahi-publish");
        let process = self.host.spawn(with_bus(command.arg("-s").args(arguments)));
        process.wait_for_line("Established", SOON);
        process
    }

    /// What `avahi-browse` has resolved of a type of service.
    fn browse(&self, kind: &str) -> Vec<String> {
        let mut command = Command::new("avahi-browse");
        let mut process = self.host.spawn(with_bus(command.args(["-rpt", kind])));
        process.wait(SOON);
        let lines = process.stdout().into_iter();
        lines.filter(|line| line.starts_with("=;eth0")).collect()
    }
}

fn with_bus(command: &mut Command) -> Command {
    let mut with_bus = Command::new(command.get_program());
    with_bus
        .args(command.get_args())
        .env("DBUS_SYSTEM_BUS_ADDRESS", BUS);
    with_bus
}

fn browsing(timeout: u64) -> Config {
    lasting(timeout).with_mdns(["_http._tcp".parse().unwrap()])
}

fn printer(name: &str) -> Service {
    let port = NonZeroU16::new(8000).unwrap();
    Service::new("_http._tcp".parse().unwrap(), name, port).with_property("version", "1.2")
}

#[test]
fn what_avahi_announces_is_found() {
    if lacks(&["avahi-browse", "avahi-daemon", "dbus-daemon"]) {
        return;
    }
    lab::run(|| {
        let [client, server] = pair();
        let avahi = Avahi::on(&server);
        let _service =
            avahi.publish(&["Scanner \"3\"", "_http._tcp", "8001", "version=1.2", "flag"]);
        let config = browsing(20_000).with_broadcast(false).with_first(true);
        let found = search(&client, config);
        assert_eq!(found.texts(), ["10.77.1.2:8001"]);
        let scanner = &found.servers[0];
        assert_eq!(scanner.origin, Origin::Mdns);
        assert_eq!(scanner.name.as_deref(), Some("Scanner \"3\""));
        assert_eq!(scanner.property("version"), Some("1.2"));
        assert_eq!(scanner.property("flag"), Some(""));
        assert!(scanner.source.is_none() && !scanner.verified);
    });
}

#[test]
fn avahi_finds_what_is_announced_until_it_is_taken_back() {
    if lacks(&["avahi-browse", "avahi-daemon", "dbus-daemon"]) {
        return;
    }
    lab::run(|| {
        let [client, server] = pair();
        let avahi = Avahi::on(&client);
        let announcement = server
            .run(|| printer("Printer, 2nd. floor").announce(|event| panic!("{event}")))
            .unwrap();
        wait_until("the announcement", || {
            !avahi.browse("_http._tcp").is_empty()
        });
        let found = avahi.browse("_http._tcp");
        assert_eq!(found.len(), 1, "{found:?}");
        // It escapes in decimal.
        for part in [
            r"Printer\044\0322nd\.\032floor",
            ";10.77.1.2;8000;",
            "\"version=1.2\"",
        ] {
            assert!(found[0].contains(part), "{found:?}");
        }
        server.run(|| drop(announcement));
        wait_until("the end of it", || avahi.browse("_http._tcp").is_empty());
    });
}

#[test]
fn a_server_that_answers_and_announces_itself_is_one() {
    lab::run(|| {
        let [client, server] = pair();
        let config = ServerConfig::default().with_advertise_port(8000);
        let _serving = Serving::on(&server, config);
        let _announcement = server
            .run(|| printer("Printer, 2nd. floor").announce(|event| panic!("{event}")))
            .unwrap();
        let found = search(&client, browsing(3 * ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2:8000"]);
        let engine = &found.report.engines[0];
        assert!(engine.found > 0, "{engine:?}");
        // The announcement has what the answer lacks, whichever comes first.
        let servers = client.run(|| Client::new(browsing(3 * ENOUGH)).discover());
        let name = servers.unwrap()[0].name.clone();
        assert_eq!(name.as_deref(), Some("Printer, 2nd. floor"));
    });
}

/// FAULTS R55
#[test]
fn fault_55_a_taken_port_of_multicast_dns_is_told_and_the_rest_works() {
    lab::run(|| {
        let [client, server] = pair();
        let _serving = Serving::on(&server, ServerConfig::default());
        let hosts = [&client, &server];
        let _own = hosts.map(|host| {
            host.run(|| std::net::UdpSocket::bind("0.0.0.0:5353"))
                .unwrap()
        });
        let found = search(&client, browsing(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2"]);
        let engine = &found.report.engines[0];
        let error = engine.error.as_deref().unwrap();
        assert!(engine.ended && error.contains("5353"), "{engine:?}");
        let error = server
            .run(|| printer("Printer, 2nd. floor").announce(|_| {}))
            .unwrap_err();
        assert!(matches!(error, AnnounceError::Port { .. }), "{error}");
    });
}

/// FAULTS R55
#[test]
fn fault_55_without_anybody_who_answers_the_search_ends_at_its_deadline() {
    lab::run(|| {
        let [client, _] = pair();
        let start = Instant::now();
        let found = search(&client, browsing(500).with_broadcast(false));
        assert!(found.servers.is_empty());
        assert!(start.elapsed() < Duration::from_secs(3));
        assert_eq!(found.report.engines[0].error, None);
    });
}

/// FAULTS R55
#[test]
fn fault_55_a_name_that_another_host_has_is_changed_and_told() {
    if lacks(&["avahi-browse", "avahi-daemon", "dbus-daemon"]) {
        return;
    }
    lab::run(|| {
        let [client, server] = pair();
        let avahi = Avahi::on(&client);
        let _first = avahi.publish(&["Printer", "_http._tcp", "1"]);
        let (sender, events) = std::sync::mpsc::channel();
        let _second = server
            .run(|| printer("Printer").announce(move |event| drop(sender.send(event))))
            .unwrap();
        let event = events.recv_timeout(SOON).unwrap();
        let AnnouncementEvent::Renamed { new, .. } = event else {
            panic!("{event}");
        };
        assert!(new.starts_with("Printer (2)"), "{new}");
    });
}
