//! Finds the servers on the local network: asks every network that this host is on, and gathers
//! the answers until a deadline.
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
//! A [`Client`] has a [`Config`]: which port to ask, how long to wait, which interfaces to use.
//! Here it asks a server on loopback:
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
//!     .with_interfaces(["lo*", "Loopback*"]); // loopback alone
//! let server = Client::new(config).discover_one()?.expect("it answers");
//! assert_eq!(server.to_string(), "127.0.0.1:8000");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a search does
//! Every IPv4 address of every interface that is up gets a socket of its own; loopback and
//! [container bridges](protocol::Interface::is_container_bridge) are left out. If nothing else is
//! up, container bridges are asked after all, or else loopback ([`Report::last_resort`]). From each
//! address the search sends three probes by default, spaced over the timeout, so that one lost
//! packet loses no server. The deadline is absolute; nothing that arrives moves it.
//!
//! A probe is one datagram per address, so by default a search from one address sends three. The
//! probes go to the network's directed broadcast address and to 255.255.255.255 in turn: a host
//! with our prefix hears each of them and answers it once, one whose prefix differs hears only the
//! second. If the system refuses to send to one of the two, the same probe goes to the other. A
//! link to a single host, such as a point-to-point tunnel, has only that host's address to ask. Up
//! to 16 hosts that only a peer address or a host route puts on the link are asked by unicast too.
//!
//! A server is known by its [`ServerKey`], the address to use and the port: the wire has no other
//! name for it. One that is reached on two networks, and names its address on each, is listed for
//! each.
//!
//! Whoever is on the network can answer, and can name any address. What is kept is bounded
//! ([`Config::max_servers`]), and the address to use is judged ([`AddressPolicy`]), but a server
//! found is not a server to trust.
//!
//! # Features
//! - `serde`: `Deserialize` and `Serialize` for [`Config`].
//! - `tokio`: the same searches on a tokio runtime: the methods of [`Client`] that end in `_async`,
//!   and the module `tokio`. There a search is a stream.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The example of the README is run like the others.
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
mod probes;
mod report;
mod select;
#[cfg(feature = "serde")]
mod serialize;
mod server;
#[cfg(feature = "tokio")]
pub mod tokio;
mod trace;

pub use address::AddressPolicy;
pub use blocking::Search;
pub use client::Client;
pub use config::{Config, DEFAULT_MAX_SERVERS, DEFAULT_PROBES};
pub use discovery::{Discovery, Transmit};
pub use error::DiscoverError;
pub use report::{
    Counts, Destination, DestinationKind, LastResort, Link, MalformedDatagram, Report, SkipReason,
    Skipped,
};
pub use server::{DiscoveredServer, ServerKey};
pub use udp_discovery_protocol as protocol;

/// Finds every server that answers within `timeout`, in the order in which they do, with the
/// default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is no error.
pub fn discover(timeout: Duration) -> Result<Vec<DiscoveredServer>, DiscoverError> {
    Client::new(Config::default().with_timeout(timeout)).discover()
}

/// Finds the first server that answers within `timeout`, with the default [`Config`].
///
/// # Errors
/// [`DiscoverError`], if the search could not be made. That nobody answered is no error.
pub fn discover_one(timeout: Duration) -> Result<Option<DiscoveredServer>, DiscoverError> {
    Client::new(Config::default().with_timeout(timeout)).discover_one()
}
