//! The hosts and networks of the soak, and their addresses.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::lab::raw::MacAddress;
use crate::lab::{Host, Lab, Network};

/// How many networks the server is on.
pub(super) const NETWORKS: usize = 3;
/// How many addresses come and go on each network: 500 in all.
pub(super) const ALIASES: [u8; NETWORKS] = [167, 167, 166];
/// How many sources of each kind are forged on each network: each takes a place in the neighbour
/// table of the server's host, which all namespaces of a machine share.
pub(super) const FORGED: u8 = 32;
/// The port that is asked.
pub(super) const PORT: u16 = 9999;

const SERVER: u8 = 1;
const CLIENT: u8 = 2;
const WANDERER: u8 = 3;
const ASKER: u8 = 4;
const ATTACKER: u8 = 5;

/// The hosts and networks. The interface that leads to network 1 is `eth1` on every host.
pub(super) struct World {
    pub(super) networks: Vec<Network>,
    pub(super) server: Host,
    /// One on each network.
    pub(super) clients: Vec<Host>,
    /// A client on all of them.
    pub(super) wanderer: Host,
    /// One on each network.
    pub(super) askers: Vec<Host>,
    /// On all of them.
    pub(super) attacker: Host,
}

impl World {
    pub(super) fn new() -> Self {
        let lab = Lab::new();
        let world = Self {
            networks: (0..NETWORKS)
                .map(|network| lab.network(&format!("net{network}"), &subnet(network)))
                .collect(),
            server: lab.host("server"),
            clients: (0..NETWORKS).map(|_| lab.host("client")).collect(),
            wanderer: lab.host("wanderer"),
            askers: (0..NETWORKS).map(|_| lab.host("asker")).collect(),
            attacker: lab.host("attacker"),
        };
        for network in 0..NETWORKS {
            world.join(&world.server, network, SERVER);
            world.join(&world.clients[network], network, CLIENT);
            world.join(&world.wanderer, network, WANDERER);
            world.join(&world.askers[network], network, ASKER);
            world.join(&world.attacker, network, ATTACKER);
        }
        // When the first address of a network goes, the next one takes its place: without this
        // all the others of that network would go with it.
        world.server.run(|| {
            let path = "/proc/sys/net/ipv4/conf/all/promote_secondaries";
            fs::write(path, "1").expect("a host's settings can be written");
        });
        world.give_attacker_its_addresses();
        world.introduce();
        world
    }

    /// The Ethernet address of the server on a network.
    pub(super) fn server_mac(&self, network: usize) -> MacAddress {
        self.server.raw(&interface(network)).mac()
    }

    fn join(&self, host: &Host, network: usize, number: u8) {
        let address = format!("{}/20", address(network, number));
        host.join(&self.networks[network], &interface(network), &address);
    }

    fn give_attacker_its_addresses(&self) {
        for network in 0..NETWORKS {
            let interface = interface(network);
            let entry = |number| {
                let ip = forged_address(network, number);
                format!("address add {ip}/32 dev {interface}\n")
            };
            let batch: String = (1..=FORGED).map(entry).collect();
            ip_batch(&self.attacker, &batch);
        }
    }

    /// Tells the askers where the server's addresses are, held or not: so they needn't ask for
    /// each, and the neighbour table, which all namespaces of a machine share, stays small.
    fn introduce(&self) {
        for (network, aliases) in ALIASES.into_iter().enumerate() {
            let mac = self.server_mac(network);
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let interface = interface(network);
            let entry = |alias| {
                let ip = alias_address(network, alias).0;
                format!("neigh add {ip} lladdr {mac} dev {interface} nud permanent\n")
            };
            let batch: String = (0..aliases).map(entry).collect();
            ip_batch(&self.askers[network], &batch);
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

/// The first half of a /21 in each /20 is that of the hosts.
fn address(network: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, third_octet(network), number)
}

fn third_octet(network: usize) -> u8 {
    u8::try_from(16 * (network + 1)).expect("there are few networks")
}

/// The address that the server's host has on a network but for moments.
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

/// An address on the network that the attacker holds as well, so that answers find somebody.
pub(super) fn forged_address(network: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, third_octet(network) + 14, number)
}

/// An address on the network where no host is: answers wait until the server's host knows that.
pub(super) fn nobodys_address(network: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, third_octet(network) + 13, number)
}

/// An address of the server's host that comes and goes, and its prefix length: mostly that of the
/// network, some of half of it, some alone.
pub(super) fn alias_address(network: usize, alias: u8) -> (Ipv4Addr, u8) {
    let ip = Ipv4Addr::new(10, 77, third_octet(network) + 1, alias + 1);
    let prefix_len = match alias % 5 {
        0 => 32,
        1 => 21,
        _ => 20,
    };
    (ip, prefix_len)
}

/// The server at one of its addresses.
pub(super) fn at(ip: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(ip, PORT)
}

/// Runs many commands of the program `ip` on a host at once, one a line.
///
/// # Panics
/// If one of them fails.
pub(super) fn ip_batch(host: &Host, commands: &str) {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let output = host.run(|| {
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        stdin.write_all(commands.as_bytes())?;
        drop(stdin);
        child.wait_with_output()
    });
    let output = output.expect("`ip` can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`ip` failed: {errors}");
}
