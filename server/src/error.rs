//! What can go wrong in starting, running and stopping a server.

use std::io;

use thiserror::Error;

/// Why a server can't be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the port, be it another program's, another server of this one, or one
    /// that is bound to a single address.
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
    /// The configuration advertises port 0, which no service can have.
    #[error("port 0 cannot be advertised")]
    AdvertisePortZero,
    /// The socket couldn't be opened or bound for another reason, such as no file descriptors
    /// left.
    #[error("the server's socket couldn't be opened")]
    Socket {
        /// The system's error.
        #[from]
        source: io::Error,
    },
}

/// Why a server couldn't be given a thread. Its port is free again.
#[derive(Debug, Error)]
#[error("no thread could be started for the server")]
#[non_exhaustive]
pub struct SpawnError {
    /// The system's error.
    #[from]
    pub source: io::Error,
}

/// Why a server ended that wasn't told to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// Receiving failed again and again.
    #[error("the server's socket failed")]
    SocketFailed {
        /// The last error.
        source: io::Error,
    },
    /// Waiting for the socket failed.
    #[error("the server can't wait for its socket")]
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
