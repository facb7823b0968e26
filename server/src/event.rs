//! What a server tells its host while it runs.

use std::io;
use std::net::{IpAddr, SocketAddr};

use udp_discovery_protocol::Response;

use crate::stats::DropReason;

/// Something that happened in a running server, for a log or a display.
///
/// Whatever a datagram brought is untrusted: [`payload`](Self::Dropped) may have any bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was answered.
    Answered {
        /// The client.
        client: SocketAddr,
        /// What it was told.
        response: Response,
        /// The address that the answer was sent from.
        local: IpAddr,
    },
    /// A datagram was not answered.
    Dropped {
        /// Where it says it came from; none if the system didn't tell.
        source: Option<SocketAddr>,
        /// Why it wasn't answered.
        reason: DropReason,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// The system didn't send an answer. Others go on.
    SendFailed {
        /// The client that goes without.
        client: SocketAddr,
        /// What the system says.
        error: &'a io::Error,
    },
    /// An error on receiving. The server goes on, or says in the end that it can't.
    ReceiveFailed {
        /// What the system says.
        error: &'a io::Error,
    },
    /// The interfaces or addresses of this host have changed.
    InterfacesChanged,
    /// The system couldn't list the interfaces. The server works on with the last list.
    InterfacesUnavailable {
        /// What the system says.
        error: &'a io::Error,
    },
    /// The kernel wouldn't take the filter that drops what isn't the request. The server drops it
    /// itself.
    KernelFilterUnavailable {
        /// What the system says.
        error: &'a io::Error,
    },
    /// The system won't tell about changes of addresses. The server looks again when a request
    /// comes that doesn't fit the addresses it knows.
    ChangesUnavailable {
        /// What the system says.
        error: &'a io::Error,
    },
}
