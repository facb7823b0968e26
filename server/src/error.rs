//! Errors of starting and running a server.

use std::io::{self, ErrorKind};

use thiserror::Error;
use udp_discovery_protocol::{DetailsTooLong, ServerId};

/// Why a server could not be bound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the port: of another program or of this one, on every address or on a
    /// single one.
    #[error("UDP port {port} is in use")]
    PortInUse {
        /// The port.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
    /// This user may not listen on the port.
    #[error("this user may not listen on UDP port {port}")]
    NotPermitted {
        /// The port.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
    /// The configuration shares the port ([`Config::shared_port`](crate::Config::shared_port)), which
    /// this system cannot. Only Linux can.
    #[error("this system cannot share a UDP port between servers")]
    SharedPortUnsupported,
    /// The configuration advertises port 0, which no service can have.
    #[error("port 0 cannot be advertised")]
    AdvertisePortZero,
    /// The configured details cannot be offered.
    #[error(transparent)]
    Details {
        /// Why.
        #[from]
        source: OfferError,
    },
    /// The socket could not be opened or bound for another reason. For example, the process has no
    /// file descriptors left.
    #[error("the server's socket could not be opened")]
    Socket {
        /// The system's error.
        #[from]
        source: io::Error,
    },
}

/// Why a server cannot offer the details of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OfferError {
    /// An answer would be too long.
    #[error(transparent)]
    TooLong {
        /// How long, and how many bytes are too many.
        #[from]
        source: DetailsTooLong,
    },
    /// The details have another id than the signing key.
    #[error("the details have the id {id}, but the signing key has {key}")]
    OtherId {
        /// The id of the details.
        id: ServerId,
        /// The id of the key.
        key: ServerId,
    },
}

impl BindError {
    /// The error of binding `port`.
    pub(crate) fn of_port(port: u16, source: io::Error) -> Self {
        if is_port_in_use(&source) {
            Self::PortInUse { port, source }
        } else if source.kind() == ErrorKind::PermissionDenied {
            Self::NotPermitted { port, source }
        } else {
            Self::Socket { source }
        }
    }
}

/// Whether `error`, from binding a socket, means that another socket has the port.
///
/// Windows reports a port that another program holds exclusively as `WSAEACCES` (10013).
pub(crate) fn is_port_in_use(error: &io::Error) -> bool {
    const WSAEACCES: i32 = 10013;
    error.kind() == ErrorKind::AddrInUse
        || (cfg!(windows) && error.raw_os_error() == Some(WSAEACCES))
}

/// The system could not start a thread for the server. Its port is free.
#[derive(Debug, Error)]
#[error("the server's thread could not be started")]
#[non_exhaustive]
pub struct SpawnError {
    /// The system's error.
    #[from]
    pub source: io::Error,
}

/// Why a server ended without being stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// Receiving failed repeatedly.
    #[error("the server's socket failed")]
    SocketFailed {
        /// The last error.
        source: io::Error,
    },
    /// Waiting for the socket failed.
    #[error("the server cannot wait for its socket")]
    WaitFailed {
        /// The system's error.
        source: io::Error,
    },
    /// The event handler panicked too often.
    #[error("the event handler panicked too often")]
    HandlerPanicked,
    /// The server itself panicked, which is a defect of this crate.
    #[error("the server panicked")]
    Panicked,
}
