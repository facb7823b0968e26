//! What the operating system's socket errors mean, for servers and clients.

use std::io::{self, ErrorKind};

/// What an error from receiving on a UDP socket means.
///
/// ```
/// use std::io;
/// use udp_discovery_protocol::ReceiveErrorKind;
///
/// let error = io::Error::from(io::ErrorKind::ConnectionRefused);
/// assert_eq!(ReceiveErrorKind::of(&error), ReceiveErrorKind::EarlierSend);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReceiveErrorKind {
    /// A signal interrupted the call. Check the stop flag and the deadline, then receive again.
    Interrupted,
    /// There is nothing to receive. Wait until the socket is readable.
    WouldBlock,
    /// A datagram was longer than the buffer and was lost. Only Windows reports this as an error.
    TooLong,
    /// An earlier datagram was not delivered (such as an ICMP "port unreachable"), or the network is
    /// down. Count it and receive again.
    EarlierSend,
    /// The descriptor is not an open socket.
    NotASocket,
    /// Anything else. Fatal only if it persists.
    Unknown,
}

/// What an error from sending a datagram means. Except after an interruption, the datagram is lost.
///
/// ```
/// use std::io;
/// use udp_discovery_protocol::SendErrorKind;
///
/// let error = io::Error::from(io::ErrorKind::PermissionDenied);
/// assert_eq!(SendErrorKind::of(&error), SendErrorKind::Refused);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// A signal interrupted the call. Send again.
    Interrupted,
    /// The system has no room for the datagram.
    NoRoom,
    /// The system refused to send the datagram, because of a firewall, a missing route, or an address
    /// that was removed. The interfaces may have changed.
    Refused,
}

impl ReceiveErrorKind {
    /// The kind of `error`.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::WouldBlock,
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::PermissionDenied => Self::EarlierSend,
            _ => match error.raw_os_error() {
                Some(code) if codes::EARLIER_SEND.contains(&code) => Self::EarlierSend,
                Some(code) if code == codes::TOO_LONG => Self::TooLong,
                Some(code) if codes::NOT_A_SOCKET.contains(&code) => Self::NotASocket,
                _ => Self::Unknown,
            },
        }
    }
}

impl SendErrorKind {
    /// The kind of `error`.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::WouldBlock | ErrorKind::OutOfMemory => Self::NoRoom,
            _ if error.raw_os_error() == Some(codes::NO_BUFFERS) => Self::NoRoom,
            _ => Self::Refused,
        }
    }
}

/// Whether `error`, from opening or binding a socket, means that this host has no such address family:
/// the system was built without it, it is switched off, or this process may not use it.
///
/// ```
/// use std::io;
/// use udp_discovery_protocol::is_family_unavailable;
///
/// assert!(!is_family_unavailable(&io::ErrorKind::AddrInUse.into()));
/// ```
pub fn is_family_unavailable(error: &io::Error) -> bool {
    let unavailable = [ErrorKind::AddrNotAvailable, ErrorKind::Unsupported];
    let code = error.raw_os_error();
    unavailable.contains(&error.kind()) || code.is_some_and(|code| codes::NO_FAMILY.contains(&code))
}

/// Error codes for which the standard library has no stable kind (errno(3)).
#[cfg(unix)]
mod codes {
    use nix::errno::Errno;

    pub(super) const EARLIER_SEND: [i32; 1] = [Errno::EPROTO as i32];
    pub(super) const TOO_LONG: i32 = Errno::EMSGSIZE as i32;
    pub(super) const NO_BUFFERS: i32 = Errno::ENOBUFS as i32;
    pub(super) const NOT_A_SOCKET: [i32; 2] = [Errno::EBADF as i32, Errno::ENOTSOCK as i32];
    pub(super) const NO_FAMILY: [i32; 3] = [
        Errno::EAFNOSUPPORT as i32,
        Errno::EPFNOSUPPORT as i32,
        Errno::EPROTONOSUPPORT as i32,
    ];
}

/// Error codes for which the standard library has no stable kind (Windows Sockets error codes).
#[cfg(not(unix))]
mod codes {
    /// WSAENETRESET: the time to live of an earlier datagram expired.
    pub(super) const EARLIER_SEND: [i32; 1] = [10052];
    /// WSAEMSGSIZE
    pub(super) const TOO_LONG: i32 = 10040;
    /// WSAENOBUFS
    pub(super) const NO_BUFFERS: i32 = 10055;
    /// WSAEBADF, WSAENOTSOCK
    pub(super) const NOT_A_SOCKET: [i32; 2] = [10009, 10038];
    /// WSAEAFNOSUPPORT, WSAEPFNOSUPPORT, WSAEPROTONOSUPPORT
    pub(super) const NO_FAMILY: [i32; 3] = [10047, 10046, 10043];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(error: impl Into<io::Error>) -> ReceiveErrorKind {
        ReceiveErrorKind::of(&error.into())
    }

    fn sent(error: impl Into<io::Error>) -> SendErrorKind {
        SendErrorKind::of(&error.into())
    }

    #[test]
    fn errors_of_earlier_sends_and_of_a_network_that_is_down_are_harmless_to_both_sides() {
        for kind in [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::HostUnreachable,
            ErrorKind::NetworkUnreachable,
            ErrorKind::NetworkDown,
            ErrorKind::PermissionDenied,
        ] {
            assert_eq!(received(kind), ReceiveErrorKind::EarlierSend, "{kind}");
        }
        let code = io::Error::from_raw_os_error(codes::EARLIER_SEND[0]);
        assert_eq!(received(code), ReceiveErrorKind::EarlierSend);
    }

    #[test]
    fn a_call_that_is_interrupted_or_has_nothing_to_do_is_known() {
        assert_eq!(
            received(ErrorKind::Interrupted),
            ReceiveErrorKind::Interrupted
        );
        for kind in [ErrorKind::WouldBlock, ErrorKind::TimedOut] {
            assert_eq!(received(kind), ReceiveErrorKind::WouldBlock, "{kind}");
        }
        assert_eq!(sent(ErrorKind::Interrupted), SendErrorKind::Interrupted);
    }

    #[test]
    fn what_has_no_kind_is_known_by_its_code() {
        let code = io::Error::from_raw_os_error;
        assert_eq!(received(code(codes::TOO_LONG)), ReceiveErrorKind::TooLong);
        for number in codes::NOT_A_SOCKET {
            assert_eq!(received(code(number)), ReceiveErrorKind::NotASocket);
        }
        assert_eq!(sent(code(codes::NO_BUFFERS)), SendErrorKind::NoRoom);
    }

    #[test]
    fn a_missing_address_family_is_distinguished_from_a_taken_port() {
        for number in codes::NO_FAMILY {
            assert!(is_family_unavailable(&io::Error::from_raw_os_error(number)));
        }
        assert!(is_family_unavailable(&ErrorKind::AddrNotAvailable.into()));
        for kind in [ErrorKind::AddrInUse, ErrorKind::PermissionDenied] {
            assert!(!is_family_unavailable(&kind.into()), "{kind}");
        }
    }

    #[test]
    fn a_lack_of_room_is_not_a_refusal() {
        for kind in [ErrorKind::WouldBlock, ErrorKind::OutOfMemory] {
            assert_eq!(sent(kind), SendErrorKind::NoRoom, "{kind}");
        }
        for kind in [
            ErrorKind::PermissionDenied,
            ErrorKind::NetworkDown,
            ErrorKind::NetworkUnreachable,
            ErrorKind::AddrNotAvailable,
            ErrorKind::InvalidInput,
        ] {
            assert_eq!(sent(kind), SendErrorKind::Refused, "{kind}");
        }
    }

    #[test]
    fn any_other_error_is_unknown() {
        assert_eq!(received(ErrorKind::OutOfMemory), ReceiveErrorKind::Unknown);
    }
}
