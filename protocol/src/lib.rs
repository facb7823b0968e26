//! The wire format, the settings and the network model that UDP discovery servers and clients
//! share.
//!
//! ```
//! use udp_discovery_protocol::{Codec, Message};
//!
//! let codec = Codec::default();
//! match codec.decode(b"SERVER_IP:192.168.1.7:8000")? {
//!     Message::Request(_) => println!("a client is looking for servers"),
//!     Message::Response(response) => assert_eq!(response.to_string(), "192.168.1.7:8000"),
//! }
//! # Ok::<(), udp_discovery_protocol::DecodeError>(())
//! ```
//!
//! A client sends the datagram `DISCOVER_SERVER` to UDP port 9999. Each server answers the sender
//! with `SERVER_IP:`, its address and optionally a port. Most programs use the crates
//! `udp-discovery-client` and `udp-discovery-server`, which re-export this one as `protocol`. Use
//! it directly to write another implementation, or to read captured datagrams.
//!
//! # Overview
//! - [`Codec`] reads and writes [`Message`]s: a [`Request`] or a [`Response`]. [`Word`] is a
//!   discovery message or response prefix, [`HostIp`] an address that a host can have.
//! - [`Details`] say who a server is. They are version 1 of an extension, which the page docs/details.md of
//!   the repository specifies.
//! - [`Settings`] holds what both sides share: the port, the two words, the timeout.
//! - [`Interface`] describes a network interface: what is on its link, and which of its addresses
//!   reaches a peer.
//!
//! # Non-goals
//! This crate opens no socket and reads no clock. It does not read configuration files or
//! environment variables: with the feature `serde`, [`Settings`] is part of the application's own
//! configuration.
//!
//! # Cookbook
//! Encode a response:
//!
//! ```
//! use bytes::BytesMut;
//! use udp_discovery_protocol::{Codec, Message, Response};
//!
//! let response = Response::new("192.168.1.7".parse()?, None);
//! let mut datagram = BytesMut::new();
//! Codec::default().encode(Message::Response(response), &mut datagram);
//! assert_eq!(&datagram[..], b"SERVER_IP:192.168.1.7");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Use other words than the defaults:
//!
//! ```
//! use udp_discovery_protocol::{Message, Request, Settings};
//!
//! let settings = Settings::default().with_words("FIND_PRINTER", "PRINTER:")?;
//! assert_eq!(settings.codec().decode(b"FIND_PRINTER"), Ok(Message::Request(Request)));
//! # Ok::<(), udp_discovery_protocol::WordsError>(())
//! ```
//!
//! # Design
//! - A request is read to the byte. A response may have the white space that the Python client
//!   accepts, and nothing else: four decimal octets without signs or leading zeros, or an IPv6
//!   address in brackets.
//! - An encoder writes one canonical form.
//! - Values are validated when they are made, so no later step can fail on them.
//! - The kinds of socket errors are decided here once, for servers and clients.
//!
//! Tell who a server is, besides where:
//!
//! ```
//! use bytes::BytesMut;
//! use udp_discovery_protocol::{
//!     Codec, Details, EncodedDetails, Nonce, Response, RunId, ServerId,
//! };
//!
//! let codec = Codec::default();
//! let details = Details::new(ServerId::new([7; 32]), RunId::new([1; 8]))
//!     .with_name("printer")?
//!     .with_property("version", "1.2")?;
//! let encoded = EncodedDetails::new(&details, &codec, false)?;
//!
//! let nonce = Nonce::new(*b"15 random bytes", 0);
//! let response = Response::new("192.168.1.7".parse()?, None);
//! let mut answer = BytesMut::new();
//! codec.encode_details(response, nonce, &encoded, &mut answer);
//!
//! let answer = codec.decode_details(&answer)?;
//! assert_eq!((answer.nonce, answer.name), (nonce, Some("printer")));
//! assert_eq!(answer.details(), details);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//! - `std` (default): the standard library. Without it the crate needs only `alloc`.
//! - `serde`: `Deserialize` and `Serialize` for the settings, and identities and durations as text.
//! - `signed`: Ed25519 keys, and the signatures of details.
//! - `mdns`: types of services, and whether this host's port of multicast DNS can be shared.
//! - `interfaces`: `Interface::list`, which lists the interfaces of this host, and the kinds of
//!   socket errors.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "serde")]
pub mod duration;
#[cfg(feature = "mdns")]
mod mdns;
mod net;
mod settings;
mod wire;

/// A network: an address and how many of its bits the network's addresses share.
pub use ipnet::IpNet;
/// A prefix length that an address of that family cannot have.
pub use ipnet::PrefixLenError;
#[cfg(feature = "mdns")]
pub use mdns::{InvalidServiceType, MDNS_PORT, ServiceType, check_mdns_port};
pub use net::{
    Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute, MULTICAST_V4, MULTICAST_V6,
};
#[cfg(feature = "interfaces")]
pub use net::{ReceiveErrorKind, SendErrorKind, is_family_unavailable};
pub use settings::{
    BufferSize, BufferSizeError, DEFAULT_PORT, DEFAULT_TIMEOUT, Settings, WordsError,
};
pub use wire::{
    Codec, DEFAULT_MESSAGE, DEFAULT_RESPONSE_PREFIX, DETAILS_LEN, DecodeError, Details,
    DetailsAnswer, DetailsError, DetailsRequestError, DetailsTooLong, EncodedDetails, HostIp,
    InvalidDetails, MAX_DATAGRAM_LEN, Message, Nonce, NotAHost, ParseHostIpError, ParseIdError,
    Properties, Request, Response, RunId, ServerId, Word, WordError, WordsConflict,
};
#[cfg(feature = "signed")]
pub use wire::{KeyError, SigningKey, VerifyError};
