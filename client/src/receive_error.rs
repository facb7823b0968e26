//! What an error of the system on receiving means.

use std::io;

/// What an error on receiving means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It belongs to a datagram that was sent earlier, or says nothing about the socket.
    Passing,
    /// A datagram longer than the buffer was thrown away.
    TooLong,
    /// It is not known what it says about the socket.
    Unknown,
    /// The socket is of no use any more.
    Fatal,
}

impl Meaning {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(codes::TOO_LONG) => return Self::TooLong,
            Some(code) if codes::FATAL.contains(&code) => return Self::Fatal,
            Some(code) if codes::PASSING.contains(&code) => return Self::Passing,
            _ => {}
        }
        match error.kind() {
            // Some systems report that an earlier probe could not be delivered (ICMP) on the
            // next receive, and Windows calls that a reset connection.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::Interrupted => Self::Passing,
            _ => Self::Unknown,
        }
    }
}

/// The numbers of those errors that have no kind of their own.
#[cfg(unix)]
mod codes {
    use nix::errno::Errno;

    pub(super) const TOO_LONG: i32 = Errno::EMSGSIZE as i32;
    pub(super) const PASSING: [i32; 1] = [Errno::EPROTO as i32];
    pub(super) const FATAL: [i32; 2] = [Errno::EBADF as i32, Errno::ENOTSOCK as i32];
}

/// The numbers of those errors that have no kind of their own (Windows Sockets error codes).
#[cfg(windows)]
mod codes {
    /// WSAEMSGSIZE
    pub(super) const TOO_LONG: i32 = 10040;
    /// WSAENETRESET: a datagram's time to live ran out.
    pub(super) const PASSING: [i32; 1] = [10052];
    /// WSAEBADF, WSAENOTSOCK
    pub(super) const FATAL: [i32; 2] = [10009, 10038];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_an_earlier_probe_is_passing() {
        for kind in [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::PermissionDenied,
        ] {
            assert_eq!(Meaning::of(&kind.into()), Meaning::Passing, "{kind}");
        }
        let protocol = io::Error::from_raw_os_error(codes::PASSING[0]);
        assert_eq!(Meaning::of(&protocol), Meaning::Passing);
    }

    #[test]
    fn a_datagram_that_is_too_long_is_known_by_its_number() {
        let error = io::Error::from_raw_os_error(codes::TOO_LONG);
        assert_eq!(Meaning::of(&error), Meaning::TooLong);
    }

    #[test]
    fn a_socket_that_is_none_is_fatal() {
        for code in codes::FATAL {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(Meaning::of(&error), Meaning::Fatal, "{error}");
        }
    }

    #[test]
    fn whatever_else_is_unknown() {
        let error = io::Error::from(io::ErrorKind::OutOfMemory);
        assert_eq!(Meaning::of(&error), Meaning::Unknown);
    }
}
