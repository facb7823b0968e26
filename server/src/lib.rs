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

mod bind;
#[cfg(target_os = "linux")]
mod changes;
mod config;
mod engine;
mod error;
mod event;
mod format_duration;
#[cfg(target_os = "linux")]
mod kernel_filter;
mod lifecycle;
mod ports;
mod rate_limit;
mod responder;
mod server;
mod server_ip;
mod service;
mod stats;
#[cfg(feature = "tokio")]
mod tokio;
mod transport;

pub use bind::is_port_error;
pub use config::{Allow, Config};
pub use error::{BindError, RunError, SpawnError};
pub use event::Event;
pub use format_duration::format_duration;
pub use lifecycle::State;
pub use ports::{InvalidPort, is_port_in_use, validate_port};
pub use rate_limit::RateLimit;
pub use responder::{Arrival, Datagram, Reply, Responder};
pub use server::{Control, Handle, Server};
pub use server_ip::server_ip;
pub use service::{
    Autostart, StartError, StopTimeout, autostart, is_running, start_udp_service,
    start_udp_service_with, stop_udp_service,
};
pub use stats::{Counter, DropReason, Stats};
pub use udp_discovery_protocol as protocol;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
