//! Sending many datagrams by one call (sendmmsg(2)), which only Linux has.

use std::io;

use socket2::SockRef;

use crate::discovery::Transmit;

/// How many datagrams are sent by one call, at most. They leave some microseconds after they were
/// polled, which counts as part of their round trips.
pub(crate) const MAX_BATCH: usize = if cfg!(target_os = "linux") { 16 } else { 1 };

/// Sends as many of `transmits` as the system takes at once, at least the first. Returns their number.
pub(crate) fn send(socket: &SockRef<'_>, transmits: &[Transmit]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    if transmits.len() > 1 {
        return send_many(socket, transmits);
    }
    let first = &transmits[0];
    socket.send_to(&first.payload, &first.destination.into())?;
    Ok(1)
}

#[cfg(target_os = "linux")]
fn send_many(socket: &SockRef<'_>, transmits: &[Transmit]) -> io::Result<usize> {
    use std::io::IoSlice;
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

    let slices = transmits.iter().map(|it| [IoSlice::new(&it.payload)]);
    let slices: Vec<[IoSlice<'_>; 1]> = slices.collect();
    let destinations = transmits.iter().map(|it| Some(it.destination.into()));
    let destinations: Vec<Option<SockaddrStorage>> = destinations.collect();
    let mut headers = MultiHeaders::preallocate(transmits.len(), None);
    let flags = MsgFlags::empty();
    let results = sendmmsg(
        socket.as_raw_fd(),
        &mut headers,
        &slices,
        &destinations,
        [],
        flags,
    )?;
    match results.count() {
        0 => Err(io::ErrorKind::WriteZero.into()),
        sent => Ok(sent),
    }
}
