//! The wire format: words, requests, responses, and the codec that reads and writes them.
//!
//! Imports point downward only: `codec`, then the messages, then their parts.

mod codec;
mod error;
mod grammar;
mod host_ip;
mod request;
mod response;
mod word;

pub use codec::{Codec, Message, WordsConflict};
pub use error::DecodeError;
pub use host_ip::{HostIp, NotAHost, ParseHostIpError};
pub use request::Request;
pub use response::Response;
pub use word::{Word, WordError};

/// The default discovery message, which is the whole of a request: `DISCOVER_SERVER`.
pub const DEFAULT_MESSAGE: &str = "DISCOVER_SERVER";

/// The default response prefix, which every response starts with: `SERVER_IP:`.
pub const DEFAULT_RESPONSE_PREFIX: &str = "SERVER_IP:";

/// The longest datagram that can be a message: 256 bytes.
///
/// Two words of at most 64 bytes ([`Word::MAX_LEN`]), a bracketed IPv6 address of 41 and a port of
/// 6 make 111 at most; the rest is room for the white space that a client skips. A longer datagram
/// is not a message, and neither is its beginning.
pub const MAX_DATAGRAM_LEN: usize = 256;
