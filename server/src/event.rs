//! What a running server reports.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use udp_discovery_protocol::Response;

use crate::stats::DropReason;

/// Something that happened in a running server, for a log or a display.
///
/// Its `Display` form is one line, with bytes from the network escaped and cut to 64. The fields
/// hold them as they came: [`payload`](Self::Dropped) is untrusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was answered.
    Answered {
        /// The client.
        client: SocketAddr,
        /// What the answer names.
        response: Response,
        /// The address that the answer was sent from.
        local: IpAddr,
    },
    /// A request for details was answered.
    DetailsAnswered {
        /// The client.
        client: SocketAddr,
        /// What the answer names.
        response: Response,
        /// The address that the answer was sent from.
        local: IpAddr,
    },
    /// A datagram was dropped.
    Dropped {
        /// The source address that it carries, or `None` if the system did not report one.
        source: Option<SocketAddr>,
        /// Why it was dropped.
        reason: DropReason,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// The system did not send an answer. The server goes on.
    SendFailed {
        /// The client that gets no answer.
        client: SocketAddr,
        /// The system's error.
        error: &'a io::Error,
    },
    /// Receiving failed. The server goes on; if it cannot, it ends with a
    /// [`RunError`](crate::RunError).
    ReceiveFailed {
        /// The system's error.
        error: &'a io::Error,
    },
    /// The interfaces, addresses or routes of this host have changed.
    InterfacesChanged,
    /// The system could not list the interfaces. The server uses the last list.
    InterfacesUnavailable {
        /// The system's error.
        error: &'a io::Error,
    },
    /// This host has no IPv6, or no interface that leads to other hosts has an IPv6 address. The
    /// server answers on IPv4, and on IPv6 as soon as there are addresses. Reported once, at the
    /// start.
    Ipv6Unavailable {
        /// The system's error, or [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if no
        /// interface has an address.
        error: &'a io::Error,
    },
    /// The system refused to join a multicast group on an interface. The server answers what is not
    /// sent to the group. It tries again when interfaces change, and reports it once.
    MulticastUnavailable {
        /// The name of the interface.
        interface: &'a str,
        /// The group.
        group: IpAddr,
        /// The system's error.
        error: &'a io::Error,
    },
    /// The kernel did not accept the filter that drops what is not a request. The server drops it
    /// itself.
    KernelFilterUnavailable {
        /// The system's error.
        error: &'a io::Error,
    },
    /// The system does not report changes of addresses and routes. The server reads them again when
    /// a request arrives and they are older than five seconds.
    ChangesUnavailable {
        /// The system's error.
        error: &'a io::Error,
    },
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered {
                client,
                response,
                local,
            } => write!(f, "answered {client} with {response} from {local}"),
            Self::DetailsAnswered {
                client,
                response,
                local,
            } => write!(
                f,
                "answered {client} with details of {response} from {local}"
            ),
            Self::Dropped {
                source,
                reason,
                payload,
            } => {
                write!(f, "dropped {} from ", Escaped(payload))?;
                match source {
                    Some(source) => write!(f, "{source}")?,
                    None => f.write_str("an unknown source")?,
                }
                write!(f, ": {reason}")
            }
            Self::SendFailed { client, error } => {
                write!(f, "could not send an answer to {client}: {error}")
            }
            Self::ReceiveFailed { error } => write!(f, "could not receive: {error}"),
            Self::InterfacesChanged => f.write_str("the interfaces have changed"),
            Self::InterfacesUnavailable { error } => {
                write!(f, "cannot list the interfaces: {error}")
            }
            Self::Ipv6Unavailable { error } => write!(f, "cannot answer on IPv6: {error}"),
            Self::MulticastUnavailable {
                interface,
                group,
                error,
            } => write!(f, "cannot join {group} on {interface}: {error}"),
            Self::KernelFilterUnavailable { error } => {
                write!(f, "cannot filter datagrams in the kernel: {error}")
            }
            Self::ChangesUnavailable { error } => {
                write!(
                    f,
                    "cannot watch for changes of addresses and routes: {error}"
                )
            }
        }
    }
}

/// Displays bytes from the network on one line: in quotes, with everything but printable ASCII
/// escaped, and at most 64 of them.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > SHOWN {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(payload: &[u8]) -> String {
        let source = Some(([10, 0, 0, 9], 4000).into());
        let reason = DropReason::NotRequest;
        let event = Event::Dropped {
            source,
            reason,
            payload,
        };
        event.to_string()
    }

    #[test]
    fn bytes_from_the_network_are_escaped_and_cut_to_64() {
        assert_eq!(
            dropped(b"x\r\n\x1b[2J\"\xff"),
            r#"dropped "x\r\n\x1b[2J\"\xff" from 10.0.0.9:4000: not the request"#
        );
        let long = dropped(&[b'x'; 65]);
        assert!(
            long.contains(&format!("\"{}\"... (65 bytes)", "x".repeat(64))),
            "{long}"
        );
    }
}
