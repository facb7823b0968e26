//! A host of the laboratory.

use std::fs;
use std::net::Ipv6Addr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::loss::{lose_arrivals, refuse_sends};
use super::namespace::Namespace;
use super::network::Network;
use super::process::Process;
use super::raw;

/// How long a network may take to carry a new host's packets.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// A host: a network namespace of its own. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    attachments: Arc<Mutex<Vec<Attachment>>>,
}

/// A pair of virtual Ethernet interfaces that joins a host and a network.
#[derive(Debug)]
struct Attachment {
    interface: String,
    port: String,
    network: Network,
}

impl Host {
    pub(super) fn new(name: &str) -> Self {
        let namespace = Namespace::new();
        namespace.ip("link set lo up");
        namespace.run(|| {
            // A new namespace takes these from the machine, and machines differ.
            for scope in ["all", "default"] {
                let path = format!("/proc/sys/net/ipv4/conf/{scope}/rp_filter");
                fs::write(path, "0").expect("a host's settings can be written");
            }
        });
        Self {
            name: name.to_owned(),
            namespace,
            attachments: Arc::default(),
        }
    }

    /// The name in the test.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it an interface on `network`, and waits until the network carries its packets.
    ///
    /// The interface has the given address (`10.77.1.2/24`) and its broadcast address, as DHCP
    /// would set it. More addresses: `host.ip("address add 10.77.1.3/24 dev eth0")`.
    ///
    /// # Panics
    /// If the address isn't in the network's subnet, or the host has such an interface already.
    pub fn join(&self, network: &Network, interface: &str, address: &str) {
        assert!(
            network.holds(address),
            "{address} is not in the network {}",
            network.name()
        );
        let port = network.add_port(interface, &self.namespace);
        self.ip(&format!(
            "address add {address} broadcast + dev {interface}"
        ));
        self.ip(&format!("link set dev {interface} up"));
        let deadline = Instant::now() + JOIN_LIMIT;
        while !network.forwards(&port) {
            assert!(Instant::now() < deadline, "the port {port} stays silent");
            thread::yield_now();
        }
        let attachment = Attachment {
            interface: interface.to_owned(),
            port,
            network: network.clone(),
        };
        self.attachments().push(attachment);
    }

    /// Joins it and `other` directly, by a pair of virtual Ethernet interfaces that are both named
    /// `interface`, and have these addresses (`10.77.1.2/24`). Waits until both are up.
    ///
    /// Without a bridge between them, what is sent costs less than on a network. The pair cannot lose
    /// packets as [`loss`](Self::loss) does.
    ///
    /// # Panics
    /// If a host has such an interface already.
    pub fn connect(&self, other: &Self, interface: &str, addresses: [&str; 2]) {
        self.ip(&format!(
            "link add name {interface} type veth peer name {interface} netns {}",
            other.namespace.path()
        ));
        let ends = [self, other];
        for (host, address) in ends.into_iter().zip(addresses) {
            host.ip(&format!(
                "address add {address} broadcast + dev {interface}"
            ));
            host.ip(&format!("link set dev {interface} up"));
        }
        let deadline = Instant::now() + JOIN_LIMIT;
        for host in ends {
            let is_up = || {
                let shown = host.ip(&format!("link show dev {interface}"));
                shown.contains("state UP")
            };
            while !is_up() {
                assert!(Instant::now() < deadline, "{interface} stays down");
                thread::yield_now();
            }
        }
    }

    /// Adds an IPv6 address (`fd77::1/64`), and waits until other hosts can resolve it.
    ///
    /// The kernel joins the group of an address only after it has added it (RFC 4861, section 7.2.1). Who
    /// tries to resolve it before tries again only after a second.
    ///
    /// # Panics
    /// If the system refuses it.
    pub fn add_ipv6(&self, interface: &str, address: &str) {
        self.ip(&format!("address add {address} dev {interface} nodad"));
        let ip = address.split('/').next().unwrap_or_default();
        let ip: Ipv6Addr = ip.parse().expect("it is an IPv6 address");
        let group = format!("ff0200000000000000000001ff{:06x}", ip.to_bits() & 0xff_ffff);
        let is_joined = || {
            // Columns: the index, the name, the group.
            let groups = fs::read_to_string("/proc/thread-self/net/igmp6").unwrap_or_default();
            let mut lines = groups.lines().map(|line| line.split_whitespace().skip(1));
            lines.any(|it| it.take(2).eq([interface, group.as_str()]))
        };
        let deadline = Instant::now() + JOIN_LIMIT;
        while !self.run(is_joined) {
            assert!(Instant::now() < deadline, "{address} stays unused");
            thread::yield_now();
        }
    }

    /// Runs the program `ip` there, as in `host.ip("route add default via 10.77.1.254")`, and
    /// returns what it printed. The arguments are split at white space.
    ///
    /// # Panics
    /// If it fails.
    pub fn ip(&self, arguments: &str) -> String {
        self.namespace.ip(arguments)
    }

    /// Runs many commands of the program `ip` there at once, one a line.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn ip_batch(&self, commands: &str) {
        self.namespace.command("ip", "-batch -", commands);
    }

    /// Runs `body` there, on a thread of its own, and returns its value.
    ///
    /// # Panics
    /// If `body` does.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(body)
    }

    /// Starts a thread there.
    pub fn spawn_thread<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.namespace.spawn(body)
    }

    /// Starts a process there. Its output is collected, its input is a pipe.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn spawn(&self, command: Command) -> Process {
        self.run(|| Process::start(command))
    }

    /// Loses this share of the UDP packets that reach it, and of those that it sends.
    ///
    /// No kernel reports an error for a lost packet. Interfaces that it gets later lose nothing.
    /// Another call replaces the share. Needs the program `nft`, see
    /// [`have`](super::have).
    ///
    /// # Panics
    /// If `nft` is missing or fails, or `percent` is over 100.
    pub fn loss(&self, percent: u8) {
        for it in self.attachments().iter() {
            lose_arrivals(&self.namespace, &it.interface, percent);
            lose_arrivals(&it.network.namespace, &it.port, percent);
        }
    }

    /// Has its firewall refuse every UDP packet that it sends (the sender gets `EPERM`), or stops
    /// that. Needs the program `nft`, see [`have`](super::have).
    ///
    /// # Panics
    /// If `nft` is missing or fails.
    pub fn refuse_sends(&self, refuse: bool) {
        refuse_sends(&self.namespace, refuse);
    }

    /// Adds rules to its firewall (nft(8)). Needs the program `nft`, see [`have`](super::have).
    ///
    /// # Panics
    /// If `nft` is missing or refuses them.
    pub fn nft(&self, rules: &str) {
        self.namespace.command("nft", "-f -", rules);
    }

    /// A sender of forged datagrams from one of its interfaces.
    ///
    /// # Panics
    /// If there is no such interface.
    pub fn raw(&self, interface: &str) -> raw::Sender {
        self.run(|| raw::Sender::open(interface))
    }

    fn attachments(&self) -> MutexGuard<'_, Vec<Attachment>> {
        self.attachments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
