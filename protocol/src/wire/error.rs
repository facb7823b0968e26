//! Why a datagram is not a message.

use core::net::IpAddr;

use thiserror::Error;

use super::MAX_DATAGRAM_LEN;

/// Why a datagram is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is empty.
    #[error("the datagram is empty")]
    Empty,
    /// It is longer than [`MAX_DATAGRAM_LEN`].
    #[error("the datagram has {len} bytes, more than {MAX_DATAGRAM_LEN}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It does not equal the discovery message or start with the response prefix.
    #[error("the datagram is neither a request nor a response")]
    UnknownMessage,
    /// No IP address follows the response prefix.
    #[error("the response has no valid IP address")]
    MalformedAddress,
    /// No host can have the IP address.
    #[error("the response has {ip}, which cannot be the address of a host")]
    NotAHost {
        /// The address.
        ip: IpAddr,
    },
    /// The colon is not followed by a port from 1 to 65535.
    #[error("the response has no valid port after the colon")]
    MalformedPort,
    /// The address or the port is followed by other bytes than white space.
    #[error("the response has more bytes after its address and port")]
    TrailingBytes,
}
