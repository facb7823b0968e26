//! The hosts and networks of the soak, and their addresses.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::watcher::{LOSS, WATCHED};
use crate::lab::raw::MacAddress;
use crate::lab::{Host, Lab, Network, have};

/// How many networks the server is on.
pub(super) const NETWORKS: usize = 3;
/// How many addresses come and go on each network: 500 in all.
pub(super) const ALIASES: [u8; NETWORKS] = [167, 167, 166];
/// How many sources of each kind are forged on each network. Each has an entry in the neighbour
/// table, which all namespaces of a machine share.
pub(super) const FORGED: u8 = 32;
/// The server's port.
pub(super) const PORT: u16 = 9999;

const SERVER: u8 = 1;
const CLIENT: u8 = 2;
const MULTI_HOMED: u8 = 3;
const ASKER: u8 = 4;
const ATTACKER: u8 = 5;

/// The hosts and networks. The interface that leads to network 1 is `eth1` on every host.
pub(super) struct Topology {
    pub(super) networks: Vec<Network>,
    pub(super) server: Host,
    /// One on each network.
    pub(super) clients: Vec<Host>,
    /// A client on all of them.
    pub(super) multi_homed: Host,
    /// One on each network.
    pub(super) askers: Vec<Host>,
    /// On all of them.
    pub(super) attacker: Host,
    /// On a network of their own: servers that never stop, and a host that loses packets.
    pub(super) watched: Vec<Host>,
    pub(super) watcher: Host,
}

impl Topology {
    pub(super) fn new() -> Self {
        let lab = Lab::new();
        let topology = Self {
            networks: (0..NETWORKS)
                .map(|network| lab.network(&format!("net{network}"), &subnet(network)))
                .collect(),
            server: lab.host("server"),
            clients: (0..NETWORKS).map(|_| lab.host("client")).collect(),
            multi_homed: lab.host("multi-homed"),
            askers: (0..NETWORKS).map(|_| lab.host("asker")).collect(),
            attacker: lab.host("attacker"),
            watched: (0..WATCHED).map(|_| lab.host("watched")).collect(),
            watcher: lab.host("watcher"),
        };
        let network = lab.network("lossy", "10.77.64.0/24");
        for (number, host) in (2..).zip(&topology.watched) {
            host.join(&network, "eth0", &format!("10.77.64.{number}/24"));
        }
        topology.watcher.join(&network, "eth0", "10.77.64.1/24");
        if have("nft") {
            topology.watcher.loss(LOSS);
        }
        for network in 0..NETWORKS {
            topology.join(&topology.server, network, SERVER);
            topology.join(&topology.clients[network], network, CLIENT);
            topology.join(&topology.multi_homed, network, MULTI_HOMED);
            topology.join(&topology.askers[network], network, ASKER);
            topology.join(&topology.attacker, network, ATTACKER);
        }
        // When the first address of a network is removed, the next one takes its place. Otherwise
        // the kernel would remove all addresses of that network.
        topology.server.run(|| {
            let path = "/proc/sys/net/ipv4/conf/all/promote_secondaries";
            fs::write(path, "1").expect("a host's settings can be written");
        });
        topology.add_forged_addresses();
        topology.add_neighbours();
        topology
    }

    /// The Ethernet address of the server on a network.
    pub(super) fn server_mac(&self, network: usize) -> MacAddress {
        self.server.raw(&interface(network)).mac()
    }

    /// The link-local IPv6 address of the server on a network.
    pub(super) fn server_link_local(&self, network: usize) -> Ipv6Addr {
        let interface = interface(network);
        let output = self.server.ip(&format!(
            "-6 -oneline address show dev {interface} scope link"
        ));
        // 2: eth0    inet6 fe80::1/64 scope link ..
        let mut words = output.split_whitespace();
        let address = words.nth(3).and_then(|it| it.split('/').next());
        let address = address.unwrap_or_else(|| panic!("{interface} has no address: {output:?}"));
        address.parse().expect("ip prints addresses")
    }

    fn join(&self, host: &Host, network: usize, number: u8) {
        let address = format!("{}/20", address(network, number));
        host.join(&self.networks[network], &interface(network), &address);
    }

    fn add_forged_addresses(&self) {
        for network in 0..NETWORKS {
            let interface = interface(network);
            let entry = |number| {
                let ip = forged_address(network, number);
                format!("address add {ip}/32 dev {interface}\n")
            };
            let batch: String = (1..=FORGED).map(entry).collect();
            self.attacker.ip_batch(&batch);
        }
    }

    /// Adds permanent neighbour entries for the server's addresses to the askers, so that they
    /// don't resolve each address, which would fill the neighbour table.
    fn add_neighbours(&self) {
        for (network, aliases) in ALIASES.into_iter().enumerate() {
            let mac = self.server_mac(network);
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let interface = interface(network);
            let entry = |alias| {
                let ip = alias_address(network, alias).0;
                format!("neigh add {ip} lladdr {mac} dev {interface} nud permanent\n")
            };
            let batch: String = (0..aliases).map(entry).collect();
            self.askers[network].ip_batch(&batch);
        }
    }
}

/// The interface that leads to a network.
pub(super) fn interface(network: usize) -> String {
    format!("eth{network}")
}

/// The network that an interface leads to.
pub(super) fn network_of(interface: &str) -> Option<usize> {
    (0..NETWORKS).find(|&network| self::interface(network) == interface)
}

fn subnet(network: usize) -> String {
    format!("{}/20", address(network, 0))
}

/// The hosts of a network have the first addresses of its /20.
fn address(network: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, third_octet(network), number)
}

fn third_octet(network: usize) -> u8 {
    u8::try_from(16 * (network + 1)).expect("there are few networks")
}

/// The first address of the server's host on a network, which it loses only for moments.
pub(super) fn server_address(network: usize) -> Ipv4Addr {
    address(network, SERVER)
}

pub(super) fn asker_address(network: usize) -> Ipv4Addr {
    address(network, ASKER)
}

/// The directed broadcast address of a network.
pub(super) fn broadcast_address(network: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, third_octet(network) + 15, 255)
}

/// An address on the network that the attacker has too, so that answers to it arrive.
pub(super) fn forged_address(network: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, third_octet(network) + 14, number)
}

/// An address on the network that no host has: answers wait until the kernel gives up resolving it.
pub(super) fn absent_address(network: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, third_octet(network) + 13, number)
}

/// An address of the server's host that comes and goes, and its prefix length: the network's, one
/// bit more, or 32.
pub(super) fn alias_address(network: usize, alias: u8) -> (Ipv4Addr, u8) {
    let ip = Ipv4Addr::new(10, 77, third_octet(network) + 1, alias + 1);
    let prefix_len = match alias % 5 {
        0 => 32,
        1 => 21,
        _ => 20,
    };
    (ip, prefix_len)
}

/// The server's port at an address.
pub(super) fn at(ip: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(ip, PORT)
}
