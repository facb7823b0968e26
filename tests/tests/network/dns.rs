//! Services in the DNS, with a real DNS server: Knot.

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::process::Command;
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, DiscoverError, Origin};
use udp_discovery_server::Config as ServerConfig;
use udp_discovery_tests::lab::{self, Host, Process};

use crate::endpoints::{ENOUGH, LENIENCE, SOON, Serving, lacks, lasting, pair, search};
use crate::mounts::{mount, private_run};
use crate::targets::targets;

/// How many instances `_many._tcp.example.test` has.
const MANY: usize = 400;

/// What the DNS server knows of `example.test`. A name without a dot at its end is within it.
const ZONE: &str = r#"$ORIGIN example.test.
$TTL 60
@ SOA ns admin 1 3600 600 86400 60
@ NS ns
ns A 10.77.1.2
_http._tcp PTR my\.\ printer._http._tcp
_http._tcp PTR second._http._tcp
my\.\ printer._http._tcp SRV 0 0 8000 host1
my\.\ printer._http._tcp TXT "version=1.2" "path=/a b"
second._http._tcp SRV 0 0 8001 host2
second._http._tcp TXT ""
host1 A 10.77.1.7
host1 AAAA fd00:77::7
host2 AAAA fd00:77::8
_web._tcp.service SRV 2 1 9002 node2
_web._tcp.service SRV 1 1 9001 node1
node1 A 10.77.1.11
node2 A 10.77.1.12
_near._tcp SRV 0 0 8000 near
near A 10.77.1.2
"#;

/// Starts the DNS server on a host, and makes the test use it. The files are in a folder that only this
/// test sees, as are its mounts.
fn serve_dns(host: &Host, address: &str) -> Process {
    private_run();
    for folder in ["/run/knot", "/run/knot/db"] {
        fs::create_dir_all(folder).unwrap();
    }
    let config = format!(
        "server:\n  rundir: /run/knot\n  listen: {address}@53\n\
         database:\n  storage: /run/knot/db\n\
         log:\n  - target: stderr\n    any: info\n\
         zone:\n  - domain: example.test\n    storage: /run/knot\n    file: zone\n"
    );
    let mut zone = ZONE.to_owned();
    for port in 1..=MANY {
        let instance = format!("instance-with-a-long-name-{port}._many._tcp");
        let _ = writeln!(zone, "_many._tcp PTR {instance}");
        let _ = writeln!(zone, "{instance} SRV 0 0 {port} host1");
    }
    fs::write("/run/knot/zone", zone).unwrap();
    fs::write("/run/knot/conf", config).unwrap();
    use_dns_server(address);
    let mut command = Command::new("knotd");
    command.args(["-c", "/run/knot/conf"]);
    let process = host.spawn(command);
    process.wait_for_line("server started", SOON);
    process
}

/// Makes this test ask the DNS server at `address`.
fn use_dns_server(address: &str) {
    fs::write("/run/resolv.conf", format!("nameserver {address}\n")).unwrap();
    mount(&["--bind", "/run/resolv.conf", "/etc/resolv.conf"]);
}

fn dns(timeout: u64, service: &str) -> Config {
    let target = format!("dns:{service}");
    lasting(timeout)
        .with_targets(targets([target.as_str()]))
        .with_broadcast(false)
}

#[test]
fn the_instances_of_a_service_are_found_with_their_ports_properties_and_addresses() {
    if lacks(&["knotd"]) {
        return;
    }
    lab::run(|| {
        let [client, server] = pair();
        let _dns = serve_dns(&server, "10.77.1.2");
        let start = Instant::now();
        let found = search(&client, dns(20_000, "_http._tcp.example.test"));
        // Nothing more is to come, so it does not wait for the deadline.
        assert!(start.elapsed() < SOON);
        assert_eq!(found.texts(), ["10.77.1.7:8000", "[fd00:77::8]:8001"]);
        let mut servers = found.servers;
        servers.sort_by_key(|it| it.port);
        let printer = &servers[0];
        assert_eq!(printer.origin, Origin::Dns);
        assert_eq!(printer.name.as_deref(), Some("my. printer"));
        assert_eq!(printer.property("version"), Some("1.2"));
        assert_eq!(printer.property("path"), Some("/a b"));
        let endpoints: Vec<_> = printer
            .endpoints
            .iter()
            .map(|it| it.ip.to_string())
            .collect();
        assert_eq!(endpoints, ["10.77.1.7", "fd00:77::7"]);
        assert!(printer.source.is_none() && printer.raw.is_none() && printer.rtt.is_none());
        assert!(!printer.verified && printer.id.is_none());
        assert_eq!(servers[1].name.as_deref(), Some("second"));
        let [engine] = found.report.engines.try_into().unwrap();
        assert_eq!((engine.found, engine.ended, engine.error), (2, true, None));
    });
}

/// As Consul and Kubernetes answer.
#[test]
fn a_service_without_instances_is_found_by_its_own_srv_records() {
    if lacks(&["knotd"]) {
        return;
    }
    lab::run(|| {
        let [client, server] = pair();
        let _dns = serve_dns(&server, "10.77.1.2");
        let found = search(&client, dns(20_000, "_web._tcp.service.example.test"));
        assert_eq!(found.texts(), ["10.77.1.11:9001", "10.77.1.12:9002"]);
        let mut names: Vec<_> = found
            .servers
            .iter()
            .filter_map(|it| it.name.as_deref())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["node1.example.test", "node2.example.test"]);
    });
}

/// The PTR records do not fit a datagram.
#[test]
fn hundreds_of_instances_are_found_by_tcp() {
    if lacks(&["knotd"]) {
        return;
    }
    lab::run(|| {
        let [client, server] = pair();
        let _dns = serve_dns(&server, "10.77.1.2");
        let found = search(&client, dns(30_000, "_many._tcp.example.test"));
        assert_eq!(found.servers.len(), MANY);
        let config =
            dns(30_000, "_many._tcp.example.test").with_expect(NonZeroUsize::new(7).unwrap());
        assert_eq!(search(&client, config).servers.len(), 7);
    });
}

#[test]
fn a_server_that_answers_and_is_in_the_dns_is_one_with_the_origin_that_was_first() {
    if lacks(&["knotd"]) {
        return;
    }
    lab::run(|| {
        let [client, server] = pair();
        let _dns = serve_dns(&server, "10.77.1.2");
        let config = ServerConfig::default().with_advertise_port(8000);
        let _serving = Serving::on(&server, config);
        let asked = dns(ENOUGH, "_near._tcp.example.test").with_broadcast(true);
        let found = search(&client, asked);
        assert_eq!(found.texts(), ["10.77.1.2:8000"]);
        let engine = &found.report.engines[0];
        assert_eq!((engine.found, found.report.counts.accepted), (1, 1));
    });
}

/// FAULTS R54
#[test]
fn fault_54_a_dns_server_that_is_down_or_silent_ends_the_search_in_time_and_is_told() {
    lab::run(|| {
        let [client, server] = pair();
        private_run();
        use_dns_server("10.77.1.2");
        let down = || dns(400, "_http._tcp.example.test");
        let told = |error| match error {
            DiscoverError::Engine { service, .. } => assert_eq!(service, "_http._tcp.example.test"),
            error => panic!("{error}"),
        };
        let start = Instant::now();
        told(client.run(|| Client::new(down()).discover()).unwrap_err());
        let _silent = server.run(|| UdpSocket::bind("10.77.1.2:53")).unwrap();
        told(client.run(|| Client::new(down()).discover()).unwrap_err());
        assert!(start.elapsed() < Duration::from_millis(800) + LENIENCE);
        // The rest of the search works.
        let _serving = Serving::on(&server, ServerConfig::default());
        let found = search(
            &client,
            dns(ENOUGH, "_http._tcp.example.test").with_broadcast(true),
        );
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert!(found.report.engines[0].error.is_some());
    });
}
