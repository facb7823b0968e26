//! The wire format: words, requests, responses, and the codec that reads and writes them.
//!
//! Imports point downward only: `codec`, then the messages, then their parts.

mod codec;
mod details;
mod error;
mod grammar;
mod host_ip;
mod request;
mod response;
mod word;

pub use codec::{Codec, Message, WordsConflict};
pub use details::{
    DETAILS_LEN, Details, DetailsAnswer, DetailsError, DetailsRequestError, DetailsTooLong,
    EncodedDetails, InvalidDetails, Nonce, ParseIdError, Properties, RunId, ServerId,
};
#[cfg(feature = "signed")]
pub use details::{KeyError, SigningKey, VerifyError};
pub use error::DecodeError;
pub use host_ip::{HostIp, NotAHost, ParseHostIpError};
pub use request::Request;
pub use response::Response;
pub use word::{Word, WordError};

/// The default discovery message, `DISCOVER_SERVER`.
pub const DEFAULT_MESSAGE: &str = "DISCOVER_SERVER";

/// The default response prefix, `SERVER_IP:`.
pub const DEFAULT_RESPONSE_PREFIX: &str = "SERVER_IP:";

/// The longest datagram that can be a message: 256 bytes.
///
/// A prefix of 64 bytes ([`Word::MAX_LEN`]), an IPv6 address in brackets (41 bytes) and a port with
/// its colon (6 bytes) make at most 111 bytes. The rest is room for the white space that a client
/// ignores. A longer datagram is not a message, and neither is its beginning.
pub const MAX_DATAGRAM_LEN: usize = 256;
