//! The socket as the engine sees it.

use std::io;
use std::net::SocketAddr;

use crate::responder::{Datagram, Reply};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::SystemSocket;

#[cfg(any(not(target_os = "linux"), test))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::SystemSocket;

/// One datagram, or what is left of it if the system didn't tell all that it should have.
#[derive(Clone, Copy)]
pub(crate) enum Arrived<'a> {
    Datagram(Datagram<'a>),
    /// The system didn't say where it arrived.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only Linux says it of other datagrams")
    )]
    NoPacketInfo {
        source: Option<SocketAddr>,
        payload: &'a [u8],
    },
}

/// A UDP socket that doesn't block. The tests' own one fails on demand.
pub(crate) trait Transport {
    /// Receives what is there, one batch of it at the most, in the order of arrival. Returns how
    /// many datagrams the system says it has dropped since it was last asked.
    ///
    /// # Errors
    /// The system's; `WouldBlock` if nothing is there.
    fn receive(&mut self, each: &mut dyn FnMut(Arrived<'_>)) -> io::Result<u64>;

    /// Sends every reply, telling of each whether it went out.
    fn send(&mut self, replies: &[Reply], told: &mut dyn FnMut(&Reply, io::Result<()>));
}
