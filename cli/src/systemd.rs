//! What `serve` does as a service of systemd: it notifies systemd when it is ready and when it
//! stops, is watched, and takes over sockets. Without systemd none of it happens.

use udp_discovery_protocol::Codec;
use udp_discovery_server::{Event, Server};

use crate::failure::Failure;

mod handed_over;
mod notify;
mod watchdog;

pub(crate) use handed_over::handed_over;
use watchdog::Watchdog;

/// Runs `server` until it is stopped. Notifies systemd, and passes events to `log`.
pub(crate) fn answer(
    server: Server,
    codec: &Codec,
    mut log: impl FnMut(&Event<'_>) + Send + 'static,
) -> Result<(), Failure> {
    let (address, control) = (server.local_addr(), server.control());
    let watchdog = Watchdog::start(address, codec, control.clone())?;
    // The socket is open: what arrives from now on is answered.
    notify::ready(address);

    let asker = watchdog.as_ref().map(Watchdog::client);
    let ended = server
        .on_event(move |event| {
            // Answers to the watchdog are not worth a line.
            let is_own = matches!(event, Event::Answered { client, .. } if Some(*client) == asker);
            if !is_own {
                log(event);
            }
        })
        .run();
    drop(watchdog);
    notify::stopping(&control.stats());
    Ok(ended?)
}
