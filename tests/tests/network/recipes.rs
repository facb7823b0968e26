//! The recipes of docs/networks.md that need more than one network. A comment names what a test
//! stands for.

use std::path::Path;
use std::process::Command;

use udp_discovery_server::{Allow, Config};
use udp_discovery_tests::lab::{self, Host, Lab, Process};

use crate::endpoints::{ENOUGH, Serving, lacks, lasting, search, wait_until};
use crate::targets::{behind_a_router, targets};

/// Runs the lines of the recipe `name` in docs/networks.md on a host: a set of nftables rules.
fn nft_recipe(host: &Host, name: &str) {
    host.nft(&recipe(name));
}

/// The code block of docs/networks.md that follows the comment `<!-- name -->`.
fn recipe(name: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/networks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page
        .split_once(&format!("<!-- recipe: {name} -->"))
        .unwrap_or_else(|| panic!("no recipe {name}"));
    let mut parts = rest.split("```");
    let block = parts.nth(1).expect("a code block follows");
    let (_language, code) = block.split_once('\n').unwrap();
    code.to_owned()
}

fn allowing(networks: &str) -> Config {
    Config::default().with_allow(Allow::Networks(vec![networks.parse().unwrap()]))
}

/// A router that passes broadcasts on.
#[test]
fn a_router_that_passes_broadcasts_on_leads_to_the_address_of_the_server() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| {
        let [client, _neighbour, far, router] = behind_a_router();
        let _server = Serving::on(&far, allowing("10.77.1.0/24").with_advertise_port(8000));
        assert!(search(&client, lasting(ENOUGH)).texts().is_empty());
        nft_recipe(&router, "relay");
        for interface in ["all", "eth0", "eth1"] {
            let setting = format!("/proc/sys/net/ipv4/conf/{interface}/bc_forwarding");
            router.run(|| std::fs::write(setting, "1")).unwrap();
        }
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.2.2:8000"]);
        assert_eq!(found.servers[0].claimed_ip.to_string(), "10.77.2.2");
    });
}

/// A host, 10.77.1.2, with a bridge, 10.77.9.1, and a container on it, 10.77.9.2, whose port 9999 is
/// published. A client, 10.77.1.1, on the network of the host.
fn container() -> [Host; 3] {
    let lab = Lab::new();
    let network = lab.network("lan", "10.77.1.0/24");
    let bridge = lab.network("bridge", "10.77.9.0/24");
    let [client, host, container] = ["client", "host", "container"].map(|name| lab.host(name));
    client.join(&network, "eth0", "10.77.1.1/24");
    host.join(&network, "eth0", "10.77.1.2/24");
    host.join(&bridge, "br-0123456789ab", "10.77.9.1/24");
    container.join(&bridge, "eth0", "10.77.9.2/24");
    container.ip("route add default via 10.77.9.1");
    host.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    [client, host, container]
}

/// What Docker's userland proxy does: it has the port of the host, and passes datagrams on from an
/// address of its own.
fn proxy(host: &Host) -> Process {
    let mut command = Command::new("socat");
    command.args(["UDP4-RECVFROM:9999,fork", "UDP4:10.77.9.2:9999"]);
    let process = host.spawn(command);
    wait_until("the proxy", || {
        host.run(|| std::fs::read_to_string("/proc/thread-self/net/udp"))
            .unwrap()
            .contains(":270F")
    });
    process
}

/// A container on a bridge network with a published port.
#[test]
fn a_container_with_a_published_port_is_found_if_it_names_the_address_of_its_host() {
    if lacks(&["socat"]) {
        return;
    }
    lab::run(|| {
        let [client, host, container] = container();
        let _proxy = proxy(&host);
        let silent = Serving::on(&container, Config::default());
        // The search does not use the address of the bridge.
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2"]);
        assert_eq!(found.servers[0].claimed_ip.to_string(), "10.77.9.2");
        drop(silent);
        let advertised = "10.77.1.2".parse().unwrap();
        let config = Config::default().with_advertise_ip(advertised).unwrap();
        let _server = Serving::on(&container, config.with_advertise_port(8000));
        let found = search(&client, lasting(ENOUGH));
        assert_eq!(found.texts(), ["10.77.1.2:8000"]);
        assert_eq!(found.servers[0].claimed_ip.to_string(), "10.77.1.2");
    });
}

/// The same where the kernel translates addresses and there is no proxy: broadcasts do not arrive.
#[test]
fn a_container_behind_address_translation_is_found_as_a_target_if_it_allows_the_clients() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| {
        let [client, host, container] = container();
        host.nft(
            "table ip publish {
                chain prerouting {
                    type nat hook prerouting priority dstnat;
                    fib daddr type local udp dport 9999 dnat to 10.77.9.2
                }
            }",
        );
        let advertised = "10.77.1.2".parse().unwrap();
        let config = allowing("10.77.1.0/24")
            .with_advertise_ip(advertised)
            .unwrap();
        let _server = Serving::on(&container, config);
        assert!(search(&client, lasting(ENOUGH)).texts().is_empty());
        let config = lasting(ENOUGH).with_targets(targets(["10.77.1.2"]));
        assert_eq!(search(&client, config).texts(), ["10.77.1.2"]);
    });
}
