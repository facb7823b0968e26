//! Lets other programs on the network find this one: a UDP discovery server to embed.
//!
//! ```
//! use std::net::UdpSocket;
//! use udp_discovery_server::{Config, Server};
//!
//! // On loopback and a port of the system's choice here; Server::bind(Config::default()) listens
//! // on every address, port 9999.
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let server = Server::from_socket(socket, Config::default())?.spawn()?;
//!
//! let client = UdpSocket::bind("127.0.0.1:0")?;
//! client.send_to(b"DISCOVER_SERVER", server.local_addr())?;
//! let mut answer = [0; 1024];
//! let len = client.recv(&mut answer)?;
//! assert_eq!(&answer[..len], b"SERVER_IP:127.0.0.1");
//!
//! println!("{}", server.shutdown()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The server answers each request with its address on the network that the request came by, and
//! with the port that it is told to advertise. It answers clients on the link alone, unless more
//! are [allowed](Allow), and it shares its port with nobody.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod compat;
mod config;
mod error;
mod event;
mod event_loop;
mod lifecycle;
mod rate_limit;
mod reporter;
mod responder;
mod server;
mod stats;
mod sys;
#[cfg(feature = "tokio")]
mod tokio;

pub use config::{Allow, Config};
pub use error::{BindError, RunError, SpawnError};
pub use event::Event;
pub use lifecycle::State;
pub use rate_limit::RateLimit;
pub use responder::{Arrival, Datagram, Payload, Reply, Responder};
pub use server::{Control, Handle, Server};
pub use stats::{Counter, DropReason, Stats};
pub use udp_discovery_protocol as protocol;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
