//! What an error of the operating system on the socket means: the one place that knows.

use std::io::{self, ErrorKind};

/// What to do after an error on receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnReceive {
    /// Interrupted by a signal: again, after a look at the stop flag.
    Again,
    /// Nothing there: wait until something is.
    Wait,
    /// A datagram longer than the buffer, where the system calls that an error (Windows).
    TooLong,
    /// It belongs to an earlier send: count it and go on.
    GoOn,
    /// The socket is no socket any more.
    Broken,
    /// Not known to be harmless: fatal only if it doesn't end.
    Unknown,
}

/// What to do after an error on sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnSend {
    /// Interrupted by a signal: once more.
    Again,
    /// No room: the answer is dropped.
    Overloaded,
    /// The address or the route may have gone: the answer is dropped, the interfaces looked up.
    Refused,
}

pub(crate) fn on_receive(error: &io::Error) -> OnReceive {
    match error.kind() {
        ErrorKind::Interrupted => OnReceive::Again,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => OnReceive::Wait,
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::PermissionDenied => OnReceive::GoOn,
        _ => match error.raw_os_error() {
            Some(code) if code == codes::PROTOCOL => OnReceive::GoOn,
            Some(code) if code == codes::MESSAGE_SIZE => OnReceive::TooLong,
            Some(code) if codes::NO_SOCKET.contains(&code) => OnReceive::Broken,
            _ => OnReceive::Unknown,
        },
    }
}

pub(crate) fn on_send(error: &io::Error) -> OnSend {
    match error.kind() {
        ErrorKind::Interrupted => OnSend::Again,
        ErrorKind::WouldBlock | ErrorKind::OutOfMemory => OnSend::Overloaded,
        _ if error.raw_os_error() == Some(codes::NO_BUFFERS) => OnSend::Overloaded,
        _ => OnSend::Refused,
    }
}

/// The codes for which the standard library has no kind (errno(3)).
#[cfg(any(target_os = "linux", target_os = "android"))]
mod codes {
    pub(super) const PROTOCOL: i32 = 71;
    pub(super) const MESSAGE_SIZE: i32 = 90;
    pub(super) const NO_BUFFERS: i32 = 105;
    pub(super) const NO_SOCKET: [i32; 2] = [9, 88];
}

/// The codes for which the standard library has no kind (errno(2) of macOS and the BSDs).
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
mod codes {
    pub(super) const PROTOCOL: i32 = if cfg!(target_vendor = "apple") {
        100
    } else {
        92
    };
    pub(super) const MESSAGE_SIZE: i32 = 40;
    pub(super) const NO_BUFFERS: i32 = 55;
    pub(super) const NO_SOCKET: [i32; 2] = [9, 38];
}

/// The codes for which the standard library has no kind (Windows Sockets error codes).
#[cfg(not(unix))]
mod codes {
    /// `WSAENETRESET`, which on a datagram socket means that a time to live ran out.
    pub(super) const PROTOCOL: i32 = 10052;
    pub(super) const MESSAGE_SIZE: i32 = 10040;
    pub(super) const NO_BUFFERS: i32 = 10055;
    pub(super) const NO_SOCKET: [i32; 2] = [10009, 10038];
}
