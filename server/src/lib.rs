//! Lets other programs on the network find this one: a UDP discovery server to embed.
//!
//! ```
//! use std::net::UdpSocket;
//! use udp_discovery_server::{Config, Server};
//!
//! // Server::bind(config) listens on every address, port 9999. This example stays on loopback.
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let config = Config::default().with_advertise_port(8000);
//! let server = Server::from_socket(socket, config)?.spawn()?;
//!
//! let client = UdpSocket::bind("127.0.0.1:0")?;
//! client.send_to(b"DISCOVER_SERVER", server.local_addr())?;
//! let mut answer = [0; 1024];
//! let len = client.recv(&mut answer)?;
//! assert_eq!(&answer[..len], b"SERVER_IP:127.0.0.1:8000");
//!
//! println!("{}", server.shutdown()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The server answers each request with its address on the network that the request arrived from
//! and, if configured, with the port of a service. Clients use `udp-discovery-client`, the command
//! `udp-discovery discover`, or the Python package django-udp-discovery-client.
//!
//! # Overview
//! - [`Config`] holds what can be set, [`Server`] binds the port, [`Handle`] is a server on its own
//!   thread, [`Control`] stops and observes a server from anywhere.
//! - [`Event`] reports what happens to an event handler, [`Stats`] counts it.
//! - [`Details`](protocol::Details) say who a server is, to clients that ask: an id, a name and properties,
//!   optionally signed.
//! - [`Responder`] decides about each datagram. It has no socket and no clock: drive it on another
//!   runtime or in a test.
//! - [`compat`] has the functions of the Python package django-udp-discovery.
//!
//! | feature | adds |
//! |---|---|
//! | `mdns` | announcements by multicast DNS: the module `mdns` |
//! | `serde` | [`Config`] in the application's own configuration file, `Serialize` for [`Stats`] |
//! | `signed` | answers with details that are signed with Ed25519 |
//! | `tokio` | `Server::serve` and `Server::serve_with_shutdown` |
//! | `tracing` | events with fields, for the application's subscriber |
//!
//! All are off by default.
//!
//! # Non-goals
//! - Authentication and secrecy of the service. A signature says who answered a search, not who answers a
//!   later connection; authenticate the service itself, for example with TLS.
//! - Other networks. Only clients on the link are answered, unless more are [allowed](Allow).
//! - Configuration files, environment variables and log files: the application has its own.
//!
//! # Cookbook
//! Report what happens:
//!
//! ```no_run
//! use udp_discovery_server::{Config, Server};
//!
//! let server = Server::bind(Config::default())?
//!     .on_event(|event| eprintln!("{event}"))
//!     .spawn()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Handle a port that is in use:
//!
//! ```no_run
//! use udp_discovery_server::{BindError, Config, Server};
//!
//! match Server::bind(Config::default()) {
//!     Ok(server) => server.run()?,
//!     Err(BindError::PortInUse { port, .. }) => eprintln!("another server has port {port}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Wait for a server that another thread stops:
//!
//! ```no_run
//! use udp_discovery_server::{Config, Server};
//!
//! let server = Server::bind(Config::default())?.spawn()?;
//! let control = server.control();
//! std::thread::spawn(move || control.stop());
//! println!("{}", server.join()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Answer clients of another network, such as a VPN:
//!
//! ```
//! use udp_discovery_server::{Allow, Config};
//!
//! let config = Config::default().with_allow(Allow::Networks(vec!["10.15.0.0/16".parse()?]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Say who the server is. Clients that ask get the id, the name and the properties beside the address:
//!
//! ```
//! # use udp_discovery_server::Config;
//! use udp_discovery_server::protocol::{Details, RunId, ServerId};
//!
//! let id = ServerId::new([7; 32]); // 32 random bytes that the application keeps
//! let details = Details::new(id, RunId::new([0; 8])) // the server draws the run
//!     .with_name("Printer, 2nd floor")?
//!     .with_property("version", "1.2")?;
//! let config = Config::default().with_details(details);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `signed`, sign the answers, so that clients recognize the server by its id:
//!
//! ```
//! # #[cfg(feature = "signed")] {
//! # use udp_discovery_server::Config;
//! use udp_discovery_server::protocol::{Details, RunId, SigningKey};
//!
//! let key = SigningKey::from_bytes(&[9; 32]); // random bytes, or SigningKey::from_pem of a file
//! let details = Details::new(key.id(), RunId::new([0; 8])).with_name("Printer, 2nd floor")?;
//! let config = Config::default().with_details(details).with_signing_key(key);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The folder `examples` has whole programs: a blocking server, one beside axum on tokio, settings
//! in the application's own file, and the core on smol.
//!
//! # Design decisions
//! - **One socket for each family.** The IPv6 socket is for IPv6 only, so that every source has one
//!   form. Both have the same port and the same rules.
//! - **Multicast beside broadcast.** The server joins [`MULTICAST_V4`](protocol::MULTICAST_V4) and
//!   [`MULTICAST_V6`](protocol::MULTICAST_V6) on each interface, because IPv6 and some links have no
//!   broadcast. Where the system reports no changes of interfaces, it joins on a new one at the next
//!   request that arrives.
//! - **The port is exclusive.** The sockets have neither `SO_REUSEADDR` nor `SO_REUSEPORT`: a second
//!   server gets [`BindError::PortInUse`] instead of half of the requests.
//! - **Only the link is answered.** Anybody can forge a source address, so answers to other networks
//!   would let a stranger direct traffic at a victim (RFC 6762, sections 5.5 and 11).
//! - **Answers are limited** for each source, by a table of fixed size. See
//!   [`Config::rate_limit`].
//! - **Details have limits of their own**, for each source and for all signatures, so that requests for them
//!   never cost a plain answer. An answer with details is never longer than its request.
//! - **Input from the network is never an error.** It is counted and reported as an [`Event`].
//! - **Nothing is allocated for a datagram**, and an idle server is never woken.
//! - **Interfaces are read when they change.** On Linux the kernel reports changes of links and
//!   addresses at once; a change of routes counts from the next request. Elsewhere they are read
//!   again if they are older than five seconds when a request arrives.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod compat;
mod config;
mod error;
mod event;
mod event_loop;
mod lifecycle;
#[cfg(feature = "mdns")]
pub mod mdns;
mod memberships;
mod offer;
mod payload;
mod rate_limit;
mod reporter;
mod responder;
mod server;
mod stats;
mod sys;
#[cfg(feature = "tokio")]
mod tokio;

pub use config::{Allow, Config};
pub use error::{BindError, OfferError, RunError, SpawnError};
pub use event::Event;
pub use lifecycle::State;
pub use payload::Payload;
pub use rate_limit::RateLimit;
pub use responder::{Arrival, Datagram, Reply, Responder};
pub use server::{Control, Handle, Server};
pub use stats::{Counter, DropReason, Stats};
pub use udp_discovery_protocol as protocol;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
