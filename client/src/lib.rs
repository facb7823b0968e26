//! Finds servers on the local network. A search asks every network that this host is on, by UDP
//! broadcast and IPv6 multicast, and collects the answers until a deadline.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! for server in udp_discovery_client::discover(Duration::from_millis(500))? {
//!     println!("{server}"); // 192.168.1.7:8000
//! }
//! # Ok::<(), udp_discovery_client::DiscoverError>(())
//! ```
//!
//! The servers are programs that use `udp-discovery-server`, or the Python package
//! django-udp-discovery.
//!
//! # Overview
//! - [`discover`] and [`discover_one`] search with the default configuration.
//! - A [`Client`] searches with its own [`Config`]: which port to ask, how long to wait, which
//!   interfaces to use. [`Client::search`] returns an iterator that yields each server as it
//!   answers.
//! - [`DiscoveredServer`] is a server that answered. [`Report`] describes what a search did, and
//!   explains why it found nothing.
//! - [`Client::watch`] returns a [`Watcher`], an iterator over what comes and goes.
//! - [`Discovery`] is a search without sockets, and [`Watch`] a watch, for other event loops and
//!   runtimes.
//! - With the feature `tokio`, the methods of `Client` whose names end in `_async` search on a
//!   tokio runtime, where a search or a watch is a stream.
//!
//! # Non-goals
//! - Secure connections. Anybody on the network can answer, and claim any address. With details and the
//!   feature `signed`, a search finds out who answered, but a later connection is not authenticated.
//!
//! # Cookbook
//! Search on loopback, for a server on another port:
//!
//! ```
//! use std::time::Duration;
//! use udp_discovery_client::{Client, Config};
//!
//! // A server that answers once.
//! let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! let port = socket.local_addr()?.port();
//! std::thread::spawn(move || {
//!     let mut buffer = [0; 64];
//!     let (_, client) = socket.recv_from(&mut buffer)?;
//!     socket.send_to(b"SERVER_IP:127.0.0.1:8000", client)
//! });
//!
//! let config = Config::default()
//!     .with_port(port)
//!     .with_timeout(Duration::from_secs(5))
//!     .with_interfaces(["lo*", "Loopback*"]);
//! let server = Client::new(config).discover_one()?.expect("it answers");
//! assert_eq!(server.url("http").to_string(), "http://127.0.0.1:8000");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Handle each server as it answers, then show what the search did:
//!
//! ```no_run
//! use udp_discovery_client::Client;
//!
//! let mut search = Client::default().search()?;
//! for server in &mut search {
//!     println!("{server} answered after {:?}", server.rtt);
//! }
//! for skipped in &search.report().skipped {
//!     println!("did not ask on {skipped}");
//! }
//! if let Some(malformed) = &search.report().first_malformed {
//!     println!("{malformed}");
//! }
//! # Ok::<(), udp_discovery_client::DiscoverError>(())
//! ```
//!
//! End as soon as the two expected servers have answered, or when nobody new has answered for 200 ms:
//!
//! ```no_run
//! use std::time::Duration;
//! use udp_discovery_client::{Client, Config};
//!
//! let config = Config::default()
//!     .with_timeout(Duration::from_secs(5))
//!     .with_expect(2.try_into()?)
//!     .with_quiet_for(Duration::from_millis(200));
//! let servers = Client::new(config).discover()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ask hosts on other subnets, where no broadcast goes:
//!
//! ```no_run
//! use udp_discovery_client::{Client, Config};
//!
//! let config = Config::default().with_targets(["10.15.0.7".parse()?, "printer.example".parse()?]);
//! let mut search = Client::new(config).search()?;
//! let servers: Vec<_> = search.by_ref().collect();
//! for target in &search.report().targets {
//!     println!("{}: {} of {} answered", target.target, target.answered, target.asked);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ask every address of another network, and ask first who answered before:
//!
//! ```no_run
//! use std::time::Duration;
//! use udp_discovery_client::{Client, Config, TimedOut};
//!
//! let config = Config::default()
//!     .with_timeout(Duration::from_secs(5))
//!     .with_targets(["10.15.0.0/22".parse()?])
//!     .with_remember("servers");
//! let mut search = Client::new(config).search()?;
//! loop {
//!     match search.next_timeout(Duration::from_millis(100)) {
//!         Ok(Some(server)) => println!("{server}"),
//!         Ok(None) => break,
//!         Err(TimedOut) => {
//!             let sweep = search.report().sweep.expect("there is a network to sweep");
//!             println!("asked {} of {} addresses", sweep.asked, sweep.addresses);
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Watch which servers come and go:
//!
//! ```no_run
//! use udp_discovery_client::{Client, WatchEvent};
//!
//! for event in Client::default().watch()? {
//!     match event {
//!         WatchEvent::Appeared(server) => println!("{} is there", server.url("http")),
//!         WatchEvent::Gone(server) => println!("{} is gone", server.url("http")),
//!         other => println!("{other}"), // network changed: eth0 192.168.1.2
//!     }
//! }
//! # Ok::<(), udp_discovery_client::WatchError>(())
//! ```
//!
//! Connect to servers that do not name a port. The Python servers never do:
//!
//! ```no_run
//! use std::net::TcpStream;
//! use udp_discovery_client::{Client, Config};
//!
//! let client = Client::new(Config::default().with_default_port(8000));
//! if let Some(address) = client.discover_one()?.and_then(|server| server.socket_addr()) {
//!     TcpStream::connect(address)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ask which server is which. Servers that offer details are found with their name and properties, and
//! one with several addresses once:
//!
//! ```no_run
//! use udp_discovery_client::{Client, Config};
//!
//! let config = Config::default()
//!     .with_wanted_name("printer*")
//!     .with_wanted_properties([("floor", "2")]);
//! for server in Client::new(config).discover()? {
//!     let name = server.name.as_deref().unwrap_or_default();
//!     println!("{name:?} is at {server}"); // the name may have any characters
//!     for endpoint in &server.endpoints {
//!         println!("  {endpoint}");
//!     }
//! }
//! # Ok::<(), udp_discovery_client::DiscoverError>(())
//! ```
//!
//! Find only the server that proves its id with a signature (feature `signed`):
//!
//! ```no_run
//! # #[cfg(feature = "signed")] {
//! use udp_discovery_client::{Client, Config};
//!
//! let id = "_RckOFqgx1tk-3jNYC-h2ZH96_drE8WO1wLqyDXp9hg".parse()?;
//! let config = Config::default().with_pinned_ids([id]);
//! if let Some(server) = Client::new(config).discover_one()? {
//!     assert!(server.verified);
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Or trust each name as it was first seen, and hear of another server that takes it:
//!
//! ```no_run
//! # #[cfg(feature = "signed")] {
//! use udp_discovery_client::{Client, Config};
//!
//! let client = Client::new(Config::default().with_known_servers("known-servers"));
//! let mut search = client.search()?;
//! search.by_ref().for_each(drop);
//! search.outcome()?;
//! for alarm in search.report().alarms.iter().filter(|it| !it.known_answered) {
//!     println!("{:?} has another id: {}", alarm.name, alarm.id);
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Look a service up in the DNS as well, and what hosts announce by multicast DNS (features `dns` and
//! `mdns`). All of it comes in one stream, with where it came from:
//!
//! ```no_run
//! # #[cfg(all(feature = "dns", feature = "mdns"))] {
//! use std::time::Duration;
//! use udp_discovery_client::{Client, Config};
//!
//! let config = Config::default()
//!     .with_targets(["dns:_http._tcp.example.org".parse()?])
//!     .with_mdns(["_http._tcp".parse()?])
//!     .with_timeout(Duration::from_secs(2));
//! for server in Client::new(config).search()? {
//!     println!("{server}, found by {:?}", server.origin);
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program that is a server too renames one of the two `Config`s:
//!
//! ```
//! use udp_discovery_client::{Client, Config as ClientConfig};
//! // use udp_discovery_server::{Config as ServerConfig, Server};
//!
//! let client = Client::new(ClientConfig::default());
//! ```
//!
//! The folder [`examples`] has complete programs: blocking, in a `select!` loop of tokio, on smol, a watch,
//! tests without a network, and settings in the application's own TOML file.
//!
//! [`examples`]: https://docs.rs/crate/udp-discovery-client/latest/source/examples/
//!
//! # Design
//! - **One socket for each interface address.** A broadcast from an unbound socket leaves by one
//!   interface only. Each IPv4 address of each interface that is up gets a socket of its own,
//!   and the IPv6 addresses of an interface share one,
//!   except on loopback and [container bridges](protocol::Interface::is_container_bridge). If there
//!   is nothing else, the search asks on container bridges after all, or else on loopback
//!   ([`Report::last_resort`]).
//! - **Several probes.** A search sends three probes by default, spaced evenly over the timeout, so
//!   that one lost packet loses no server.
//! - **One datagram per probe and address.** The probes go to the directed broadcast address of the
//!   network and to 255.255.255.255 in turn. A host with our prefix receives each of them and
//!   answers it once; a host with another prefix receives only the second kind. If the system
//!   refuses to send to one of the two, the probe goes to the other. A point-to-point link has only
//!   the address of its other end to ask. Up to 16 hosts that only a peer address or a host route
//!   puts on the link are also asked by unicast.
//! - **IPv4 first.** A server that answers by IPv4 and by IPv6 would be listed twice, because the plain
//!   answer does not name it. So IPv6 asks at once only where an interface has no IPv4, and otherwise
//!   from the second probe on, while nobody there has answered ([`Family::Auto`]). Choose
//!   [`Family::Both`] where some servers have IPv6 only.
//! - **Targets by unicast.** Routers do not forward broadcasts. A [`Target`] is asked from the address
//!   that the system's routes lead from, with every probe. Only the address and port that were asked
//!   may answer. A host that refuses is reported ([`TargetReport::refused`]), on Linux.
//! - **Sweeps are slow on the link.** A network as a target is asked address by address. Each silent
//!   address on link holds an entry of the system's neighbor table for 3 s, so only a third of the table
//!   is used, about 110 addresses a second ([`Config::pace`]). How long a sweep takes is known before it
//!   begins ([`SweepReport::estimate`]).
//! - **An absolute deadline.** Nothing that arrives moves it. A search can end earlier: with the
//!   first server ([`Config::first`]), with a number of servers ([`Config::expect`]), or when no new
//!   server has answered for some time ([`Config::quiet_for`]). Then it sends no further probe.
//! - **A server is an address and a port** ([`ServerKey`]), because the wire format has no other
//!   name for it. A server that is reached on two networks, and claims its address on each, is
//!   found twice.
//! - **Details merge what is one server.** With [`Config::details`], answers with the same id and run are
//!   one server with several [`endpoints`](DiscoveredServer::endpoints), the verified apart from the
//!   others. A plain answer waits for its details until the next probe is due. The iterator returns a
//!   server when it is first known; [`Search::servers`] and [`Client::discover`] return the merged servers.
//! - **Signatures are verified last**, after the nonce and the pins, at most 1,000 in a search and 2 wrong
//!   ones from one source. So a flood of forgeries costs about 0.1 s. It can suppress a server, but
//!   not take its place.
//! - **The address to use is selected**, not copied from the answer ([`AddressPolicy`]): a server
//!   in a container often claims an address that only its host can reach.
//! - **A watch is made of rounds**, each a search with fresh sockets and a fresh look at the interfaces.
//!   So links that flap, addresses that change and a suspended host need no code of their own. The rounds
//!   start at least a second apart ([`Config::interval`]).
//! - **Gone means asked.** A server that misses a round is asked seven more times by broadcast and
//!   by unicast, over 1.38 s, before it is gone. With 10 % loss each way, and a silence of all
//!   three probes of a round first, less than one in 10,000 is called gone falsely. At most 64
//!   servers, with details 28, are asked so in one round, because requests to hosts that are gone
//!   fill the socket's buffer for 3 s; of 1,000 that end at once, the last is gone within about 40
//!   s, with details 75 s. Where there is no network to ask on, a server is gone after ten seconds.
//! - **One core for both kinds of search.** [`Discovery`] makes every decision. The blocking and the
//!   tokio search only wait.
//!
//! # Features
//! All are off by default.
//! - `dns`: targets that name a service in the DNS, such as `dns:_http._tcp.example.org` ([`Target`]).
//! - `mdns`: `Config::with_mdns`, a search by multicast DNS beside the broadcasts.
//! - `serde`: `Deserialize` and `Serialize` for [`Config`], `Serialize` for [`DiscoveredServer`] and
//!   [`Report`].
//! - `signed`: verifies the signatures of servers with details: `Config::pinned_ids`,
//!   `Config::known_servers`, [`DiscoveredServer::verified`].
//! - `tokio`: searches on a tokio runtime.
//! - `tracing`: events of the crate tracing. Bytes from the network are escaped. A search and its
//!   servers are at the level `DEBUG`, a link that cannot be used is at `WARN`, repeated answers are
//!   at `TRACE`. [`Settings::with_logging(false)`](protocol::Settings::with_logging) silences them.

#![cfg_attr(docsrs, feature(doc_cfg))]

// Tests the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use std::time::Duration;

mod address;
mod blocking;
mod client;
mod config;
mod discovery;
mod driver;
mod error;
mod file;
mod found;
mod host;
mod interval;
#[cfg(feature = "signed")]
mod known;
mod neighbors;
mod nonces;
mod origins;
mod probes;
mod refusals;
mod remember;
mod report;
mod resolve;
mod select;
mod send;
#[cfg(feature = "serde")]
mod serialize;
mod server;
mod sweep;
mod target;
#[cfg(feature = "tokio")]
pub mod tokio;
mod trace;
mod trust;
mod wanted;
mod watch;
mod watcher;

pub use address::AddressPolicy;
pub use blocking::{Search, TimedOut};
pub use client::Client;
pub use config::{
    Config, DEFAULT_MAX_SERVERS, DEFAULT_PACE, DEFAULT_PROBES, Family, LARGE_SWEEP_LIMIT,
    SWEEP_LIMIT,
};
pub use discovery::{Discovery, Transmit};
pub use error::DiscoverError;
pub use host::{DEFAULT_MAX_SILENT, Host, ResolvedTarget, Route};
pub use interval::{LONGEST_INTERVAL, SHORTEST_INTERVAL, WatchInterval, WatchIntervalError};
pub use origins::Instance;
#[cfg(feature = "signed")]
pub use report::Alarm;
pub use report::{
    Counts, Destination, DestinationKind, EngineReport, LastResort, Link, MalformedDatagram,
    Remembered, Report, SkipReason, Skipped, SweepReport, TargetReport,
};
pub use server::{DiscoveredServer, Endpoint, Origin, ServerKey};
pub use target::{ParseTargetError, Target};
pub use udp_discovery_protocol as protocol;
pub use watch::{Round, Watch, WatchError, WatchEvent, WatchLink};
pub use watcher::Watcher;

/// Finds every server that answers within `timeout`, in the order of their answers, with the
/// default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
pub fn discover(timeout: Duration) -> Result<Vec<DiscoveredServer>, DiscoverError> {
    Client::new(Config::default().with_timeout(timeout)).discover()
}

/// Finds the first server that answers within `timeout`, with the default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
pub fn discover_one(timeout: Duration) -> Result<Option<DiscoveredServer>, DiscoverError> {
    Client::new(Config::default().with_timeout(timeout)).discover_one()
}
