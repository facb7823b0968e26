//! Sweeps of whole networks, on the link and behind a router.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, DiscoveredServer};
use udp_discovery_server as server;
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{ENOUGH, FakeServer, REQUEST, Serving, lacks, lasting, pair, search};
use crate::targets::{behind_a_router, targets};

/// A search that lasts long enough for any sweep here and ends with this many servers.
fn sweep<const N: usize>(networks: [&str; N], servers: usize) -> Config {
    Config::default()
        .with_timeout(Duration::from_secs(60))
        .with_targets(targets(networks))
        .with_broadcast(false)
        .with_expect(NonZeroUsize::new(servers).unwrap())
}

/// Has `host` hold every address of `network`, and drop what is sent to others than `live`.
fn hold(host: &Host, network: &str, live: &[String]) {
    host.ip(&format!("route add local {network} dev lo"));
    let live = live.join(",");
    host.nft(&format!(
        "table ip held {{\n\
         set live {{\ntype ipv4_addr\nelements = {{ {live} }}\n}}\n\
         chain input {{\n\
         type filter hook input priority 0\n\
         iifname != lo ip daddr {network} ip daddr != @live drop\n\
         }}\n}}\n"
    ));
}

/// A server that answers any client for every address of its host.
fn serve_all(host: &Host) -> Serving {
    let config = server::Config::default()
        .with_allow(server::Allow::Any)
        .with_rate_limit(None);
    Serving::on(host, config)
}

/// Asserts that 500 servers among the 65,534 addresses behind a router are found at this pace.
fn find_500_behind_a_router(pace: u32) {
    let [client, _neighbour, far, router] = behind_a_router();
    router.ip("route add 10.15.0.0/16 via 10.77.2.2");
    let live: Vec<String> = (0..500)
        .map(|number| format!("10.15.{}.{}", number * 13 % 256, number * 7 % 250 + 2))
        .collect();
    hold(&far, "10.15.0.0/16", &live);
    let _servers = serve_all(&far);
    let config = sweep(["10.15.0.0/16"], live.len()).with_pace(NonZeroU32::new(pace).unwrap());
    let found = search(&client, config.with_probes(NonZeroU8::new(2).unwrap()));
    let ips: HashSet<String> = found
        .servers
        .iter()
        .map(DiscoveredServer::ip_text)
        .collect();
    assert_eq!(ips, live.into_iter().collect());
    let report = &found.report.targets[0];
    assert_eq!((report.addresses, report.answered), (65_534, 500));
}

/// Asserts that 100 servers on the link are found in 10.77.0.0 with this prefix, while the client meets
/// at least `meetings` hosts that it has not spoken to before.
fn find_100_on_the_link(prefix_len: u8, meetings: u8) {
    let lab = Lab::new();
    let network = lab.network("net0", "10.77.0.0/16");
    let client = lab.host("client");
    client.join(&network, "eth0", "10.77.0.1/16");
    let many = lab.host("many");
    many.join(&network, "eth0", "10.77.77.1/16");
    let live: Vec<String> = (0..100_u32)
        .map(|number| 0x0a4d_000a + number * ((1 << (32 - prefix_len)) / 101))
        .map(|address| std::net::Ipv4Addr::from(address).to_string())
        .collect();
    let add = live.iter().map(|ip| format!("addr add {ip}/32 dev eth0\n"));
    many.ip_batch(&add.collect::<String>());
    let _servers = serve_all(&many);
    let others: Vec<(Host, FakeServer)> = (1..=meetings)
        .map(|number| {
            let other = lab.host(&format!("other{number}"));
            other.join(&network, "eth0", &format!("10.77.99.{number}/16"));
            let echo = FakeServer::on(&other, |socket, client| {
                socket.send_to(b"echo", client).unwrap();
            });
            (other, echo)
        })
        .collect();

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sweeping = scope.spawn(|| {
            let target = format!("10.77.0.0/{prefix_len}");
            let found = search(&client, sweep([&target], live.len()));
            over.store(true, Ordering::Relaxed);
            found
        });
        for number in 1..=others.len() {
            client.run(|| meet(&format!("10.77.99.{number}:9999")));
            // Of 1,021 addresses 341 may be silent within 3 s, so a sweep takes 6 s at least.
            assert!(!over.load(Ordering::Relaxed), "the sweep was too fast");
            std::thread::park_timeout(Duration::from_millis(500));
        }
        let found = sweeping.join().unwrap();
        let ips: HashSet<String> = found
            .servers
            .iter()
            .map(DiscoveredServer::ip_text)
            .collect();
        assert_eq!(ips, live.iter().cloned().collect());
    });
}

#[test]
fn of_65534_addresses_behind_a_router_the_500_servers_are_found() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| find_500_behind_a_router(20_000));
}

/// FAULTS R45
#[test]
fn a_sweep_of_the_link_finds_every_server_while_other_traffic_goes_on() {
    lab::run(|| find_100_on_the_link(22, 4));
}

#[test]
#[ignore = "it takes half a minute, at the default pace"]
fn of_65534_addresses_the_500_servers_are_found_at_the_default_pace() {
    lab::run(|| find_500_behind_a_router(2000));
}

#[test]
#[ignore = "it takes half a minute"]
fn a_sweep_of_4094_addresses_on_the_link_finds_every_server_while_other_traffic_goes_on() {
    lab::run(|| find_100_on_the_link(20, 40));
}

/// Reaches a host that this one has not spoken to before.
fn meet(address: &str) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.send_to(REQUEST, address).unwrap();
    let mut buffer = [0; 8];
    let (len, _) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"echo");
}

#[test]
fn a_network_of_ipv6_is_swept() {
    lab::run(|| {
        let [client, server] = pair();
        for (host, number) in [(&client, 1), (&server, 0xe7)] {
            host.add_ipv6("eth0", &format!("fd00:77::{number:x}/120"));
        }
        let _server = Serving::on(&server, server::Config::default());
        let found = search(&client, sweep(["fd00:77::/120"], 1));
        assert_eq!(found.texts(), ["[fd00:77::e7]"]);
        let report = &found.report.targets[0];
        assert_eq!(
            (report.addresses, report.answered),
            (254, 1),
            "without ours"
        );
    });
}

/// FAULTS R48
#[test]
fn addresses_that_answered_are_asked_first_the_next_time_even_without_a_target() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| {
        let [client, _neighbour, far, router] = behind_a_router();
        router.ip("route add 10.15.0.0/20 via 10.77.2.2");
        let live = ["10.15.15.7".to_owned()];
        hold(&far, "10.15.0.0/20", &live);
        let _servers = serve_all(&far);
        let file = File::new("remembered");
        let first = sweep(["10.15.0.0/20"], 1)
            .with_pace(NonZeroU32::new(20_000).unwrap())
            .with_remember(&file.0);
        // Two at once write it.
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert_eq!(search(&client, first.clone()).texts(), live));
            }
        });
        let again = lasting(ENOUGH).with_first(true).with_remember(&file.0);
        let start = Instant::now();
        let found = search(&client, again.with_broadcast(false));
        assert_eq!(found.texts(), live);
        assert!(start.elapsed() < Duration::from_millis(ENOUGH));
        let remembered = found.report.remembered.unwrap();
        assert_eq!((remembered.addresses, remembered.answered), (1, 1));
        assert!(remembered.error.is_none());
    });
}

/// FAULTS R48
#[test]
fn a_remembered_file_that_cannot_be_used_is_a_note_in_the_report() {
    lab::run(|| {
        let [client, server] = pair();
        let _server = FakeServer::saying(&server, "SERVER_IP:10.77.1.2");
        let file = File::new("broken");
        std::fs::write(&file.0, "10.77.1.2:9999\n").unwrap();
        let found = search(
            &client,
            lasting(ENOUGH).with_first(true).with_remember(&file.0),
        );
        assert_eq!(found.texts(), ["10.77.1.2"]);
        let unread = found.report.remembered.unwrap();
        let error = unread.error.unwrap().to_string();
        assert!(
            error.contains("does not begin with the name of the format"),
            "{error}"
        );
        let folder = file.0.join("known");
        let found = search(
            &client,
            lasting(ENOUGH).with_first(true).with_remember(&folder),
        );
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert!(
            client
                .run(|| Client::new(Config::default().with_remember(folder)).discover_one())
                .is_ok()
        );
    });
}

/// FAULTS R46
#[test]
fn our_own_addresses_and_what_several_targets_cover_are_asked_once_or_not_at_all() {
    lab::run(|| {
        let [client, server] = pair();
        let received = FakeServer::saying(&server, "SERVER_IP:10.77.1.2");
        let all = ["10.77.1.0/29", "10.77.1.0/28", "10.77.1.2", "10.77.1.1"];
        let config = lasting(ENOUGH)
            .with_targets(targets(all))
            .with_broadcast(false)
            .with_probes(NonZeroU8::MIN);
        let found = search(&client, config);
        assert_eq!(found.texts(), ["10.77.1.2"]);
        let asked: Vec<u32> = found.report.targets.iter().map(|it| it.asked).collect();
        // .1 to .7, then .8 to .15; the hosts count for the first network.
        assert_eq!(asked, [7, 8, 0, 0]);
        assert!(found.report.counts.duplicates == 0);
        drop(received);
    });
}

/// A file in the temporary folder, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("udp-discovery-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It may not exist.
        let _ = std::fs::remove_file(&self.0);
    }
}
