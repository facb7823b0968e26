//! What a UDP discovery server and client agree on: messages, settings and network interfaces.
//!
//! ```
//! use udp_discovery_protocol::{Codec, Message};
//!
//! let codec = Codec::default();
//! match codec.decode(b"SERVER_IP:192.168.1.7:8000")? {
//!     Message::Request(_) => println!("somebody looks for a server"),
//!     Message::Response(response) => assert_eq!(response.to_string(), "192.168.1.7:8000"),
//! }
//! # Ok::<(), udp_discovery_protocol::DecodeError>(())
//! ```
//!
//! A client sends the datagram `DISCOVER_SERVER` to UDP port 9999 of everything it can reach;
//! each server answers the sender with `SERVER_IP:` and its address, and perhaps a port. This
//! crate reads and writes those datagrams ([`Codec`]), holds what both sides can be told
//! ([`Settings`], [`ClientSettings`]), and says what a network interface is and what is on its link
//! ([`Interface`]). It sends nothing to the network.
//!
//! # Features
//! - `std` (default): the standard library. Without it the crate needs `alloc` alone.
//! - `load`: `Settings::load` and `ClientSettings::load`, from a TOML file and from environment
//!   variables; `Sources` lists their names.
//! - `interfaces`: `Interface::list`, the interfaces of this host.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod client_settings;
mod defaults;
#[cfg(feature = "load")]
mod load;
mod net;
mod settings;
mod wire;

pub use client_settings::ClientSettings;
pub use defaults::{
    DEFAULT_BUFFER_SIZE, DEFAULT_LOGGING, DEFAULT_PORT, DEFAULT_RETRIES, DEFAULT_TIMEOUT,
};
/// A network: an address and how many of its bits the network's addresses share.
pub use ipnet::IpNet;
#[cfg(feature = "load")]
pub use load::{LoadError, Origin, Sources, ValueError};
pub use net::{Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute};
#[cfg(feature = "interfaces")]
pub use net::{ReceiveErrorKind, SendErrorKind};
pub use settings::{BufferSize, BufferSizeError, Settings};
pub use wire::{
    Codec, DEFAULT_MESSAGE, DEFAULT_RESPONSE_PREFIX, DecodeError, HostIp, MAX_DATAGRAM_LEN,
    Message, NotAHost, ParseHostIpError, Request, Response, Word, WordError, WordsConflict,
};
