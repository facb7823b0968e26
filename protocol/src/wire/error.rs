//! Why a datagram is not a message.

use core::net::IpAddr;

use thiserror::Error;

use super::MAX_DATAGRAM_LEN;

/// Why a datagram is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It has no bytes.
    #[error("the datagram is empty")]
    Empty,
    /// It is longer than any message, [`MAX_DATAGRAM_LEN`].
    #[error("the datagram has {len} bytes, more than {MAX_DATAGRAM_LEN}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It is not the discovery message and doesn't start with the response prefix.
    #[error("the datagram is neither a request nor a response")]
    UnknownMessage,
    /// No IP address follows the response prefix.
    #[error("the response has no valid IP address")]
    MalformedAddress,
    /// The address can't be that of a host.
    #[error("the response names {ip}, which can't be the address of a host")]
    NotAHost {
        /// The address that was named.
        ip: IpAddr,
    },
    /// What follows the colon is not a port from 1 to 65535.
    #[error("the response has no valid port behind its colon")]
    MalformedPort,
    /// More follows the address or the port than white space.
    #[error("the response has more behind its address and port")]
    TrailingBytes,
}
